"""Bring an image into view when the user turns to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.gui.viewers import camera_of, canvas_of

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

_FILLED = 0.95
_LEAST = 0.4
_PIXEL = 1.0


class Framing:
    """Fit images into the view, but leave zoomed views, grids and volumes as they are.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    beside : QWidget
        Any widget of the viewer's window.
    """

    def __init__(self, viewer: Viewer, beside: QWidget) -> None:
        self._viewer = viewer
        self._beside = beside
        self._turned_to: object = None
        self._whole: object = None

    def turn_to(self, layer: Image) -> None:
        """Bring an image into view if a different one, or one of another size, came before."""
        now = layer.unique_id, tuple(layer.extent.data[1][-2:])
        before, self._turned_to = self._turned_to, now
        if before not in (None, now) and self._share(layer) < _LEAST:
            self._fit(layer)

    def note_whole(self, layer: Image) -> None:
        """Remember whether an image is wholly in view, before the canvas may shrink."""
        self._whole = layer.unique_id if self._share(layer) else None

    def keep_whole(self, layer: Image) -> None:
        """Fit an image into a smaller canvas if it was wholly in view before."""
        if self._whole == layer.unique_id and not self._share(layer):
            self._fit(layer)

    def _share(self, layer: Image) -> float:
        """Return the larger share of the canvas sides an image takes; 0 unless wholly in view."""
        canvas, (first, last) = self._canvas(), self._corners(layer)
        if canvas is None:
            return 1.0
        camera = camera_of(self._viewer)
        half = canvas / camera.zoom / 2
        edge = half + _PIXEL / camera.zoom
        centre = np.array(camera.center[-2:])
        whole = (first >= centre - edge).all() and (last <= centre + edge).all()
        return float(((last - first) / half / 2).max()) if whole else 0.0

    def _fit(self, layer: Image) -> None:
        canvas, (first, last) = self._canvas(), self._corners(layer)
        if canvas is not None:
            camera = camera_of(self._viewer)
            camera.center = (0.0, *((first + last) / 2))
            camera.zoom = float(_FILLED * (canvas / (last - first)).min())

    def _corners(self, layer: Image) -> NDArray[np.float64]:
        """Return the first and the last corner of an image in the dimensions on the canvas."""
        dims, extent = self._viewer.dims, layer.extent
        shown = [dim - dims.ndim for dim in dims.displayed[-2:]]
        outwards = np.array([[-0.5], [0.5]]) * extent.step
        corners: NDArray[np.float64] = (extent.world + outwards)[:, shown]
        return corners

    def _canvas(self) -> NDArray[np.float64] | None:
        """Return height and width of the canvas; None unless it shows a single plane."""
        canvas = canvas_of(self._viewer, self._beside)
        if canvas is None or self._viewer.dims.ndisplay != 2:
            return None
        return np.array([canvas.height(), canvas.width()], float)
