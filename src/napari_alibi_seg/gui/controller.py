"""From strokes and buttons to orders for the engine, and from its events to the screen."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.live.records import LiveRequest, ModelReady, PlaneDone
from napari_alibi_seg.gui.bridge import Bridge
from napari_alibi_seg.gui.brush import Brush
from napari_alibi_seg.gui.choosing import Chooser
from napari_alibi_seg.gui.display import Display
from napari_alibi_seg.gui.framing import Framing
from napari_alibi_seg.gui.notices import Notices
from napari_alibi_seg.gui.pace import Pace
from napari_alibi_seg.gui.painting import is_blank
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.records import SessionFound, SessionProblem, Settings, as_core
from napari_alibi_seg.gui.removal import ClassRemoval
from napari_alibi_seg.gui.restoring import Restorer
from napari_alibi_seg.gui.spot import SpotMark
from napari_alibi_seg.gui.stack import StackRun
from napari_alibi_seg.gui.watching import Watch
from napari_alibi_seg.gui.workspaces import Workspaces

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.live.records import LiveEvent
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.workspace import Workspace

_LOOKING_MS = 1000
"""How long a plane of a stack that is being segmented has before another one on the screen."""


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
        self.watch = Watch(viewer, panels.strip, self)
        self.workspaces = Workspaces(viewer, panels, self.brush, self)
        self.chooser = Chooser(viewer, panels, self.workspaces, self.brush, self)
        self.removal = ClassRemoval(self.workspaces, panels, self.brush, self)
        self.stack = StackRun(panels.strip, self.pace, self)
        self.restorer = Restorer(viewer, panels, self.workspaces, self.chooser, self)
        self._looking = QTimer(self)
        self._looking.setSingleShot(True)
        self._looking.setInterval(_LOOKING_MS)
        self._generation = 0
        self._features_stopped = self._features_failed = False
        self._once = False
        self._up_to_date = False
        self._connect()
        self.display.show_no_image()
        self.chooser.follow_layers()

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
        self._up_to_date = False
        work.scribbles.note_order()
        self.pace.begin()
        self.bridge.ask(work.make_order(request, classes, chosen, settings))

    @property
    def classifier(self) -> PixelClassifier | None:
        """The classifier in use, with the names and colours on the screen."""
        if self.work is None or self.work.classifier is None:
            return None
        classes, _ = as_core(self.panels.classes.classes)
        known = self.work.classifier.renamed(classes)
        if self.work.loaded is not None:
            return known
        size = self.work.source.measured.voxel_size
        recognised = self.work.recognised if self._assessed(self.work) else None
        return replace(known, pixel_size=size, recognised=recognised)

    def _assessed(self, work: Workspace) -> bool:
        """Whether it is known if strokes left out of training are recognised."""
        ended = not self.bridge.busy and work.order is not None and work.order.request.predict
        return ended or not work.unassessed

    @property
    def updating(self) -> bool:
        """Whether a result with the last stroke is still being computed."""
        if self.work is None or not (self._once or self.panels.result.live.isChecked()):
            return False
        return self.work.scribbles.pending or (self.bridge.busy and not self._up_to_date)

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
        self.ask(new=False)

    def apply_to_stack(self) -> None:
        """Predict every plane, the one on the screen first; ask first if that takes long."""
        if self.work is not None:
            self.stack.propose(self.work, self.effective_settings.config)

    def change_outputs(self) -> None:
        """Show or hide the maps as ticked; compute those that are missing."""
        if self.work is not None:
            self.workspaces.show_outputs()
            kind, shown = self.panels.result.shown_map, self.work.source.index(self.viewer.dims)
            if kind and shown in self.work.result.unmapped(kind):
                self.ask()

    def toggle_features(self) -> None:
        """Stop the features, or start them again."""
        self.notices.recover()
        if self._features_stopped:
            self._start_features()
        else:
            self._features_stopped = True
            self.bridge.stop()
            self.display.show_stopped()
        self.ask()

    def _start_features(self) -> None:
        """Let the features, if the model has any, be computed or found again."""
        self._features_stopped = self._features_failed = False
        if self.work is not None and self.effective_settings.config.deep:
            self.display.expect_features()

    def change_settings(self) -> None:
        """Train with changed settings, and drop a classifier from a file.

        Features that were stopped, or failed, begin again only if they are other ones.
        """
        self.notices.recover()
        self.stack.forget()
        self._once = False
        if self.work is not None:
            if not self.work.keeps_features(self.panels.settings.config):
                self._start_features()
            self.work.outdate()
            self.work.loaded = self.work.put_aside = None
            self.workspaces.show_own_classes()
        self.ask()

    def change_device(self) -> None:
        """Compute on another device, with whatever classifier is used."""
        self.notices.recover()
        self._start_features()
        self.ask()

    def apply(self, classifier: PixelClassifier) -> None:
        """Apply a classifier until something is painted."""
        self._once = True
        self._start_features()
        if self.work is not None:
            self.work.use(classifier)
        self.ask()

    def _show_work(self, work: Workspace) -> None:
        """Show an image that was opened."""
        self._features_stopped = self._features_failed = False
        self.display.show_work(work)
        self.framing.turn_to(work.source.layer)
        self._offer_3d(work.source.micrograph)

    def _keep_and_leave(self) -> None:
        """Leave the image, and keep its strokes while the next one is worked on."""
        order = self.workspaces.make_closing_order()
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
        self.display.show_no_image()

    def _measure(self) -> None:
        """Update the plane spacing from the scale of the layer, and keep both in the session."""
        work = self.work
        if work is not None:
            self._offer_3d(work.source.measured)
            self.panels.strip.review()
            self.ask(new=work.measure(self.effective_settings.config))

    def _offer_3d(self, image: Micrograph) -> None:
        self.panels.training.offer_3d(image.anisotropy if "Z" in image.axes else None)

    def change_classes(self) -> None:
        """Show changed names and colours; only other ignored classes change the result."""
        self.workspaces.show_classes()
        self.panels.strip.review()
        if self.work is not None:
            _, ignored = as_core(self.panels.classes.classes)
            order = self.work.order
            self.ask(new=order is None or ignored != order.request.ignored)

    def _on_touch(self) -> None:
        work = self.work
        if work is None:
            return
        work.touch()
        if work.loaded is not None:
            work.put_aside, work.loaded = work.loaded, None
            self.workspaces.show_own_classes()
            self.notices.tell_of_put_aside(work, partial(self._use_again, work))
        self.panels.classes.settle()  # a stroke leaves nothing to redo
        self._once = False
        self.stack.forget()
        self._generation += 1
        self.bridge.outdate(self._generation)
        self.panels.strip.review()
        self.panels.strip.go_on()
        self.workspaces.offer_second_class(work)

    def _use_again(self, work: Workspace) -> None:
        """Apply the classifier put aside, unless another image has been chosen."""
        if work is self.work and work.put_aside is not None:
            self.restorer.use(work, work.put_aside)

    def hear(self, event: LiveEvent | SessionFound | SessionProblem) -> None:
        """Show an event of the engine or the session file."""
        work = self.work
        if work is None or work.source.layer not in self.viewer.layers:
            return  # just removed; `follow_layers` will close it
        if isinstance(event, SessionFound | SessionProblem):
            self.restorer.offer_session(work, event)
            return
        self.pace.hear(event)
        work.hear(event, self.effective_settings.config)
        self.display.hear(event, self._features_stopped)
        if isinstance(event, PlaneDone):
            self._up_to_date |= event.plane == work.source.index(self.viewer.dims)
            self.stack.tell(work, event.plane, self.panels.classes.classes)
        if isinstance(event, ModelReady | PlaneDone):
            self.notices.go_on()
        if isinstance(event, ScribbleCounts):
            if not event.pixels:
                self._use_again(work)
                self.panels.strip.review()
            self.notices.tell_of_lost(work, event, self.panels.classes.classes)
        self.panels.strip.review()

    def fail(self, message: str) -> None:
        """Show an error, and leave everything as it is; go on without features that failed."""
        features_fail = self.panels.image.chip.state is ChipState.WORKING
        self.notices.tell_of_failure(message, None if features_fail else self._try_again)
        if features_fail:  # the chip offers to try again
            self._features_stopped = self._features_failed = True
            self.panels.image.chip.show_state(ChipState.NONE, "Not available", "Try again")
            self.display.end_preliminary()
            if self.work is not None and self._can_do_without(self.work):
                self.ask()

    def _try_again(self) -> None:
        """Compute again what failed, and features that failed before it."""
        self.notices.recover()
        if self._features_failed:
            self._start_features()
            self.ask()
        else:
            self.update_once()

    def _can_do_without(self, work: Workspace) -> bool:
        """Whether the plane on the screen lacks a result that pixel filters could give."""
        finished = work.source.index(self.viewer.dims) in work.result.finished
        return work.loaded is None and not finished

    def _connect(self) -> None:
        look = partial(self.ask, new=False)
        self.brush.drawing.connect(self.bridge.interrupt)  # drawing needs the CPU
        self.brush.touched.connect(self._on_touch)
        self.brush.settled.connect(look)
        self.brush.spot_wanted.connect(self.go_to_next_spot)
        self.panels.result.spot_button.clicked.connect(self.go_to_next_spot)
        self.watch.layers_changed.connect(self._follow_layers)
        self.watch.plane_changed.connect(self.display.show_plane)
        self.watch.plane_changed.connect(self._look_at_plane)
        self._looking.timeout.connect(look)
        self.watch.region_changed.connect(self._look_elsewhere)
        self.bridge.reported.connect(self.hear)
        self.bridge.failed.connect(self.fail)
        self.bridge.keeping_failed.connect(partial(self.panels.strip.say, warn=True))
        self.chooser.closing.connect(self._keep_and_leave)
        self.chooser.opened.connect(self._show_work)
        self.chooser.changed.connect(self.ask)
        self.workspaces.image_placed.connect(self._measure)
        self.removal.removed.connect(self.change_classes)
        self.workspaces.scribbles_lost.connect(self._go_on_without)
        self.workspaces.result_lost.connect(self.display.forget_result)
        self.restorer.settings_read.connect(self.change_settings)
        self.restorer.classifier_read.connect(self.apply)
        self.stack.begun.connect(self.update_once)
        self.stack.stopped.connect(look)

    def go_to_next_spot(self) -> None:
        """Show where a stroke would teach most; each further call shows the next best place."""
        pixel = self.display.next_spot()
        if self.work is not None and pixel is None:
            self.notices.tell_of_no_spot(self.display.no_spot_words)
        elif self.work is not None and pixel is not None:
            place = self.work.source.on_sliders(pixel, self.viewer.dims)
            self.mark.point_at(place, self.work.scribbles.breadth)

    def _go_on_without(self, lost: Labels) -> None:
        """Offer to bring back a removed scribbles layer; nothing is painted on the new one."""
        if not is_blank(lost):
            self.restorer.offer_lost(lost)
        self.ask()

    def _follow_layers(self) -> None:
        self.chooser.follow_layers()
        if self.work is None:
            self.bridge.let_go()

    def _look_at_plane(self) -> None:
        """Show the plane on the screen; looking through a stack leaves its segmentation time."""
        if not self.stack.planes:
            self.ask(new=False)
        elif not self._looking.isActive():
            self._looking.start()

    def _look_elsewhere(self) -> None:
        if self.bridge.busy:
            self.ask(new=False)

    def release(self) -> None:
        """Stop everything, and let go of the viewer."""
        self.watch.release()
        for problem in self.bridge.keep_now(self.workspaces.make_closing_order()):
            show_warning(problem.words)  # the strip is about to be deleted
        self._leave()
        self.workspaces.release()
        self.bridge.release()
        self.mark.deleteLater()  # otherwise it stays on the canvas
        self.brush.release()
        self.chooser.offer_nothing()
