"""Provide the positional bias report for an image of the viewer."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from qtpy.QtCore import QEvent, QProcess, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QPixmap
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
from napari_alibi_seg.core.model.fetch import stock_is_cached
from napari_alibi_seg.gui.ownership import image_layers
from napari_alibi_seg.gui.parts import LayerCombo, PanelRows, Strip, narrow, scrolled, side_by_side
from napari_alibi_seg.gui.source import ImageSource, channel_words, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import napari.viewer
    from napari.layers import Image

    from napari_alibi_seg.core.images.planes import Index
    from napari_alibi_seg.gui.source import Reading

_STOCK = "vit_small_patch14_dinov2.lvd142m"
STOCK_MODEL = f"timm:{_STOCK}"
_KILL_MS = 2000
_MOST_OF_SCREEN = 0.9
_WIDTH, _BAR = 300, 200
_COLOURS = ("#0072b2", "#e69f00")
_FIGURES: dict[str, tuple[str, Callable[[float], float]]] = {
    "authors_r2": ("features predict position, R²", float),
    "flip_disagreement": ("pixels that change class, flipped", float),
    "shift_disagreement": ("pixels that change class, shifted", float),
    "tile_cosine": ("tile against whole, 1 - cosine", lambda cosine: 1 - cosine),
}
_MEANING = (
    "<p>Shorter bars are better. R² is 1 if features reveal where on the image a patch lies; on "
    "a single image, smoothness alone reaches 0.5. A small shift hardly affects even a model that "
    "relies on position.</p>"
)


class _ModelCombo(QComboBox):
    """A box to choose a model or type its name; empty means none."""

    def __init__(self, model: str) -> None:
        super().__init__()
        narrow(self)
        self.setEditable(True)
        self.addItems([DEFAULT_MODEL, STOCK_MODEL])
        typed = self.lineEdit()
        assert typed is not None
        typed.setPlaceholderText("none")
        self._typed = typed
        self.editTextChanged.connect(self._show_beginning)
        self.setCurrentText(model)
        self._show_beginning(model)

    def _show_beginning(self, text: str) -> None:
        """Show the start of a long name unless it is being typed, and all of it as a tooltip."""
        self.setToolTip(text or "Leave empty for none. The stock model is downloaded once")
        if not self._typed.hasFocus():
            self._typed.setCursorPosition(0)


class BiasReport(QWidget):
    """Report how far features of one or two models reveal where on the image a patch lies.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._process: QProcess | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self._chosen: tuple[Image, Reading, tuple[int, ...] | None] | None = None
        self._probed = ""
        beside = STOCK_MODEL if stock_is_cached(_STOCK) else ""
        self.layers = LayerCombo()
        self.first, self.second = _ModelCombo(DEFAULT_MODEL), _ModelCombo(beside)
        self.button = QPushButton("Make the report")
        self.button.clicked.connect(self._toggle)
        self.full = QPushButton("Full report")
        self.full.setToolTip("Open it in the browser")
        self.full.clicked.connect(self._open)
        self.strip, self.table, self.figure = Strip(), QLabel(), QPushButton("Show figure")
        self.figure.clicked.connect(self._enlarge)
        for box in (self.first, self.second):
            box.editTextChanged.connect(lambda _: self.strip.review())
        self._lay_out()
        for emitter in self._emitters():
            emitter.connect(self._offer)
        self._offer()

    @property
    def models(self) -> list[str]:
        """The chosen models, without empty boxes."""
        typed = [box.currentText().strip() for box in (self.first, self.second)]
        return [model for model in typed if model]

    def choose(self, source: ImageSource | None, model: str) -> None:
        """Choose an image, with its present reading, and a model, as if the user had."""
        layer = None if source is None else source.layer
        self._chosen = None
        if source is not None:  # a report is on one channel
            first = source.channels and source.channels[:1]
            self._chosen = source.layer, source.reading, first
        self.layers.offer(image_layers(self._viewer.layers), layer)
        self.first.setCurrentText(model)

    def start(self, layer: Image, models: Sequence[str]) -> None:
        """Probe models on a layer in a separate process."""
        self._discard()
        try:
            self._folder = TemporaryDirectory(
                prefix="napari-alibi-seg-", ignore_cleanup_errors=True
            )
            image = self._report.with_name("image.tif")
            source = self._read(layer)
            index = source.index(self._viewer.dims)
            colour = "rgb" if source.micrograph.colour else "minisblack"
            tifffile.imwrite(image, np.asarray(source.micrograph.plane(index)), photometric=colour)
        except (AlibiSegError, OSError) as error:
            self._discard()
            self.strip.say(str(error), warn=True)
            return
        words = ["-m", "napari_alibi_seg.probing", str(image), "--output", str(self._report)]
        for model in models:
            words += ["--model", model]
        self._process = QProcess(self)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.finished.connect(self._finish)
        self._process.errorOccurred.connect(self._tell_of_error)
        self._process.start(sys.executable, words)
        self.button.setText("Stop")
        self._probed = _place(layer.name, index, source.channels)
        self.strip.say(
            f"Probing {self._probed}: this takes a minute or two; you can keep using napari."
        )

    def _read(self, layer: Image) -> ImageSource:
        """Read a layer as it was chosen to be read, or else in the first way offered."""
        if self._chosen is not None and self._chosen[0] == layer:
            return ImageSource.of(*self._chosen)
        reading = readings(layer)[0]
        return ImageSource.of(layer, reading, (0,) if "C" in reading.axes else None)

    def release(self) -> None:
        """Stop the process and let go of the viewer."""
        for emitter in self._emitters():
            with suppress(ValueError):
                emitter.disconnect(self._offer)
        self.layers.clear()
        self._chosen = None
        self._stop()
        self._discard()

    def changeEvent(self, event: QEvent | None) -> None:
        """Release everything when napari takes the dock away: it then has no parent."""
        if event and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        super().changeEvent(event)

    def _discard(self) -> None:
        """Hide and delete the last report."""
        for shown in (self.table, self.figure, self.full):
            shown.hide()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _toggle(self) -> None:
        if self._process is not None:
            self._stop()
            self._discard()
            self.strip.say("Stopped; nothing was kept.")
        elif self.layers.currentIndex() < 0:
            words = "Open an image first (File, Open)."
            self.strip.say(words, warn=True, holds=lambda: self.layers.currentIndex() < 0)
        elif not self.models:
            self.strip.say("Choose a model first.", warn=True, holds=lambda: not self.models)
        else:
            self.start(self.layers.currentData(), self.models)

    def _stop(self) -> None:
        if self._process is not None:
            self._process.finished.disconnect(self._finish)
            self._process.kill()
            self._process.waitForFinished(_KILL_MS)
            self._let_go()

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        assert self._process is not None
        said = self._process.readAll().data().decode(errors="replace").strip()
        self._let_go()
        if status is not QProcess.ExitStatus.NormalExit:
            why = "the system stopped it, perhaps because memory ran out; try again."
        elif self._summary.is_file():
            self._show()
            return
        else:
            last = said.splitlines()[-1] if said else f"exit code {code}"
            why = last.removeprefix("napari-alibi-seg: error: ")
        self.strip.say(f"The report could not be made: {why}", warn=True)

    def _tell_of_error(self, error: QProcess.ProcessError) -> None:
        """Say why the process did not start; `_finish` reports all later errors."""
        if self._process is not None and error is QProcess.ProcessError.FailedToStart:
            why = self._process.errorString()
            self._let_go()
            self.strip.say(f"The report could not be made: {why}", warn=True)

    def _let_go(self) -> None:
        assert self._process is not None
        self._process.deleteLater()
        self._process = None
        self.button.setText("Make the report")

    @property
    def _report(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "report")

    @property
    def _summary(self) -> Path:
        return self._report / "summary.json"

    def _show(self) -> None:
        summary = json.loads(self._summary.read_text(encoding="utf-8"))
        told = f"<p>{escape(self._probed)}</p>{finding(summary)}{table(summary)}{_MEANING}"
        self.table.setText(told)
        for shown in (self.table, self.figure, self.full):
            shown.show()
        left_out = [f"Without {name}: {why}" for name, why in summary["failed"].items()]
        if left_out:
            self.strip.say(" ".join(["The report is ready.", *left_out]), warn=True)
        else:
            self.strip.put_away()

    def _enlarge(self) -> None:
        screen = self.screen()
        assert screen is not None
        widest = round(_MOST_OF_SCREEN * screen.availableSize().width())
        pixmap = QPixmap(str(self._report / "position.png"))
        picture = QLabel()
        picture.setPixmap(_of_width(pixmap, min(pixmap.width(), widest)))
        dialog = QDialog(self)
        dialog.setWindowTitle("Positional bias")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        QVBoxLayout(dialog).addWidget(picture)
        dialog.show()

    def _open(self) -> None:
        pages = sorted(self._report.rglob("*.html"))
        shown = pages[0] if pages else self._report
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown)))

    def _offer(self) -> None:
        images = image_layers(self._viewer.layers)
        chosen = self.layers.currentData()
        if self._chosen is not None and self._chosen[0] not in images:
            self._chosen = None  # so that its pixels can be freed
        self.layers.offer(images, chosen if chosen in images else next(iter(images), None))
        self.strip.review()

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return events.inserted, events.removed, events.renamed

    def _lay_out(self) -> None:
        content = QWidget()
        block = PanelRows("Positional bias")
        block.add("Image", self.layers)
        block.add("Model", self.first)
        block.add("Beside", self.second)
        block.add_wide(self.button)
        column = QVBoxLayout(content)
        column.addWidget(block)
        column.addWidget(self.strip)
        self.table.setWordWrap(True)
        self.table.setTextFormat(Qt.TextFormat.RichText)
        column.addWidget(side_by_side(self.figure, self.full))
        column.addWidget(self.table)
        column.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(content))
        self.setMinimumWidth(_WIDTH)
        self._discard()


