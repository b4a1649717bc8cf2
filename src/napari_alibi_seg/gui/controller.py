"""What is asked for: from layers, strokes and buttons to orders for the engine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.live.records import ClassifierReady, LiveRequest, ModelReady, PlaneDone
from napari_alibi_seg.gui.bridge import Bridge
from napari_alibi_seg.gui.brush import Brush
from napari_alibi_seg.gui.display import Display
from napari_alibi_seg.gui.framing import Framing
from napari_alibi_seg.gui.leftovers import clear_up
from napari_alibi_seg.gui.notices import Notices
from napari_alibi_seg.gui.ownership import image_layers, image_to_begin_with, offered_scribbles
from napari_alibi_seg.gui.pace import Pace
from napari_alibi_seg.gui.painting import MANY, holds_many, is_blank
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.projects import RECIPE, misfit
from napari_alibi_seg.gui.records import Order, SessionFound, SessionProblem, Settings, as_core
from napari_alibi_seg.gui.removal import ClassRemoval
from napari_alibi_seg.gui.restoring import Restorer
from napari_alibi_seg.gui.sessions import keep_session
from napari_alibi_seg.gui.source import (
    ImageSource,
    first_channels,
    offered_channels,
    paintable_readings,
)
from napari_alibi_seg.gui.spot import SpotMark
from napari_alibi_seg.gui.stack import StackRun
from napari_alibi_seg.gui.viewers import camera_of
from napari_alibi_seg.gui.watching import Watch
from napari_alibi_seg.gui.workspaces import Workspaces

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.live.records import LiveEvent
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.source import Reading
    from napari_alibi_seg.gui.workspace import Workspace


class Controller(QObject):
    """Follow the viewer and the panels, and keep the result up to date.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panels : Panels
        Show the state, and hold what the user asks for.
    """

    def __init__(self, viewer: Viewer, panels: Panels) -> None:
        super().__init__(panels.strip)
        self.viewer = viewer
        self.panels = panels
        self.bridge = Bridge(self)
        self.brush = Brush(viewer, panels.classes, self)
        self.pace = Pace()
        self.display = Display(viewer, panels, self.brush.keys)
        self.notices = Notices(panels.strip)
        self.mark = SpotMark(viewer, panels.strip)
        self.framing = Framing(viewer, panels.strip)
        self.watch = Watch(viewer, self)
        self.workspaces = Workspaces(viewer, panels, self.brush, self)
        self.removal = ClassRemoval(self.workspaces, panels, self.brush, self)
        self.stack = StackRun(panels.strip, self.pace, self)
        self.restorer = Restorer(self)
        self._generation = 0
        self._features_stopped = False
        self._once = False
        self._current = False
        self._images: list[Image] = []
        self._connect()
        self.display.show_no_image()
        self.follow_layers()

    @property
    def work(self) -> Workspace | None:
        """The open image with its strokes; None if there is none."""
        return self.workspaces.current

    def ask(self, new: bool = True) -> None:
        """Ask the engine to bring the screen up to date.

        Parameters
        ----------
        new : bool
            Whether anything but the view, names and colours has changed, so that older results
            are stale.
        """
        work = self.work
        if work is None:
            return
        self._generation += new
        classes, outputs = self.panels.classes.classes, self.panels.result
        settings, chosen = self.effective_settings, self.panels.settings.config
        recipe = replace(work.recipe(classes, chosen), applied=settings.config)
        work.scribbles.layer.metadata[RECIPE] = recipe
        work.measure(settings.config)
        shown = work.source.index(self.viewer.dims)
        request = LiveRequest(
            work.source.micrograph,
            work.scribbles.data,
            settings.config,
            (shown, *(index for index in self.stack.planes if index != shown)),
            work.source.visible(),
            *as_core(classes),
            work.loaded,
            predict=self._once or outputs.live.isChecked(),
            probabilities=outputs.uncertainty.isChecked() or outputs.probabilities.isChecked(),
            generation=self._generation,
            advise=True,
        )
        work.order = Order(
            request,
            chosen,
            settings.device,
            settings.threads,
            touched=work.touched,
            owner=work.owner,
        )
        work.outdated = self._current = False
        self.pace.begin()
        self.bridge.ask(work.order)

    @property
    def classifier(self) -> PixelClassifier | None:
        """The classifier in use, with the names and colours on the screen."""
        if self.work is None or self.work.classifier is None:
            return None
        classes, _ = as_core(self.panels.classes.classes)
        return self.work.classifier.renamed(classes)

    @property
    def updating(self) -> bool:
        """Whether a result with the last stroke is still being computed."""
        if self.work is None or not (self._once or self.panels.result.live.isChecked()):
            return False
        return self.work.scribbles.pending or (self.bridge.busy and not self._current)

    @property
    def estimating(self) -> bool:
        """Whether assessments are still to come that intervals depend on."""
        return self.work is not None and self.bridge.busy and self.work.unassessed

    @property
    def effective_settings(self) -> Settings:
        """The training settings, without deep features while these are stopped."""
        model = CLASSICAL if self._features_stopped else self.panels.image.model
        return self.panels.training.settings(model)

    def update_once(self) -> None:
        """Predict now, whether live is on or not."""
        self._once = True
        self.ask()

    def apply_to_stack(self) -> None:
        """Predict every plane, the one on the screen first; ask first if that takes long."""
        if self.work is not None:
            self.stack.propose(self.work, self.effective_settings.config)

    def change_outputs(self) -> None:
        """Show or hide the maps as ticked."""
        if self.work is not None:
            self.workspaces.show_outputs()
            self.ask()

    def toggle_features(self) -> None:
        """Stop the features, or start them again."""
        self.notices.recover()
        self._features_stopped = not self._features_stopped
        if self._features_stopped:
            self.bridge.stop()
            self.display.show_stopped()
        self.ask()

    def follow_layers(self) -> None:
        """Update the lists of layers, and choose an image if none is open.

        A newly opened image is chosen too if nothing was done with the current one.
        """
        images = image_layers(self.viewer.layers)
        opened = [image for image in images if image not in self._images]
        removed = [image for image in self._images if image not in images]
        self._images = images
        if self.work is not None and self.work.source.layer not in self.viewer.layers:
            self._close()
            self.panels.classes.show_plain()
        self.workspaces.follow_layers()
        self.brush.keys.follow_layers(self.viewer.layers)
        if self.work is None and images:
            active = self.viewer.layers.selection.active
            self.choose_image(image_to_begin_with(images, active))
        elif self.work is not None and opened and opened[-1] != self.work.source.layer:
            self.workspaces.welcome(opened[-1])
        work = self.work
        lost = work is not None and work.result.follow_layers()
        if lost:
            self.display.forget_result()
        if self.workspaces.follow_maps() or lost:
            self.ask()
        self.panels.image.layers.offer(images, work.source.layer if work else None)
        offered = offered_scribbles(self.viewer.layers, work.source) if work else []
        self.panels.classes.offer_layers(offered, work.scribbles.layer if work else None)
        self.panels.strip.review()
        if removed:
            clear_up(removed, self.viewer.layers, self.panels.strip)

    def choose_image(
        self,
        layer: Image,
        reading: Reading | None = None,
        channels: tuple[int, ...] | None = None,
    ) -> None:
        """Work on an image from now on, with any strokes painted on it before.

        If it cannot be used, another image that is open stays open.
        """
        if self.work is not None and self.work.source.layer == layer:
            self._close()
        try:
            offered = paintable_readings(layer)
            chosen, last = (
                (reading, channels)
                if reading in offered
                else self.workspaces.last_reading(layer, offered)
            )
            kept = last if last in offered_channels(layer, chosen) else None
            source = ImageSource.of(layer, chosen, kept or first_channels(layer, chosen))
        except AlibiSegError as error:
            here = partial(self._is_unusable, layer, self.work)
            self.panels.strip.say(str(error), warn=True, holds=here)
            if self.work is None:
                self.panels.image.chip.show_state(ChipState.NONE, "This image cannot be used")
            else:
                self.follow_layers()  # the list shows the chosen image
            return
        self._close()
        self.display.show_work(self.workspaces.open(source))
        source.show_channel(self.viewer.dims)
        self.framing.turn_to(layer)
        self._offer_3d(source.micrograph)
        self.panels.image.offer_readings(offered, source)
        self.follow_layers()
        self._features_stopped = False
        self.ask()

    def _is_unusable(self, layer: Image, opened: Workspace | None) -> bool:
        return self.work is opened and layer in self.viewer.layers

    def choose_reading(self, reading: Reading) -> None:
        """Read the axes of the image in another way."""
        if self.work is not None:
            self.choose_image(self.work.source.layer, reading)

    def choose_channels(self, channels: tuple[int, ...]) -> None:
        """Use another channel, or all together."""
        if self.work is not None:
            self.choose_image(self.work.source.layer, self.work.source.reading, channels)

    def choose_scribbles(self, layer: Labels) -> None:
        """Paint on another layer."""
        work = self.work
        if work is None or layer == work.scribbles.layer:
            return
        if layer.data.shape != work.source.micrograph.label_shape:
            self.panels.strip.say(misfit(layer.data.shape, work.source.micrograph), warn=True)
            self.follow_layers()
            return
        if holds_many(layer):
            self.panels.strip.say(
                f"{layer.name!r} holds more than {MANY} values, as labels of single grains or "
                "particles do. Painting on it turns each into a class, which is slow.",
                ("Paint on it", partial(self._paint_on, work, layer)),
                holds=lambda: layer in self.viewer.layers and work.scribbles.layer is not layer,
            )
            self.follow_layers()
            return
        self._paint_on(work, layer)

    def _paint_on(self, work: Workspace, layer: Labels) -> None:
        if work is not self.work or layer not in self.viewer.layers:  # may be gone by now
            return
        before, layer.visible = work.scribbles.layer, True
        before.visible = is_blank(before)  # show only strokes that are used
        if RECIPE in layer.metadata:
            self.panels.classes.show_classes(layer.metadata[RECIPE].classes)
        self.workspaces.paint_on(work, layer)
        if work.loaded is None:
            work.outdate()
        self.follow_layers()
        self.restorer.tell_of_place(work)
        self.ask()

    def change_settings(self) -> None:
        """Train with changed settings, and drop a classifier from a file."""
        self.notices.recover()
        if self.work is not None:
            self.work.outdate()
        self.apply(None)

    def change_device(self) -> None:
        """Compute on another device, with whatever classifier is used."""
        self.notices.recover()
        self._features_stopped = False
        self.ask()

    def apply(self, classifier: PixelClassifier | None) -> None:
        """Apply a classifier until something is painted; None trains on the strokes."""
        self._features_stopped = False
        if self.work is not None:
            self.work.loaded, self.work.put_aside = classifier, None
            self._once |= classifier is not None
        self.ask()

    def _close(self) -> None:
        """Leave the image, and keep its strokes while the next one is worked on."""
        order = self._unkept()
        self._leave()
        if order is not None:
            self.bridge.keep(order)

    def _leave(self) -> None:
        self.mark.remove()
        self.bridge.stop()
        self.stack.leave()
        self._once = False
        if self.work is not None:
            self.panels.strip.put_away()
        self.workspaces.close()
        self.display.show_no_image()

    def _measure(self) -> None:
        """Update the plane spacing from the scale of the layer."""
        work = self.work
        if work is not None:
            self._offer_3d(work.source.measured)
            self.panels.strip.review()
            if work.measure(self.effective_settings.config):
                self.ask()

    def _offer_3d(self, image: Micrograph) -> None:
        self.panels.training.offer_3d(image.anisotropy if "Z" in image.axes else None)

    def _unkept(self) -> Order | None:
        """Return an order that saves what the session file lacks; None if it lacks nothing."""
        if self.work is None or not self.work.unkept:
            return None
        return self.work.last_order(self.panels.classes.classes, self.panels.settings.config)

    def _save_sessions(self) -> None:
        """Save what session files lack at once, as the process may be about to end."""
        order = self._unkept()
        last = [] if order is None else [order]
        for found in map(keep_session, [*self.bridge.unsaved, *last]):
            if isinstance(found, SessionProblem):
                show_warning(found.words)  # the strip is about to be deleted

    def _reread(self) -> None:
        """Use the new pixels of the image; scribbles stay if they still fit."""
        old, config = self.work, self.panels.settings.config
        if old is None:
            return
        self.workspaces.forget(old)
        old.source.forget_file()
        self.choose_image(old.source.layer, old.source.reading, old.source.channels)
        if self.work is not None and self.work.scribbles.layer == old.scribbles.layer:
            self.work.second_offered = True
            self.panels.classes.show_classes(old.classes)
            self.panels.show_config(config)
            self.show_classes()
            self.ask()
        elif self.work is not None:
            self.restorer.tell_of_size(self.work, old.scribbles.layer)

    def show_classes(self) -> None:
        """Show names and colours on the layers."""
        if self.work is not None:
            self.work.scribbles.show(self.panels.classes.classes)
            self.work.result.show(self.panels.classes.classes)

    def change_classes(self) -> None:
        """Show changed names and colours; only other ignored classes change the result."""
        self.show_classes()
        if self.work is not None:
            _, ignored = as_core(self.panels.classes.classes)
            order = self.work.order
            self.ask(new=order is None or ignored != order.request.ignored)

    def _on_touch(self) -> None:
        work = self.work
        if work is None:
            return
        work.touched = True
        work.outdated = True
        work.suspend()
        if work.loaded is not None:
            work.put_aside, work.loaded = work.loaded, None
            self.notices.tell_of_put_aside(work, partial(self._take_up, work))
        self._once = False
        self.stack.forget()
        self._generation += 1
        self.bridge.outdate(self._generation)
        self.panels.strip.review()
        self.panels.strip.go_on()
        self.workspaces.offer_second_class(work)

    def _take_up(self, work: Workspace) -> None:
        """Apply the classifier put aside, unless another image has been chosen."""
        if work is self.work and work.put_aside is not None:
            self.apply(work.put_aside)

    def hear(self, event: LiveEvent | SessionFound | SessionProblem) -> None:
        """Show an event of the engine or the session file."""
        work = self.work
        if work is None or work.source.layer not in self.viewer.layers:
            return  # just removed; `follow_layers` will close it
        if isinstance(event, SessionFound | SessionProblem):
            self.restorer.offer_session(work, event)
            return
        self.pace.hear(event)
        if isinstance(event, ClassifierReady):
            work.fitted_with = self.effective_settings.config
        shown = work.source.index(self.viewer.dims)
        self.display.hear(event, self._features_stopped)
        if isinstance(event, PlaneDone):
            self._current = self._current or event.plane == shown
            self.stack.hear(event, self.panels.classes.classes)
        if isinstance(event, ModelReady | PlaneDone) and not self._features_stopped:
            self.notices.recover()
        if isinstance(event, ScribbleCounts):
            if not event.pixels:
                self._take_up(work)
                self.panels.strip.review()
            self.notices.tell_of_lost(work, event, self.panels.classes.classes)
        self.panels.strip.review()

    def fail(self, message: str) -> None:
        """Show an error, and leave everything as it is."""
        self.notices.tell_of_failure(message)
        if self.panels.image.chip.state is ChipState.WORKING:
            self._features_stopped = True
            self.panels.image.chip.show_state(ChipState.NONE, "Not available", "Try again")
            if self.display.end_preliminary():
                self.ask()

    def _connect(self) -> None:
        look = partial(self.ask, new=False)
        self.brush.drawing.connect(self.bridge.interrupt)  # drawing needs the CPU
        self.brush.touched.connect(self._on_touch)
        self.brush.settled.connect(look)
        self.brush.spot_wanted.connect(self.go_to_next_spot)
        self.panels.result.spot_button.clicked.connect(self.go_to_next_spot)
        self.watch.layers_changed.connect(self.follow_layers)
        self.watch.plane_changed.connect(self.display.show_plane)
        self.watch.plane_changed.connect(look)
        self.watch.region_changed.connect(self._look_elsewhere)
        self.bridge.reported.connect(self.hear)
        self.bridge.failed.connect(self.fail)
        self.bridge.keeping_failed.connect(partial(self.panels.strip.say, warn=True))
        self.workspaces.image_wanted.connect(self.choose_image)
        self.workspaces.pixels_changed.connect(self._reread)
        self.workspaces.image_placed.connect(self._measure)
        self.removal.removed.connect(self.change_classes)
        self.workspaces.scribbles_lost.connect(self.restorer.offer_lost)
        self.stack.begun.connect(self.update_once)
        self.stack.stopped.connect(self.ask)

    def go_to_next_spot(self) -> None:
        """Show where a stroke would teach most; each further call shows the next best place."""
        pixel = self.display.next_spot()
        if self.work is not None and pixel is None:
            self.notices.tell_of_no_spot(self.display.no_spot_words)
        elif self.work is not None and pixel is not None:
            centre = (0.0, 0.0, *self.work.source.in_world(pixel))[-3:]
            camera_of(self.viewer).center = centre
            scribbles = self.work.scribbles.layer
            self.mark.mark(scribbles.brush_size * abs(float(scribbles.scale[-1])))

    def _look_elsewhere(self) -> None:
        if self.bridge.busy:
            self.ask(new=False)

    def release(self) -> None:
        """Stop everything, and let go of the viewer."""
        self.watch.release()
        self._save_sessions()
        self._leave()
        self.workspaces.release()
        self.bridge.forget()
        self.mark.deleteLater()  # otherwise it stays on the canvas
        self.brush.release()
        self.panels.image.layers.offer([], None)
        self.panels.classes.offer_layers([], None)
