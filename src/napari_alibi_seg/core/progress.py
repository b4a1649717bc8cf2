"""Progress reports of long-running work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told the name of a stage, how many steps are done, and of how many."""


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""
