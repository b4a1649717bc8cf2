"""What the folded buttons do: files, clipboard, the whole stack."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication, QFileDialog
from superqt.utils import create_worker

from napari_alibi_seg.gui import files, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtWidgets import QWidget
    from superqt.utils import GeneratorWorker

    from napari_alibi_seg.gui.controller import Controller
    from napari_alibi_seg.gui.more import ReusePanel

_CLASSIFIERS = "Classifiers (*.skops)"
_IMAGES = "Images (*.tif *.tiff *.png *.jpg *.jpeg *.h5 *.hdf5)"
_STACKS = "OME-TIFF (*.tif)"


class Actions(QObject):
    """Asks for files, does the work in a thread, and says in the strip how it went."""

    def __init__(self, controller: Controller, window: QWidget) -> None:
        super().__init__(window)
        self._controller = controller
        self._window = window
        self._worker: GeneratorWorker[Any, Any, Any] | None = None

    def wire(self, panel: ReusePanel) -> None:
        """Connect the buttons."""
        for name, act in {
            "apply_stack": self._controller.apply_to_stack,
            "apply_files": self._ask_files,
            "save": self._ask_save,
            "load": self._ask_load,
            "export": self._ask_export,
            "scribbles": self._ask_scribbles,
            "python": self.copy_script,
            "command": self.copy_command,
        }.items():
            panel.buttons[name].clicked.connect(lambda _=False, act=act: act())
        panel.enable(image=self._controller.work is not None, classifier=False, stack=False)

    def save(self, path: Path) -> None:
        """Save the classifier."""
        work = self._controller.work
        if work is not None and work.fitted is not None:
            classes = [known.info() for known in self._controller.panels.classes.classes]
            self._start(files.write_classifier, path, work.fitted.renamed(classes))

    def load(self, path: Path) -> None:
        """Load a classifier, and use it instead of training until something is painted."""
        self._start(files.read_classifier, path, told=self._controller.use_classifier)

    def export(self, path: Path) -> None:
        """Write the segmentation."""
        work = self._controller.work
        if work is not None and work.result.labels is not None:
            self._start(
                files.write_labels, path, work.source.micrograph, work.result.labels.data.copy()
            )

    def export_scribbles(self, path: Path) -> None:
        """Write the scribbles."""
        work = self._controller.work
        if work is not None:
            self._start(
                files.write_labels, path, work.source.micrograph, work.scribbles.data.copy()
            )

    def apply_to_files(self, paths: Sequence[Path], folder: Path) -> None:
        """Segment other images with the classifier."""
        work = self._controller.work
        if work is not None and work.fitted is not None:
            device = self._controller.settings.device
            self._start(files.segment_files, work.fitted, paths, folder, device, stoppable=True)

    def copy_command(self) -> None:
        """Put the command on the clipboard."""
        work = self._controller.work
        if work is None:
            return
        settings = self._controller.settings
        self._copy(recipes.command(work.source, settings), "command")
        missing = recipes.unsaid(settings)
        if missing:
            self._say(
                f"A command cannot say what you set for {', '.join(missing)}; Copy as Python can."
            )

    def copy_script(self) -> None:
        """Put the script on the clipboard."""
        work = self._controller.work
        if work is not None:
            classes = self._controller.panels.classes.classes
            text = recipes.script(work.source, self._controller.settings, classes)
            self._copy(text, "script")

    def release(self) -> None:
        """Stop what runs."""
        if self._worker is not None:
            self._worker.quit()

    def _copy(self, text: str, what: str) -> None:
        clipboard, work = QApplication.clipboard(), self._controller.work
        assert clipboard is not None
        assert work is not None
        clipboard.setText(text)
        needed = recipes.scribbles_name(work.source)
        self._say(f"The {what} is on the clipboard; it reads {needed} (Export scribbles).")

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
        self._worker = create_worker(work, *arguments, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(told or partial(self._tell, stoppable))
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(self._finish)
        self._worker.start()

    def _tell(self, stoppable: bool, words: str) -> None:
        stop = [("Stop", self.release)] if stoppable else []
        self._say(words, *stop)

    def _fail(self, error: Exception) -> None:
        self._controller.panels.strip.say(str(error), warn=True)

    def _finish(self, _: None = None) -> None:
        self._worker = None

    def _say(self, words: str, *actions: tuple[str, Callable[[], None]]) -> None:
        self._controller.panels.strip.say(words, *actions)

    def _ask_save(self) -> None:
        self._with_target("Save classifier", "classifier.skops", _CLASSIFIERS, self.save)

    def _ask_export(self) -> None:
        self._with_target("Export result", "labels.tif", _STACKS, self.export)

    def _ask_scribbles(self) -> None:
        work = self._controller.work
        if work is not None:
            name = recipes.scribbles_name(work.source)
            self._with_target("Export scribbles", name, _STACKS, self.export_scribbles)

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Load classifier", "", _CLASSIFIERS)
        if path:
            self.load(Path(path))

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self._window, "Images to segment", "", _IMAGES)
        folder = paths and QFileDialog.getExistingDirectory(self._window, "Folder for the results")
        if folder:
            self.apply_to_files([Path(path) for path in paths], Path(folder))

    def _with_target(self, title: str, name: str, kinds: str, act: Callable[[Path], None]) -> None:
        path, _ = QFileDialog.getSaveFileName(self._window, title, name, kinds)
        if path:
            act(Path(path))
