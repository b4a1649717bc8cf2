"""The order of the blocks of a plane, by their distance from the visible part."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.images.windows import blocks

if TYPE_CHECKING:
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window


def visible_blocks(plane: Plane, visible: Window, side: int) -> list[Window]:
    """Return the blocks that intersect the visible window, from its centre outwards."""
    return sorted(blocks(plane.shape, side, visible), key=partial(distance, visible=visible))


def distance(window: Window, visible: Window) -> float:
    """Return the distance between the centres of two windows, in pixels."""
    down = window.top + window.height / 2 - visible.top - visible.height / 2
    across = window.left + window.width / 2 - visible.left - visible.width / 2
    return float(np.hypot(down, across))
