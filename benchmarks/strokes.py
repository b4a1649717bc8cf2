"""Select strokes of a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.forest.strokes import painted_pixels, stroke_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from methods import Labels


def strokes_of_classes(drawing: Labels) -> list[np.ndarray]:
    """Return, for every class of a drawing, the numbers of its strokes."""
    numbers, values = stroke_numbers(drawing), drawing[painted_pixels(drawing)]
    return [np.unique(numbers[values == value]) for value in np.unique(values)]


def only(drawing: Labels, strokes: Sequence[int]) -> Labels:
    """Return a drawing with only the strokes of the given numbers."""
    rows, columns = painted_pixels(drawing)
    left = np.isin(stroke_numbers(drawing), strokes)
    kept = np.zeros_like(drawing)
    kept[rows[left], columns[left]] = drawing[rows[left], columns[left]]
    return kept
