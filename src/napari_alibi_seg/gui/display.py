"""Shows in panels and layers what the engine tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.live.records import (
    Advice,
    ClassifierReady,
    FeatureProgress,
    ModelReady,
    PlaneDone,
    ResultBlock,
)
from napari_alibi_seg.core.model.names import MODELS
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.records import ResultState
from napari_alibi_seg.gui.samples import ATTRIBUTION
from napari_alibi_seg.gui.words import WELCOME, facts, facts_tip, features_words

if TYPE_CHECKING:
    from collections import deque

    from napari.viewer import Viewer

    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.suggestions import Spot
    from napari_alibi_seg.core.live.records import LiveEvent
    from napari_alibi_seg.gui.brush import Keys
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.workspace import Workspace

LONG_FEATURES_S = 20
_STOPPED = "Results use only pixel filters until you start the features again."


class Display:
    """Show what is known of the open image and of its plane on the screen.

    Parameters
    ----------
    viewer : Viewer
        Its sliders tell which plane is on the screen.
    panels : Panels
        Show the state.
    keys : Keys
        Bound on the result layers.
    """

    def __init__(self, viewer: Viewer, panels: Panels, keys: Keys) -> None:
        self._viewer = viewer
        self._panels = panels
        self._keys = keys
        self._work: Workspace | None = None
        self._device = ""
        self._coarse = False
        self._state = ResultState.FINAL
        self._began: float | None = None

    def show_no_image(self) -> None:
        """Show that no image is open."""
        self._work = None
        self._panels.result.spot_button.setEnabled(False)
        self._panels.classes.show_counts({})
        self._panels.training.tell_light(uneven=False)
        self._panels.image.layers.annotate("")
        self._panels.image.chip.show_state(ChipState.NONE, "No image")
        self._panels.image.offer_readings([], None)
        self._panels.reuse.enable(image=False, classifier=False, stack=False, script=False)
        self._panels.result.facts.setText(WELCOME)
        self._panels.result.facts.setToolTip("")

    def show_work(self, work: Workspace) -> None:
        """Show that work on an image has begun."""
        self._work, self._began = work, None
        self._coarse, self._state = False, ResultState.FINAL
        self._panels.classes.show_counts({})
        self._panels.training.tell_light(uneven=False)
        self._panels.image.layers.annotate(work.source.layer.metadata.get(ATTRIBUTION, ""))
        self.expect_features()
        self._enable(work)
        self.show_plane()

    def expect_features(self) -> None:
        """Show that features have been asked for."""
        self._panels.image.chip.show_state(ChipState.WORKING, "Starting", "Stop")

    def show_stopped(self) -> None:
        """Show that the features have been stopped."""
        self._panels.image.chip.show_state(ChipState.NONE, "Stopped", "Start", _STOPPED)
        self.end_preliminary()

    def end_preliminary(self) -> None:
        """End the wait for features."""
        self._state = ResultState.FINAL
        self.show_plane()

    def hear(self, event: LiveEvent, stopped: bool) -> None:
        """Show an event about the open image, which the image's state reflects already.

        Parameters
        ----------
        event : LiveEvent
            The event from the engine.
        stopped : bool
            Whether the user has stopped the features.
        """
        work = self._work
        assert work is not None
        match event:
            case ScribbleCounts():
                self._on_counts(event, work, stopped)
            case ModelReady():
                self._on_model(event)
            case FeatureProgress():
                self._on_features(event, work)
                self._tell_of_long_features(event, work)
            case ClassifierReady():
                self._panels.training.tell_light(event.uneven)
                self._coarse = False
                self._enable(work)
            case ResultBlock():
                self._on_block(event, work)
                self._coarse |= not event.final
            case PlaneDone():
                if event.plane == self._plane(work):
                    self._coarse, self._state = False, ResultState.FINAL
                self.show_plane()
            case Advice():
                self.show_plane()

    def forget_result(self) -> None:
        """Clear the numbers of a removed result."""
        self._state = ResultState.FINAL
        if self._work is not None:
            self._work.forget_result()
        self.show_plane()

    def next_spot(self) -> tuple[int, ...] | None:
        """Return the next pixel where a stroke would teach most; None if unknown."""
        work = self._work
        spots = None if work is None else self._spots(work)
        if work is None or not spots:
            return None
        spot = spots[0]
        spots.rotate(-1)
        return (*self._plane(work), spot.row, spot.column)

    def no_spot_words(self) -> str:
        """Return why there is no next spot, or what to do for one; empty if there is one."""
        work = self._work
        if work is None or self._spots(work):
            return ""
        if not (work.trainable or work.loaded):
            return "Paint a stroke in each of two classes first: the next spot needs a result."
        if self._shown_state(work) is ResultState.WAITING:
            return "Press Update once first: the next spot needs a result of the current strokes."
        if self._spots(work) is None:
            return "The next spot comes with the result, which is still being computed."
        return "No spot on this plane would teach more than any other."

    def _on_counts(self, event: ScribbleCounts, work: Workspace, stopped: bool) -> None:
        self._coarse = False
        if self._state is ResultState.OUTLIVED:
            self._state = ResultState.FINAL
        self._enable(work)
        self._panels.classes.ensure(list(event.pixels))
        self._panels.classes.show_counts(event.pixels)
        self.show_plane()
        if self._panels.image.model == CLASSICAL and not stopped:
            self._panels.image.chip.show_state(ChipState.READY, "None needed")

    def _on_model(self, event: ModelReady) -> None:
        self._device = event.device
        self._panels.image.offer_models([*MODELS, CLASSICAL])
        self._panels.training.offer_devices(event.devices)

    def _on_features(self, event: FeatureProgress, work: Workspace) -> None:
        words, tip = features_words(event, self._device)
        if event.done < event.total:
            self._panels.image.chip.show_state(ChipState.WORKING, words, "Stop", tip)
            self._tell_of_waiting(work)
        else:
            self._panels.image.chip.show_state(ChipState.READY, words, tip=tip)

    def _tell_of_waiting(self, work: Workspace) -> None:
        """Say what kind of result is shown while features are computed."""
        if self._state is not ResultState.PRELIMINARY and (self._coarse or self._old(work)):
            self._state = ResultState.PRELIMINARY if self._coarse else ResultState.OUTLIVED
            self.show_plane()

    def _tell_of_long_features(self, event: FeatureProgress, work: Workspace) -> None:
        """Notify the user, who may be doing something else, that the features are ready."""
        if event.done < event.total:
            self._began = self._began or time.monotonic()
        elif self._began is not None:
            took, self._began = time.monotonic() - self._began, None
            if took >= LONG_FEATURES_S and event.plane == self._plane(work):
                show_info(f"The features of {work.source.layer.name} are ready.")

    def _on_block(self, event: ResultBlock, work: Workspace) -> None:
        box = self._panels.result
        work.result.place(event, box.uncertainty.isChecked(), box.probabilities.isChecked())
        for layer in work.result.layers:
            self._keys.bind(layer)

    def show_plane(self) -> None:
        """Show what is known of the plane on the screen."""
        work, panels = self._work, self._panels
        if work is None:
            return
        plane, state = self._plane(work), self._shown_state(work)
        done = None if self._lacks_result(work) else work.done.get(plane)
        assessment = None if done is None else work.assessments.get(plane)
        expected = None if done is None else work.expected(plane)
        classes, counts = panels.classes.classes, work.counts or ScribbleCounts({}, 0)
        loaded, size = work.loaded is not None, work.source.measured.pixel_size
        words = facts(
            classes,
            counts,
            done,
            assessment,
            expected,
            state,
            loaded=loaded,
            size=size,
            on_screen=work.source.is_on_screen(self._viewer.dims),
        )
        tip = facts_tip(classes, done, assessment, expected, size)
        current = (work.trainable or loaded) and state is not ResultState.PRELIMINARY
        panels.result.facts.setText(words)
        panels.result.facts.setToolTip(tip if current else "")
        panels.result.spot_button.setEnabled(bool(self._spots(work)))

    def _plane(self, work: Workspace) -> Index:
        return work.source.index(self._viewer.dims)

    def _lacks_result(self, work: Workspace) -> bool:
        """Whether the plane has no result of the strokes until the user asks for one."""
        paused = not self._panels.result.live.isChecked()
        return paused and self._plane(work) not in work.result.finished

    def _shown_state(self, work: Workspace) -> ResultState:
        waiting = self._lacks_result(work) and self._state is ResultState.FINAL
        return ResultState.WAITING if waiting else self._state

    def _spots(self, work: Workspace) -> deque[Spot] | None:
        """Return the next spots of the plane, None until they are known."""
        return None if self._lacks_result(work) else work.spots.get(self._plane(work))

    def _old(self, work: Workspace) -> bool:
        plane = self._plane(work)
        return plane in work.done and plane not in work.result.finished

    def _enable(self, work: Workspace) -> None:
        self._panels.result.spot_button.setEnabled(bool(self._spots(work)))
        self._panels.reuse.enable(
            image=True,
            classifier=work.fitted is not None,
            stack=work.stack,
            script=work.trainable and work.loaded is None,
        )
