"""What the folded buttons do: files, clipboard, the whole stack."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication, QFileDialog
from superqt.utils import create_worker

from napari_alibi_seg.core import naming
from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL
from napari_alibi_seg.core.errors import AlibiSegError, thread_shortage
from napari_alibi_seg.core.project import PROJECT_SUFFIX
from napari_alibi_seg.gui import files, projects, scripts
from napari_alibi_seg.gui.bridge import unexpected
from napari_alibi_seg.gui.pace import LONG_S
from napari_alibi_seg.gui.result import PROBABILITIES, UNCERTAINTY
from napari_alibi_seg.gui.words import counted, estimate_words, replaced_words

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from qtpy.QtWidgets import QWidget
    from superqt.utils import GeneratorWorker

    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.folded_panels import ReusePanel
    from napari_alibi_seg.gui.workspace import Workspace

_PROJECTS = f"Projects (*{PROJECT_SUFFIX})"
_CLASSIFIERS = "Classifiers (*.skops)"
_IMAGES = "Images (*.tif *.tiff *.png *.jpg *.jpeg *.h5 *.hdf5)"
_STACKS = "OME-TIFF (*.tif)"
_TABLES = "Tables (*.csv)"
_NO_MAP = "Tick Uncertainty or Probabilities first: the map that is shown is exported."
_UNFINISHED = "The result on the screen is not the final one; "


class Actions(QObject):
    """Asks for files, does the work in a thread, and says in the strip how it went."""

    def __init__(self, controller: Controller, window: QWidget) -> None:
        super().__init__(window)
        self._controller = controller
        self._window = window
        self._worker: GeneratorWorker[Any, Any, Any] | None = None
        self._told: Callable[[Any], None] | None = None
        self._next: Callable[[], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._worker is not None

    def wire(self, panel: ReusePanel) -> None:
        """Connect the buttons."""
        for name, act in {
            "project_save": self._ask_project_save,
            "project_open": self._ask_project_open,
            "apply_stack": self._controller.apply_to_stack,
            "apply_files": self._ask_files,
            "apply_folder": self._ask_folder,
            "save": self._ask_save,
            "load": self._ask_load,
            "export": self._ask_export,
            "map": self._ask_map,
            "fractions": self._ask_fractions,
            "scribbles": self._ask_scribbles,
            "python": self.copy_script,
            "command": self.copy_command,
            "bias": self.open_bias_report,
        }.items():
            panel.buttons[name].clicked.connect(lambda _=False, act=act: act())

    def save_project(self, path: Path) -> None:
        """Save what is painted, with the names and settings on the screen."""
        work, settings = self._controller.work, self._controller.settings
        if work is not None:
            if path.suffix != PROJECT_SUFFIX:
                path = path.with_name(path.name + PROJECT_SUFFIX)
                if path.exists():
                    self._say(f"{path} exists; choose it by its full name to replace it.")
                    return
            recipe = work.recipe(self._controller.panels.classes.classes, settings)
            image, scribbles = work.source.measured, work.scribbles.data
            seen = work.features_seen(settings)
            self._start(projects.write_project, path, image, scribbles, recipe, seen)

    def open_project(self, path: Path) -> None:
        """Open a project with its image, or on the image that is open if it is the same."""
        work = self._controller.work
        current = None if work is None else work.source.micrograph
        told = partial(self._controller.restorer.show_project, work)
        self._say(f"Opening {path.name}")
        self._start(projects.read_project, path, current, told=told)

    def save(self, path: Path) -> None:
        """Save the classifier."""
        work = self._controller.work
        if work is not None and work.fitted is not None:
            classes = [known.info() for known in self._controller.panels.classes.classes]
            self._start(files.write_classifier, path, work.fitted.renamed(classes))

    def load(self, path: Path) -> None:
        """Load a classifier, and use it instead of training until something is painted."""
        self._start(files.read_classifier, path, told=self._controller.restorer.use_classifier)

    def export(self, path: Path) -> None:
        """Write the segmentation."""
        work, refusal = self._controller.work, self._refusal()
        if refusal:
            self._refuse(self._refusal)
        elif work is not None and work.result.labels is not None:
            self._start(
                files.write_labels, path, work.source.measured, work.result.labels.data.copy()
            )

    def export_map(self, path: Path, kind: str) -> None:
        """Write uncertainty, or probabilities with a channel for each class."""
        work, refusal = self._controller.work, self._map_refusal(kind)
        if refusal:
            self._refuse(partial(self._map_refusal, kind))
        elif work is not None:
            maps = [one.copy() for one in work.result.maps(kind)]
            self._start(files.write_maps, path, work.source.measured, maps)

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
        remedy = "press Apply to stack" if work.stack else "wait until it is drawn"
        words = (
            f"There is no map of {kind} of {counted(lacking, 'plane')} yet; {remedy}, then export."
        )
        return words if lacking else ""

    def export_fractions(self, path: Path) -> None:
        """Write the area fractions of every plane that the present classifier has segmented."""
        work = self._controller.work
        if work is None or work.fitted is None or work.result.labels is None:
            return
        classes = [known.info() for known in self._controller.panels.classes.classes]
        finished = sorted(work.result.finished)
        labels = {index: work.result.labels.data[index].copy() for index in finished}
        if not labels:
            self._controller.panels.strip.say(
                "No plane is segmented by the strokes as they are now; wait, then export.",
                holds=lambda: not work.result.finished,
            )
            return
        image, kinds = work.source.measured, work.fitted.renamed(classes).classes
        name = work.source.layer.name if image.path is None else image.path.name
        told = dict(work.assessments)
        self._start(files.write_table, path, name, image, labels, kinds, told)

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
                f"The strokes as they are now have yet to segment {len(unfinished)} of "
                f"{len(planes)} planes; press Apply to stack, then export."
            )
        live = self._controller.panels.result.live.isChecked()
        remedy = "paint a stroke in each of two classes" if live else "press Update once"
        return f"{_UNFINISHED}{remedy}, then export." if unfinished else ""

    def export_scribbles(self, path: Path) -> None:
        """Write the scribbles."""
        work = self._controller.work
        if work is not None:
            self._start(files.write_labels, path, work.source.measured, work.scribbles.data.copy())

    def apply_to_files(self, paths: Sequence[Path], folder: Path) -> None:
        """Segment other images with the classifier; ask first if that takes long or replaces."""
        work = self._controller.work
        if work is not None and work.fitted is not None:
            device = self._controller.settings.device
            go = partial(self._segment_files, work.fitted, folder, device)
            self._start(files.survey, paths, folder, told=partial(self._propose, work, go))

    def _segment_files(
        self, classifier: PixelClassifier, folder: Path, device: str, paths: Sequence[Path]
    ) -> None:
        self._start(files.segment_files, classifier, paths, folder, device, stoppable=True)
        if self._worker is not None:
            self._worker.returned.connect(self._announce)

    def _propose(
        self, work: Workspace, segment: Callable[[Sequence[Path]], None], found: files.Survey
    ) -> None:
        go = partial(segment, found.images)
        rows, columns = work.source.micrograph.shape_yx
        deep = work.fitted is not None and work.fitted.features is not None
        pace = self._controller.pace
        known = pace.estimate(found.pixels, found.largest, rows * columns, deep)
        told = [replaced_words(found.existing)] if found.existing else []
        if known.seconds >= LONG_S:
            told.insert(0, estimate_words(counted(len(found.images), "image"), known))
        if told:
            self._say(" ".join(told), ("Replace" if found.existing else "Start", go))
        else:
            self._next = go

    def _announce(self, _: None = None) -> None:
        words = self._controller.panels.strip.words
        self._say(words)  # there is nothing to stop any more
        show_info(words.partition("\n")[0])

    def copy_command(self) -> None:
        """Put the command on the clipboard."""
        work = self._controller.work
        if work is not None:
            classes = self._controller.panels.classes.classes
            text = scripts.command(work.source, self._controller.settings, classes)
            self._copy(text, "command")

    def copy_script(self) -> None:
        """Put the script on the clipboard."""
        work = self._controller.work
        if work is not None:
            classes = self._controller.panels.classes.classes
            text = scripts.script(work.source, self._controller.settings, classes)
            self._copy(text, "script")

    def open_bias_report(self) -> None:
        """Open the report on positional bias beside, for the image and model chosen here."""
        work, model = self._controller.work, self._controller.panels.settings.model
        window = self._controller.viewer.window
        name = "napari-alibi-seg", "Positional bias"
        _, report = window.add_plugin_dock_widget(*name, tabify=True)
        report.choose(work and work.source, DEFAULT_MODEL if model == CLASSICAL else model)

    def release(self) -> None:
        """Stop what runs, and hear no more of it."""
        self._told = self._next = None
        if self._worker is not None:
            self._worker.quit()

    def _copy(self, text: str, what: str) -> None:
        clipboard, work = QApplication.clipboard(), self._controller.work
        assert clipboard is not None
        assert work is not None
        clipboard.setText(text)
        needed = [f"{scripts.scribbles_name(work.source)} (Export scribbles)"]
        if work.source.micrograph.path is None:
            needed.append(f"{scripts.image_name(work.source)} (File, Save Selected Layers)")
        folder = " and ".join(needed)
        self._say(f"The {what} is on the clipboard; run it in the folder of {folder}.")

    def _start(
        self,
        work: Callable[..., Any],
        *arguments: object,
        told: Callable[[Any], None] | None = None,
        stoppable: bool = False,
    ) -> None:
        if self._worker is not None:
            self._say("Please wait until the last action is finished.")
            return
        self._worker = create_worker(
            _finishing, work, *arguments, _start_thread=False, _ignore_errors=True
        )
        self._told = told or partial(self._tell, stoppable)
        self._worker.yielded.connect(self._hear)
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(self._finish)
        self._worker.start()

    def _hear(self, news: Any) -> None:
        if self._told is not None:
            self._told(news)

    def _tell(self, stoppable: bool, words: str) -> None:
        stop = [("Stop", self.release)] if stoppable else []
        self._say(words, *stop)

    def _fail(self, error: Exception) -> None:
        self._controller.panels.strip.say(
            str(error) if isinstance(error, AlibiSegError) else unexpected(error), warn=True
        )

    def _finish(self, _: None = None) -> None:
        self._worker = None
        go, self._next = self._next, None
        if go is not None:
            go()

    def _refuse(self, refusal: Callable[[], str]) -> None:
        """Say why something is not exported, as long as that is so."""
        words = refusal()
        self._controller.panels.strip.say(words, holds=lambda: refusal() == words)

    def _say(self, words: str, *actions: tuple[str, Callable[[], None]]) -> None:
        self._controller.panels.strip.say(words, *actions)

    def _ask_project_save(self) -> None:
        self._with_target("Save project", PROJECT_SUFFIX, _PROJECTS, self.save_project)

    def _ask_project_open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Open project", "", _PROJECTS)
        if path:
            self.open_project(Path(path))

    def _ask_save(self) -> None:
        self._with_target("Save classifier", naming.CLASSIFIER, _CLASSIFIERS, self.save)

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

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Load classifier", "", _CLASSIFIERS)
        if path:
            self.load(Path(path))

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._window, "Images to segment", "", _IMAGES)
        self._ask_results([Path(path) for path in paths])

    def _ask_folder(self) -> None:
        words = "Folder of images, or an OME-Zarr"
        chosen = QFileDialog.getExistingDirectory(self._window, words)
        self._ask_results([Path(chosen)] if chosen else [])

    def _ask_results(self, paths: Sequence[Path]) -> None:
        folder = paths and QFileDialog.getExistingDirectory(self._window, "Folder for the results")
        if folder:
            self.apply_to_files(paths, Path(folder))

    def _with_target(
        self, title: str, ending: str, kinds: str, act: Callable[[Path], None]
    ) -> None:
        """Ask where to write; proposed is a name made of the image's, beside it."""
        work = self._controller.work
        if work is None:
            return
        proposed = naming.beside(work.source.micrograph.path, work.source.layer.name, ending)
        dialog = QFileDialog(self._window, title, str(proposed.parent), kinds)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix(proposed.suffix)  # so that it asks about the very file
        dialog.selectFile(proposed.name)
        if dialog.exec():
            act(Path(dialog.selectedFiles()[0]))
        dialog.deleteLater()


def _finishing(
    work: Callable[..., Iterator[Any]], *arguments: object
) -> Generator[Any, None, None]:
    """Do the work so that its worker always finishes."""
    try:
        yield from work(*arguments)
    except RuntimeError as error:  # superqt takes one for a deleted worker and never finishes
        raise (thread_shortage(error) or AlibiSegError(unexpected(error))) from error
