"""What happens when: from layers and strokes to orders, and from what is told to layers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.live_records import PlaneDone
from napari_alibi_seg.gui.brush import Brush
from napari_alibi_seg.gui.display import Display
from napari_alibi_seg.gui.painting import (
    SCRIBBLES,
    fitting_scribbles,
    is_result,
    is_scribbles,
    new_scribbles,
)
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.records import CLASSICAL, Order, PaintClass, SessionFound, Settings
from napari_alibi_seg.gui.result import ResultLayers
from napari_alibi_seg.gui.sessions import load_session, set_aside
from napari_alibi_seg.gui.source import ImageSource, readings
from napari_alibi_seg.gui.watching import Watch
from napari_alibi_seg.gui.work import Work, classes_of
from napari_alibi_seg.gui.worker import Bridge

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.live_records import Index, LiveEvent
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.source import Reading


class Controller(QObject):
    """Follows the viewer and the panels, and keeps the result up to date.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panels : Panels
        Where to show, and what the person asks for.
    """

    def __init__(self, viewer: Viewer, panels: Panels) -> None:
        super().__init__(panels.strip)
        self.viewer = viewer
        self.panels = panels
        self.bridge = Bridge(self)
        self.brush = Brush(viewer, panels.classes, self)
        self.display = Display(panels, self.brush.keys)
        self.watch = Watch(viewer, self)
        self.work: Work | None = None
        self._works: list[Work] = []
        self._generation = 0
        self._features_stopped = False
        self._once = False
        self._planes: tuple[Index, ...] = ()
        self._planes_done: set[Index] = set()
        self._connect()
        self.display.show_no_image()
        self.follow_layers()

    # --- orders ---

    def ask(self, new: bool = True) -> None:
        """Ask the engine to bring the screen up to date.

        Parameters
        ----------
        new : bool
            Whether anything but the view has changed, so that older results are stale.
        """
        work = self.work
        if work is None:
            return
        self._generation += new
        outputs = self.panels.result
        shown = work.source.index(self.viewer.dims)
        self.bridge.ask(
            Order(
                work.source.micrograph,
                work.scribbles.data,
                self.settings,
                (shown, *(index for index in self._planes if index != shown)),
                work.source.visible(),
                self.panels.classes.classes,
                work.loaded,
                predict=self._once or outputs.live.isChecked(),
                votes=outputs.uncertainty.isChecked() or outputs.probabilities.isChecked(),
                generation=self._generation,
                touched=work.touched,
                owner=work.owner,
            )
        )

    @property
    def settings(self) -> Settings:
        """What to train with; without deep features while these are stopped."""
        settings = self.panels.training.settings(self.panels.image.model)
        return replace(settings, model=CLASSICAL) if self._features_stopped else settings

    def update_once(self) -> None:
        """Predict now, whether live is on or not."""
        self._once = True
        self.ask()

    def apply_to_stack(self) -> None:
        """Predict every plane of the image, the one on the screen first."""
        if self.work is not None:
            self._once = True
            self._planes = tuple(self.work.source.micrograph.plane_indices())
            self._planes_done = set()
            self.ask()

    def stop_stack(self) -> None:
        """Leave the other planes of the stack as they are."""
        self._planes = ()
        self.ask()

    def set_opacity(self, opacity: float) -> None:
        """Set how strongly the segmentation covers the image, 0 to 1."""
        if self.work is not None:
            self.work.result.set_opacity(opacity)

    def change_outputs(self) -> None:
        """Show what is asked for beside the labels."""
        if self.work is not None:
            box = self.panels.result
            self.work.result.show_outputs(
                box.uncertainty.isChecked(), box.probabilities.isChecked()
            )
            self.ask()

    def use_classifier(self, classifier: PixelClassifier) -> None:
        """Apply a classifier from a file, with its settings, until something is painted."""
        if self.work is None:
            return
        known = [PaintClass(c.value, c.name, c.colour) for c in classifier.classes]
        self.panels.classes.show_classes(known)
        features, training = classifier.features, self.panels.training
        model = CLASSICAL if features is None else features.backbone.name
        scale = None if features is None else features.scale
        self.panels.image.choose_model(model)
        training.show_settings(
            replace(
                training.settings(model), scale=scale, components=classifier.channels.components
            )
        )
        self._features_stopped, self._once = False, True
        self.work.loaded = classifier
        self.change_classes()

    def toggle_features(self) -> None:
        """Stop the features, or start them again."""
        self._features_stopped = not self._features_stopped
        if self._features_stopped:
            self.bridge.stop()
            self.display.show_stopped()
        self.ask()

    # --- the image ---

    def follow_layers(self) -> None:
        """Bring the lists of layers up to date, and take an image if there is none."""
        images = [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image) and not is_result(layer)
        ]
        if self.work is not None and self.work.source.layer not in self.viewer.layers:
            self._close_work()
        if self.work is not None and self.work.scribbles.layer not in self.viewer.layers:
            self._replace_lost_scribbles(self.work)
        self._works = [work for work in self._works if work.source.layer in self.viewer.layers]
        if self.work is None and images:
            active = self.viewer.layers.selection.active
            self.choose_image(active if active in images else images[-1])
        self._offer_layers(images)

    def choose_image(self, layer: Image, reading: Reading | None = None, channel: int = 0) -> None:
        """Work on an image from now on; what was painted on it before is still there."""
        self._close_work()
        try:
            chosen = reading or readings(layer)[0]
            source = ImageSource.of(layer, chosen, channel if "C" in chosen.axes else None)
        except AlibiSegError as error:
            self.panels.strip.say(str(error), warn=True)
            self.panels.image.chip.show_state(ChipState.NONE, "This image cannot be used")
            return
        self._open_work(source)
        self.panels.image.offer_readings(readings(layer), source)
        self.follow_layers()
        self._features_stopped = False
        self.ask()

    def choose_reading(self, reading: Reading) -> None:
        """Read the axes of the image in another way."""
        if self.work is not None:
            self.choose_image(self.work.source.layer, reading)

    def choose_channel(self, channel: int) -> None:
        """Take another channel as grey."""
        if self.work is not None:
            self.choose_image(self.work.source.layer, self.work.source.reading, channel)

    def choose_scribbles(self, layer: Labels) -> None:
        """Paint on another layer."""
        if self.work is not None and layer != self.work.scribbles.layer:
            self._paint_on(self.work, layer)
            self.ask()

    def change_settings(self) -> None:
        """Train in another way; a classifier from a file is let go."""
        self._features_stopped = False
        if self.work is not None:
            self.work.loaded = None
        self.ask()

    def _open_work(self, source: ImageSource) -> None:
        known = [work for work in self._works if work.is_of(source)]
        if known and known[0].scribbles.layer in self.viewer.layers:
            work = known[0]
            layer = work.scribbles.layer
        else:
            layer = self._scribbles_layer(source)
            result = ResultLayers(self.viewer, source, self)
            work = Work(source, self.brush.take(layer), result, classes_of(layer))
            work.second_offered = bool(layer.data.any()) if layer.data.nbytes < 1e8 else True
            self._works.append(work)
        self.work = work
        self.panels.classes.show_classes(work.classes)
        self._paint_on(work, layer)
        self.brush.keys.bind(source.layer)
        self.display.show_work(work)
        source.layer.events.data.connect(self._reread)

    def _close_work(self) -> None:
        self.bridge.stop()
        if self.work is None:
            return
        self.work.source.layer.events.data.disconnect(self._reread)
        self.work.classes = self.panels.classes.classes
        self.work.result.release()
        self.brush.put_down()
        self.work = None
        self.display.show_no_image()

    def _reread(self) -> None:
        """Take the new pixels of the image; scribbles stay if they still fit."""
        old = self.work
        if old is None:
            return
        self._works.remove(old)
        self.choose_image(old.source.layer, old.source.reading, old.source.channel or 0)
        if self.work is not None and self.work.scribbles.layer == old.scribbles.layer:
            self.work.second_offered = True
            self.work.result.adopt(old.result)
            self.panels.classes.show_classes(old.classes)
            self.change_classes()

    def _offer_layers(self, images: list[Image]) -> None:
        work = self.work
        self.panels.image.offer_layers(images, work.source.layer if work else None)
        fitting = fitting_scribbles(self.viewer.layers, work.source) if work else []
        self.panels.classes.offer_layers(fitting, work.scribbles.layer if work else None)

    # --- painting ---

    def change_classes(self) -> None:
        """Show names and colours as they are now; what is ignored may have changed."""
        if self.work is not None:
            self.work.scribbles.show(self.panels.classes.classes)
            self.work.result.show(self.panels.classes.classes)
            self.ask()

    def remove_class(self, value: int) -> None:
        """Erase the strokes of a class that was deleted."""
        if self.work is not None:
            self.work.scribbles.remove(value)
            self.change_classes()

    def _scribbles_layer(self, source: ImageSource) -> Labels:
        used = [work.scribbles.layer for work in self._works]
        for layer in fitting_scribbles(self.viewer.layers, source):
            if is_scribbles(layer) and layer not in used:  # never a layer of the person's own
                return layer
        layer = new_scribbles(source)
        self.viewer.add_layer(layer)
        return layer

    def _paint_on(self, work: Work, layer: Labels) -> None:
        layer.metadata.update(SCRIBBLES)
        work.scribbles = self.brush.take(layer)
        work.scribbles.show(self.panels.classes.classes)
        work.result.show(self.panels.classes.classes)
        self.brush.choose(self.panels.classes.classes[0].value)

    def _on_touch(self) -> None:
        work = self.work
        if work is None:
            return
        work.touched = True
        work.loaded = None
        self._once, self._planes = False, ()
        self._generation += 1
        self.bridge.outdate(self._generation)
        classes = self.panels.classes.classes
        first = work.scribbles.layer.selected_label == classes[0].value
        if not work.second_offered and first and len(classes) > 1:
            QTimer.singleShot(0, partial(self.brush.choose, classes[1].value))
        work.second_offered = True

    def _replace_lost_scribbles(self, work: Work) -> None:
        lost = work.scribbles.layer
        layer = new_scribbles(work.source)
        self.viewer.add_layer(layer)
        work.touched = False  # the session keeps what was painted until there is more
        self._paint_on(work, layer)
        self.panels.strip.say(
            f"The layer {lost.name!r} was removed; a new one is there to paint on.",
            ("Bring it back", partial(self._bring_back, work, lost)),
        )
        self.ask()

    def _bring_back(self, work: Work, lost: Labels) -> None:
        if work is self.work:
            work.scribbles.layer.data = lost.data

    # --- what the engine tells ---

    def hear(self, event: LiveEvent | SessionFound) -> None:
        """Show what the engine, or the session file, tells."""
        work = self.work
        if work is None:
            return
        if isinstance(event, SessionFound):
            self._offer_session(event)
            return
        shown = work.source.index(self.viewer.dims)
        self.display.hear(event, work, shown, self._features_stopped)
        if isinstance(event, PlaneDone) and self._planes:
            self._planes_done.add(event.plane)
            self._show_stack_progress(len(self._planes_done), len(self._planes))

    def _show_stack_progress(self, done: int, total: int) -> None:
        if done < total:
            self.panels.strip.say(f"{done} of {total} planes", ("Stop", self.stop_stack))
        else:
            self._planes = ()
            self.panels.strip.say(f"All {total} planes are segmented.")

    def fail(self, message: str) -> None:
        """Show an error, and leave everything as it is."""
        self.panels.strip.say(message, warn=True)
        if self.panels.image.chip.state is ChipState.WORKING:
            self._features_stopped = True
            self.panels.image.chip.show_state(ChipState.NONE, "Not available", "Try again")

    # --- sessions ---

    def _offer_session(self, found: SessionFound) -> None:
        self.panels.strip.say(
            f"You painted {found.pixels} pixels on this image before ({found.saved}).",
            ("Restore", partial(self.restore, found.path)),
            ("Start anew", partial(set_aside, Path(found.path))),
        )

    def restore(self, path: str) -> None:
        """Paint what a session file holds."""
        if self.work is None:
            return
        try:
            record = load_session(Path(path))
        except AlibiSegError as error:
            self.panels.strip.say(str(error), warn=True)
            return
        self.panels.classes.show_classes(record.classes)
        self.panels.training.show_settings(record.settings)
        self.panels.image.choose_model(record.settings.model)
        self.work.second_offered = True
        self.work.owner = record.owner
        self.change_classes()
        self.work.scribbles.restore(record.positions, record.values)
        self.brush.choose(record.classes[0].value)

    # --- beginning and end ---

    def _connect(self) -> None:
        look = partial(self.ask, new=False)
        self.brush.touched.connect(self._on_touch)
        self.brush.settled.connect(look)
        self.watch.layers_changed.connect(self.follow_layers)
        self.watch.plane_changed.connect(look)
        self.watch.region_changed.connect(self._look_elsewhere)
        self.bridge.told.connect(self.hear)
        self.bridge.failed.connect(self.fail)

    def _look_elsewhere(self) -> None:
        if self.bridge.busy:
            self.ask(new=False)

    def release(self) -> None:
        """Stop everything, and let go of the viewer."""
        self.watch.release()
        self._close_work()
        self.bridge.forget()
        self.brush.release()
        self._works.clear()
        self.panels.image.offer_layers([], None)
        self.panels.classes.offer_layers([], None)