def finding(summary: dict[str, Any]) -> str:
    """Return the models, their colours and what a flip of the image changes, in rich text."""
    told = ["<b>Pixels that change class if flipped:</b>"]
    for model, colour in zip(summary["models"].values(), _COLOURS, strict=False):
        share = model.get("flip_disagreement")
        known = "-" if share is None else f"{100 * share:.0f} %"
        told.append(f"<font color='{colour}'>■</font> {escape(model['label'])}: {known}")
    return f"<p>{'<br>'.join(told)}</p>"


def table(summary: dict[str, Any]) -> str:
    """Return the measured values as bars in the colours of the models, in rich text.

    Parameters
    ----------
    summary : dict
        The contents of ``summary.json`` for one image.
    """
    models = [*zip(summary["models"].values(), _COLOURS, strict=False)]
    rows = []
    for key, (words, harm) in _FIGURES.items():
        found = [(model.get(key), colour) for model, colour in models]
        if any(value is not None for value, _ in found):
            rows.append(f"<tr><td colspan='2'>{words}</td></tr>")
            for value, colour in found:
                shown = value if value is None else harm(value)
                rows.append(f"<tr><td>{_bar(shown, colour)}</td><td>{_number(shown)}</td></tr>")
    return f"<table cellpadding='2'>{''.join(rows)}</table>"


def _place(name: str, index: Index, channels: tuple[int, ...] | None) -> str:
    """Name the plane, channel and image that are probed."""
    parts = [f"plane {', '.join(map(str, index))}"] if index else []
    parts += [] if channels is None else [channel_words(channels)]
    return " of ".join([*parts, name])


def _bar(value: float | None, colour: str) -> str:
    width = round(_BAR * min(max(value or 0.0, 0.0), 1.0))
    filled = f"<td width='{width}' bgcolor='{colour}'>&nbsp;</td>" if width else ""
    rest = f"<td width='{_BAR - width}'>&nbsp;</td>" if width < _BAR else ""
    return f"<table cellspacing='0' cellpadding='0'><tr>{filled}{rest}</tr></table>"


def _of_width(pixmap: QPixmap, width: int) -> QPixmap:
    return pixmap.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
