"""The positional bias report for an image of the viewer."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from qtpy.QtCore import QEvent, QProcess, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QIcon, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.gui.ownership import image_layers
from napari_alibi_seg.gui.parts import Block, LayerCombo, Strip, narrow
from napari_alibi_seg.gui.source import ImageSource, readings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Image

STOCK_MODEL = "timm:vit_small_patch14_dinov2.lvd142m"
_KILL_MS = 2000
_FIGURE_WIDTH = 300
_MOST_OF_SCREEN = 0.9
_FIGURES = {
    "authors_r2": "position told, R²",
    "loio_r2": "on other images, R²",
    "null_r2": "by chance, R²",
    "tile_cosine": "tiles agree, cosine",
    "flip_disagreement": "changed by a flip",
    "shift_disagreement": "changed by a shift",
}
_MEANING = (
    "<p>R² is 0 where features do not tell where on the image a patch lies, 1 where they do; on "
    "a single image mere smoothness reaches 0.5. "
    "Changed: the share of pixels whose class changes though the content does not.</p>"
)


class BiasReport(QWidget):
    """How much a model's features tell where on the image a patch lies, beside another model's.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._process: QProcess | None = None
        self._folder: Path | None = None
        self.layers, self.first, self.second = LayerCombo(), QComboBox(), QComboBox()
        self.second.setToolTip("A model to compare with; empty for none")
        for box, model in ((self.first, DEFAULT_MODEL), (self.second, STOCK_MODEL)):
            narrow(box)
            box.setEditable(True)
            box.addItems([DEFAULT_MODEL, STOCK_MODEL])
            box.setCurrentText(model)
            typed = box.lineEdit()
            assert typed is not None
            typed.setPlaceholderText("none")
            typed.setCursorPosition(0)  # a long name shows its beginning
        self.button = QPushButton("Make the report")
        self.button.clicked.connect(self._toggle)
        self.full = QPushButton("Open the full report")
        self.full.clicked.connect(self._open)
        self.strip, self.table, self.figure = Strip(), QLabel(), QPushButton()
        self.figure.setToolTip("Click to enlarge")
        self.figure.clicked.connect(self._enlarge)
        self._lay_out()
        for emitter in self._emitters():
            emitter.connect(self._offer)
        self._offer()

    @property
    def models(self) -> list[str]:
        """The models chosen; what is left empty is none."""
        typed = [box.currentText().strip() for box in (self.first, self.second)]
        return [model for model in typed if model]

    def start(self, layer: Image, models: Sequence[str]) -> None:
        """Probe models on a layer in a process of its own."""
        try:
            reading = readings(layer)[0]
            source = ImageSource.of(layer, reading, 0 if "C" in reading.axes else None)
        except AlibiSegError as error:
            self.strip.say(str(error), warn=True)
            return
        self._discard()
        self._folder = Path(tempfile.mkdtemp(prefix="napari-alibi-seg-"))
        image = self._folder / "image.tif"
        index = source.micrograph.plane_indices()[0]
        colour = "rgb" if source.micrograph.colour else "minisblack"
        tifffile.imwrite(image, np.asarray(source.micrograph.plane(index)), photometric=colour)
        output = self._folder / "report"
        words = ["-m", "napari_alibi_seg.probing", str(image), "--output", str(output)]
        for model in models:
            words += ["--model", model]
        self._process = QProcess(self)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.finished.connect(self._finish)
        self._process.start(sys.executable, words)
        self.button.setText("Stop")
        self.strip.say("Probing: this takes a minute or two, and the viewer stays free.")

    def release(self) -> None:
        """Stop the process and let go of the viewer."""
        for emitter in self._emitters():
            with suppress(ValueError):
                emitter.disconnect(self._offer)
        self.layers.clear()
        if self._process is not None:
            self._process.finished.disconnect(self._finish)
            self._process.kill()
            self._process.waitForFinished(_KILL_MS)
            self._process = None
        self._discard()

    def changeEvent(self, event: QEvent | None) -> None:
        """Release everything when napari takes the dock away: it then has no parent."""
        if event and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        super().changeEvent(event)

    def _discard(self) -> None:
        """Delete the last report, which is shown no more."""
        self.figure.hide()
        self.full.hide()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _toggle(self) -> None:
        if self._process is not None:
            self._process.kill()
        elif self.layers.currentIndex() < 0:
            self.strip.say("Open an image first (File, Open).", warn=True)
        elif not self.models:
            self.strip.say("Choose a model first.", warn=True)
        else:
            self.start(self.layers.currentData(), self.models)

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        assert self._process is not None
        said = self._process.readAll().data().decode(errors="replace").strip()
        self._process.deleteLater()
        self._process = None
        self.button.setText("Make the report")
        if status is not QProcess.ExitStatus.NormalExit:
            self.strip.say("Stopped; nothing was kept.")
        elif code:
            last = said.splitlines()[-1] if said else f"exit code {code}"
            why = last.removeprefix("error: ")
            self.strip.say(f"The report could not be made: {why}", warn=True)
        else:
            self._show()

    def _show(self) -> None:
        assert self._folder is not None
        report = self._folder / "report"
        self.table.setText(table(json.loads((report / "summary.json").read_text())))
        pixmap = QPixmap(str(report / "position.png"))
        if not pixmap.isNull():
            small = _of_width(pixmap, _FIGURE_WIDTH)
            self.figure.setIcon(QIcon(small))
            self.figure.setIconSize(small.size())
            self.figure.show()
        self.full.show()
        self.strip.say("The report is ready.")

    def _enlarge(self) -> None:
        assert self._folder is not None
        screen = self.screen()
        assert screen is not None
        widest = round(_MOST_OF_SCREEN * screen.availableSize().width())
        pixmap = QPixmap(str(self._folder / "report" / "position.png"))
        picture = QLabel()
        picture.setPixmap(_of_width(pixmap, min(pixmap.width(), widest)))
        dialog = QDialog(self)
        dialog.setWindowTitle("Positional bias")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        QVBoxLayout(dialog).addWidget(picture)
        dialog.show()

    def _open(self) -> None:
        assert self._folder is not None
        pages = sorted((self._folder / "report").rglob("*.html"))
        shown = pages[0] if pages else self._folder / "report"
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown)))

    def _offer(self) -> None:
        images = image_layers(self._viewer.layers)
        chosen = self.layers.currentData()
        self.layers.offer(images, chosen if chosen in images else next(iter(images), None))

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.renamed

    def _lay_out(self) -> None:
        block = Block("Positional bias")
        block.add("Image", self.layers)
        block.add("Model", self.first)
        block.add("Beside", self.second)
        block.add_wide(self.button)
        column = QVBoxLayout(self)
        column.addWidget(block)
        column.addWidget(self.strip)
        self.table.setWordWrap(True)
        self.table.setTextFormat(Qt.TextFormat.RichText)
        column.addWidget(self.table)
        column.addWidget(self.figure)
        column.addWidget(self.full)
        column.addStretch()
        self.figure.hide()
        self.full.hide()


def table(summary: dict[str, Any]) -> str:
    """Return what the probing measured as a table with one column per model, in rich text.

    Parameters
    ----------
    summary : dict
        The contents of ``summary.json``.
    """
    models: dict[str, dict[str, Any]] = summary["models"]
    heads = "".join(f"<th align='right'>{escape(_short(name))}</th>" for name in models)
    rows = [f"<tr><th></th>{heads}</tr>"]
    for key, words in _FIGURES.items():
        values = [model.get(key) for model in models.values()]
        if any(value is not None for value in values):
            cells = "".join(f"<td align='right'>{_number(value)}</td>" for value in values)
            rows.append(f"<tr><td>{words}</td>{cells}</tr>")
    return f"<table cellpadding='3' width='100%'>{''.join(rows)}</table>{_MEANING}"


def _of_width(pixmap: QPixmap, width: int) -> QPixmap:
    return pixmap.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)


def _short(name: str) -> str:
    if name.startswith("timm:"):
        return "stock"
    return "ALiBi" if "alibi" in name else Path(name).stem


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
