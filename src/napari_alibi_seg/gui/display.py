"""Shows in panels and layers what the engine tells."""

from __future__ import annotations

import time
from itertools import cycle
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.live.records import (
    Assessed,
    FeatureProgress,
    Fitted,
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
    from collections.abc import Iterator

    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.expectation import Expectation
    from napari_alibi_seg.core.judging.suggestions import Spot
    from napari_alibi_seg.core.live.records import LiveEvent
    from napari_alibi_seg.gui.brush import Keys
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.workspace import Workspace

LONG_FEATURES_S = 20
_STOPPED = "Results use only pixel filters until you start the features again."


class Display:
    """Remember the latest state, and show it.

    Parameters
    ----------
    panels : Panels
        Show the state.
    keys : Keys
        Bound on the result layers.
    """

    def __init__(self, panels: Panels, keys: Keys) -> None:
        self._panels = panels
        self._keys = keys
        self._counts = ScribbleCounts({}, 0)
        self._done: PlaneDone | None = None
        self._size: PixelSize | None = None
        self._advice: Assessed | None = None
        self._expected: Expectation | None = None
        self._spots: Iterator[Spot] = iter(())
        self._device = ""
        self._coarse = False
        self._state = ResultState.FINAL
        self._loaded = False
        self._began: float | None = None

    def show_no_image(self) -> None:
        """Show that no image is open."""
        self._advise(None)
        self._panels.classes.show_counts({})
        self._panels.training.tell_light(uneven=False)
        self._panels.image.layers.setToolTip("")
        self._panels.image.chip.show_state(ChipState.NONE, "No image")
        self._panels.image.offer_readings([], None)
        self._panels.reuse.enable(image=False, classifier=False, stack=False, script=False)
        self._panels.result.facts.setText(WELCOME)
        self._panels.result.facts.setToolTip("")

    def show_work(self, work: Workspace) -> None:
        """Show that work on an image has begun."""
        self._counts, self._done, self._began = ScribbleCounts({}, 0), None, None
        self._coarse, self._state, self._loaded = False, ResultState.FINAL, False
        self._advise(None)
        self._panels.classes.show_counts({})
        self._panels.training.tell_light(uneven=False)
        self._panels.image.layers.setToolTip(work.source.layer.metadata.get(ATTRIBUTION, ""))
        self._panels.image.chip.show_state(ChipState.WORKING, "Starting", "Stop")
        self._enable(work)
        self._show_facts()

    def show_stopped(self) -> None:
        """Show that the features have been stopped."""
        self._panels.image.chip.show_state(ChipState.NONE, "Stopped", "Start", _STOPPED)
        self.end_preliminary()

    def end_preliminary(self) -> bool:
        """End the wait for features; return whether a preliminary result is shown."""
        before, self._state = self._state, ResultState.FINAL
        self._show_facts()
        return before is ResultState.PRELIMINARY

    def hear(self, event: LiveEvent, work: Workspace, shown: Index, stopped: bool) -> None:
        """Show an event.

        Parameters
        ----------
        event : LiveEvent
            The event from the engine.
        work : Workspace
            The image it is about.
        shown : Index
            The plane on the screen.
        stopped : bool
            Whether the user has stopped the features.
        """
        match event:
            case ScribbleCounts():
                self._on_counts(event, work, stopped)
            case ModelReady():
                self._on_model(event)
            case FeatureProgress():
                self._on_features(event, work)
                self._tell_of_long_features(event, work, shown)
            case Fitted():
                work.take(event.classifier)
                self._panels.training.tell_light(event.uneven)
                self._coarse = False
                self._advise(None)
                self._enable(work)
            case ResultBlock():
                self._on_block(event, work)
                self._coarse |= not event.final
            case PlaneDone():
                work.finish(event)
                if event.plane == shown:
                    self._done, self._size = event, work.source.measured.pixel_size
                    self._expected = work.expected(event.plane)
                    self._coarse, self._state = False, ResultState.FINAL
                    self._show_facts()
            case Assessed():
                if event.assessment is not None:
                    work.assessments[event.plane] = event.assessment
                if event.plane == shown:
                    self._advise(event)
                self._expected = work.expected(self._done.plane) if self._done else None
                self._show_facts()

    def forget_result(self) -> None:
        """Clear the numbers of a removed result."""
        self._done, self._state = None, ResultState.FINAL
        self._advise(None)
        self._show_facts()

    def next_spot(self) -> tuple[int, ...] | None:
        """Return the next pixel where a stroke would teach most; None if unknown."""
        spot = next(self._spots, None)
        if self._advice is None or spot is None:
            return None
        return (*self._advice.plane, spot.row, spot.column)

    def no_spot_words(self) -> str:
        """Return why there is no next spot, or what to do for one; empty if there is one."""
        if self._panels.result.spot_button.isEnabled():
            return ""
        if not (self._trainable or self._loaded):
            return "Paint a stroke in each of two classes first: the next spot needs a result."
        if self._shown_state is ResultState.WAITING:
            return "Press Update once first: the next spot needs a result of the current strokes."
        if self._advice is None:
            return "The next spot comes with the result, which is still being computed."
        return "No spot on this plane would teach more than any other."

    def _on_counts(self, event: ScribbleCounts, work: Workspace, stopped: bool) -> None:
        self._counts, self._coarse, self._loaded = event, False, work.loaded is not None
        if self._state is ResultState.OUTLIVED:
            self._state = ResultState.FINAL
        work.note(event)
        if self._paused and self._old(work):
            self._done = None
            self._advise(None)
        if not (self._trainable or self._loaded):
            work.forget_classifier()
            self._advise(None)
        self._enable(work)
        self._panels.classes.ensure(list(event.pixels))
        self._panels.classes.show_counts(event.pixels)
        self._show_facts()
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
            self._show_facts()

    def _tell_of_long_features(self, event: FeatureProgress, work: Workspace, shown: Index) -> None:
        """Notify the user, who may be doing something else, that the features are ready."""
        if event.done < event.total:
            self._began = self._began or time.monotonic()
        elif self._began is not None:
            took, self._began = time.monotonic() - self._began, None
            if took >= LONG_FEATURES_S and event.plane == shown:
                show_info(f"The features of {work.source.layer.name} are ready.")

    def _on_block(self, event: ResultBlock, work: Workspace) -> None:
        box = self._panels.result
        work.result.place(event, box.uncertainty.isChecked(), box.probabilities.isChecked())
        for layer in work.result.layers:
            self._keys.bind(layer)

    def _advise(self, advice: Assessed | None) -> None:
        self._advice, self._expected = advice, None
        self._spots = cycle(advice.spots if advice else ())
        self._panels.result.spot_button.setEnabled(advice is not None and bool(advice.spots))

    @property
    def _paused(self) -> bool:
        return not self._panels.result.live.isChecked()

    @property
    def _shown_state(self) -> ResultState:
        waiting = self._paused and self._done is None and self._state is ResultState.FINAL
        return ResultState.WAITING if waiting else self._state

    def _old(self, work: Workspace) -> bool:
        return self._done is not None and self._done.plane not in work.result.finished

    @property
    def _trainable(self) -> bool:
        return len(self._counts.pixels) > 1

    def _enable(self, work: Workspace) -> None:
        self._panels.reuse.enable(
            image=True,
            classifier=work.fitted is not None,
            stack=work.stack,
            script=self._trainable and not self._loaded,
        )

    def _show_facts(self) -> None:
        classes = self._panels.classes.classes
        assessment = None if self._advice is None else self._advice.assessment
        state = self._shown_state
        words = facts(
            classes,
            self._counts,
            self._done,
            assessment,
            self._expected,
            state,
            loaded=self._loaded,
            size=self._size,
        )
        self._panels.result.facts.setText(words)
        tip = facts_tip(classes, self._done, assessment, self._expected, self._size)
        current = (self._trainable or self._loaded) and state is not ResultState.PRELIMINARY
        self._panels.result.facts.setToolTip(tip if current else "")
