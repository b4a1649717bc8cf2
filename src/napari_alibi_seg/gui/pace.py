"""How fast this computer segments, as measured while the person paints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_alibi_seg.core.live_records import Block, FeatureProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_alibi_seg.core.live_records import LiveEvent

LONG_S = 60
"""What is worth asking about before it is begun."""
_FEATURE_LIMIT_MB = 1000  # the engine keeps no more


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Of time.
    megabytes : float
        Of memory, for features and labels.
    """

    seconds: float
    megabytes: float


class Pace:
    """Measures features and classified pixels per second from what the engine tells.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._tiles = 0
        self._tile_seconds = 0.0
        self._pixels = 0
        self._pixel_seconds = 0.0
        self._progress: FeatureProgress | None = None

    def begin(self) -> None:
        """Forget when the engine last told something: it begins anew."""
        self._last = self._clock()

    def hear(self, event: LiveEvent) -> None:
        """Measure the time since the last event."""
        now = self._clock()
        spent, self._last = now - self._last, now
        if isinstance(event, FeatureProgress):
            before = self._progress
            if before is not None and before.plane == event.plane and event.done > before.done:
                self._tiles += event.done - before.done
                self._tile_seconds += spent
            self._progress = event
        elif isinstance(event, Block) and event.final:
            self._pixels += event.window.height * event.window.width
            self._pixel_seconds += spent

    def estimate(self, pixels: int, largest: int, shown: int, deep: bool) -> Estimate | None:
        """Return what segmenting other planes will take; None while nothing is measured.

        Parameters
        ----------
        pixels : int
            Of all these planes.
        largest : int
            Of the largest of them, or of all that are kept in memory together.
        shown : int
            Of the plane on the screen, whose tiles were measured.
        deep : bool
            Whether they need deep features.
        """
        if not self._pixels:
            return None
        seconds = pixels * self._pixel_seconds / self._pixels
        megabytes = largest / 1e6  # a byte a label
        if deep and self._tiles and self._progress is not None:
            per_plane = self._progress.total * self._tile_seconds / self._tiles
            seconds += per_plane * pixels / shown
            megabytes += min(self._progress.megabytes * largest / shown, _FEATURE_LIMIT_MB)
        return Estimate(seconds, megabytes)
