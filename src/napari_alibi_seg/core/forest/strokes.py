"""Scribbled pixels, and the strokes they form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.forest.stroke_margins import in_margin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.windows import Index

_MOST_PIXELS = 100_000


def painted_pixels(
    scribbles: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the scribbled pixels of a (Y, X) plane in row-major order."""
    rows = np.flatnonzero(scribbles.any(axis=1))  # few rows; much faster than nonzero of the whole
    row, columns = np.divmod(np.flatnonzero(scribbles[rows] != 0), scribbles.shape[1])
    return rows[row], columns


def training_pixels(
    scribbles: NDArray[np.integer[Any]],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return those of the `painted_pixels` that train.

    Pixels `in_margin` do not, nor do all of a plane of which much is painted, such as one with
    ground truth everywhere: of more than 100,000, every n-th of each class is taken.
    """
    rows, columns = painted_pixels(scribbles)
    chosen = _training(rows, columns, scribbles)
    return rows[chosen], columns[chosen]


def _training(
    rows: NDArray[np.intp], columns: NDArray[np.intp], scribbles: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    inner = np.flatnonzero(~in_margin(rows, columns, scribbles))
    if len(inner) <= _MOST_PIXELS:
        return inner
    labels = scribbles[rows[inner], columns[inner]]
    return inner[every_nth(labels, class_steps(labels, _MOST_PIXELS))]


def class_steps(labels: NDArray[np.integer[Any]], most: int) -> dict[int, int]:
    """Return for each class a step n, so that every n-th pixels of all are about `most`.

    The classes share that number evenly.
    """
    classes, counts = np.unique(labels, return_counts=True)
    steps = -(-counts * len(classes) // most)
    return dict(zip(classes.tolist(), steps.tolist(), strict=True))


def every_nth(labels: NDArray[np.integer[Any]], steps: Mapping[int, int]) -> NDArray[np.intp]:
    """Return the positions of every n-th label of each class, from the first, ascending."""
    chosen = [np.flatnonzero(labels == value)[::step] for value, step in steps.items()]
    return np.sort(np.concatenate(chosen))


def stroke_pieces(painted: Mapping[Index, NDArray[Any]]) -> list[NDArray[np.int32]]:
    """Return the stroke numbers of all planes, with the only stroke of a class split in two.

    The pieces are held out one by one in `core.judging.assessment`, so each class needs two.

    Parameters
    ----------
    painted : mapping
        (Y, X) scribbles by plane, 0 = not painted.

    Returns
    -------
    list of ndarray
        For each plane, the piece number of its `training_pixels`; numbers are unique over all
        planes.
    """
    pieces: list[NDArray[np.int32]] = []
    strokes = 0
    owners: Counter[int] = Counter()
    for scribbles in painted.values():
        numbers = stroke_numbers(scribbles)
        _, first = np.unique(numbers, return_index=True)
        owners.update(scribbles[painted_pixels(scribbles)][first].tolist())
        pieces.append(numbers + np.int32(strokes))
        strokes += len(first)
    for value in [value for value, count in owners.items() if count == 1]:
        strokes += 1
        for numbers, scribbles in zip(pieces, painted.values(), strict=True):
            _halve(numbers, scribbles, value, strokes)
    return [
        numbers[_training(*painted_pixels(scribbles), scribbles)]
        for numbers, scribbles in zip(pieces, painted.values(), strict=True)
    ]


def _halve(
    numbers: NDArray[np.int32], scribbles: NDArray[np.integer[Any]], value: int, number: int
) -> None:
    """Renumber one half of a class's pixels in a plane, split across their principal axis."""
    pixels = np.column_stack(painted_pixels(scribbles))
    stroke = np.flatnonzero(scribbles[tuple(pixels.T)] == value)
    if len(stroke) > 1:
        centred = pixels[stroke] - pixels[stroke].mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        numbers[stroke[np.argsort(along, kind="stable")[len(stroke) // 2 :]]] = number


def stroke_numbers(scribbles: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Label the strokes of a plane: the 8-connected components of each class.

    Row runs are linked in a graph, so that the cost depends on the scribbles, not the plane.

    Parameters
    ----------
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.

    Returns
    -------
    ndarray
        Stroke number of every scribbled pixel in row-major order: 1, 2, ... by class, then by the
        first pixel of the stroke.
    """
    from scipy.sparse import coo_array  # imported late, so that the window opens faster
    from scipy.sparse.csgraph import connected_components

    rows, columns = painted_pixels(scribbles)
    values = scribbles[rows, columns]
    begins = np.ones(len(rows), bool)
    begins[1:] = np.diff(rows) | (np.diff(columns) - 1) | (values[1:] != values[:-1])
    run = np.cumsum(begins) - 1  # of every pixel
    first = np.flatnonzero(begins)
    last = np.append(first, len(rows))[1:] - 1
    one, other = _touching(rows[first], columns[first], columns[last], scribbles.shape[1])
    same = values[first[one]] == values[first[other]]
    graph = coo_array((same[same], (one[same], other[same])), (len(first), len(first)))
    stroke = connected_components(graph, directed=False)[1]
    _, begin, stroke = np.unique(stroke, return_index=True, return_inverse=True)
    order = np.lexsort((begin, values[first[begin]]))
    numbers: NDArray[np.int32] = (np.argsort(order)[stroke][run] + 1).astype(np.int32)
    return numbers


def _touching(
    row: NDArray[np.intp], left: NDArray[np.intp], right: NDArray[np.intp], width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of runs in successive rows that touch, also diagonally."""
    below = (row + 1) * width
    low = np.searchsorted(row * width + right, below + np.maximum(left - 1, 0))
    high = np.searchsorted(row * width + left, below + np.minimum(right + 1, width - 1), "right")
    counts = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(row)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return one, np.repeat(low, counts) + within
