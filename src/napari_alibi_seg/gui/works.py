"""The images that are worked on, of which one is open, and the layers painted on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_alibi_seg.gui.painting import (
    SCRIBBLES,
    fitting_scribbles,
    is_scribbles,
    new_scribbles,
)
from napari_alibi_seg.gui.projects import RECIPE
from napari_alibi_seg.gui.result import ResultLayers
from napari_alibi_seg.gui.work import Work, classes_of

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.gui.brush import Brush
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.source import ImageSource

_LOOKED_THROUGH = 1e8  # bytes
_PLACING = ("scale", "units", "translate", "rotate", "shear", "affine")


class Works(QObject):
    """Opens and closes images; what was painted on one is there when it is opened again.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panels : Panels
        Shows the classes of the image that is open.
    brush : Brush
        Paints on its scribbles.
    parent : QObject
        Owner.
    """

    pixels_changed = Signal()
    """The image that is open has other pixels now."""
    scribbles_lost = Signal(object)
    """A layer that was painted on was removed, and another one took its place."""

    def __init__(self, viewer: Viewer, panels: Panels, brush: Brush, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panels = panels
        self._brush = brush
        self._all: list[Work] = []
        self.current: Work | None = None

    def open(self, source: ImageSource) -> Work:
        """Work on an image from now on."""
        known = [work for work in self._all if work.is_of(source)]
        if known and known[0].scribbles.layer in self._viewer.layers:
            work = known[0]
        else:
            work = self._begin(source)
            self._all.append(work)
        self.current = work
        self._panels.classes.show_classes(work.classes)
        self.paint_on(work, work.scribbles.layer)
        self._brush.keys.bind(source.layer)
        source.layer.events.data.connect(self._tell_of_pixels)
        for name in _PLACING:
            source.layer.events[name].connect(self._place)
        return work

    def close(self) -> None:
        """Work on no image; the layers stay."""
        work, self.current = self.current, None
        if work is not None:
            work.source.layer.events.data.disconnect(self._tell_of_pixels)
            for name in _PLACING:
                work.source.layer.events[name].disconnect(self._place)
            work.classes = self._panels.classes.classes
            work.result.release()
            self._brush.put_down()

    def forget(self, work: Work) -> None:
        """Begin anew when the image is opened again."""
        self._all.remove(work)

    def release(self) -> None:
        """Close, and forget everything."""
        self.close()
        self._all.clear()

    def follow_layers(self) -> None:
        """Forget images that were removed, and replace scribbles that were."""
        layers = self._viewer.layers
        self._all = [work for work in self._all if work.source.layer in layers]
        if self.current is not None and self.current.scribbles.layer not in layers:
            lost = self.current.scribbles.layer
            self.current.touched = False  # the session keeps what was painted until there is more
            self.paint_on(self.current, self._add(new_scribbles(self.current.source)))
            self.scribbles_lost.emit(lost)

    def paint_on(self, work: Work, layer: Labels) -> None:
        """Paint on a layer from now on."""
        layer.metadata.update(SCRIBBLES)
        classes = self._panels.classes.classes
        work.scribbles = self._brush.take(layer)
        work.scribbles.show(classes)
        work.result.show(classes)
        self._brush.choose(classes[0].value)

    def paint_on_new(self, work: Work, layer: Labels) -> None:
        """Add a layer, and paint on it from now on; the one painted on before stays."""
        self.paint_on(work, self._add(layer))
        work.second_offered = True

    def set_opacity(self, opacity: float) -> None:
        """Set how strongly the segmentation covers the image that is open, 0 to 1."""
        if self.current is not None:
            self.current.result.set_opacity(opacity)

    def offer_second_class(self, work: Work) -> None:
        """Choose the second class after the first stroke, so that two strokes are enough."""
        classes = self._panels.classes.classes
        first = work.scribbles.layer.selected_label == classes[0].value
        if not work.second_offered and first and len(classes) > 1:
            QTimer.singleShot(0, partial(self._brush.choose, classes[1].value))
        work.second_offered = True

    def _tell_of_pixels(self) -> None:
        self.pixels_changed.emit()

    def _place(self) -> None:
        """Put strokes and results where the image lies now."""
        if self.current is not None:
            for layer in (self.current.scribbles.layer, *self.current.result.layers):
                for name, value in self.current.source.placement().items():
                    setattr(layer, name, value)

    def _begin(self, source: ImageSource) -> Work:
        layer = self._scribbles_for(source)
        if RECIPE in layer.metadata:
            self._panels.show_settings(layer.metadata[RECIPE].settings)
        result = ResultLayers(self._viewer, source, self)
        work = Work(source, self._brush.take(layer), result, classes_of(layer))
        work.second_offered = not is_blank(layer)
        return work

    def _scribbles_for(self, source: ImageSource) -> Labels:
        used = [work.scribbles.layer for work in self._all]
        for layer in fitting_scribbles(self._viewer.layers, source):
            if is_scribbles(layer) and layer not in used:  # never a layer of the person's own
                return layer
        return self._add(new_scribbles(source))

    def _add(self, layer: Labels) -> Labels:
        self._viewer.add_layer(layer)
        return layer


def is_blank(layer: Labels) -> bool:
    """Whether nothing is painted; a volume too large to look through counts as painted."""
    return layer.data.nbytes < _LOOKED_THROUGH and not layer.data.any()
