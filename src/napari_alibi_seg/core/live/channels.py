"""The channels used by the live engine, cached between requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast
from weakref import ReferenceType, ref

import numpy as np

from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.live.cached_channels import CachedChannels
from napari_alibi_seg.core.live.downsampled import BlockMeans, DownsampledChannels
from napari_alibi_seg.core.live.limits import CACHED_BYTES, DOWNSAMPLED_BYTES, PROJECTED_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.features.extraction import FeatureMap
    from napari_alibi_seg.core.images.stored import Array
    from napari_alibi_seg.core.images.windows import Index, Window


@dataclass(frozen=True, eq=False)
class PlaneChannels:
    """The channels of a plane, deep before filters, in the order of `PixelChannels`."""

    deep: PixelChannels | None
    filtered: CachedChannels | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self._kept.shape

    @property
    def novelty(self) -> float | None:
        """How unlike the painted planes this one is; None without deep channels."""
        return None if self.deep is None else self.deep.novelty

    def guide(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width) normalised grey values of a window."""
        return self._kept.guide(window)

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels not to segment in a window; see `Plane.missing`."""
        return self._kept.missing(window)

    @property
    def _kept(self) -> PixelChannels | CachedChannels:
        kept = self.filtered or self.deep
        assert kept is not None
        return kept

    def block(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width, F) channels of a window."""
        if self.filtered is not None:
            return self.filtered.block(window, self.deep)
        assert self.deep is not None
        return self.deep.block(window)

    def subsampled(self, window: Window, step: int) -> NDArray[np.float32]:
        """Return (h, w, F) channels of every `step`-th pixel of a window in rows and columns."""
        if self.filtered is not None:
            return self.block(window)[::step, ::step]
        assert self.deep is not None
        return self.deep.subsampled(window, step)

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) channels of N different pixels in row-major order."""
        parts = [part.points(rows, columns) for part in (self.deep, self.filtered) if part]
        return np.concatenate(parts, axis=-1)


@dataclass(frozen=True, eq=False)
class _Deep:
    """The deep channels of a plane, and what they were made from; the tokens are not kept."""

    tokens: ReferenceType[NDArray[np.float16]]
    projection: Projection
    config: ChannelConfig
    channels: PixelChannels

    def made_from(
        self, features: FeatureMap, projection: Projection, config: ChannelConfig
    ) -> bool:
        same_tokens = self.tokens() is features.tokens  # FeatureMaps are created per request
        return same_tokens and self.projection is projection and self.config == config


class LiveChannels:
    """A cache of the channels of the planes of one image.

    Attributes
    ----------
    planes : mapping
        The planes of the image.
    """

    def __init__(self) -> None:
        self.planes: Mapping[Index, Plane] = {}
        self._filtered: dict[Index, CachedChannels] = {}
        self._downsampled: dict[Index, DownsampledChannels] = {}
        self._deep: dict[Index, _Deep] = {}

    def open(self, planes: Mapping[Index, Plane]) -> None:
        """Switch to the planes of another image and clear the cache."""
        self.planes = planes
        self.forget()

    def forget(self) -> None:
        """Clear the cache."""
        self._filtered.clear()
        self._downsampled.clear()
        self._deep.clear()

    def of(
        self,
        index: Index,
        config: ChannelConfig,
        features: FeatureMap | None,
        projection: Projection | None,
        deep_count: int,
    ) -> PlaneChannels:
        """Return the channels of a plane, with deep ones if features and projection are given."""
        deep = None
        if features is not None and projection is not None:
            deep = self._projected(index, replace(config, sigmas=()), features, projection)
        return PlaneChannels(
            deep, self.filtered(index, config, deep_count) if config.sigmas else None
        )

    def look_at(self, index: Index, visible: Window) -> None:
        """Set the visible window: blocks near it are kept, then those of planes shown recently."""
        if index in self._filtered:
            self._filtered[index] = self._filtered.pop(index)  # move to the end
            self._filtered[index].look_at(visible)
            _leave_room([*self._filtered.values()], CACHED_BYTES)
        if index in self._downsampled:
            self._downsampled[index] = self._downsampled.pop(index)
            _leave_room([kept.small for kept in self._downsampled.values()], DOWNSAMPLED_BYTES)

    def filtered(self, index: Index, config: ChannelConfig, deep_count: int) -> CachedChannels:
        """Return the pixel filters of a plane, with room for deep channels beside them."""
        kept = self._filtered.get(index)
        if kept is None or (kept.filters, kept.deep_count) != (config.filters, deep_count):
            kept = CachedChannels(self.planes[index], config, CACHED_BYTES, deep_count)
            self._filtered[index] = kept
        return kept

    def downsampled(self, index: Index, config: ChannelConfig, factor: int) -> DownsampledChannels:
        """Return the pixel filters of a plane downsampled by a factor."""
        kept = self._downsampled.get(index)
        if kept is None or kept.factor != factor or kept.small.filters != config.filters:
            plane = self.planes[index]
            data = cast("Array", BlockMeans(plane.data, factor))
            small = Plane(data, plane.levels, light=plane.light)
            channels = CachedChannels(small, config, DOWNSAMPLED_BYTES)
            kept = self._downsampled[index] = DownsampledChannels(channels, factor)
        return kept

    def _projected(
        self, index: Index, config: ChannelConfig, features: FeatureMap, projection: Projection
    ) -> PixelChannels:
        kept = self._deep.pop(index, None)
        if kept is None or not kept.made_from(features, projection, config):
            made = PixelChannels(self.planes[index], config, features, projection)
            # A new projection invalidates the deep channels of all planes.
            self._deep = {i: old for i, old in self._deep.items() if old.projection is projection}
            kept = _Deep(ref(features.tokens), projection, config, made)
            self._make_room(made.bytes)
        self._deep[index] = kept  # the most recent is last
        return kept.channels

    def _make_room(self, size: int) -> None:
        taken = size + sum(kept.channels.bytes for kept in self._deep.values())
        for index in [*self._deep]:
            if taken > PROJECTED_BYTES:
                taken -= self._deep.pop(index).channels.bytes


def _leave_room(planes: list[CachedChannels], limit: float) -> None:
    """Free blocks of the least recently shown planes to leave room for all of the last plane."""
    *others, shown = planes
    free = limit - shown.most_bytes
    for kept in reversed(others):
        free -= kept.bytes
        if free < 0:
            kept.forget_blocks()
