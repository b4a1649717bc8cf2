"""What all commands share: numbers as arguments, results, problems and progress bars."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.errors import AlibiSegError, DeviceError, disk_failure, shortage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

INTERRUPTED = 130
"""Exit code of an interrupted command."""

PLANES_KEPT = "finished planes were kept; go on by the same command"
"""For `kept_if_interrupted`, of a run plane by plane."""

_DELAY = 2.0
_SHORT_MEMORY = ("out of memory", "DefaultCPUAllocator")  # torch raises a RuntimeError


def run_command(run: Callable[[], int], advice: str, verbose: bool = False) -> int:
    """Run a command, print an error as one sentence, and return the exit code.

    Parameters
    ----------
    run : callable
        The command; returns an exit code.
    advice : str
        What to do if memory is short.
    verbose : bool
        Raise errors instead, for their traceback.
    """
    _print_any_name()
    _heed_being_ended()
    try:
        return run()
    except KeyboardInterrupt as interrupt:
        [kept] = getattr(interrupt, "__notes__", ["nothing unfinished was kept"])
        code, problem = INTERRUPTED, f"interrupted; {kept}."
    except (AlibiSegError, MemoryError, RuntimeError, OSError) as error:
        known = _known(error, advice)
        if verbose or known is None:
            raise
        code, problem = known.exit_code, f"error: {known}"
    say(problem)  # only here are the progress bars of the failed frames closed
    return code


@contextmanager
def kept_if_interrupted(kept: str) -> Iterator[None]:
    """Note what was kept, for `run_command` to print, on an interruption."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(kept)
        raise


def whole(allowed: range, text: str) -> int:
    """Return the whole number in an argument.

    Raises
    ------
    ArgumentTypeError
        If the text is not a number in the range.
    """
    if not text.isdecimal() or int(text) not in allowed:
        kind = "whole number" if allowed.step == 1 else f"multiple of {allowed.step}"
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a {kind} from {allowed[0]} to {allowed[-1]}"
        )
    return int(text)


def tell(message: str) -> None:
    """Print a result to standard output."""
    with _heard_or_not(sys.stdout):
        print(message, flush=True)


def say(message: str) -> None:
    """Print a problem to standard error."""
    with _heard_or_not(sys.stderr):
        print(f"napari-alibi-seg: {message}", file=sys.stderr, flush=True)


@contextmanager
def _heard_or_not(stream: TextIO | None) -> Iterator[None]:
    """Discard all further output once a write fails, e.g. to a closed pipe or a full disk.

    The computation continues without its messages.
    """
    try:
        yield
    except OSError:
        if stream is None:
            raise
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _heed_being_ended() -> None:
    """Treat SIGTERM (batch systems) and SIGHUP (a lost connection) like Ctrl-C.

    Signals that are already ignored, as after ``nohup``, or handled stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # the program that called this handles its own signals
    for name in ("SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _print_any_name() -> None:
    """Escape characters that standard output cannot encode, e.g. in file names."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _known(
    error: AlibiSegError | MemoryError | RuntimeError | OSError, advice: str
) -> AlibiSegError | None:
    if isinstance(error, AlibiSegError):
        return error
    if isinstance(error, OSError):
        return shortage(error) or disk_failure(error)
    if isinstance(error, MemoryError) or any(words in str(error) for words in _SHORT_MEMORY):
        return DeviceError(f"there is too little memory; {advice}.")
    return shortage(error)


class Bars:
    """Progress bars in a terminal, one per stage, shown once a stage has taken two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show the progress of a stage; a new or restarted stage gets a new bar."""
        if sys.stderr is None:  # closed, e.g. by a batch system
            return
        with _heard_or_not(sys.stderr):
            self._show(stage, done, total)

    def _show(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage or done <= self._bar.n:
            self._close()
            self._stage = stage
            self._bar = tqdm(total=total, desc=stage, delay=_DELAY, leave=False, disable=None)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            with _heard_or_not(sys.stderr):
                self._bar.close()
        self._bar = None
