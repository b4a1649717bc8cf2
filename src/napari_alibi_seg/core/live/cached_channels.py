"""A cache of channels, so that another stroke costs only its new pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING
from weakref import ReferenceType, ref

import numpy as np

from napari_alibi_seg.core.channels.filters import count_filters
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live.blocks import distance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.images.planes import Plane


@dataclass(eq=False)
class _CachedBlock:
    """Channels (height, width, D + F), deep before filters, and (height, width) grey values.

    The deep ones are only valid if computed from what `deep` refers to.
    """

    values: NDArray[np.float32]
    guide: NDArray[np.float32]
    deep: ReferenceType[PixelChannels] | None = None


class CachedChannels:
    """A cache of the channels of a plane, by block and for scribbled pixels.

    Deep channels and those of filters share one array, so that nothing is copied when only the
    forest changes. `block` is thread-safe for different windows; `points` is not.

    Parameters
    ----------
    plane : Plane
        The pixels.
    config : ChannelConfig
        With at least one filter.
    limit : float
        Bytes of blocks to keep; those far from the visible part are evicted first.
    deep_count : int
        Expected number of deep channels; any other number costs a copy.
    """

    def __init__(
        self, plane: Plane, config: ChannelConfig, limit: float, deep_count: int = 0
    ) -> None:
        self.filters = config.filters
        self._channels = PixelChannels(plane, config)
        self._count = count_filters(config, plane.bands)
        self.deep_count = deep_count
        self._limit = limit
        self._visible = Window(0, 0, *plane.shape)
        self._blocks: dict[Window, _CachedBlock] = {}
        self._lock = Lock()
        self._known = np.empty(0, np.intp)
        self._values = np.empty((0, self._count), np.float32)

    @property
    def bytes(self) -> int:
        """Memory of the cached blocks, in bytes."""
        return sum(block.values.nbytes for block in self._blocks.values())

    @property
    def most_bytes(self) -> float:
        """Maximum memory of the cached blocks, in bytes."""
        rows, columns = self.shape
        whole = rows * columns * (self.deep_count + self._count) * np.dtype(np.float32).itemsize
        return min(whole, self._limit)

    @property
    def full(self) -> bool:
        """Whether another block of the size of the last would exceed the limit."""
        last = [block.values.nbytes for block in self._blocks.values()][-1:]
        return self.bytes + sum(last) > self._limit

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self._channels.shape

    def look_at(self, visible: Window) -> None:
        """Set the visible window; blocks far from its centre are evicted first."""
        self._visible = visible

    def block(self, window: Window, deep: PixelChannels | None = None) -> NDArray[np.float32]:
        """Return channels of a window, as an array that must not be modified.

        Parameters
        ----------
        window : Window
            Rectangle inside the plane.
        deep : PixelChannels, optional
            Source of the deep channels, cached by object identity; None for filters only.

        Returns
        -------
        ndarray
            (height, width, D + F) float32, deep before filters; D is 0 without `deep`.
        """
        kept = self._blocks.get(window) or self._made(window)
        deep_count = kept.values.shape[-1] - self._count
        if deep is None:
            return kept.values[..., deep_count:]
        if kept.deep is None or kept.deep() is not deep:
            made = deep.block(window)
            if made.shape[-1] == deep_count:
                kept.values[..., :deep_count] = made
            else:
                kept.values = np.concatenate([made, kept.values[..., deep_count:]], axis=-1)
            kept.deep = ref(deep)
        return kept.values

    def guide(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width) normalised grey values of a window."""
        kept = self._blocks.get(window)
        return self._channels.guide(window) if kept is None else kept.guide

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels not to segment in a window; see `Plane.missing`."""
        return self._channels.missing(window)

    def forget_blocks(self) -> None:
        """Free the cached blocks, but not the scribbled pixels."""
        self._blocks.clear()

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) filter channels of N different pixels in row-major order.

        Pixels of the last call, or in a cached block, are not computed again.
        """
        flat = rows * self._channels.shape[1] + columns
        known = np.isin(flat, self._known, assume_unique=True)
        values = np.empty((len(flat), self._count), np.float32)
        values[known] = self._values[np.searchsorted(self._known, flat[known])]
        values[~known] = self._fresh(rows[~known], columns[~known])
        self._known, self._values = flat, values
        return values

    def _made(self, window: Window) -> _CachedBlock:
        shape = (window.height, window.width, self.deep_count + self._count)
        made = _CachedBlock(np.empty(shape, np.float32), self._channels.guide(window))
        made.values[..., self.deep_count :] = self._channels.block(window)
        with self._lock:
            self._blocks[window] = made
            self._make_room()
        return made

    def _make_room(self) -> None:
        far = partial(distance, visible=self._visible)
        taken = self.bytes
        for window in sorted(self._blocks, key=far, reverse=True)[:-1]:
            if taken > self._limit:
                taken -= self._blocks.pop(window).values.nbytes

    def _fresh(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        values = np.empty((len(rows), self._count), np.float32)
        left = np.ones(len(rows), bool)
        for window, block in self._blocks.items():
            row, column = rows - window.top, columns - window.left
            inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
            values[inside] = block.values[row[inside], column[inside], -self._count :]
            left &= ~inside
        if left.any():
            values[left] = self._channels.points(rows[left], columns[left])
        return values
