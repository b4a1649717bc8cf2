"""What a person at a terminal is told while a command runs."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Any


def say(message: str) -> None:
    """Tell of a problem, on standard error."""
    print(f"napari-alibi-seg: {message}", file=sys.stderr)


def print_any_name() -> None:
    """Let standard output replace what its encoding lacks: names of files may hold anything."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class Bars:
    """Progress bars, one per stage, that appear once a stage has taken two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how much of a stage is done; a new stage, or one begun anew, gets a new bar."""
        from tqdm import tqdm

        if self._bar is None or stage != self._stage or done <= self._bar.n:
            self._close()
            self._stage, self._bar = stage, tqdm(total=total, desc=stage, delay=2, leave=False)
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
