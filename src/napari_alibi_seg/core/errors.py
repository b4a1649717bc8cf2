"""Errors whose message is meant for the person at the screen.

Every message says what was wrong, what is allowed and what to do. The command line prints
it as one sentence and leaves with the error's `exit_code`; the window shows it as it is.
"""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from tokenize import TokenError

NO_DATA = "lies where the image has no data (NaN) or outside its region, which teaches nothing"
"""What is wrong with a stroke, in a sentence."""

DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    EOFError,
    SyntaxError,
    TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What readers raise on damaged files, collected by changing bytes of good ones at random."""

_OTHER_WAYS_TO_THREADS = {
    "linux": ", raise the limit (ulimit -u, or the pids limit of the container), or run on fewer "
    "cores (OMP_NUM_THREADS=1 taskset -c 0 before the command)",
    "darwin": " or raise the limit (ulimit -u)",
}


class AlibiSegError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = 1


class ImageError(AlibiSegError):
    """An image cannot be read, or its axes or channels are not settled."""

    exit_code = 3


class UnsettledError(ImageError):
    """An image could be read if its axes, channels or dataset were named.

    Parameters
    ----------
    trouble : str
        What is not settled.
    remedy : str
        Which options settle it, for those who have them.
    """

    def __init__(self, trouble: str, remedy: str) -> None:
        super().__init__(trouble, remedy)
        self.trouble = trouble

    def __str__(self) -> str:
        return "{}; {}.".format(*self.args)


class ScribbleError(AlibiSegError):
    """The scribbles do not fit the image or do not hold two classes."""

    exit_code = 4


class ModelError(AlibiSegError):
    """A backbone is unknown, incomplete, damaged or cannot be fetched."""

    exit_code = 5


class ClassifierError(AlibiSegError):
    """A classifier file is unsafe or damaged, or expects other features."""

    exit_code = 6


class OutputError(AlibiSegError):
    """A result cannot be written."""

    exit_code = 7


class DeviceError(AlibiSegError):
    """A device does not exist here, or memory or threads do not suffice."""

    exit_code = 8


class ProjectError(AlibiSegError):
    """A project file is damaged, or its image is missing or has changed."""

    exit_code = 9


def thread_shortage(error: RuntimeError) -> DeviceError | None:
    """Return an error in plain words if Python raised `error` for want of a thread, else None."""
    if "can't start new thread" not in str(error):
        return None
    others = _OTHER_WAYS_TO_THREADS.get(sys.platform, "")
    return DeviceError(
        f"The system allows this program no more threads; close other programs{others}."
    )
