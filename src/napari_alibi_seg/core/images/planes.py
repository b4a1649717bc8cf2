"""A plane of an image as later stages see it: normalised, and extended by reflection."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.shading import NORMALISED_RANGE, Shading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.stored import Array

Index: TypeAlias = tuple[int, ...]
"""Index of a plane in its image, as in `Micrograph.plane_indices`."""

_PERCENTILES = (0.1, 99.9)
_SAMPLED_PIXELS = 4_000_000
_SAMPLED_PLANES = 16
_HASHED_ROWS = 512
_NEAR = 256


@dataclass(frozen=True)
class Levels:
    """The raw values that are normalised to 0 and 1: one for all bands, or one for each."""

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether the image is constant, so that no phases can be distinguished."""
        return self.low == self.high


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels of a plane; it may extend beyond the border."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices that index the window in an array of the plane's shape."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def grown(self, margin: int) -> Window:
        """Return the window enlarged by `margin` pixels on every side."""
        return Window(
            self.top - margin,
            self.left - margin,
            self.height + 2 * margin,
            self.width + 2 * margin,
        )

    def within(self, shape: tuple[int, int]) -> Window:
        """Return the part of the window inside a plane of the given shape."""
        return self.overlap(Window(0, 0, *shape))

    def overlap(self, other: Window) -> Window:
        """Return the intersection with another window; its size is not positive if disjoint."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Window(top, left, bottom - top, right - left)

    def seen_from(self, larger: Window) -> Window:
        """Return the window in the coordinates of a window that contains it."""
        return Window(self.top - larger.top, self.left - larger.left, self.height, self.width)


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
            [-1, 2], and NaN becomes 0; if `corrected`, then without `light`.
        """
        within = self._mirrored(window)
        return self._pixels(np.asarray(self.data[_spanned(within)]), within)

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
        raw = np.asarray(volume[_spanned((planes, *within))])
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
        normalised = _normalised(pixels, self.levels)
        for band, light in enumerate(self.light if self.corrected else ()):
            normalised[..., band] = light.corrected(normalised[..., band], *within, self.shape)
        return normalised

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels, in a window inside the plane, that must not be segmented.

        Returns
        -------
        ndarray or None
            (height, width) bool, true where a pixel is NaN in any band or outside the region;
            None if there is no region and the dtype has no NaN.
        """
        floats = np.issubdtype(self.data.dtype, np.floating)
        if self.region is None:
            return self._nan(window) if floats else None
        outside = np.ones((window.height, window.width), bool)
        shared = self.region.overlap(window)
        if shared.height > 0 and shared.width > 0:
            outside[shared.seen_from(window).slices] = False
        return outside | self._nan(window) if floats else outside

    def _nan(self, window: Window) -> NDArray[np.bool_]:
        nan: NDArray[np.bool_] = np.isnan(np.asarray(self.data[window.slices]))
        return nan if nan.ndim == 2 else np.asarray(nan.any(axis=-1))

    def content_hash(self) -> str:
        """Return the SHA-256 of shape, dtype, levels and raw pixels, hexadecimal."""
        digest = hashlib.sha256(repr((self.data.shape, str(self.data.dtype), self.levels)).encode())
        even = (_HASHED_ROWS,) * math.ceil(self.shape[0] / _HASHED_ROWS)
        heights = getattr(self.data, "chunks", (even,))[0]  # so that each chunk is read once
        for bottom, height in zip(accumulate(heights), heights, strict=True):
            digest.update(np.ascontiguousarray(self.data[bottom - height : bottom]).tobytes())
        return digest.hexdigest()


def mirrored(start: int, length: int, size: int) -> NDArray[np.intp]:
    """Return the (length,) indices ``start, start + 1, ...`` reflected into ``[0, size)``.

    Examples
    --------
    >>> mirrored(-2, 6, 3).tolist()
    [2, 1, 0, 1, 2, 1]
    """
    period = max(2 * (size - 1), 1)
    folded = np.arange(start, start + length) % period
    return np.minimum(folded, period - folded) if size > 1 else np.zeros(length, dtype=np.intp)


def _spanned(wanted: Sequence[NDArray[np.intp]]) -> tuple[slice, ...]:
    return tuple(slice(int(indices.min()), int(indices.max()) + 1) for indices in wanted)


def neighbourhoods(
    rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], Window]]:
    """Group pixels by the 256 x 256 block they lie in.

    Parameters
    ----------
    rows, columns : ndarray
        (N,) coordinates of the pixels.

    Yields
    ------
    tuple of ndarray and Window
        (n,) indices into `rows` of the pixels of a group, and their bounding box.
    """
    across = columns.max(initial=0) // _NEAR + 1
    block = rows // _NEAR * across + columns // _NEAR
    order = np.argsort(block, kind="stable")
    for here in np.split(order, np.flatnonzero(np.diff(block[order])) + 1) if len(rows) else ():
        top, left = int(rows[here].min()), int(columns[here].min())
        height, width = int(np.ptp(rows[here])) + 1, int(np.ptp(columns[here])) + 1
        yield here, Window(top, left, height, width)


def as_colours(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (Y, X, bands) pixels as they can be shown: grey or colour, or the mean of all bands.

    Returns
    -------
    ndarray
        (Y, X, 3) if there are three bands, which are taken as red, green and blue; else (Y, X, 1).
    """
    return pixels if pixels.shape[2] in (1, 3) else pixels.mean(axis=2, keepdims=True)


