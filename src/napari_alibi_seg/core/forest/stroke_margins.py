"""The margins of wide strokes, which are easily painted across a boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN, _MIDDLE = 2, 5
"""Depth up to which pixels are margin if the stroke's middle is this deep; an edge has depth 1."""
_REACH = 2 * (_MIDDLE - 1)  # from the middle of a wide part into its corners
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def in_margin(
    rows: NDArray[np.intp], columns: NDArray[np.intp], scribbles: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Return which scribbled pixels lie in the margins of wide strokes.

    A part of a stroke is wide if it is 9 pixels wide or more (where it is oblique, 6), and all is
    margin that lies less than 3 pixels from the edge and within 8 pixels of the middle of such a
    part. The border of the plane is no edge. The numbers are chosen in docs/quality.md.

    Parameters
    ----------
    rows, columns : ndarray
        (N,) coordinates of all scribbled pixels in row-major order.
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.

    Returns
    -------
    ndarray
        (N,) bool.
    """
    beside = _neighbours(rows, columns, scribbles)
    deep, depth = np.ones(len(rows), bool), np.zeros(len(rows), np.intp)
    for _ in range(_MIDDLE):
        depth += deep
        deep &= np.append(deep, (False, True))[beside].all(axis=0)
    wide = depth == _MIDDLE
    for _ in range(_REACH if wide.any() else 0):
        wide |= np.append(wide, (False, False))[beside].any(axis=0)
    margin: NDArray[np.bool_] = wide & (depth <= _MARGIN)
    return margin


def _neighbours(
    rows: NDArray[np.intp], columns: NDArray[np.intp], scribbles: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    """Return the (4, N) numbers of the neighbours: N for another class, N + 1 off the plane."""
    height, width = scribbles.shape
    own, count = scribbles[rows, columns], len(rows)
    places = rows * width + columns
    beside = np.full((len(_STEPS), count), count)
    for neighbour, (down, right) in zip(beside, _STEPS, strict=True):
        row, column = rows + down, columns + right
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        same = within.copy()
        same[within] = scribbles[row[within], column[within]] == own[within]
        neighbour[same] = np.searchsorted(places, (row * width + column)[same])
        neighbour[~within] = count + 1
    return beside
