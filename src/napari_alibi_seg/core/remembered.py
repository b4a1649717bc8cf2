"""Classical channels that are remembered, so that one more stroke costs only its new pixels."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.channels import ChannelConfig, PixelChannels
from napari_alibi_seg.core.classical import channel_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.planes import Plane, Window


class RememberedClassical:
    """The classical channels of a plane, kept by block and by painted pixel.

    Blocks may be asked for from several threads; pixels from one at a time.

    Parameters
    ----------
    plane : Plane
        The pixels.
    sigmas : tuple of float
        Standard deviations of the filters, in pixels; at least one.
    limit : float
        Bytes of blocks to keep; the longest unused go first.
    """

    def __init__(self, plane: Plane, sigmas: tuple[float, ...], limit: float) -> None:
        self._channels = PixelChannels(plane, ChannelConfig(sigmas=sigmas))
        self._count = channel_count(plane.colours, sigmas)
        self._limit = limit
        self._blocks: OrderedDict[Window, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()
        self._known = np.empty(0, np.intp)
        self._values = np.empty((0, self._count), np.float32)

    @property
    def full(self) -> bool:
        """Whether another block would displace one."""
        return sum(block.nbytes for block in self._blocks.values()) >= self._limit

    def block(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width, F) channels of a window."""
        with self._lock:
            if window in self._blocks:
                self._blocks.move_to_end(window)
                return self._blocks[window]
        made = self._channels.block(window)
        with self._lock:
            self._blocks[window] = made
            while self.full and len(self._blocks) > 1:
                self._blocks.popitem(last=False)
        return made

    def forget_blocks(self) -> None:
        """Free the blocks; painted pixels stay."""
        with self._lock:
            self._blocks.clear()

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) channels of N different pixels in row-major order.

        Pixels that were asked for the last time, or lie in a block that is kept, cost nothing.
        """
        flat = rows * self._channels.shape[1] + columns
        known = np.isin(flat, self._known, assume_unique=True)
        values = np.empty((len(flat), self._count), np.float32)
        values[known] = self._values[np.searchsorted(self._known, flat[known])]
        values[~known] = self._fresh(rows[~known], columns[~known])
        self._known, self._values = flat, values
        return values

    def _fresh(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        values = np.empty((len(rows), self._count), np.float32)
        left = np.ones(len(rows), bool)
        for window, block in self._blocks.items():
            row, column = rows - window.top, columns - window.left
            inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
            values[inside] = block[row[inside], column[inside]]
            left &= ~inside
        if left.any():
            values[left] = self._channels.points(rows[left], columns[left])
        return values
