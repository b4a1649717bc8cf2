"""Tell why something cannot be written or applied as it is, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.workspace import Workspace

    Refusal = Callable[[Workspace], str]
    """Returns why something is refused; empty if it is not."""

_NO_IMAGE = "Open an image first."
_NO_MAP = "Tick Uncertainty or Probabilities first: the map shown is exported."
_PAINT = "paint a stroke in each of two classes first."


class Refusals:
    """Find reasons against writing or applying something, each as a message for the user.

    Parameters
    ----------
    controller : Controller
        Holds what is to be written.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def guard(self, refusal: Refusal, act: Callable[[Workspace], None]) -> None:
        """Act on the open image, or say why not for as long as the reason holds."""
        work, words = self._controller.work, self._words(refusal)
        if words or work is None:
            strip = self._controller.panels.strip
            strip.say(words, holds=lambda: self._words(refusal) == words)
        else:
            act(work)

    def _words(self, refusal: Refusal) -> str:
        work = self._controller.work
        return _NO_IMAGE if work is None else refusal(work)

    def nothing(self, _: Workspace) -> str:
        """Refuse nothing."""
        return ""

    def classifier(self, work: Workspace, then: str = "save it") -> str:
        """Return why there is no classifier of the current strokes to save or apply."""
        if work.classifier_current:
            return ""
        if self._controller.updating:
            return f"The classifier is being updated; {then} when that is done."
        if work.fitted is None:
            return f"There is no classifier yet: {_PAINT}"
        live = self._controller.panels.result.live.isChecked()
        remedy = "paint or change the settings" if live else "press Update once"
        return f"The classifier is not of the current strokes and settings; {remedy}, then {then}."

    def files(self, work: Workspace) -> str:
        """Return why the classifier cannot be applied to files."""
        refusal = self.classifier(work, "apply it to files")
        if not refusal and self._controller.estimating:
            return "The intervals are being estimated; apply to files when that is done."
        return refusal

    def result(self, work: Workspace) -> str:
        """Return why the result cannot be exported."""
        if work.result.labels is None and work.fitted is None:
            return f"There is no result yet: {_PAINT}"
        if self._controller.updating:
            return "The result is being updated; export it when that is done."
        if work.result.labels is None:
            return f"There is no result on the screen; {self._remedy()}, then export."
        unfinished, planes = work.result.unfinished, work.source.micrograph.plane_indices()
        if unfinished and work.stack:
            return (
                f"Not yet segmented with the current strokes: {len(unfinished)} of {len(planes)} "
                "planes; press Apply to stack, then export."
            )
        remedy = f"{self._way_to_final(work)}, then export."
        words = f"The result on the screen is not the final one{remedy}"
        return words if unfinished else ""

    def _way_to_final(self, work: Workspace) -> str:
        """Return what the user should do to get the final result, after why it is lacking."""
        chip = self._controller.panels.image.chip
        if not self._controller.panels.result.live.isChecked():
            return "; press Update once"
        if not (work.trainable or work.loaded):
            return "; paint a stroke in each of two classes"
        if work.loaded is not None and chip.state is ChipState.NONE:
            return f", as there are no features; press {chip.button.text()} next to Features"
        return "; paint or change the settings"

    def map(self, work: Workspace, kind: str) -> str:
        """Return why the map of a kind, empty if none is ticked, cannot be exported."""
        if not kind:
            return "" if self._controller.panels.result.shown_map else _NO_MAP
        refusal = self.result(work)
        if refusal:
            return refusal
        lacking = len(work.result.unmapped(kind))
        remedy = "press Apply to stack" if work.stack else self._remedy()
        words = (
            f"There is no map of {kind} for {counted(lacking, 'plane')} yet; {remedy}, then export."
        )
        return words if lacking else ""

    def table(self, work: Workspace) -> str:
        """Return why area fractions cannot be exported."""
        if not work.result.finished:
            then = f"{self._remedy()}, then export"
            return f"No plane is segmented with the current strokes yet; {then}."
        if self._controller.estimating:
            return "The intervals are being estimated; export when that is done."
        return ""

    def _remedy(self) -> str:
        """Return what the user should do to get a missing result."""
        coming = self._controller.panels.result.live.isChecked() or self._controller.updating
        return "wait until it is drawn" if coming else "press Update once"
