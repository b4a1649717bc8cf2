"""Memory that threads share: one waits until the others leave enough."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Budget:
    """So many bytes, for all threads together.

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
        """Hold some bytes, once they are free; more than the limit are held alone.

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
