"""Progress callbacks, and helpers for work in steps.

Work in steps is a generator that yields at each step, where it can be closed, and returns a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator

Made = TypeVar("Made")
Step = TypeVar("Step")
Told = TypeVar("Told")

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of finished steps, and the total number."""


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def map_steps(
    work: Generator[Step, None, Made], tell: Callable[[Step], Told]
) -> Generator[Told, None, Made]:
    """Run work in steps, yielding ``tell(step)`` for each step, and return its result."""
    while True:
        try:
            yield tell(next(work))
        except StopIteration as finished:
            return cast("Made", finished.value)


def run_to_end(work: Generator[Any, None, Made]) -> Made:
    """Run work in steps to its end and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return cast("Made", finished.value)
