"""What is painted, and how much."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import label

from napari_alibi_seg.core.live_records import Painted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.live_records import Index, LiveRequest

_TOUCHING = np.ones((3, 3), bool)  # strokes may go on diagonally


def painted_without(request: LiveRequest) -> dict[Index, NDArray[Any]]:
    """Copy the painted planes, without what is ignored: the person may be painting on."""
    painted = {}
    for index in request.image.plane_indices():
        if request.scribbles[index].any():
            plane = request.scribbles[index].copy()
            plane[np.isin(plane, list(request.ignored))] = 0
            if plane.any():
                painted[index] = plane
    return painted


def stroke_numbers(scribbles: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Give every stroke of a plane, a connected piece of one class, a number.

    Parameters
    ----------
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.

    Returns
    -------
    ndarray
        (Y, X) int32: 0 where not painted, then 1, 2, ... class by class.
    """
    numbers = np.zeros(scribbles.shape, np.int32)
    strokes = 0
    for value in np.unique(scribbles[scribbles > 0]):
        pieces, count = label(scribbles == value, _TOUCHING)
        inside = pieces > 0
        numbers[inside] = pieces[inside] + strokes
        strokes += count
    return numbers


def amount_painted(painted: Mapping[Index, NDArray[Any]]) -> Painted:
    """Count pixels by class, and strokes: connected pieces of one class in a plane."""
    pixels: Counter[int] = Counter()
    strokes = 0
    for scribbles in painted.values():
        values, counts = np.unique(scribbles[scribbles > 0], return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        strokes += int(stroke_numbers(scribbles).max())
    return Painted(dict(pixels), strokes)


def stroke_pieces(painted: Mapping[Index, NDArray[Any]]) -> dict[Index, NDArray[np.int32]]:
    """Give every stroke of all planes a number, and each half of a class's only stroke.

    So that something of each class can be left out; see `core.assessment`.

    Parameters
    ----------
    painted : mapping
        (Y, X) scribbles by plane, 0 = not painted.

    Returns
    -------
    dict
        (Y, X) int32 by plane: 0 where not painted, else a number no other piece has.
    """
    pieces, strokes = {}, 0
    owners: Counter[int] = Counter()
    for index, scribbles in painted.items():
        numbers = stroke_numbers(scribbles)
        found, first = np.unique(numbers, return_index=True)
        owners.update(scribbles.ravel()[first[found > 0]].tolist())
        pieces[index] = np.where(numbers > 0, numbers + strokes, 0).astype(np.int32)
        strokes += int(numbers.max())
    for value in [value for value, count in owners.items() if count == 1]:
        strokes += 1
        for index, scribbles in painted.items():
            _halve(pieces[index], scribbles == value, strokes)
    return pieces


def _halve(pieces: NDArray[np.int32], stroke: NDArray[np.bool_], number: int) -> None:
    """Give one end of a stroke, seen along its length, another number."""
    pixels = np.argwhere(stroke)
    if len(pixels) > 1:
        centred = pixels - pixels.mean(axis=0)
        along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
        far = pixels[np.argsort(along, kind="stable")[len(pixels) // 2 :]]
        pieces[tuple(far.T)] = number
