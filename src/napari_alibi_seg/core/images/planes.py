"""A plane of an image as later stages see it: normalised, and extended by reflection."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.images.levels import normalised
from napari_alibi_seg.core.images.stored import in_memory
from napari_alibi_seg.core.images.windows import mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.levels import Levels
    from napari_alibi_seg.core.images.shading import Shading
    from napari_alibi_seg.core.images.stored import Array
    from napari_alibi_seg.core.images.windows import Window

_HASHED_ROWS = 512


@dataclass(frozen=True, eq=False)
class Depth:
    """The volume around a plane.

    Attributes
    ----------
    volume : array
        (Z, Y, X) or (Z, Y, X, bands), numpy or dask; at least the planes that the filters reach.
    position : int
        Index of the plane in `volume`.
    spacing : float
        Slice spacing, in pixels.
    """

    volume: Array
    position: int
    spacing: float


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane of one or more bands with the levels that it is normalised by.

    Attributes
    ----------
    data : array
        (Y, X) or (Y, X, bands), any real dtype, numpy or dask.
    levels : Levels
        Raw values normalised to 0 and 1; those of the whole image.
    depth : Depth or None
        The volume around it; None if it is not part of one.
    region : Window or None
        The part of the plane to segment; None for all.
    light : tuple of Shading
        The illumination of each band; empty if it is even.
    corrected : bool
        Whether pixels are read as they are in even light.
    """

    data: Array
    levels: Levels
    depth: Depth | None = None
    region: Window | None = None
    light: tuple[Shading, ...] = ()
    corrected: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.data.shape[0]), int(self.data.shape[1])

    @property
    def bands(self) -> int:
        """Number of values per pixel: 1 for grey, 3 for colour, or that of channels."""
        return 1 if self.data.ndim == 2 else int(self.data.shape[2])

    @property
    def flattened(self) -> Plane:
        """The plane in even light."""
        return replace(self, corrected=True)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return normalised pixels, reflected at the border without repeating the border pixel.

        Parameters
        ----------
        window : Window
            May lie partly or wholly outside the plane.

        Returns
        -------
        ndarray
            (height, width, bands) float32; the levels map to 0 and 1, values are clipped to
            [-1, 2], and NaN becomes .5; if `corrected`, then without `light`.
        """
        within = self._mirrored(window)
        return self._pixels(in_memory(self.data[_spanned(within)]), within)

    def read_through(self, window: Window, reach: int) -> Iterator[NDArray[np.float32]]:
        """Yield a window of each nearby plane, reflected at the ends of the volume.

        Only planes within reach are read.

        Parameters
        ----------
        window : Window
            As for `read`.
        reach : int
            Number of planes before this one, and after it.

        Yields
        ------
        ndarray
            (height, width, bands) float32, as from `read`, of ``2 * reach + 1`` planes.
        """
        assert self.depth is not None
        volume = self.depth.volume
        planes = mirrored(self.depth.position - reach, 2 * reach + 1, volume.shape[0])
        within = self._mirrored(window)
        raw = in_memory(volume[_spanned((planes, *within))])
        for plane in planes - planes.min():
            yield self._pixels(raw[plane], within)

    def _mirrored(self, window: Window) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows = mirrored(window.top, window.height, self.shape[0])
        return rows, mirrored(window.left, window.width, self.shape[1])

    def _pixels(
        self, raw: NDArray[Any], within: tuple[NDArray[np.intp], NDArray[np.intp]]
    ) -> NDArray[np.float32]:
        rows, columns = (wanted - wanted.min() for wanted in within)
        pixels = raw[np.ix_(rows, columns)].reshape(len(rows), len(columns), -1)
        values = normalised(pixels, self.levels)
        for band, light in enumerate(self.light if self.corrected else ()):
            values[..., band] = light.corrected(values[..., band], *within, self.shape)
        return values

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels, in a window inside the plane, that must not be segmented.

        Returns
        -------
        ndarray or None
            (height, width) bool, true where a pixel is NaN or infinite in any band, or outside the
            region; None if there is no region and the dtype is of integers.
        """
        floats = np.issubdtype(self.data.dtype, np.floating)
        if self.region is None:
            return self._not_finite(window) if floats else None
        outside = np.ones((window.height, window.width), bool)
        shared = self.region.overlap(window)
        if shared.height > 0 and shared.width > 0:
            outside[shared.seen_from(window).slices] = False
        return outside | self._not_finite(window) if floats else outside

    def _not_finite(self, window: Window) -> NDArray[np.bool_]:
        endless: NDArray[np.bool_] = ~np.isfinite(in_memory(self.data[window.slices]))
        return endless if endless.ndim == 2 else np.asarray(endless.any(axis=-1))

    def content_hash(self) -> str:
        """Return the SHA-256 of shape, dtype, levels and raw pixels, hexadecimal."""
        digest = hashlib.sha256(repr((self.data.shape, str(self.data.dtype), self.levels)).encode())
        even = (_HASHED_ROWS,) * math.ceil(self.shape[0] / _HASHED_ROWS)
        heights = getattr(self.data, "chunks", (even,))[0]  # so that each chunk is read once
        for bottom, height in zip(accumulate(heights), heights, strict=True):
            digest.update(in_memory(self.data[bottom - height : bottom]).tobytes())
        return digest.hexdigest()


def _spanned(wanted: Sequence[NDArray[np.intp]]) -> tuple[slice, ...]:
    return tuple(slice(int(indices.min()), int(indices.max()) + 1) for indices in wanted)


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of shape and pixels, hexadecimal."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def as_colours(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (Y, X, bands) pixels as they can be shown: grey or colour, or the mean of all bands.

    Returns
    -------
    ndarray
        (Y, X, 3) if there are three bands, which are taken as red, green and blue; else (Y, X, 1).
    """
    return pixels if pixels.shape[2] in (1, 3) else pixels.mean(axis=2, keepdims=True)