def sampled_planes(planes: Sequence[Array]) -> list[NDArray[Any]]:
    """Return about 4 million values of an image at most, on a regular grid in at most 16 planes.

    Parameters
    ----------
    planes : sequence of array
        The planes of the image, each (Y, X) or (Y, X, bands).
    """
    chosen = np.unique(np.linspace(0, len(planes) - 1, _SAMPLED_PLANES, dtype=int))
    pixels = sum(math.prod(planes[i].shape) for i in chosen)
    step = max(math.ceil(math.sqrt(pixels / _SAMPLED_PIXELS)), 1)
    return [np.asarray(planes[i][::step, ::step]) for i in chosen]


def estimated_light(planes: Sequence[NDArray[Any]], levels: Levels) -> tuple[Shading, ...]:
    """Return the illumination of each band, which all planes share; empty if it is even.

    Parameters
    ----------
    planes : sequence of ndarray
        From `sampled_planes`.
    levels : Levels
        Those of the image.
    """
    raw = np.stack([plane.reshape(*plane.shape[:2], -1) for plane in planes])
    pixels = np.where(np.isnan(raw), np.float32(np.nan), _normalised(raw, levels))
    light = tuple(map(Shading.of, np.moveaxis(pixels, -1, 0)))
    return () if all(band.even for band in light) else light


def robust_levels(planes: Sequence[NDArray[Any]], *, by_band: bool = False) -> Levels:
    """Return the 0.1 and 99.9 percentiles of the finite pixels of an image.

    If they coincide, minimum and maximum are used; a constant image is normalised to 0.

    Parameters
    ----------
    planes : sequence of ndarray
        From `sampled_planes`.
    by_band : bool
        Give each band its own levels, as for channels of different meaning.

    Raises
    ------
    ImageError
        If no sampled pixel is finite, or the range of values overflows.
    """
    values = np.concatenate([plane.reshape(-1, *plane.shape[2:]) for plane in planes])
    values = values.astype(np.float64)
    if not by_band:
        return Levels(*_levels(values.ravel()))
    low, high = zip(*map(_levels, values.reshape(-1, values.shape[-1]).T), strict=True)
    return Levels(low, high)


def _levels(values: NDArray[np.float64]) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ImageError(
            "The image has no finite pixel (all are NaN or infinite); use another one."
        )
    if values.max() / 2 - values.min() / 2 > np.finfo(np.float64).max / 2:
        raise ImageError(
            f"The values of the image go from {values.min():g} to {values.max():g}, which is too "
            "far apart to compute with; rescale them."
        )
    low, high = np.percentile(values, _PERCENTILES)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _normalised(raw: NDArray[Any], levels: Levels) -> NDArray[np.float32]:
    # Subtract in double precision: float32 would lose large integers and offsets.
    low, extent = np.asarray(levels.low), np.subtract(levels.high, levels.low)
    scaled = (raw.astype(np.float64) - low) / np.where(extent > 0, extent, 1.0)
    scaled = np.where(np.isnan(scaled), 0.0, scaled)
    return np.clip(scaled, *NORMALISED_RANGE).astype(np.float32)
