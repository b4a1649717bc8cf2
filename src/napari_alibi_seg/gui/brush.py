"""What the person paints with: the class or the eraser, chosen by key or by click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.gui.painting import ERASED, Keys, Scribbles

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.gui.classes import ClassPanel

SIZE = 5
"""Diameter of a new brush, in pixels."""


class Brush(QObject):
    """Paints on one layer at a time, and makes it the active one whenever a class is chosen.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panel : ClassPanel
        Shows what is chosen.
    parent : QObject
        Owner.
    """

    touched = Signal()
    """The person painted, erased or filled."""
    spot_wanted = Signal()
    """The person wants to see where to paint next."""
    settled = Signal()
    """What is painted may have changed, and has been still for a moment."""

    def __init__(self, viewer: Viewer, panel: ClassPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._scribbles: Scribbles | None = None
        self._size = SIZE
        self.keys = Keys(self.choose_key, self.erase, self.spot_wanted.emit)

    def take(self, layer: Labels) -> Scribbles:
        """Paint on a layer from now on, with a brush as large as before."""
        self.put_down()
        layer.brush_size = self._size
        self._scribbles = Scribbles(layer)
        self._scribbles.touched.connect(self.touched)
        self._scribbles.settled.connect(self.settled)
        self._scribbles.chosen.connect(self._panel.show_chosen)
        self.keys.bind(self._viewer)
        self.keys.bind(layer)
        return self._scribbles

    def put_down(self) -> None:
        """Paint on nothing."""
        if self._scribbles is not None:
            self._size = self._scribbles.layer.brush_size
            self._scribbles.release()
            self._scribbles = None
            self._panel.show_chosen(None)

    def release(self) -> None:
        """Put down, and unbind the keys."""
        self.put_down()
        self.keys.release()

    def choose(self, value: int) -> None:
        """Paint a class from now on."""
        if self._scribbles is not None:
            self._viewer.layers.selection.active = self._scribbles.layer
            self._scribbles.choose(value)
            self._panel.show_chosen(value)

    def choose_key(self, number: int) -> None:
        """Paint the class that has a key."""
        classes = self._panel.classes
        if number <= len(classes):
            self.choose(classes[number - 1].value)

    def erase(self) -> None:
        """Erase from now on."""
        if self._scribbles is not None:
            self._viewer.layers.selection.active = self._scribbles.layer
            self._scribbles.erase()
            self._panel.show_chosen(ERASED)
