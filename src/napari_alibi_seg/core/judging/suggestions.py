"""Suggest where to paint next: where the forest is uncertain, away from existing strokes.

A spot is scored by uncertainty times diversity, as in batch active learning. Of the variants tested
against ground truth (docs/accuracy.md) the simplest was best: margin uncertainty, averaged over the
width of a brush, times a saturating function of the distance from the nearest stroke. Preferring
pixels unlike all labelled ones did not pay, since they are mostly scratches and dust; nor did the
image border, where filters lack neighbours, pixels are not typical, and half of a stroke is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial import KDTree

from napari_alibi_seg.core.forest.result import margin_uncertainty

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In pixels: sigma of the average over a brush width, sigma of the reach of a stroke, and the width
# of the excluded border, which is also limited to a share of the plane.
_BRUSH, _REACH, _BORDER = 4.0, 40.0, 16
_BORDER_SHARE = 1 / 8
_GRID_POINTS = 20_000
_LARGEST_STEP = 64
_MOST = 8


@dataclass(frozen=True)
class Spot:
    """A suggested place to paint next.

    Attributes
    ----------
    row, column : int
        Pixel of the plane.
    worth : float
        Uncertainty times diversity relative to the best spot, in (0, 1].
    """

    row: int
    column: int
    worth: float


def grid_step(shape: tuple[int, int]) -> int:
    """Return the spacing, in pixels, of a grid that samples a plane at about 20,000 points at most.

    It is a power of two, 2 to 64, so that blocks of 64, 128 and 256 pixels are sampled equally.
    Planes of more than 82 megapixels have more points.
    """
    step = 2
    while step < _LARGEST_STEP and shape[0] * shape[1] / step**2 > _GRID_POINTS:
        step *= 2
    return step


def next_spots(
    votes: NDArray[np.float32],
    painted: NDArray[np.bool_],
    step: int,
    missing: NDArray[np.bool_],
) -> tuple[Spot, ...]:
    """Rank the most informative places for a stroke: at most eight, away from each other.

    Parameters
    ----------
    votes : ndarray
        (h, w, K) shares of votes at every `step`-th pixel of a plane.
    painted : ndarray
        (Y, X) bool mask of the plane: existing strokes, and other places to avoid.
    step : int
        Pixels between points of the grid; point (0, 0) is pixel (0, 0).
    missing : ndarray
        (h, w) bool mask of grid points without data, which are never suggested.
    """
    doubt = gaussian_filter(margin_uncertainty(votes), _BRUSH / step) * _inside(painted.shape, step)
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
    """Return the distance of each grid point from the nearest painted pixel, in pixels."""
    rows, columns = (np.arange(0, length, step) for length in painted.shape)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    if not painted.any():
        return np.full(points.shape[:2], np.inf)
    edges = painted & ~binary_erosion(painted)  # sufficient, and few even if much is painted
    distances: NDArray[np.float64] = KDTree(np.argwhere(edges)).query(points)[0]
    distances[painted[::step, ::step]] = 0
    return distances


def _inside(shape: tuple[int, ...], step: int) -> NDArray[np.bool_]:
    """Return the mask of grid points away from the border, which is narrower on a small plane."""
    near = [min(_BORDER, int(length * _BORDER_SHARE)) for length in shape]
    points = np.ogrid[: shape[0] : step, : shape[1] : step]
    rows, columns = (
        (some >= border) & (some < length - border)
        for some, border, length in zip(points, near, shape, strict=True)
    )
    inside: NDArray[np.bool_] = rows & columns
    return inside
