"""What a program costs: its wall time and the most memory it ever held. Linux only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PROGRAM = (sys.executable, "-m", "napari_alibi_seg")


class Cost(NamedTuple):
    """Seconds of wall time, and the peak of resident memory in gigabytes (10^9 bytes)."""

    seconds: float
    gigabytes: float


def cost(
    arguments: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
) -> Cost:
    """Run napari-alibi-seg once in a process of its own, start of Python included.

    Parameters
    ----------
    arguments : sequence of str
        A command of napari-alibi-seg and its options.
    folder : Path
        Where it runs.
    variables : mapping, optional
        Environment variables to add.

    Raises
    ------
    SystemExit
        If it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments[0]} failed with status {status}")
    return Cost(time.perf_counter() - started, usage.ru_maxrss * 1024 / 1e9)
