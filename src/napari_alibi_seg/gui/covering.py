"""Which images hide one another in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_alibi_seg.gui.ownership import image_layers
from napari_alibi_seg.gui.viewers import shows_grid

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer


def hides(other: Image, layer: Image) -> bool:
    """Whether an image above another one covers part of it."""
    if not other.visible or other.opacity < 1 or other.blending in ("additive", "minimum"):
        return False
    (top, bottom), (first, last) = (one.extent.world[:, -2:] for one in (other, layer))
    return bool((top < last).all() and (first < bottom).all())


def uncover(layer: Image, viewer: Viewer) -> None:
    """Hide images above one, and those below, which show through where it has no data."""
    if not shows_grid(viewer):
        place = viewer.layers.index(layer)
        layer.visible = True
        above, below = viewer.layers[place + 1 :], viewer.layers[:place]
        over = [other for other in image_layers(above) if hides(other, layer)]
        under = [other for other in image_layers(below) if hides(layer, other)]
        for other in (*over, *under):
            other.visible = False
