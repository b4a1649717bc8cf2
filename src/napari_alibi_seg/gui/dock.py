"""The dock: lays the panels out, and hands what they ask for to the controller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.settings import get_plugin_settings, get_settings
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QFrame, QMainWindow, QSizePolicy, QVBoxLayout, QWidget

from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.gui.actions import Actions
from napari_alibi_seg.gui.background import Background
from napari_alibi_seg.gui.classes import ClassPanel
from napari_alibi_seg.gui.controller import Controller
from napari_alibi_seg.gui.exports import Exports
from napari_alibi_seg.gui.folded_panels import ReusePanel, TrainingPanel, folded
from napari_alibi_seg.gui.panels import ImagePanel, ResultPanel
from napari_alibi_seg.gui.parts import scrolled
from napari_alibi_seg.gui.records import Settings
from napari_alibi_seg.gui.strip import Strip

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtGui import QCloseEvent, QShowEvent
    from superqt import QCollapsible

_PLUGIN = "napari-alibi-seg"
_SCROLL_BAR = 18
_LAID_OUT_MS = 50


@dataclass(frozen=True, eq=False)
class Panels:
    """All parts of the dock."""

    strip: Strip
    image: ImagePanel
    classes: ClassPanel
    result: ResultPanel
    training: TrainingPanel
    reuse: ReusePanel

    @property
    def settings(self) -> Settings:
        """The training settings of the panels."""
        return self.training.settings(self.image.model)

    def show_config(self, config: SegmentationConfig) -> None:
        """Show how to train; the device stays."""
        self.image.choose_model(config.model)
        self.training.show_config(config)


class SegmentationDock(QWidget):
    """Segment the image by painting a few strokes.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.panels = Panels(
            Strip(), ImagePanel(), ClassPanel(), ResultPanel(), TrainingPanel(), ReusePanel()
        )
        settings = _preferred_settings()
        self.panels.training.show_settings(settings)
        self.panels.image.choose_model(settings.config.model)
        self._lay_out()
        self.controller = Controller(napari_viewer, self.panels)
        self.background = Background(self.panels.strip, self)
        self.exports = Exports(self.controller, self.background, self)
        self.reuse = Actions(self.controller, self.background, self)
        self._wire()
        self._released = self._window_closes = False
        self._styled, self._laid_out = _timer(self, 0), _timer(self, _LAID_OUT_MS)
        self._styled.timeout.connect(self._fit_width)
        self._styled.timeout.connect(self._laid_out.start)
        self._laid_out.timeout.connect(self._keep_whole)

    def release(self) -> None:
        """Stop all work and let go of the viewer; the layers stay."""
        if not self._released:
            self._released = True
            self.background.release()
            self.controller.release()

    def changeEvent(self, event: QEvent | None) -> None:
        """Release everything when napari removes the dock, which then has no parent.

        A new style, which a dock gets when it is added, may change its width.
        """
        if event and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        if event and event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._expect_other_width()
        super().changeEvent(event)

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Release everything."""
        self.release()
        super().closeEvent(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Release everything when the main window, which may refuse to close, hides as it closes.

        Its docks get no close event of their own.
        """
        if event and isinstance(watched, QMainWindow):
            minimised = event.spontaneous()
            if event.type() == QEvent.Type.Close:
                self._window_closes = True
            elif event.type() == QEvent.Type.Hide and self._window_closes and not minimised:
                self.release()
        return super().eventFilter(watched, event)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Make room for the content, and keep the image in view beside it."""
        window = _main_window(self)
        if window is not None:
            window.installEventFilter(self)
        self._fit_width()
        super().showEvent(event)
        self._keep_whole()

    def _expect_other_width(self) -> None:
        """Fit the width once all parts have their fonts, and then the canvas."""
        work = self.controller.work
        waiting = self._styled.isActive() or self._laid_out.isActive()
        if work is not None and not waiting:
            self.controller.framing.note_whole(work.source.layer)
        self._styled.start()

    def _fit_width(self) -> None:
        """Set the minimum width that the content needs."""
        parts = (self.area.widget(), self.panels.training, self.panels.reuse)
        widest = max(part.minimumSizeHint().width() for part in parts if part is not None)
        self.setMinimumWidth(widest + _SCROLL_BAR)

    def _keep_whole(self) -> None:
        """Refit an image that was wholly in view before the dock grew."""
        if self.controller.work is not None:
            self.controller.framing.keep_whole(self.controller.work.source.layer)

    def _wire(self) -> None:
        panels, controller = self.panels, self.controller
        panels.image.layer_chosen.connect(controller.chooser.go_to)
        panels.image.reading_chosen.connect(controller.chooser.choose_reading)
        panels.image.channels_chosen.connect(controller.chooser.choose_channels)
        panels.image.model_chosen.connect(controller.change_settings)
        panels.image.chip.pressed.connect(controller.toggle_features)
        panels.classes.chosen.connect(controller.brush.choose)
        panels.classes.erase_wanted.connect(controller.brush.erase)
        panels.classes.changed.connect(controller.change_classes)
        panels.classes.removal_wanted.connect(controller.removal.propose)
        panels.classes.layer_chosen.connect(controller.chooser.choose_scribbles)
        panels.result.update_wanted.connect(controller.update_once)
        panels.result.live_changed.connect(lambda _: controller.ask())
        panels.result.outputs_changed.connect(controller.change_outputs)
        panels.result.opacity_changed.connect(controller.workspaces.set_opacity)
        panels.training.changed.connect(controller.change_settings)
        panels.training.device_changed.connect(controller.change_device)
        self.exports.wire(panels.reuse)
        self.reuse.wire(panels.reuse)

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        for panel in (self.panels.image, self.panels.classes, self.panels.result):
            column.addWidget(panel)
            column.addWidget(_line())
        folds = (
            folded("Training", self.panels.training),
            folded("Save, apply and reuse", self.panels.reuse),
        )
        for fold in folds:
            column.addWidget(fold)
        column.addStretch()
        area = scrolled(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.panels.strip)  # outside the scrolled area
        outer.addWidget(area)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.area = area
        for fold in folds:
            self._bring_into_view(fold)

    def _bring_into_view(self, fold: QCollapsible) -> None:
        """Scroll to a block once it is unfolded and laid out."""
        timer = _timer(fold, _LAID_OUT_MS)
        timer.timeout.connect(partial(self.area.ensureWidgetVisible, fold))
        fold.toggled.connect(lambda opened: timer.start() if opened else timer.stop())


def _preferred_settings() -> Settings:
    """Return the settings under Preferences, Plugins.

    napari writes them to a file once anything is set. Without that file it is not asked, because
    it would read the manifests of all plugins again, which blocks the window.
    """
    own = get_settings().config_path
    if own is not None and not Path(own).with_name(f"{_PLUGIN}.yaml").exists():
        return Settings()
    try:
        preferred = get_plugin_settings(_PLUGIN).segmentation
    except KeyError:  # made without napari's plugin manager
        return Settings()
    config = SegmentationConfig(preferred.model, trees=preferred.trees)
    return Settings(config, preferred.device, preferred.threads)


def _main_window(widget: QWidget) -> QMainWindow | None:
    """Return the window that a widget belongs to, even if its dock floats."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent


def _timer(owner: QObject, milliseconds: int) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    line.setStyleSheet("background: rgba(128, 128, 128, 90); border: none;")
    return line
