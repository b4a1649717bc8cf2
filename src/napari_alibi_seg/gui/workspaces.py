"""Manage the images worked on, of which one is open, and their scribbles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import signals_blocked

from napari_alibi_seg.gui.ownership import (
    give_back,
    is_copy,
    is_linked,
    is_result,
    is_scribbles,
    is_taken_over,
    leave,
    link,
    note_turn,
    own_scribbles,
    take_over,
)
from napari_alibi_seg.gui.painting import is_blank, new_scribbles
from napari_alibi_seg.gui.projects import RECIPE
from napari_alibi_seg.gui.result import PROBABILITIES, UNCERTAINTY, ResultLayers
from napari_alibi_seg.gui.workspace import Workspace, classes_of, removed_from

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_alibi_seg.gui.brush import Brush
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.records import Order
    from napari_alibi_seg.gui.source import ImageSource

_PLACING = ("scale", "units", "translate", "rotate", "shear", "affine")


class Workspaces(QObject):
    """Open and close images, keeping their strokes until they are opened again.

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
    """The pixels of the open image have changed."""
    image_placed = Signal()
    """The position or scale of the open image has changed."""
    scribbles_lost = Signal(object)
    """The scribbles layer was removed and replaced by a new one."""
    result_lost = Signal()
    """A result layer of the open image was removed."""

    def __init__(self, viewer: Viewer, panels: Panels, brush: Brush, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panels = panels
        self._brush = brush
        self._all: list[Workspace] = []
        self._hidden: WeakSet[Layer] = WeakSet()
        self.current: Workspace | None = None

    def open(self, source: ImageSource) -> Workspace:
        """Work on an image from now on."""
        painted = [work for work in self._all if work.scribbles.layer in self._viewer.layers]
        known = [work for work in painted if work.is_of(source)]
        work = known[0] if known else self._begin(source)
        self._all = [*(other for other in painted if other is not work), work]
        self.current = work
        _align(work)
        note_turn(source.layer)
        work.offered = False
        self._panels.classes.show_classes(work.classes)
        self._panels.show_config(work.config)
        self._bring_forward(work)  # a layer that appears is no longer painted on
        self.paint_on(work, work.scribbles.layer)
        self._show_opacity(work.result.opacity)
        work.result.opacity_changed.connect(self._show_opacity)
        self.show_outputs()
        self._brush.keys.bind(source.layer)
        source.layer.events.data.connect(self._tell_of_pixels)
        for name in _PLACING:
            source.layer.events[name].connect(self._place)
        return work

    def close(self) -> None:
        """Close the open image; its layers stay."""
        work, self.current = self.current, None
        if work is not None:
            work.source.layer.events.data.disconnect(self._tell_of_pixels)
            for name in _PLACING:
                work.source.layer.events[name].disconnect(self._place)
            work.classes, work.config = self._panels.classes.classes, self._panels.settings.config
            work.result.opacity_changed.disconnect(self._show_opacity)
            work.result.release()
            self._brush.put_down()

    def last_source(self, layer: Image) -> ImageSource | None:
        """Return an image as it was last read; None if it was never opened."""
        sources = [work.source for work in self._all if work.source.layer == layer]
        return sources[-1] if sources else None

    def make_closing_order(self) -> Order | None:
        """Return an order that saves what the session file of the open image lacks, if anything."""
        if self.current is None or not self.current.unkept:
            return None
        panels = self._panels
        return self.current.make_closing_order(panels.classes.classes, panels.settings.config)

    def forget(self, work: Workspace) -> None:
        """Forget the work on an image, so that it starts afresh when opened again."""
        self._all.remove(work)

    def release(self) -> None:
        """Close, restore the user's own layers, and forget everything."""
        self.close()
        for work in self._all:
            give_back(work.scribbles.layer)
        self._all.clear()

    def follow_layers(self) -> None:
        """Forget removed images, and replace removed scribbles."""
        layers = self._viewer.layers
        self._all = [work for work in self._all if work.source.layer in layers]
        for work in self._all:
            work.follow_name()
        if self.current is not None and self.current.scribbles.layer not in layers:
            lost = self.current.scribbles.layer
            self.current.touched = False  # keep the session until more is painted
            self.current.offered = True
            self.paint_on(self.current, self._add(new_scribbles(self.current.source)))
            self.scribbles_lost.emit(lost)
        self._brush.keys.follow_layers(layers)

    def follow_results(self) -> bool:
        """Forget removed results, and untick removed maps; return whether to compute anew."""
        work = self.current
        if work is None:
            return False
        lost = work.result.follow_layers()
        if lost:
            self.result_lost.emit()
        return self._follow_maps(work) or lost

    def paint_on(self, work: Workspace, layer: Labels) -> None:
        """Paint on a layer from now on, and restore the previous one if it is the user's own."""
        before = work.scribbles.layer
        leave(before)
        take_over(layer)
        link(layer, work.source)
        work.scribbles = self._brush.take(layer)
        self._panels.classes.removed = removed_from(layer)
        if layer != before:
            give_back(before)
        self.show_other_classes()

    def paint_on_new(self, work: Workspace, layer: Labels) -> None:
        """Add a layer, and paint on it from now on; the previous one stays."""
        self.paint_on(work, self._add(layer))
        work.second_offered = True

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of the open image's segmentation, 0 to 1."""
        if self.current is not None:
            self.current.result.set_opacity(opacity)

    def show_classes(self) -> None:
        """Show names and colours on the layers of the open image."""
        if self.current is not None:
            self.current.scribbles.show(self._panels.classes.classes)
            self.current.result.show(self._panels.classes.classes)

    def show_other_classes(self) -> None:
        """Show other classes on the layers of the open image, and paint the first from now on."""
        self.show_classes()
        self._brush.choose(self._panels.classes.classes[0].value)

    def show_own_classes(self) -> None:
        """Show the classes of the strokes again, in the place of those of a loaded classifier."""
        work, panel = self.current, self._panels.classes
        if work is not None and work.own:
            panel.show_classes(work.own_classes(panel.classes))
            work.own = {}
            self.show_classes()

    def show_outputs(self) -> None:
        """Show or hide the maps of the open image as ticked."""
        if self.current is not None:
            box = self._panels.result
            shown = box.uncertainty.isChecked(), box.probabilities.isChecked()
            self.current.result.show_outputs(*shown)

    def offer_second_class(self, work: Workspace) -> None:
        """Choose the second class after the first stroke, so that two strokes are enough."""
        classes = self._panels.classes.classes
        first = work.scribbles.layer.selected_label == classes[0].value
        if not work.second_offered and first and len(classes) > 1:
            QTimer.singleShot(0, partial(self._brush.choose, classes[1].value))
        work.second_offered = True

    def _follow_maps(self, work: Workspace) -> bool:
        """Untick removed maps; return whether a partly removed one must be redrawn."""
        box, lost = self._panels.result, work.result.follow_maps()
        asked = {UNCERTAINTY: box.uncertainty, PROBABILITIES: box.probabilities}
        for kind, left in lost.items():
            if not left:
                asked[kind].setChecked(False)
        return any(left and asked[kind].isChecked() for kind, left in lost.items())

    def _show_opacity(self, opacity: float) -> None:
        slider = self._panels.result.opacity
        with signals_blocked(slider):
            slider.setValue(round(100 * opacity))

    def _tell_of_pixels(self) -> None:
        self.pixels_changed.emit()

    def _place(self) -> None:
        """Align strokes and results with the moved image."""
        if self.current is not None:
            for layer in (self.current.scribbles.layer, *self.current.result.layers):
                self.current.source.place(layer)
            self.image_placed.emit()

    def _begin(self, source: ImageSource) -> Workspace:
        layer = self._scribbles_for(source)
        if RECIPE in layer.metadata:
            self._panels.show_config(layer.metadata[RECIPE].config)
        result = ResultLayers(self._viewer, source)
        if result.labels is None:
            result.opacity = self._panels.result.opacity.value() / 100
        scribbles, config = self._brush.take(layer), self._panels.settings.config
        work = Workspace(source, scribbles, result, classes_of(layer), config)
        work.second_offered = not is_blank(layer)
        return work

    def _scribbles_for(self, source: ImageSource) -> Labels:
        used = [work.scribbles.layer for work in self._all]
        for layer in own_scribbles(self._viewer.layers, source):
            if layer not in used:
                return layer
        return self._add(new_scribbles(source))

    def _bring_forward(self, work: Workspace) -> None:
        """Show the layers of an image, copies of its result too, and hide those of the others."""
        layers = self._viewer.layers
        copies = [one for one in layers if is_copy(one) and is_linked(one, work.source)]
        result = [*work.result.layers, *copies]
        for layer in layers:
            foreign = is_result(layer) or is_scribbles(layer)
            foreign = foreign and layer not in (work.scribbles.layer, *result)
            if foreign and layer.visible:
                layer.visible = False
                self._hidden.add(layer)
        back = self._hidden.intersection(result)
        self._hidden -= back
        for layer in (work.source.layer, work.scribbles.layer, *back):
            layer.visible = True

    def _add(self, layer: Labels) -> Labels:
        self._viewer.add_layer(layer)
        return layer


def _align(work: Workspace) -> None:
    """Align strokes and results with their image, which may have moved while it was closed."""
    own = [] if is_taken_over(work.scribbles.layer) else [work.scribbles.layer]
    for layer in (*own, *work.result.layers):
        work.source.place(layer)
