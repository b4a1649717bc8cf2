"""Small widgets that the panels are made of."""

from __future__ import annotations

from enum import Enum
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_alibi_seg.core.classes import Colour

GAP = 6
LABEL_WIDTH = 56
_SWATCH, _DISC = 16, 12  # pixels
_TEXT_MARGIN = 1  # pixels that Qt leaves on either side of the text in a combo box


class LayerCombo(QComboBox):
    """A list of layers, identified by the layers themselves and never by name.

    Long names, which often differ at the end alone, are cut in the middle.
    """

    chosen = Signal(object)
    """The user chose a layer."""

    def __init__(self) -> None:
        super().__init__()
        self._note = ""
        narrow(self)
        view = self.view()
        assert view is not None
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.currentIndexChanged.connect(self._show_tip)
        self.activated.connect(lambda _: self.chosen.emit(self.currentData()))

    def offer(self, layers: Sequence[Layer], chosen: Layer | None) -> None:
        """List layers, and mark the one that is chosen."""
        self.clear()
        for place, layer in enumerate(layers):
            self.addItem(layer.name, layer)
            self.setItemData(place, _paragraphs(layer.name), Qt.ItemDataRole.ToolTipRole)
        matches = [place for place, layer in enumerate(layers) if layer == chosen]
        self.setCurrentIndex(matches[0] if matches else -1)
        self.setEnabled(bool(layers))

    def annotate(self, note: str) -> None:
        """Show a note in the tooltip, below the whole name of the chosen layer."""
        self._note = note
        self._show_tip()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the name of the chosen layer with both its ends."""
        if self.currentIndex() < 0:
            super().paintEvent(event)
            return
        option, control = QStyleOptionComboBox(), QStyle.ComplexControl.CC_ComboBox
        self.initStyleOption(option)
        painter, style = QStylePainter(self), self.style()
        assert style is not None
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(control, option, part, self).width() - 2 * _TEXT_MARGIN
        middle = Qt.TextElideMode.ElideMiddle
        option.currentText = self.fontMetrics().elidedText(option.currentText, middle, room)
        painter.drawComplexControl(control, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    def _show_tip(self) -> None:
        self.setToolTip(_paragraphs(self.currentText(), self._note))


def _paragraphs(*texts: str) -> str:
    """Return plain texts, as of names with a < in them, as rich text."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts if text)


def narrow(combo: QComboBox) -> None:
    """Let a combo box cut off long text rather than widen the dock."""
    combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)


class Measured(QLabel):
    """A label at least as wide as a given text in its font.

    Parameters
    ----------
    widest : str
        That text.
    """

    restyled = Signal()
    """The font has changed."""

    def __init__(self, widest: str) -> None:
        super().__init__()
        self._widest = widest
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:
        """Return the size for its own text or the widest."""
        widest = self.fontMetrics().horizontalAdvance(self._widest)
        return super().sizeHint().expandedTo(QSize(widest, 0))

    def minimumSizeHint(self) -> QSize:
        """Return the same size as `sizeHint`."""
        return self.sizeHint()

    def changeEvent(self, event: QEvent | None) -> None:
        """Signal a changed font."""
        super().changeEvent(event)
        if event and event.type() == QEvent.Type.FontChange:
            self.restyled.emit()


class Paragraph(QLabel):
    """Rich text that reserves some lines, so that widgets below stay in place.

    Parameters
    ----------
    lines : int
        Number of reserved lines.
    """

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def heightForWidth(self, width: int) -> int:
        """Return the height of the text, or of the reserved lines."""
        return max(super().heightForWidth(width), self._lines * self.fontMetrics().height() + 4)


class ChipState(Enum):
    """How far the features are."""

    NONE = "#8a8f98"
    WORKING = "#e69f00"
    READY = "#2fa572"


class Chip(QFrame):
    """A coloured dot with a status text, and a button to stop or start the work."""

    pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.state = ChipState.NONE
        self._dot = QLabel()
        self._words = QLabel()
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.button = QPushButton()
        self.button.clicked.connect(self.pressed)
        row(self, self._dot, self._words, self.button, stretch=1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.show_state(ChipState.NONE, "No image")

    def sizeHint(self) -> QSize:
        """Be as high without the button as with it."""
        return QSize(super().sizeHint().width(), self.button.sizeHint().height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Be as high without the button as with it."""
        return QSize(super().minimumSizeHint().width(), self.sizeHint().height())

    @property
    def words(self) -> str:
        """What the chip says."""
        return self._words.text()

    def show_state(self, state: ChipState, words: str, button: str = "", tip: str = "") -> None:
        """Show a state; the button is hidden without a text."""
        self.state = state
        self._dot.setPixmap(_disc(state.value))
        self._words.setText(words)
        self.setToolTip(tip or words)
        self.button.setText(button)
        self.button.setVisible(bool(button))


def row(owner: QWidget, *widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Lay widgets out side by side; the one at `stretch` takes the space."""
    layout = QHBoxLayout(owner)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(GAP)
    for position, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if position == stretch else 0)
    return layout


def side_by_side(*widgets: QWidget, stretch: int | None = None) -> QWidget:
    """Return a widget that holds others in a row."""
    holder = QWidget()
    row(holder, *widgets, stretch=stretch)
    return holder


def stacked(*widgets: QWidget) -> QWidget:
    """Return a widget that holds others in a column."""
    holder = QWidget()
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(GAP)
    for widget in widgets:
        layout.addWidget(widget)
    return holder


def scrolled(content: QWidget) -> QScrollArea:
    """Return a frameless area that scrolls content taller than the dock."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


class PanelRows(QFrame):
    """A part of the dock with labelled rows, under a title if it has one."""

    def __init__(self, title: str = "") -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(GAP)
        self._grid.setVerticalSpacing(GAP)
        self._grid.setColumnMinimumWidth(0, LABEL_WIDTH)
        self._grid.setColumnStretch(1, 1)
        if title:
            heading = QLabel(title)
            heading.setStyleSheet("font-weight: bold;")
            self.add_wide(heading)

    def add(self, label: str, widget: QWidget) -> QLabel:
        """Add a row with a label before the widget; returns the label."""
        words = QLabel(label)
        words.setBuddy(widget)
        place = self._grid.rowCount()
        self._grid.addWidget(words, place, 0)
        self._grid.addWidget(widget, place, 1)
        return words

    def add_wide(self, widget: QWidget) -> None:
        """Add a row with a single widget over the full width."""
        self._grid.addWidget(widget, self._grid.rowCount(), 0, 1, 2)


def swatch(colour: Colour) -> QIcon:
    """Return a square of a colour."""
    pixmap = QPixmap(_SWATCH, _SWATCH)
    pixmap.fill(QColor(*colour))
    return QIcon(pixmap)


def _disc(colour: str) -> QPixmap:
    pixmap = QPixmap(_DISC, _DISC)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(1, 1, _DISC - 2, _DISC - 2)
    painter.end()
    return pixmap
