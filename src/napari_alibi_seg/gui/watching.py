"""Watch the viewer for changed layers, planes and views."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_alibi_seg.gui.viewers import camera_of, draw_on_canvas

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

_VIEW_MS = 150


class Watch(QObject):
    """Signal changes once they have settled.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    beside : QWidget
        Any widget of the viewer's window.
    parent : QObject
        Owner.
    """

    layers_changed = Signal()
    """Layers were added, removed or renamed, and napari has finished doing so."""
    plane_changed = Signal()
    """The sliders or the display have changed."""
    region_changed = Signal()
    """The user has panned or zoomed."""

    def __init__(self, viewer: Viewer, beside: QWidget, parent: QObject) -> None:
        super().__init__(parent)
        self._beside = beside
        self._timers = {
            signal: self._timer(milliseconds, signal)
            for signal, milliseconds in (
                ("layers_changed", 0),
                ("plane_changed", _VIEW_MS),
                ("region_changed", _VIEW_MS),
            )
        }
        layers, dims = viewer.layers.events, viewer.dims.events
        camera = camera_of(viewer).events
        self._emitters: tuple[tuple[Any, Any], ...] = (
            *((emitter, self._layers) for emitter in (layers.inserted, layers.removed)),
            (layers.renamed, self._layers),
            (layers.removing, self._draw_on_canvas),
            (layers.removed, self._let_go),
            *((emitter, self._plane) for emitter in (dims.current_step, dims.order)),
            (dims.ndisplay, self._plane),
            *((emitter, self._region) for emitter in (camera.zoom, camera.center)),
        )
        for emitter, slot in self._emitters:
            emitter.connect(slot)

    @property
    def pending(self) -> bool:
        """Whether a signal is due."""
        return any(timer.isActive() for timer in self._timers.values())

    def release(self) -> None:
        """Stop watching."""
        for emitter, slot in self._emitters:
            emitter.disconnect(slot)
        for timer in self._timers.values():
            timer.stop()

    def _timer(self, milliseconds: int, signal: str) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(getattr(self, signal))
        return timer

    def _draw_on_canvas(self) -> None:
        """Have napari free what it has drawn of a layer where it has drawn it."""
        draw_on_canvas(self._beside)

    def _let_go(self) -> None:
        """Make removed layers collectable, even if they were frozen."""
        gc.unfreeze()

    def _layers(self) -> None:
        self._timers["layers_changed"].start()

    def _plane(self) -> None:
        self._timers["plane_changed"].start()

    def _region(self) -> None:
        self._timers["region_changed"].start()
