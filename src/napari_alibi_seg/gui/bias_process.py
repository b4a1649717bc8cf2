"""The process that makes a positional bias report, and the folder that holds it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import tifffile
from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_KILL_MS = 2000


class ReportProcess(QObject):
    """Probe models on one plane at a time; a report is held until it is discarded.

    Parameters
    ----------
    parent : QObject
        Owner.
    """

    made = Signal()
    """The report is there."""
    failed = Signal(str)
    """There is no report; with the reason."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._folder: TemporaryDirectory[str] | None = None

    @property
    def running(self) -> bool:
        """Whether a report is being made."""
        return self._process is not None

    @property
    def report(self) -> Path:
        """Folder of the report."""
        assert self._folder is not None
        return Path(self._folder.name, "report")

    def summary(self) -> dict[str, Any]:
        """Return the contents of the report's ``summary.json``."""
        summary: dict[str, Any] = json.loads(self._summary.read_text(encoding="utf-8"))
        return summary

    def start(self, plane: NDArray[Any], colour: bool, models: Sequence[str]) -> None:
        """Probe models on a (Y, X) or (Y, X, 3) plane.

        Raises
        ------
        OSError
            If the plane cannot be stored for the process.
        """
        self._folder = TemporaryDirectory(prefix="napari-alibi-seg-", ignore_cleanup_errors=True)
        image = self.report.with_name("image.tif")
        tifffile.imwrite(image, plane, photometric="rgb" if colour else "minisblack")
        words = ["-m", "napari_alibi_seg.probing", str(image), "--output", str(self.report)]
        for model in models:
            words += ["--model", model]
        self._process = QProcess(self)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        surroundings = QProcessEnvironment.systemEnvironment()
        surroundings.insert("PYTHONIOENCODING", "utf-8")  # of what `_finish` reads
        self._process.setProcessEnvironment(surroundings)
        self._process.finished.connect(self._finish)
        self._process.errorOccurred.connect(self._tell_of_error)
        self._process.start(sys.executable, words)

    def stop(self) -> None:
        """End the process; no signal follows."""
        if self._process is not None:
            self._process.finished.disconnect(self._finish)
            self._process.kill()
            self._process.waitForFinished(_KILL_MS)
            self._let_go()

    def discard(self) -> None:
        """Delete the report, if any."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        assert self._process is not None
        said = self._process.readAll().data().decode(errors="replace").strip()
        self._let_go()
        if status is not QProcess.ExitStatus.NormalExit:
            why = "the system stopped it, perhaps because memory ran out; try again."
        elif self._summary.is_file():
            self.made.emit()
            return
        else:
            last = said.splitlines()[-1] if said else f"exit code {code}"
            why = last.removeprefix("napari-alibi-seg: error: ")
        self.failed.emit(why)

    def _tell_of_error(self, error: QProcess.ProcessError) -> None:
        """Say why the process did not start; `_finish` tells of all later errors."""
        if self._process is not None and error is QProcess.ProcessError.FailedToStart:
            why = self._process.errorString()
            self._let_go()
            self.failed.emit(why)

    def _let_go(self) -> None:
        assert self._process is not None
        self._process.deleteLater()
        self._process = None

    @property
    def _summary(self) -> Path:
        return self.report / "summary.json"
