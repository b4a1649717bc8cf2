"""Long work: what is told of it, and steps at each of which it can be left.

Work in steps is a generator that returns what it makes.
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
"""Told the name of a stage, how many steps are done, and of how many."""


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def mapped(
    work: Generator[Step, None, Made], tell: Callable[[Step], Told]
) -> Generator[Told, None, Made]:
    """Take the steps of some work as they come, tell of each in other words, and return its own."""
    while True:
        try:
            yield tell(next(work))
        except StopIteration as finished:
            return cast("Made", finished.value)


def returned(work: Generator[Any, None, Made]) -> Made:
    """Take every step of some work, and return what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as finished:
            return cast("Made", finished.value)
