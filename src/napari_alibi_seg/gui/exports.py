"""What the folded buttons write: the project, the classifier, the result and its tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_alibi_seg.core import naming
from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX
from napari_alibi_seg.gui import files, projects
from napari_alibi_seg.gui.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_alibi_seg.gui.background import Background
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.folded_panels import ReusePanel
    from napari_alibi_seg.gui.refusals import Refusal
    from napari_alibi_seg.gui.workspace import Workspace

PROJECTS = f"Projects (*{PROJECT_SUFFIX})"
CLASSIFIERS = "Classifiers (*.skops)"
_STACKS = "OME-TIFF (*.tif)"
_TABLES = "Tables (*.csv)"


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
        self._background = background
        self._refusals = Refusals(controller)
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
        """Save the strokes with the names on the screen and the settings of what is shown."""
        if path.suffix != PROJECT_SUFFIX:
            path = path.with_name(path.name + PROJECT_SUFFIX)
            if path.exists():
                words = f"{path} already exists; give its full name to replace it."
                self._controller.panels.strip.say(words)
                return
        self._refusals.guard(self._refusals.nothing, partial(self._write_project, path))

    def save(self, path: Path) -> None:
        """Save the classifier."""
        self._refusals.guard(self._refusals.classifier, partial(self._write_classifier, path))

    def export(self, path: Path) -> None:
        """Write the segmentation."""
        self._refusals.guard(self._refusals.result, partial(self._write_result, path))

    def export_map(self, path: Path, kind: str) -> None:
        """Write uncertainty, or probabilities with one channel per class."""
        refusal = partial(self._refusals.map, kind=kind)
        self._refusals.guard(refusal, partial(self._write_map, path, kind))

    def export_fractions(self, path: Path) -> None:
        """Write the area fractions of every plane segmented by the current classifier."""
        self._refusals.guard(self._refusals.table, partial(self._write_fractions, path))

    def export_scribbles(self, path: Path) -> None:
        """Write the scribbles."""
        self._refusals.guard(self._refusals.nothing, partial(self._write_scribbles, path))

    def _write_project(self, path: Path, work: Workspace) -> None:
        config = self._controller.effective_settings.config
        recipe = work.recipe(self._controller.panels.classes.classes, config)
        name, image = work.source.layer.name, work.source.measured
        painted, seen = work.scribbles.data.copy(), work.features_seen(config)
        self._background.start(projects.write_project, path, name, image, painted, recipe, seen)

    def _write_classifier(self, path: Path, _: Workspace) -> None:
        classifier = self._controller.classifier
        assert classifier is not None
        self._background.start(files.write_classifier, path, classifier)

    def _write_result(self, path: Path, work: Workspace) -> None:
        assert work.result.labels is not None
        labels = work.result.labels.data.copy()
        self._background.start(files.write_labels, path, work.source.measured, labels)

    def _write_map(self, path: Path, kind: str, work: Workspace) -> None:
        maps = [(name, one.copy()) for name, one in work.result.maps(kind)]
        self._background.start(files.write_maps, path, work.source.measured, maps)

    def _write_fractions(self, path: Path, work: Workspace) -> None:
        classifier = self._controller.classifier
        assert classifier is not None
        assert work.result.labels is not None
        labels, image = work.result.labels.data, work.source.measured
        name = work.source.layer.name if image.path is None else image.path.name
        planes = {
            index: files.SegmentedPlane(
                labels[index].copy(), work.expected(index), work.done[index].novelty
            )
            for index in work.result.finished
        }
        self._background.start(files.write_table, path, name, image, planes, classifier)

    def _write_scribbles(self, path: Path, work: Workspace) -> None:
        scribbles = work.scribbles.data.copy()
        self._background.start(files.write_scribbles, path, work.source.measured, scribbles)

    def _ask_project_save(self) -> None:
        place = "Save project", PROJECT_SUFFIX, PROJECTS
        self._ask(self._refusals.nothing, *place, self.save_project)

    def _ask_save(self) -> None:
        place = "Save classifier", naming.CLASSIFIER, CLASSIFIERS
        self._ask(self._refusals.classifier, *place, self.save)

    def _ask_export(self) -> None:
        self._ask(self._refusals.result, "Export result", naming.LABELS, _STACKS, self.export)

    def _ask_map(self) -> None:
        kind = self._controller.panels.result.shown_map
        place = f"Export {kind}", f"_{kind}.tif", _STACKS
        refusal = partial(self._refusals.map, kind=kind)
        self._ask(refusal, *place, partial(self.export_map, kind=kind))

    def _ask_fractions(self) -> None:
        place = "Export fractions", naming.FRACTIONS, _TABLES
        self._ask(self._refusals.table, *place, self.export_fractions)

    def _ask_scribbles(self) -> None:
        place = "Export scribbles", naming.SCRIBBLES, _STACKS
        self._ask(self._refusals.nothing, *place, self.export_scribbles)

    def _ask(
        self, refusal: Refusal, title: str, ending: str, kinds: str, act: Callable[[Path], None]
    ) -> None:
        """Ask where to write unless that is refused."""
        self._refusals.guard(refusal, partial(self._ask_target, title, ending, kinds, act))

    def _ask_target(
        self, title: str, ending: str, kinds: str, act: Callable[[Path], None], work: Workspace
    ) -> None:
        """Propose a name beside the image and derived from it."""
        proposed = naming.beside(work.source.micrograph.path, work.source.layer.name, ending)
        dialog = QFileDialog(self._window, title, str(proposed.parent), kinds)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(proposed.suffix)  # so that it asks before replacing that file
        dialog.selectFile(proposed.name)
        if dialog.exec():
            act(Path(dialog.selectedFiles()[0]))
        dialog.deleteLater()
