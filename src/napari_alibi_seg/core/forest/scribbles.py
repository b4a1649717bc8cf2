"""The scribbles on an image: which count, and how much is painted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.choices import LARGEST_CLASS
from napari_alibi_seg.core.errors import ScribbleError
from napari_alibi_seg.core.forest.strokes import painted_pixels, stroke_numbers
from napari_alibi_seg.core.images.windows import Window, neighbourhoods

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Index

_MOST_CLASSES = 64
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class ScribbleCounts:
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


def require_class_count(painted: NDArray[np.integer[Any]], ignored: Collection[int] = ()) -> None:
    """Raise a `ScribbleError` unless 2 to 64 classes are painted.

    Parameters
    ----------
    painted : ndarray
        Scribbles of any shape, without ignored classes; 0 = not painted.
    ignored : collection of int
        Ignored classes, which only affect the message.

    Raises
    ------
    ScribbleError
        If a value is not a valid class, or the number of classes is another.
    """
    values = np.unique(painted[painted != 0])
    require_classes(values)
    if values.size > _MOST_CLASSES:
        raise ScribbleError(
            f"The scribbles hold {values.size} different values, as images and labels of grains "
            "do; paint 0 where nothing is and a value for each class, at most "
            f"{_MOST_CLASSES} of them."
        )
    if values.size < 2:
        found = f"only class {values[0]} is painted" if values.size else "nothing is painted yet"
        found += " that is not ignored" if ignored else ""
        raise ScribbleError(
            f"A segmentation needs two classes, but {found}; paint a stroke in each of two or more."
        )


def ignored_classes(ignored: object) -> frozenset[int]:
    """Return ignored classes as a set; raise a `ScribbleError` unless they are whole numbers."""
    if not isinstance(ignored, Collection) or not all(isinstance(one, Integral) for one in ignored):
        raise ScribbleError(
            f"Ignored classes are a collection of whole numbers, but this is {ignored!r}; write, "
            "for example, ignored=[3]."
        )
    return frozenset(map(int, ignored))


def training_scribbles(
    planes: Mapping[Index, Plane],
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int],
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


def training_scribbles_and_counts(
    planes: Mapping[Index, Plane],
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int],
) -> tuple[dict[Index, NDArray[Any]], ScribbleCounts]:
    """Copy the scribbled (Y, X) planes as `training_scribbles` does, and count what is painted."""
    painted: dict[Index, NDArray[Any]] = {}
    values: set[int] = set()
    for index, drawn, kept in _copies(planes, scribbles, ignored):
        if kept is not drawn:
            values |= painted_classes([drawn])
        if kept.any():
            painted[index] = kept
    counts = count_scribbles(painted)
    return painted, replace(counts, lost=frozenset(values - counts.pixels.keys()))


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


def same_scribbles(one: Mapping[Index, NDArray[Any]], other: Mapping[Index, NDArray[Any]]) -> bool:
    """Return whether two mappings of (Y, X) scribbles are equal; compares scribbled pixels only."""
    return one.keys() == other.keys() and all(
        one[index].shape == other[index].shape and _same(one[index], other[index]) for index in one
    )


def _same(one: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]]) -> bool:
    here, there = painted_pixels(one), painted_pixels(other)
    return np.array_equal(here, there) and np.array_equal(one[here], other[there])


def painted_classes(planes: Iterable[NDArray[np.integer[Any]]]) -> set[int]:
    """Return the values painted on (Y, X) planes, without 0."""
    by_plane = (np.unique(plane[painted_pixels(plane)]).tolist() for plane in planes)
    return {value for values in by_plane for value in values}


def count_scribbles(painted: Mapping[Index, NDArray[Any]]) -> ScribbleCounts:
    """Count scribbled pixels by class, and strokes, over (Y, X) planes."""
    pixels: Counter[int] = Counter()
    strokes = 0
    for scribbles in painted.values():
        values, counts = np.unique(scribbles[painted_pixels(scribbles)], return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        strokes += int(stroke_numbers(scribbles).max(initial=0))
    return ScribbleCounts(dict(pixels), strokes)
