"""Where the next stroke teaches most: where the forest is in doubt, away from what is painted.

Worth is uncertainty times diversity, as in batch active learning. Of the forms tried against
ground truth (docs/accuracy.md) the plainest won: the margin between the two leading classes,
averaged over a brush's breadth, times the distance from the nearest stroke. Pixels unlike all
that is painted are mostly scratches and dust; preferring them cost more than it taught. So did
the image's border: pixel filters are in doubt there for want of neighbours, which is like nothing
inside, and half the stroke falls off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial import KDTree

from napari_alibi_seg.core.forest.voting import margin_uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In pixels: sigma of the mean over a brush's breadth, sigma of what a stroke reaches, and the
# border, which is at most a share of the plane.
_BRUSH, _REACH, _BORDER = 4.0, 40.0, 16
_BORDER_SHARE = 1 / 8
_GRID_POINTS = 20_000
_LARGEST_STEP = 64
_MOST = 8


@dataclass(frozen=True)
class Spot:
    """A place to paint next.

    Attributes
    ----------
    row, column : int
        Pixel of the plane.
    worth : float
        Uncertainty times diversity, as a share of the best spot's, in (0, 1].
    """

    row: int
    column: int
    worth: float


def grid_step(shape: tuple[int, int]) -> int:
    """Return every how many pixels to look at a plane, so that its size costs no time.

    A power of two up to 64, so that points of the grid lie alike in blocks of 64, 128 and 256.
    """
    step = 2
    while step < _LARGEST_STEP and shape[0] * shape[1] / step**2 > _GRID_POINTS:
        step *= 2
    return step


def next_spots(
    votes: NDArray[np.float32],
    painted: NDArray[np.bool_],
    step: int,
    missing: NDArray[np.bool_] | None = None,
) -> tuple[Spot, ...]:
    """Rank the places where a stroke would teach most, at most eight, each away from the others.

    Parameters
    ----------
    votes : ndarray
        (h, w, K) shares of the trees' votes at every `step` pixels of a plane.
    painted : ndarray
        (Y, X) bool, of the plane: where strokes are, and where none should be.
    step : int
        Pixels between points of the grid; point (0, 0) is pixel (0, 0).
    missing : ndarray, optional
        (h, w) bool: points that must not be suggested, as the image has no data there.
    """
    doubt = gaussian_filter(margin_uncertainty(votes), _BRUSH / step) * _inside(painted.shape, step)
    if missing is not None:
        doubt[missing] = 0
    nearest = _distances(painted, step)
    rows, columns = np.ogrid[: doubt.shape[0], : doubt.shape[1]]
    spots: list[Spot] = []
    for _ in range(_MOST):
        worth = doubt * (1 - np.exp(-((nearest / _REACH) ** 2) / 2))
        row, column = map(int, np.unravel_index(int(worth.argmax()), worth.shape))
        if worth[row, column] <= 0:
            break
        spots.append(Spot(row * step, column * step, float(worth[row, column])))
        nearest = np.minimum(nearest, step * np.hypot(rows - row, columns - column))
    return tuple(Spot(s.row, s.column, s.worth / spots[0].worth) for s in spots)


def _distances(painted: NDArray[np.bool_], step: int) -> NDArray[np.float64]:
    """Return how far the points of the grid are from what is painted, in pixels."""
    rows, columns = (np.arange(0, length, step) for length in painted.shape)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    if not painted.any():
        return np.full(points.shape[:2], np.inf)
    edges = painted & ~binary_erosion(painted)  # enough, and few even where much is painted
    distances: NDArray[np.float64] = KDTree(np.argwhere(edges)).query(points)[0]
    distances[painted[::step, ::step]] = 0
    return distances


def _inside(shape: tuple[int, ...], step: int) -> NDArray[np.bool_]:
    """Return which points of the grid lie away from the border, more closely on a small plane."""
    near = [min(_BORDER, int(length * _BORDER_SHARE)) for length in shape]
    points = np.ogrid[: shape[0] : step, : shape[1] : step]
    rows, columns = (
        (some >= border) & (some < length - border)
        for some, border, length in zip(points, near, shape, strict=True)
    )
    inside: NDArray[np.bool_] = rows & columns
    return inside
