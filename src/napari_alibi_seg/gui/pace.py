"""Measure how fast this computer segments while the user paints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_alibi_seg.core.features.tiling import TILE_S, usual_tiles
from napari_alibi_seg.core.live.limits import (
    CACHED_BYTES,
    DOWNSAMPLED_BYTES,
    FEATURE_BYTES,
    PROJECTED_BYTES,
)
from napari_alibi_seg.core.live.records import FeatureProgress, ModelReady, ResultBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_alibi_seg.core.live.records import LiveEvent

LONG_S = 60
"""Runs at least this long are confirmed before they start."""
FEATURES_MB = 200
"""Memory of the default model and one tile while features are computed."""
_PIXEL_S = 2e-6  # rough time to classify a pixel, until one is measured
_CHANNEL_MB = 600e-6  # per classified pixel
_CHANNEL_LIMIT_MB = (CACHED_BYTES + PROJECTED_BYTES + DOWNSAMPLED_BYTES) / 1e6


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Duration.
    megabytes : float
        Memory for the model, features, channels and labels.
    measured : bool
        Whether the duration follows from measurements; otherwise it is a guess.
    """

    seconds: float
    megabytes: float
    measured: bool


class Pace:
    """Measure the speed of features and classification from the engine's events.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._tiles = 0
        self._tile_seconds = 0.0
        self._pixels = 0
        self._pixel_seconds = 0.0
        self._progress: FeatureProgress | None = None
        self._device = "cpu"

    def begin(self) -> None:
        """Restart the clock: the engine starts a new order."""
        self._last = self._clock()

    def hear(self, event: LiveEvent) -> None:
        """Measure the time since the last event."""
        now = self._clock()
        spent, self._last = now - self._last, now
        if isinstance(event, ModelReady):
            self._device = event.device
        elif isinstance(event, FeatureProgress):
            before = self._progress
            if before is not None and before.plane == event.plane and event.done > before.done:
                self._tiles += event.done - before.done
                self._tile_seconds += spent
            self._progress = event
        elif isinstance(event, ResultBlock) and event.final:
            self._pixels += event.window.height * event.window.width
            self._pixel_seconds += spent

    def estimate(self, pixels: int, largest: int, shown: int, scale: int | None) -> RunEstimate:
        """Return what segmenting other planes will take.

        Parameters
        ----------
        pixels : int
            Number in all these planes.
        largest : int
            Pixels of the largest plane, or of all planes kept in memory together.
        shown : int
            Pixels of the plane on the screen, whose tiles were measured.
        scale : int or None
            Magnification for deep features; None if there are none.
        """
        measured = bool(self._pixels and (self._tiles or scale is None))
        seconds = pixels * (self._pixel_seconds / self._pixels if self._pixels else _PIXEL_S)
        megabytes = largest / 1e6 + min(shown * _CHANNEL_MB, _CHANNEL_LIMIT_MB)  # a byte a label
        if scale is not None:
            seconds += self._features_seconds(shown, scale) * pixels / shown
            kept = self._kept_mb(scale) * largest / shown
            megabytes += FEATURES_MB + min(kept, FEATURE_BYTES / 1e6)
        return RunEstimate(seconds, megabytes, measured)

    def _features_seconds(self, shown: int, scale: int) -> float:
        """Return the seconds for the features of a plane like the one on the screen."""
        progress = self._progress
        known = progress is not None and progress.scale == scale
        tiles = progress.total if progress and known else usual_tiles(shown, scale)
        return tiles * (self._tile_seconds / self._tiles if self._tiles else TILE_S[self._device])

    def _kept_mb(self, scale: int) -> float:
        """Return the memory for the features of a plane like the one on the screen."""
        progress = self._progress
        return 0.0 if progress is None else progress.megabytes * (scale / progress.scale) ** 2
