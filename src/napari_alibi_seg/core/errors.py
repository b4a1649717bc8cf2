"""Errors whose messages are shown to the user.

Every message says what is wrong, what is allowed and what to do. The command line prints it as one
sentence and exits with the error's `exit_code`; the napari dock shows it unchanged.
"""

from __future__ import annotations

import errno
import struct
import sys
import zipfile
import zlib
from tokenize import TokenError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NO_DATA = (
    "lies where the image has no data (NaN or infinite) or outside its region, which teaches "
    "nothing"
)
"""Part of messages about strokes that cannot be used for training."""

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
"""Exceptions that readers raise on damaged files, collected by fuzzing intact files."""

_NOT_THE_FILE = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ENOENT}
_UNLOADABLE = {126, 127, 1114}
"""Error numbers of Windows for a library that lacks another one, or fails as it starts."""
_OTHER_WAYS_TO_THREADS = {
    "linux": ", raise the limit (ulimit -u, or the pids limit of the container), or run on fewer "
    "cores (OMP_NUM_THREADS=1 taskset -c 0 before the command)",
    "darwin": " or raise the limit (ulimit -u)",
}


class AlibiSegError(Exception):
    """Base class of all errors that this package raises deliberately."""

    exit_code = 1


class ImageError(AlibiSegError):
    """An image cannot be read, or its axes or channels are ambiguous."""

    exit_code = 3


class UnsettledError(ImageError):
    """An image can only be read if its axes, channels or dataset are specified.

    Parameters
    ----------
    trouble : str
        What is ambiguous.
    remedy : str
        The options that resolve it, where there are options.
    """

    def __init__(self, trouble: str, remedy: str) -> None:
        super().__init__(trouble, remedy)
        self.trouble = trouble

    def __str__(self) -> str:
        return "{}; {}.".format(*self.args)


class ScribbleError(AlibiSegError):
    """The scribbles do not match the image or do not contain two classes."""

    exit_code = 4


class ModelError(AlibiSegError):
    """A backbone is unknown, incomplete, damaged or cannot be downloaded."""

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


def inaccessible(path: str | Path, error: Exception) -> str | None:
    """Return what to say of a file that need not be damaged, as for lack of memory, else None."""
    if isinstance(error, MemoryError):
        return (
            f"{path} needs more memory than is free, or its header is damaged; close other "
            "programs, or copy the file again."
        )
    if isinstance(error, OSError) and error.errno in _NOT_THE_FILE:
        return (
            f"{path} cannot be read ({error.strerror}); check its name, and whether you may read "
            "it and its folder."
        )
    return None


def disk_failure(error: OSError) -> OutputError:
    """Return the error for a disk that failed where nothing else explains it."""
    return OutputError(
        f"A file could not be read or written ({error}); see that its disk is there and works, and "
        "try again."
    )


def shortage(error: Exception) -> DeviceError | None:
    """Return a `DeviceError` if this computer lacks threads, or what PyTorch needs, else None."""
    if "can't start new thread" in str(error):
        others = _OTHER_WAYS_TO_THREADS.get(sys.platform, "")
        return DeviceError(
            f"The system allows this program no more threads; close other programs{others}."
        )
    if getattr(error, "winerror", None) in _UNLOADABLE and "torch" in str(error):
        return DeviceError(
            f"PyTorch cannot be loaded ({error}); update Qt (pip install -U PyQt6 PyQt6-Qt6), "
            "whose old libraries it cannot share, or install "
            "https://aka.ms/vc14/vc_redist.x64.exe, and start the program again."
        )
    return None
