"""Rectangles of pixels of a plane, and the indices of pixels in them and beyond the border."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Index: TypeAlias = tuple[int, ...]
"""Index of a plane in its image, as in `Micrograph.plane_indices`."""

_NEAR = 256


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


def blocks(shape: tuple[int, int], side: int, part: Window | None = None) -> list[Window]:
    """Cut a plane into windows of at most `side` x `side` pixels, row by row.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    side : int
        Side of the windows, in pixels.
    part : Window, optional
        Only windows that intersect it are returned.
    """
    part = (part or Window(0, 0, *shape)).within(shape)
    return [
        Window(top, left, min(side, shape[0] - top), min(side, shape[1] - left))
        for top in range(part.top // side * side, part.top + part.height, side)
        for left in range(part.left // side * side, part.left + part.width, side)
    ]


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
