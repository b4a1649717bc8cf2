"""What the folded buttons write: the project, the classifier, the result and its tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_alibi_seg.core import naming
from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX
from napari_alibi_seg.gui import files, projects
from napari_alibi_seg.gui.result import PROBABILITIES, UNCERTAINTY
from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_alibi_seg.gui.background import Background
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.folded_panels import ReusePanel
    from napari_alibi_seg.gui.workspace import Workspace

PROJECTS = f"Projects (*{PROJECT_SUFFIX})"
CLASSIFIERS = "Classifiers (*.skops)"
_STACKS = "OME-TIFF (*.tif)"
_TABLES = "Tables (*.csv)"
_NO_MAP = "Tick Uncertainty or Probabilities first: the map shown is exported."
_UNFINISHED = "The result on the screen is not the final one; "


class Exports:
    """Ask where to write, or say in the strip why nothing can be written.

    Parameters
    ----------
    controller : Controller
        Holds what is written.
    background : Background
        Does the writing.
    window : QWidget
        Parent of the dialogs.
    """

    def __init__(self, controller: Controller, background: Background, window: QWidget) -> None:
        self._controller = controller
        self._strip = controller.panels.strip
        self._background = background
        self._window = window

    def wire(self, panel: ReusePanel) -> None:
        """Connect the buttons."""
        panel.wire(
            project_save=self._ask_project_save,
            save=self._ask_save,
            export=self._ask_export,
            map=self._ask_map,
            fractions=self._ask_fractions,
            scribbles=self._ask_scribbles,
        )

    def save_project(self, path: Path) -> None:
        """Save the strokes with the names and settings on the screen."""
        work, config = self._controller.work, self._controller.effective_settings.config
        if work is not None:
            if path.suffix != PROJECT_SUFFIX:
                path = path.with_name(path.name + PROJECT_SUFFIX)
                if path.exists():
                    self._strip.say(f"{path} already exists; give its full name to replace it.")
                    return
            recipe = work.recipe(self._controller.panels.classes.classes, config)
            image, scribbles = work.source.measured, work.scribbles.data
            seen = work.features_seen(config)
            self._background.start(projects.write_project, path, image, scribbles, recipe, seen)

    def save(self, path: Path) -> None:
        """Save the classifier."""
        classifier = self._controller.classifier
        if classifier is not None:
            self._background.start(files.write_classifier, path, classifier)

    def export(self, path: Path) -> None:
        """Write the segmentation."""
        work, refusal = self._controller.work, self._refusal()
        if refusal:
            self._refuse(self._refusal)
        elif work is not None and work.result.labels is not None:
            self._background.start(
                files.write_labels, path, work.source.measured, work.result.labels.data.copy()
            )

    def export_map(self, path: Path, kind: str) -> None:
        """Write uncertainty, or probabilities with one channel per class."""
        work, refusal = self._controller.work, self._map_refusal(kind)
        if refusal:
            self._refuse(partial(self._map_refusal, kind))
        elif work is not None:
            maps = [(name, one.copy()) for name, one in work.result.maps(kind)]
            self._background.start(files.write_maps, path, work.source.measured, maps)

    def export_fractions(self, path: Path) -> None:
        """Write the area fractions of every plane segmented by the current classifier."""
        work, classifier = self._controller.work, self._controller.classifier
        if work is None or classifier is None or work.result.labels is None:
            return
        if self._table_refusal(work):
            self._refuse(partial(self._table_refusal, work))
            return
        finished = sorted(work.result.finished)
        labels = {index: work.result.labels.data[index].copy() for index in finished}
        image, classes = work.source.measured, classifier.classes
        name = work.source.layer.name if image.path is None else image.path.name
        expected = {index: work.expected(index) for index in finished}
        self._background.start(files.write_table, path, name, image, labels, classes, expected)

    def export_scribbles(self, path: Path) -> None:
        """Write the scribbles."""
        work = self._controller.work
        if work is not None:
            self._background.start(
                files.write_scribbles, path, work.source.measured, work.scribbles.data.copy()
            )

    def _shown_map(self) -> str | None:
        box = self._controller.panels.result
        asked = {UNCERTAINTY: box.uncertainty, PROBABILITIES: box.probabilities}
        return next((kind for kind, one in asked.items() if one.isChecked()), None)

    def _map_refusal(self, kind: str | None) -> str:
        """Return why a map cannot be exported as it is; empty if it can."""
        if kind is None:
            return "" if self._shown_map() else _NO_MAP
        work, refusal = self._controller.work, self._refusal()
        if refusal or work is None:
            return refusal
        lacking = len(work.result.unmapped(kind))
        remedy = "press Apply to stack" if work.stack else self._remedy()
        words = (
            f"There is no map of {kind} for {counted(lacking, 'plane')} yet; {remedy}, then export."
        )
        return words if lacking else ""

    def _table_refusal(self, work: Workspace) -> str:
        """Return why fractions cannot be exported as they are; empty if they can."""
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

    def _refusal(self) -> str:
        """Return why the result cannot be exported as it is; empty if it can."""
        work = self._controller.work
        if work is None or work.result.labels is None:
            return "There is no result yet: paint a stroke in each of two classes first."
        if self._controller.updating:
            return "The result is being updated; export it when that is done."
        unfinished, planes = work.result.unfinished, work.source.micrograph.plane_indices()
        if unfinished and work.stack:
            return (
                f"Not yet segmented with the current strokes: {len(unfinished)} of {len(planes)} "
                "planes; press Apply to stack, then export."
            )
        live = self._controller.panels.result.live.isChecked()
        remedy = "paint a stroke in each of two classes" if live else "press Update once"
        return f"{_UNFINISHED}{remedy}, then export." if unfinished else ""

    def _refuse(self, refusal: Callable[[], str]) -> None:
        """Say why something is not exported, for as long as the reason holds."""
        words = refusal()
        self._strip.say(words, holds=lambda: refusal() == words)

    def _ask_project_save(self) -> None:
        self._with_target("Save project", PROJECT_SUFFIX, PROJECTS, self.save_project)

    def _ask_save(self) -> None:
        self._with_target("Save classifier", naming.CLASSIFIER, CLASSIFIERS, self.save)

    def _ask_export(self) -> None:
        if self._refusal():
            self._refuse(self._refusal)
        else:
            self._with_target("Export result", naming.LABELS, _STACKS, self.export)

    def _ask_map(self) -> None:
        kind = self._shown_map()
        refusal = partial(self._map_refusal, kind)
        if kind is None or refusal():
            self._refuse(refusal)
        else:
            act = partial(self.export_map, kind=kind)
            self._with_target(f"Export {kind}", f"_{kind}.tif", _STACKS, act)

    def _ask_fractions(self) -> None:
        self._with_target("Export fractions", naming.FRACTIONS, _TABLES, self.export_fractions)

    def _ask_scribbles(self) -> None:
        self._with_target("Export scribbles", naming.SCRIBBLES, _STACKS, self.export_scribbles)

    def _with_target(
        self, title: str, ending: str, kinds: str, act: Callable[[Path], None]
    ) -> None:
        """Ask where to write, proposing a name beside the image and derived from it."""
        work = self._controller.work
        if work is None:
            return
        proposed = naming.beside(work.source.micrograph.path, work.source.layer.name, ending)
        dialog = QFileDialog(self._window, title, str(proposed.parent), kinds)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(proposed.suffix)  # so that it asks before replacing that file
        dialog.selectFile(proposed.name)
        if dialog.exec():
            act(Path(dialog.selectedFiles()[0]))
        dialog.deleteLater()
