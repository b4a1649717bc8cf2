"""A ring around the place where the next stroke would teach most; it fades by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, Qt, QTimer
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QWidget

from napari_alibi_seg.gui.viewers import camera_of, canvas_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.viewer import Viewer
    from qtpy.QtGui import QPaintEvent

_SHOWN_S, _FADING_S = 1.5, 1.0
_STEP_MS = 50
_LEAST = 36.0
_EDGE = 2.5
_MOVED = 2.0


class SpotMark(QWidget):
    """Circle the middle of the canvas, white inside black, to be visible on any grey.

    It is drawn over the canvas rather than as a layer, which takes napari half a second to add.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    beside : QWidget
        Any widget of the viewer's window.
    """

    def __init__(self, viewer: Viewer, beside: QWidget) -> None:
        super().__init__(beside)
        self._viewer = viewer
        self._beside = beside
        self._began = self._diameter = 0.0
        self._look = np.zeros(4)
        self._timer = QTimer(self)
        self._timer.setInterval(_STEP_MS)
        self._timer.timeout.connect(self._fade)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def point_at(self, place: Mapping[int, float], breadth: float) -> None:
        """Move sliders and view to a place, and circle it unless the canvas shows a grid.

        Parameters
        ----------
        place : mapping of int to float
            World coordinates by the viewer's dimensions.
        breadth : float
            Brush diameter in world units; the ring is as wide, but never too small to see.
        """
        dims = self._viewer.dims
        hidden = [axis for axis in dims.not_displayed if axis in place]
        dims.set_point(hidden, [place[axis] for axis in hidden])
        centre = (place.get(axis, dims.point[axis]) for axis in dims.displayed)
        camera_of(self._viewer).center = (0.0, *centre)[-3:]
        canvas = canvas_of(self._viewer, self._beside)
        if canvas is None:
            return
        self._look = self._seen()
        self._diameter = max(breadth * self._look[0], _LEAST)
        self._began = time.monotonic()
        side = round(self._diameter + 4 * _EDGE)
        self.setParent(canvas)
        self.setGeometry((canvas.width() - side) // 2, (canvas.height() - side) // 2, side, side)
        self.show()
        self._timer.start()

    def remove(self) -> None:
        """Hide the circle."""
        self._timer.stop()
        self.hide()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the ring at its present opacity."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setOpacity(float(np.clip(self._left / _FADING_S, 0, 1)))
        middle, radius = QPointF(self.width() / 2, self.height() / 2), self._diameter / 2
        for colour, further in ((Qt.GlobalColor.black, _EDGE), (Qt.GlobalColor.white, 0.0)):
            painter.setPen(QPen(QColor(colour), _EDGE))
            painter.drawEllipse(middle, radius + further, radius + further)
        painter.end()

    @property
    def _left(self) -> float:
        return _SHOWN_S + _FADING_S - (time.monotonic() - self._began)

    def _seen(self) -> np.ndarray:
        """Return zoom and centre of the camera."""
        camera = camera_of(self._viewer)
        return np.array([camera.zoom, *camera.center])

    def _fade(self) -> None:
        look = self._seen()
        moved = np.abs(look - self._look)[1:].max() * look[0]
        if self._left <= 0 or moved > _MOVED or not np.isclose(look[0], self._look[0]):
            self.remove()
        else:
            self.update()
