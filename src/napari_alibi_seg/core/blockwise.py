"""A plane in blocks, and the cores and the memory they are worked on with."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

from napari_alibi_seg.core.images.planes import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

G = TypeVar("G")
T = TypeVar("T")


def blocks(shape: tuple[int, int], side: int) -> list[Window]:
    """Cut a plane into windows of at most `side` pixels, row by row."""
    return [
        Window(top, left, min(side, shape[0] - top), min(side, shape[1] - left))
        for top in range(0, shape[0], side)
        for left in range(0, shape[1], side)
    ]


def available_cores() -> int:
    """Return how many cores this process may use, which in a container is not all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[G], T], given: Iterable[G], most: int = 64) -> Iterator[T]:
    """Map over windows or the like, a thread per core up to `most`, a few results ahead."""
    workers = min(available_cores(), most)
    pool = ThreadPoolExecutor(workers)
    pending: deque[Future[T]] = deque()
    try:
        for item in given:
            pending.append(pool.submit(work, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Budget:
    """A number of bytes that all threads share.

    Parameters
    ----------
    limit : float
        Bytes.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._taken = 0.0
        self._changed = Condition()

    @contextmanager
    def taken(self, size: float) -> Iterator[None]:
        """Hold some bytes once they are free; more than the limit, once no other thread holds any.

        A thread that holds some must not ask for more.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
