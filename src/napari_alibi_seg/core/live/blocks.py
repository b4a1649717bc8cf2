"""The order of the blocks of a plane, and the display of coarse results."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.blockwise import blocks

if TYPE_CHECKING:
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

_STEP = 4
_COARSE_PIXELS = 150_000


def coarse_step(visible: Window) -> int:
    """Return the step n of a coarse result, which classifies every n-th row and column."""
    return max(_STEP, math.ceil(math.sqrt(visible.height * visible.width / _COARSE_PIXELS)))


def visible_blocks(plane: Plane, visible: Window, side: int) -> list[Window]:
    """Return the blocks that intersect the visible window, from its centre outwards."""
    return sorted(blocks(plane.shape, side, visible), key=partial(distance, visible=visible))


def distance(window: Window, visible: Window) -> float:
    """Return the distance between the centres of two windows, in pixels."""
    down = window.top + window.height / 2 - visible.top - visible.height / 2
    across = window.left + window.width / 2 - visible.left - visible.width / 2
    return float(np.hypot(down, across))


def magnified(result: Segmentation, window: Window, step: int) -> Segmentation:
    """Repeat each label of a coarse result `step` times along both axes, to fill a window."""
    labels = result.labels.repeat(step, axis=0).repeat(step, axis=1)
    return replace(result, labels=labels[: window.height, : window.width])
