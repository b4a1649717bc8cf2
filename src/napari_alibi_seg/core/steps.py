"""Work in steps, at each of which it can be left: generators that return what they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Made = TypeVar("Made")
Step = TypeVar("Step")
Told = TypeVar("Told")


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
