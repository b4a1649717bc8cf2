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


def amount_painted(painted: Mapping[Index, NDArray[Any]]) -> Painted:
    """Count pixels by class, and strokes: connected pieces of one class in a plane."""
    pixels: Counter[int] = Counter()
    strokes = 0
    for scribbles in painted.values():
        values, counts = np.unique(scribbles[scribbles > 0], return_counts=True)
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        strokes += sum(label(scribbles == value, _TOUCHING)[1] for value in values)
    return Painted(dict(pixels), strokes)
