"""Provide the positional bias report for an image of the viewer."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, QUrl
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
from napari_alibi_seg.gui.bias_process import ReportProcess
from napari_alibi_seg.gui.bias_tables import report_text
from napari_alibi_seg.gui.ownership import image_layers
from napari_alibi_seg.gui.parts import LayerCombo, PanelRows, narrow, scrolled, side_by_side
from napari_alibi_seg.gui.source import ImageSource, channel_words, readings
from napari_alibi_seg.gui.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Image

    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.gui.source import Reading

_STOCK = "vit_small_patch14_dinov2.lvd142m"
STOCK_MODEL = f"timm:{_STOCK}"
_MAKE = "Make the report"
_MOST_OF_SCREEN = 0.9
_WIDTH = 300


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
        self.process = ReportProcess(self)
        self.process.made.connect(self._show)
        self.process.failed.connect(self._tell_of_failure)
        self._chosen: tuple[Image, Reading, tuple[int, ...] | None] | None = None
        self._probed = ""
        beside = STOCK_MODEL if stock_is_cached(_STOCK) else ""
        self.layers = LayerCombo()
        self.first, self.second = _ModelCombo(DEFAULT_MODEL), _ModelCombo(beside)
        self.button = QPushButton(_MAKE)
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
            source = self._read(layer)
            index = source.index(self._viewer.dims)
            plane = np.asarray(source.micrograph.plane(index))
            self.process.start(plane, source.micrograph.colour, models)
        except (AlibiSegError, OSError) as error:
            self._discard()
            self.strip.say(str(error), warn=True)
            return
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
        self.process.stop()
        self._discard()

    def changeEvent(self, event: QEvent | None) -> None:
        """Release everything when napari takes the dock away: it then has no parent."""
        if event and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        super().changeEvent(event)

    def _discard(self) -> None:
        """Hide and delete the last report."""
        self.process.discard()
        for shown in (self.table, self.figure, self.full):
            shown.hide()

    def _toggle(self) -> None:
        if self.process.running:
            self.process.stop()
            self._discard()
            self.button.setText(_MAKE)
            self.strip.say("Stopped; nothing was kept.")
        elif self.layers.currentIndex() < 0:
            words = "Open an image first (File, Open)."
            self.strip.say(words, warn=True, holds=lambda: self.layers.currentIndex() < 0)
        elif not self.models:
            self.strip.say("Choose a model first.", warn=True, holds=lambda: not self.models)
        else:
            self.start(self.layers.currentData(), self.models)

    def _tell_of_failure(self, why: str) -> None:
        self.button.setText(_MAKE)
        self.strip.say(f"The report could not be made: {why}", warn=True)

    def _show(self) -> None:
        self.button.setText(_MAKE)
        summary = self.process.summary()
        self.table.setText(report_text(self._probed, summary))
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
        pixmap = QPixmap(str(self.process.report / "position.png"))
        picture = QLabel()
        picture.setPixmap(_of_width(pixmap, min(pixmap.width(), widest)))
        dialog = QDialog(self)
        dialog.setWindowTitle("Positional bias")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        QVBoxLayout(dialog).addWidget(picture)
        dialog.show()

    def _open(self) -> None:
        pages = sorted(self.process.report.rglob("*.html"))
        shown = pages[0] if pages else self.process.report
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(shown.resolve())))

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


def _place(name: str, index: Index, channels: tuple[int, ...] | None) -> str:
    """Name the plane, channel and image that are probed."""
    parts = [f"plane {', '.join(map(str, index))}"] if index else []
    parts += [] if channels is None else [channel_words(channels)]
    return " of ".join([*parts, name])


def _of_width(pixmap: QPixmap, width: int) -> QPixmap:
    return pixmap.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)
