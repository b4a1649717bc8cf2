"""Measure run time and peak memory of a program. Linux only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "napari_alibi_seg")


class Cost(NamedTuple):
    """Wall time in s, peak resident memory in gigabytes (10^9 bytes), and CPU time in core-s."""

    seconds: float
    gigabytes: float
    worked: float


def cost(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] | None = None,
    until: Callable[[], bool] | None = None,
) -> Cost:
    """Run napari-alibi-seg once in a separate process, including the start of Python.

    Parameters
    ----------
    arguments : sequence of str
        A command of napari-alibi-seg and its options.
    folder : Path
        Working directory.
    variables : mapping, optional
        Environment variables to add.
    until : callable, optional
        Kill the process (``kill -9``) as soon as this returns true.

    Raises
    ------
    SystemExit
        If the command fails, or ends before it is killed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
    )
    while until is not None and not until():
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise SystemExit(f"{arguments[0]} ended before it was killed")
        time.sleep(0.02)
    if until is not None:
        process.kill()
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != (0 if until is None else -signal.SIGKILL):
        raise SystemExit(f"{arguments[0]} failed with status {status}")
    took, worked = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    return Cost(took, usage.ru_maxrss * 1024 / 1e9, worked)
