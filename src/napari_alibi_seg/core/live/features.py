"""Feature maps computed tile by tile, which can be interrupted and resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_alibi_seg.core.devices import usable_devices
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.features.extraction import FeatureExtractor, FeatureMap
from napari_alibi_seg.core.features.tiling import TILE_S, add_tile
from napari_alibi_seg.core.live.limits import EARLIER_FEATURE_BYTES, FEATURE_BYTES
from napari_alibi_seg.core.live.records import FeatureProgress, ModelReady

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.features.extraction import FeatureIdentity
    from napari_alibi_seg.core.features.tiling import Tile
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Index, Window

_HASHED_PIXELS = 100e6

_Key: TypeAlias = "tuple[str, int, Index]"


@dataclass
class _Tokens:
    """A growing feature map; tiles arrive in any order, and are summed in a fixed one.

    It is cached under `cached_as` when complete, if that is not None.
    """

    values: NDArray[np.float16]
    tiles: Sequence[Tile]
    waiting: list[Tile]
    cached_as: str | None
    come: dict[Tile, NDArray[np.float16]] = field(default_factory=dict)

    def add(self, tile: Tile, tokens: NDArray[np.float16]) -> None:
        """Store a tile; the last one completes the map."""
        self.come[tile] = tokens
        self.waiting.remove(tile)
        if not self.waiting:
            for one in self.tiles:
                add_tile(self.values, one, self.come.pop(one))


class GrowingFeatures:
    """The features of the planes of one image; those of earlier images are cached.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._planes: Mapping[Index, Plane] = {}
        self._extractors: dict[str, FeatureExtractor] = {}
        self._tokens: dict[_Key, _Tokens] = {}
        self._cache = FeatureCache(EARLIER_FEATURE_BYTES)
        self._tile_s: float | None = None

    def open(self, planes: Mapping[Index, Plane]) -> None:
        """Switch to the planes of another image and discard incomplete features."""
        self._planes = planes
        self._tokens.clear()

    def load(self, model: str) -> Iterator[ModelReady]:
        """Load a model unless it is already loaded; yields once it is ready."""
        if model not in self._extractors:
            self._extractors.clear()
            self._tile_s = None
            self._extractors[model] = FeatureExtractor.load(model, self._device)
        yield ModelReady(self._extractors[model].device.type, usable_devices())

    def identity(self, config: SegmentationConfig) -> FeatureIdentity:
        """Return the identity of the features for a configuration."""
        return self._extractors[config.model].identity(config.scale)

    def ready(self, config: SegmentationConfig, index: Index) -> bool:
        """Return whether all tiles of a plane are computed."""
        kept = self._tokens.get(self._key(config, index))
        return kept is not None and not kept.waiting

    def map(self, config: SegmentationConfig, index: Index) -> FeatureMap:
        """Return the features of a plane that is `ready`."""
        tokens = self._tokens[self._key(config, index)].values
        return FeatureMap(tokens, self._stride(config), self.identity(config))

    def compute(
        self,
        config: SegmentationConfig,
        index: Index,
        visible: Window,
        needed: Collection[Index],
    ) -> Iterator[FeatureProgress]:
        """Compute the missing tiles of a plane.

        Parameters
        ----------
        config : SegmentationConfig
            Model, which must be loaded, and scale.
        index : Index
            The plane.
        visible : Window
            Tiles near its centre are computed first.
        needed : collection of Index
            Planes whose features must not be evicted.

        Yields
        ------
        FeatureProgress
            Before the first tile and after each.
        """
        extractor, scale = self._extractors[config.model], config.scale
        kept = self._begun(config, index, needed)
        total = len(kept.tiles)
        megabytes = kept.values.nbytes / 1e6
        started, first = time.monotonic(), len(kept.waiting)
        expected = first * (self._tile_s or TILE_S[extractor.device.type])
        order = partial(_distance, stride=self._stride(config), visible=visible)
        yield FeatureProgress(index, total - first, total, expected, megabytes, scale)
        todo = sorted(kept.waiting, key=order)
        for tile, tokens in extractor.compute(self._planes[index], todo, scale):
            kept.add(tile, tokens)
            left = len(kept.waiting)
            self._tile_s = (time.monotonic() - started) / (first - left)
            seconds = self._tile_s * left
            if not left and kept.cached_as is not None:
                self._cache.keep(kept.cached_as, self.map(config, index))
            yield FeatureProgress(index, total - left, total, seconds, megabytes, scale)

    def _begun(
        self, config: SegmentationConfig, index: Index, needed: Collection[Index]
    ) -> _Tokens:
        key = self._key(config, index)
        kept = self._tokens.pop(key, None)
        if kept is None:
            kept = self._found_or_new(config, self._planes[index])
            self._make_room(kept.values.nbytes, [self._key(config, one) for one in needed])
        self._tokens[key] = kept  # the most recent is last
        return kept

    def _found_or_new(self, config: SegmentationConfig, plane: Plane) -> _Tokens:
        extractor, scale = self._extractors[config.model], config.scale
        rows, columns = plane.shape
        # A larger plane would take long to read, and may be read from a file piece by piece.
        cached_as = (
            self._cache.key(plane, extractor, scale) if rows * columns <= _HASHED_PIXELS else None
        )
        found = cached_as and self._cache.find(cached_as, extractor, scale)
        tiles = extractor.tiles(plane.shape, scale)
        if found:
            return _Tokens(found.tokens, tiles, [], None)
        size = (*extractor.grid(plane.shape, scale), extractor.backbone.channels)
        return _Tokens(np.zeros(size, np.float16), tiles, list(tiles), cached_as)

    def _make_room(self, size: int, needed: Collection[_Key]) -> None:
        taken = size + sum(kept.values.nbytes for kept in self._tokens.values())
        for key in [key for key in self._tokens if key not in needed]:
            if taken > FEATURE_BYTES:
                taken -= self._tokens.pop(key).values.nbytes

    def _key(self, config: SegmentationConfig, index: Index) -> _Key:
        return config.model, config.scale, index

    def _stride(self, config: SegmentationConfig) -> float:
        return self._extractors[config.model].backbone.patch_size / config.scale


def _distance(tile: Tile, stride: float, visible: Window) -> float:
    """Return the distance of a tile from the centre of the visible window, in pixels."""
    row = stride * tile.rows.middle - visible.top - visible.height / 2
    column = stride * tile.columns.middle - visible.left - visible.width / 2
    return float(np.hypot(row, column))
