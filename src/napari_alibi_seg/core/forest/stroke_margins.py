"""The margins of wide strokes, which are easily painted across a boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MARGIN = 2
_MIDDLE = 5
"""Depth of the middle of a stroke that has a margin; 1 is its edge."""
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


def in_margin(
    rows: NDArray[np.intp], columns: NDArray[np.intp], scribbles: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Return which scribbled pixels lie in the margins, 2 pixels wide, of wide strokes.

    Strokes and parts of strokes less than 9 pixels wide have none, nor has the border of the plane.
    The numbers are chosen in docs/quality.md.

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
    inside, depth = np.ones(len(rows), bool), np.zeros(len(rows), np.intp)
    for _ in range(_MIDDLE):
        depth += inside
        inside &= np.append(inside, (False, True))[beside].all(axis=0)
    wide = depth == _MIDDLE
    for _ in range(2 * (_MIDDLE - 1)):  # as far as into a corner
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
