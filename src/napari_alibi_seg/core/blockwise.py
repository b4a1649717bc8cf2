"""Blockwise processing of planes on all cores within a memory budget."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

G = TypeVar("G")
T = TypeVar("T")


def available_cores() -> int:
    """Return the number of cores available to this process, for example in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[G], T], given: Iterable[G], most: int = 64) -> Iterator[T]:
    """Map over windows or other items in order, on a thread per core, but at most `most`."""
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
    """A memory budget shared by all threads.

    Parameters
    ----------
    limit : float
        Size of the budget, in bytes.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._taken = 0.0
        self._changed = Condition()

    @contextmanager
    def taken(self, size: float) -> Iterator[None]:
        """Reserve `size` bytes, waiting until they are free.

        A request above the limit waits until no bytes are reserved. Not reentrant: a thread that
        holds a reservation must not request another.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self.limit)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
