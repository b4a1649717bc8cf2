"""How fast this computer segments, as measured while the person paints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_alibi_seg.core.features.tiling import TILE_S, usual_tiles
from napari_alibi_seg.core.live.records import FeatureProgress, ModelReady, ResultBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_alibi_seg.core.live.records import LiveEvent

LONG_S = 60
"""What is worth asking about before it is begun."""
FEATURES_MB = 200
"""What the default model and a tile take while features are computed."""
_FEATURE_LIMIT_MB = 1000  # the engine keeps no more
_PIXEL_S = 2e-6  # seconds a pixel takes to be classified, before any is measured; very roughly
_CHANNEL_MB, _CHANNEL_LIMIT_MB = 600e-6, 2200  # of a pixel that is classified, and of all at once


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Of time.
    megabytes : float
        Of memory, for the model, features, channels and labels.
    measured : bool
        Whether the time is by the pace that was measured; else it is a guess.
    """

    seconds: float
    megabytes: float
    measured: bool


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
        self._device = "cpu"

    def begin(self) -> None:
        """Forget when the engine last told something: it begins anew."""
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
            Of all these planes.
        largest : int
            Of the largest of them, or of all that are kept in memory together.
        shown : int
            Of the plane on the screen, whose tiles were measured.
        scale : int or None
            Magnification for their deep features; None if they need none.
        """
        measured = bool(self._pixels and (self._tiles or scale is None))
        seconds = pixels * (self._pixel_seconds / self._pixels if self._pixels else _PIXEL_S)
        megabytes = largest / 1e6 + min(shown * _CHANNEL_MB, _CHANNEL_LIMIT_MB)  # a byte a label
        if scale is not None:
            seconds += self._features_seconds(shown, scale) * pixels / shown
            kept = self._kept_mb(scale) * largest / shown
            megabytes += FEATURES_MB + min(kept, _FEATURE_LIMIT_MB)
        return RunEstimate(seconds, megabytes, measured)

    def _features_seconds(self, shown: int, scale: int) -> float:
        """Return what the features of a plane like the one on the screen take."""
        told = self._progress
        known = told is not None and told.scale == scale
        tiles = told.total if told and known else usual_tiles(shown, scale)
        return tiles * (self._tile_seconds / self._tiles if self._tiles else TILE_S[self._device])

    def _kept_mb(self, scale: int) -> float:
        """Return what the features of a plane like the one on the screen take in memory."""
        told = self._progress
        return 0.0 if told is None else told.megabytes * (scale / told.scale) ** 2
