"""Show a finished segmentation in a separate napari window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import napari

from napari_alibi_seg.gui.painting import colormap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.stored import Array


def show(image: Array, scribbles: NDArray[Any], segmentation: Segmentation) -> None:
    """Open napari with an image, its scribbles and its classes; return when it is closed.

    Parameters
    ----------
    image : array
        (Y, X) or (Y, X, 3).
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.
    segmentation : Segmentation
        Segmentation of the same image.
    """
    colours = colormap(segmentation.classes)
    viewer = napari.Viewer(title="napari-alibi-seg")
    viewer.add_image(image, name="micrograph")
    viewer.add_labels(segmentation.labels, name="segmentation", opacity=0.4, colormap=colours)
    viewer.add_labels(scribbles, name="scribbles", opacity=1, colormap=colours)
    napari.run()
