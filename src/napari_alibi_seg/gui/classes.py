"""The list of classes: colour, name, painted pixels, and the key of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QAction, QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_alibi_seg.gui.brush import ERASER_KEY, KEYS
from napari_alibi_seg.gui.painting import ERASED
from napari_alibi_seg.gui.parts import LayerCombo, Measured, PanelRows, row, side_by_side, swatch
from napari_alibi_seg.gui.records import PaintClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari.layers import Labels

_MOST = 255
_WIDE_COUNT = "99 999 px"
_PADDING = 8  # pixels, on both sides of a key


class ClassPanel(PanelRows):
    """Show the classes with their painted pixels, and signal what the user does with them."""

    chosen = Signal(int)
    erase_wanted = Signal()
    changed = Signal()
    removal_wanted = Signal(int)
    layer_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__("Classes")
        self.rows: list[ClassRow] = []
        self._chosen: int | None = None
        self._counts: Mapping[int, int] = {}
        self.removed: dict[int, PaintClass] = {}
        """Deleted classes with strokes, by value; kept with the layer whose undo has those."""
        self.layers = LayerCombo()
        self.layers.chosen.connect(self.layer_chosen)
        self._layers_label = self.add("Paint on", self.layers)
        self._list = QWidget()
        self._column = QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(3)
        self.add_wide(self._list)
        self.add_button = QPushButton("Add class")
        self.add_button.clicked.connect(self.add_class)
        self.eraser = QPushButton(f"Erase  [{ERASER_KEY}]")
        self.eraser.setCheckable(True)
        self.eraser.clicked.connect(self._want_eraser)
        self.add_wide(side_by_side(self.add_button, self.eraser))
        self.offer_layers([], None)
        self.show_plain()

    @property
    def classes(self) -> tuple[PaintClass, ...]:
        """The classes, in the order shown."""
        return tuple(row.info for row in self.rows)

    def show_plain(self) -> None:
        """Show two classes with plain names."""
        self.removed = {}
        self.show_classes([PaintClass.default(1), PaintClass.default(2)])

    def show_classes(self, classes: Sequence[PaintClass]) -> None:
        """Show other classes instead; undo may still bring deleted ones back."""
        for old in self.rows:
            self._column.removeWidget(old)
            old.hide()
            old.deleteLater()
        self.rows = [self._row(info) for info in classes]
        for shown in self.rows:
            shown.delete.setEnabled(len(self.rows) > 1)
        self.show_counts(self._counts)
        self.show_chosen(self._chosen)

    def ensure(self, values: Sequence[int]) -> None:
        """Add a class for each painted value without one; follow undo and redo of a deletion."""
        classes = [info for info in self.classes if not self._is_deleted_again(info, values)]
        for value in map(int, values):
            if all(value != shown.value for shown in classes):
                back = self.removed.get(value)
                classes.append(back or PaintClass.beside(value, classes))
        classes.sort(key=lambda shown: shown.value)
        if classes and {*classes} != {*self.classes}:
            self.removed |= {info.value: info for info in self.classes if info not in classes}
            self.show_classes(classes)
            self.changed.emit()

    def _is_deleted_again(self, info: PaintClass, painted: Sequence[int]) -> bool:
        """Whether a class that undo brought back has no strokes any more; ignored ones untold."""
        return info.value in self.removed and info.value not in painted and not info.ignored

    def settle(self) -> None:
        """Keep the classes listed, also those that undo brought back and redo might delete."""
        for shown in self.classes:
            self.removed.pop(shown.value, None)

    def show_counts(self, pixels: Mapping[int, int]) -> None:
        """Show how many pixels of each class are painted."""
        self._counts = pixels
        for shown in self.rows:
            shown.show_count(pixels.get(shown.info.value, 0))

    def show_chosen(self, value: int | None) -> None:
        """Mark the chosen class, or the eraser for 0; None marks neither."""
        self._chosen = value
        for shown in self.rows:
            shown.key.setChecked(shown.info.value == value)
        self.eraser.setChecked(value == ERASED)

    def offer_layers(self, layers: Sequence[Labels], chosen: Labels | None) -> None:
        """Offer layers to paint on; hidden if there is nothing to choose."""
        self.layers.offer(layers, chosen)
        for widget in (self._layers_label, self.layers):
            widget.setVisible(len(layers) > 1)

    def add_class(self) -> None:
        """Add a class with the smallest free value, and paint it."""
        value = self.free_value()
        if value is not None:
            self.show_classes([*self.classes, PaintClass.beside(value, self.classes)])
            self.changed.emit()
            self.chosen.emit(value)

    def free_value(self, others: Iterable[int] = ()) -> int | None:
        """Return the smallest value of no class nor of `others`; None if every one is taken.

        The value of a class deleted with strokes is not reused: undo may bring them back.
        """
        taken = {*others, *self.removed, *(shown.value for shown in self.classes)}
        return next((value for value in range(1, _MOST + 1) if value not in taken), None)

    def _want_eraser(self) -> None:
        self.erase_wanted.emit()
        self.show_chosen(self._chosen)  # Qt has toggled the button in any case

    def _want(self, value: int) -> None:
        self.chosen.emit(value)
        self.show_chosen(self._chosen)

    def _row(self, info: PaintClass) -> ClassRow:
        made = ClassRow(info, self._is_named)
        made.chosen.connect(self._want)
        made.changed.connect(self.changed)
        made.removal_wanted.connect(self.removal_wanted)
        self._column.addWidget(made)
        return made

    def _is_named(self, name: str) -> bool:
        return any(shown.name == name for shown in self.classes)

    def remove(self, value: int, painted: bool) -> None:
        """Delete a class; if it had strokes, undo may bring it back."""
        if painted:
            self.removed |= {info.value: info for info in self.classes if info.value == value}
        self.show_classes([info for info in self.classes if info.value != value])


class ClassRow(QWidget):
    """One class."""

    chosen = Signal(int)
    changed = Signal()
    removal_wanted = Signal(int)

    def __init__(self, info: PaintClass, taken: Callable[[str], bool]) -> None:
        super().__init__()
        self.info = info
        self._taken = taken
        key = str(info.value)
        self.key = _KeyButton(key)
        self.key.setCheckable(True)
        self.key.setToolTip(f"Paint this class{f' (key {key})' * (key in KEYS)}")
        self.key.clicked.connect(lambda: self.chosen.emit(self.info.value))
        self._colour = QToolButton()
        self._colour.setToolTip("Change the colour")
        self._colour.clicked.connect(self._recolour)
        self.name = QLineEdit(info.name)
        self.name.setCursorPosition(0)  # a long name shows its beginning
        self.name.setToolTip("Class name; click to change it")
        self.name.editingFinished.connect(self._rename)
        self.count = Measured(_WIDE_COUNT)
        self.count.setText("0 px")
        self.count.restyled.connect(self._follow_font)
        self.count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._menu = self._options()
        row(self, self.key, self._colour, self.name, self.count, self._menu, stretch=2)
        self._show()

    def show_count(self, pixels: int) -> None:
        """Show the number of painted pixels, or that they are ignored."""
        words = f"{pixels:,} px".replace(",", " ")
        self.count.setText("ignored" if self.info.ignored else words)

    def _options(self) -> QToolButton:
        button = QToolButton()
        button.setText("⋯")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setToolTip("Ignore or delete this class")
        button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        menu = QMenu(button)
        self.ignore = QAction("Ignore: leave painted pixels out (cover all of a databar)", menu)
        self.ignore.setCheckable(True)
        self.ignore.setChecked(self.info.ignored)
        self.ignore.toggled.connect(self._ignore)
        self.delete = QAction("Delete this class and its strokes", menu)
        self.delete.triggered.connect(lambda: self.removal_wanted.emit(self.info.value))
        menu.addActions([self.ignore, self.delete])
        button.setMenu(menu)
        return button

    def _recolour(self) -> None:
        colour = QColorDialog.getColor(QColor(*self.info.colour), self, "Class colour")
        if colour.isValid():
            self.recolour((colour.red(), colour.green(), colour.blue()))

    def recolour(self, colour: tuple[int, int, int]) -> None:
        """Change the colour."""
        self._change(replace(self.info, colour=colour))

    def _rename(self) -> None:
        name = self.name.text().strip()
        if name != self.info.name and self._taken(name):
            below = self.name.mapToGlobal(self.name.rect().bottomLeft())
            QToolTip.showText(below, f"Another class is already called {name}; choose another.")
        elif name and name != self.info.name:
            self._change(replace(self.info, name=name))
        self.name.setText(self.info.name)
        self.name.setCursorPosition(0)
        self.name.clearFocus()  # so that keys choose classes again

    def _ignore(self, ignored: bool) -> None:
        self._change(replace(self.info, ignored=ignored))

    def _change(self, info: PaintClass) -> None:
        self.info = info
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        self._colour.setIcon(swatch(self.info.colour))
        font = self.name.font()
        font.setStrikeOut(self.info.ignored)
        self.name.setFont(font)

    def _follow_font(self) -> None:
        """Match the font size of the labels, as napari does not style line edits."""
        font = self.name.font()
        font.setPointSizeF(self.count.font().pointSizeF())
        self.name.setFont(font)


class _KeyButton(QPushButton):
    """A button wide enough for the largest class value in its font."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size needed for the largest class value."""
        width = self.fontMetrics().horizontalAdvance(str(_MOST))
        return QSize(width + _PADDING, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return the same size as `sizeHint`."""
        return self.sizeHint()
