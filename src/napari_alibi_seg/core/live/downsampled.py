"""Pixel filters of a downsampled plane, for coarse results of large views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.forest.samples import PixelSamples
from napari_alibi_seg.core.forest.strokes import training_pixels
from napari_alibi_seg.core.images.stored import in_memory
from napari_alibi_seg.core.images.windows import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.live.cached_channels import CachedChannels


class BlockMeans:
    """Array-like of a plane downsampled by block averaging, computed on access.

    Parameters
    ----------
    data : array-like
        (Y, X) or (Y, X, 3).
    factor : int
        Side of the averaged squares; those at the lower and right border may be smaller.
    """

    def __init__(self, data: Any, factor: int) -> None:
        self._data = data
        self._factor = factor
        rows, columns, *bands = data.shape
        self.shape = (-(-rows // factor), -(-columns // factor), *bands)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(np.float64)

    def __getitem__(self, where: tuple[slice, slice]) -> NDArray[np.float64]:
        side = self._factor
        rows, columns = (slice(one.start * side, one.stop * side) for one in where)
        means: NDArray[Any] = in_memory(self._data[rows, columns])
        for axis in (0, 1):
            begins = np.arange(0, means.shape[axis], side)
            sizes = np.diff(begins, append=means.shape[axis])
            sums = np.add.reduceat(means, begins, axis=axis, dtype=np.float64)
            means = sums / sizes.reshape(-1, *[1] * (means.ndim - axis - 1))
        return means


@dataclass(frozen=True, eq=False)
class DownsampledChannels:
    """The pixel filters of a downsampled plane, indexed in pixels of the original plane.

    Attributes
    ----------
    small : CachedChannels
        Channels of a plane of `BlockMeans` pixels.
    factor : int
        Downsampling factor.
    """

    small: CachedChannels
    factor: int

    def subsampled(self, window: Window, step: int) -> NDArray[np.float32]:
        """Return (h, w, F) channels of every `step`-th pixel of a window in rows and columns.

        Parameters
        ----------
        window : Window
            Its top and left are multiples of `factor`.
        step : int
            A multiple of `factor`.
        """
        inside = Window(
            window.top // self.factor,
            window.left // self.factor,
            -(-window.height // self.factor),
            -(-window.width // self.factor),
        )
        stride = step // self.factor
        return self.small.block(inside)[::stride, ::stride]

    def samples(self, scribbles: NDArray[np.integer[Any]]) -> PixelSamples:
        """Return samples under (Y, X) scribbles, one per downsampled pixel and class in it."""
        rows, columns = training_pixels(scribbles)
        across = self.small.shape[1]
        flat = rows // self.factor * across + columns // self.factor
        painted = scribbles[rows, columns].astype(np.intp)
        places, classes = np.unique(np.stack([flat, painted]), axis=1)
        squares, back = np.unique(places, return_inverse=True)
        values = self.small.points(*np.divmod(squares, across))[back]
        return PixelSamples(values, classes.astype(scribbles.dtype))
