"""Scribbled pixels and the strokes they form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.choices import LARGEST_CLASS
from napari_alibi_seg.core.errors import ScribbleError
from napari_alibi_seg.core.forest.stroke_margins import in_margin
from napari_alibi_seg.core.images.windows import Window, neighbourhoods

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Index

_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Painted:
    """The amount of scribbles.

    Attributes
    ----------
    pixels : mapping
        Number of scribbled pixels by class value.
    strokes : int
        Number of strokes (connected components of one class) over all planes.
    lost : frozenset of int
        Classes scribbled only where the image has no data; they are not in `pixels`.
    """

    pixels: Mapping[int, int]
    strokes: int
    lost: frozenset[int] = frozenset()


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
    """Return `painted_pixels` without those `in_margin`, which do not train."""
    rows, columns = painted_pixels(scribbles)
    inner = ~in_margin(rows, columns, scribbles)
    return rows[inner], columns[inner]


def count_footer_rows(scribbles: NDArray[np.integer[Any]], ignored: Collection[int]) -> int:
    """Return the number of ignored rows at the bottom of a (Y, X) plane, such as a databar.

    A row counts as ignored if nine in ten of its pixels are, to allow gaps in hand-drawn strokes.
    """
    rows = np.isin(scribbles, list(ignored)).mean(axis=1) >= _NEARLY_ALL
    return int(np.argmin([*rows[::-1], False]))


def require_classes(values: NDArray[np.integer[Any]]) -> None:
    """Raise a `ScribbleError` if an array of any shape holds a value that is not a valid class."""
    if values.min(initial=1) < 0:
        raise ScribbleError(
            f"The scribbles hold the negative value {values.min()}; "
            f"use 0 for unpainted pixels and 1 to {LARGEST_CLASS} for classes."
        )
    if values.max(initial=1) > LARGEST_CLASS:
        raise ScribbleError(
            f"The scribbles hold the value {values.max()}; "
            f"use 0 for unpainted pixels and 1 to {LARGEST_CLASS} for classes."
        )


def ignored_classes(ignored: object) -> frozenset[int]:
    """Return ignored classes as a set; raise a `ScribbleError` unless they are whole numbers."""
    if not isinstance(ignored, Collection) or not all(isinstance(one, Integral) for one in ignored):
        raise ScribbleError(
            f"Ignored classes are a collection of whole numbers, but this is {ignored!r}; write, "
            "for example, ignored=[3]."
        )
    return frozenset(map(int, ignored))


def painted_without(
    planes: Mapping[Index, Plane],
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int] = (),
) -> dict[Index, NDArray[Any]]:
    """Copy the scribbled planes, without ignored classes and pixels where the image has no data.

    They are copied because the user may go on painting meanwhile.

    Parameters
    ----------
    planes : mapping
        Every plane of the image by its index.
    scribbles : ndarray
        (..., Y, X) integers of the image's ``label_shape``, 0 = not painted.
    ignored : collection of int
        Classes to leave out.

    Returns
    -------
    dict
        (Y, X) scribbles by plane.
    """
    copies = _copies(planes, scribbles, ignored)
    return {index: kept for index, _, kept in copies if kept.any()}


def look_at_strokes(
    planes: Mapping[Index, Plane],
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int] = (),
) -> tuple[dict[Index, NDArray[Any]], Painted]:
    """Copy the scribbled (Y, X) planes as `painted_without` does, and count what is painted."""
    painted, values = {}, set()
    for index, drawn, kept in _copies(planes, scribbles, ignored):
        if kept is not drawn:
            values.update(np.unique(drawn[painted_pixels(drawn)]).tolist())
        if kept.any():
            painted[index] = kept
    amount = amount_painted(painted)
    return painted, replace(amount, lost=frozenset(values - amount.pixels.keys()))


def _copies(
    planes: Mapping[Index, Plane],
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int],
) -> Iterator[tuple[Index, NDArray[Any], NDArray[Any]]]:
    """Yield for each scribbled plane its scribbles without ignored ones, and those on data only."""
    for index, data in planes.items():
        if scribbles[index].any():
            plane = scribbles[index].copy()
            if ignored:
                pixels = np.stack(painted_pixels(plane))
                left_out = np.isin(plane[tuple(pixels)], list(ignored))
                plane[tuple(pixels[:, left_out])] = 0
            yield index, plane, _on_data(data, plane)


def _on_data(plane: Plane, scribbles: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Return (Y, X) scribbles without the pixels where a plane has no data."""
    if plane.missing(Window(0, 0, 0, 0)) is None:
        return scribbles
    rows, columns = painted_pixels(scribbles)
    missing = np.zeros(len(rows), bool)
    for here, window in neighbourhoods(rows, columns):
        there = plane.missing(window)
        assert there is not None
        missing[here] = there[rows[here] - window.top, columns[here] - window.left]
    if not missing.any():
        return scribbles
    kept = scribbles.copy()
    kept[rows[missing], columns[missing]] = 0
    return kept


def same_painted(one: Mapping[Index, NDArray[Any]], other: Mapping[Index, NDArray[Any]]) -> bool:
    """Return whether two mappings of (Y, X) scribbles are equal; compares scribbled pixels only."""
    return one.keys() == other.keys() and all(
        one[index].shape == other[index].shape and _same(one[index], other[index]) for index in one
    )


def _same(one: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]]) -> bool:
    here, there = painted_pixels(one), painted_pixels(other)
    return np.array_equal(here, there) and np.array_equal(one[here], other[there])


def amount_painted(painted: Mapping[Index, NDArray[Any]]) -> Painted:
    """Count scribbled pixels by class, and strokes, over (Y, X) planes."""
    pixels: Counter[int] = Counter()
    strokes = 0
    for scribbles in painted.values():
        values, counts = np.unique(scribbles[painted_pixels(scribbles)], return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        strokes += int(stroke_numbers(scribbles).max(initial=0))
    return Painted(dict(pixels), strokes)


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
    margins = (in_margin(*painted_pixels(scribbles), scribbles) for scribbles in painted.values())
    return [numbers[~margin] for numbers, margin in zip(pieces, margins, strict=True)]


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
