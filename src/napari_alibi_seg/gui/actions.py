"""Act on the folded buttons that open, load, apply and copy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QApplication, QFileDialog

from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL
from napari_alibi_seg.core.forest.scribbles import count_footer_rows
from napari_alibi_seg.core.naming import FILE_SUFFIXES, first_few
from napari_alibi_seg.gui import files, projects, scripts
from napari_alibi_seg.gui.exports import CLASSIFIERS, PROJECTS
from napari_alibi_seg.gui.pace import LONG_S
from napari_alibi_seg.gui.records import as_core
from napari_alibi_seg.gui.refusals import Refusals
from napari_alibi_seg.gui.words import counted, estimate_words, footer_words, replaced_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qtpy.QtWidgets import QWidget

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.gui.background import Background
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.folded_panels import ReusePanel
    from napari_alibi_seg.gui.workspace import Workspace

_IMAGES = f"Images ({' '.join(f'*{suffix}' for suffix in FILE_SUFFIXES)})"


class Actions:
    """Ask what to open or which files to segment, and start it.

    Parameters
    ----------
    controller : Controller
        Shows what is opened, and holds the settings and the classifier.
    background : Background
        Reads and segments files.
    window : QWidget
        Parent of the dialogs.
    """

    def __init__(self, controller: Controller, background: Background, window: QWidget) -> None:
        self._controller = controller
        self._strip = controller.panels.strip
        self._background = background
        self._refusals = Refusals(controller)
        self._window = window

    def wire(self, panel: ReusePanel) -> None:
        """Connect the buttons."""
        panel.wire(
            project_open=self._ask_project_open,
            apply_stack=self._controller.apply_to_stack,
            apply_files=self._ask_files,
            apply_folder=self._ask_folder,
            load=self._ask_load,
            python=self.copy_script,
            command=self.copy_command,
            bias=self.open_bias_report,
        )

    def open_project(self, path: Path) -> None:
        """Open a project with its image, or on the open image if it is the same."""
        work = self._controller.work
        current = None if work is None else work.source.micrograph
        show = partial(self._controller.restorer.show_project, work)
        self._strip.say(f"Opening {path.name}")
        self._background.start(projects.read_project, path, current, receive=show)

    def load(self, path: Path) -> None:
        """Load a classifier, and use it instead of training until something is painted."""
        use = partial(self._controller.restorer.use_classifier, self._controller.work)
        self._background.start(files.read_classifier, path, receive=use)

    def apply_to_files(self, paths: Sequence[Path], folder: Path) -> None:
        """Segment other images; ask first if that takes long or would replace files."""
        survey = partial(self._survey_files, paths, folder)
        self._refusals.guard(self._refusals.files, survey)

    def _survey_files(self, paths: Sequence[Path], folder: Path, work: Workspace) -> None:
        classifier, footer_rows = self._controller.classifier, self._footer_rows(work)
        assert classifier is not None
        device = self._controller.effective_settings.device
        read = files.like(work.source.reading.axes, work.source.channels, footer_rows)
        reading = f"region=:-{footer_rows},:" if footer_rows else ""  # as `apply` writes it
        go = partial(self._segment_files, classifier, device, read, reading)
        propose = partial(self._propose, work, footer_rows, go)
        self._strip.say("Looking at the images")
        self._background.start(files.survey, paths, folder, read, receive=propose)

    def _footer_rows(self, work: Workspace) -> int:
        """Count the ignored rows at the foot of the plane on the screen."""
        _, ignored = as_core(self._controller.panels.classes.classes)
        shown = work.source.index(self._controller.viewer.dims)
        return count_footer_rows(work.scribbles.data[shown], ignored)

    def _segment_files(
        self,
        classifier: PixelClassifier,
        device: str,
        read: Callable[[Path], Micrograph],
        reading: str,
        targets: Mapping[Path, Path],
    ) -> None:
        self._background.start(
            files.segment_files,
            classifier,
            targets,
            device,
            read,
            reading,
            self._background.stopped,
            long=True,
        )

    def _propose(
        self,
        work: Workspace,
        footer_rows: int,
        segment: Callable[[Mapping[Path, Path]], None],
        found: files.Survey,
    ) -> None:
        go = partial(segment, found.targets)
        rows, columns = work.source.micrograph.shape_yx
        features = None if work.fitted is None else work.fitted.features
        scale = None if features is None else features.scale
        pace = self._controller.pace
        known = pace.estimate(found.pixels, found.largest, rows * columns, scale)
        words = [footer_words(footer_rows)] if footer_rows else []
        if found.existing:
            words.append(replaced_words(found.existing))
        if known.seconds >= LONG_S:
            words.insert(0, estimate_words(counted(len(found.targets), "image"), known))
        if words:
            answer = "Replace" if found.existing else "Start", go
            self._strip.say(" ".join(words), answer, holds=lambda: work.classifier_current)
        else:
            self._background.then(go)

    def copy_command(self) -> None:
        """Copy the shell command to the clipboard."""
        work = self._controller.work
        if work is not None:
            classes = work.own_classes(self._controller.panels.classes.classes)
            text = scripts.command(work.source, self._controller.effective_settings, classes)
            lost = first_few(list(map(repr, scripts.names_left_out(classes))))
            remark = f" The command line cannot take names with a comma: {lost}." if lost else ""
            self._copy(text, "command", remark)

    def copy_script(self) -> None:
        """Copy the Python script to the clipboard."""
        work = self._controller.work
        if work is not None:
            classes = work.own_classes(self._controller.panels.classes.classes)
            text = scripts.script(work.source, self._controller.effective_settings, classes)
            self._copy(text, "script")

    def open_bias_report(self) -> None:
        """Open the positional bias dock for the image and model chosen here."""
        work, model = self._controller.work, self._controller.panels.image.model
        window = self._controller.viewer.window
        name = "napari-alibi-seg", "Positional bias"
        _, report = window.add_plugin_dock_widget(*name, tabify=True)
        report.choose(work and work.source, DEFAULT_MODEL if model == CLASSICAL else model)

    def _copy(self, text: str, what: str, remark: str = "") -> None:
        clipboard, work = QApplication.clipboard(), self._controller.work
        assert clipboard is not None
        assert work is not None
        clipboard.setText(text)
        needed = [f"{scripts.scribbles_name(work.source)} (Export scribbles)"]
        if work.source.exact_file is None:
            needed.append(f"{scripts.image_name(work.source)} (File, Save Selected Layers)")
        folder = " and ".join(needed)
        words = f"The {what} is on the clipboard; run it in the folder with {folder}.{remark}"
        self._strip.say(words)

    def _ask_project_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Open project", "", PROJECTS)
        if path:
            self.open_project(Path(path))

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Load classifier", "", CLASSIFIERS)
        if path:
            self.load(Path(path))

    def _ask_files(self) -> None:
        self._refusals.guard(self._refusals.files, self._choose_files)

    def _ask_folder(self) -> None:
        self._refusals.guard(self._refusals.files, self._choose_folder)

    def _choose_files(self, _: Workspace) -> None:
        paths = QFileDialog.getOpenFileNames(self._window, "Images to segment", "", _IMAGES)[0]
        self._ask_results([Path(path) for path in paths])

    def _choose_folder(self, _: Workspace) -> None:
        words = "Folder of images, or an OME-Zarr"
        chosen = QFileDialog.getExistingDirectory(self._window, words)
        self._ask_results([Path(chosen)] if chosen else [])

    def _ask_results(self, paths: Sequence[Path]) -> None:
        folder = paths and QFileDialog.getExistingDirectory(self._window, "Folder for the results")
        if folder:
            self.apply_to_files(paths, Path(folder))
