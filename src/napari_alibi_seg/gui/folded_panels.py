"""Provide the folded blocks: training settings, and saving, applying and reusing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QPushButton,
    QSpinBox,
    QWidget,
)
from superqt import QCollapsible
from superqt.utils import signals_blocked

from napari_alibi_seg.core.choices import (
    CLASSICAL,
    COMPONENT_COUNTS,
    DEFAULT_MODEL,
    LARGEST_SEED,
    SCALES,
    SMOOTHING_RADII,
    TREE_COUNTS,
    Forest,
)
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.gui.parts import GAP, PanelRows, stacked
from napari_alibi_seg.gui.records import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FORESTS = {"extra trees": Forest.EXTRA_TREES, "random": Forest.RANDOM}
_DEVICES = ("auto", "cpu", "cuda", "mps")
_EVEN_OUT = "even it out"


class TrainingPanel(PanelRows):
    """Edit all `Settings` but the model."""

    changed = Signal()
    """Another setting that training depends on was chosen."""
    device_changed = Signal()
    """Another device was chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = 0
        self.scale, self.device = QComboBox(), QComboBox()
        self.scale.addItems(list(map(str, SCALES)))
        self.scale.setToolTip("Enlarge the image for the model; 2 takes four times as long")
        self.device.addItems(_DEVICES)
        self.components = _number(
            COMPONENT_COUNTS, "Principal components kept from the deep features"
        )
        self.forest = QComboBox()
        self.forest.addItems(list(_FORESTS))
        self.forest.setToolTip(
            "How trees are grown: extra (extremely randomised) trees need fewer strokes"
        )
        self.trees = _number(TREE_COUNTS, "Number of trees in the forest")
        self.smoothing = _number(
            SMOOTHING_RADII,
            "Radius in pixels for smoothing votes, but not across edges; 0: off",
        )
        self.seed = QDoubleSpinBox()  # QSpinBox ends at 2**31 - 1
        self.seed.setDecimals(0)
        self.seed.setKeyboardTracking(False)
        self.seed.setRange(0, LARGEST_SEED)
        self.seed.setToolTip("The same scribbles and seed give the same result")
        self.filters = QCheckBox("classical")
        self.filters.setToolTip("Add Gaussians, gradients and the like; without them, edges blur")
        self.learned = QCheckBox("learned")
        self.learned.setToolTip(
            "Add filters learned by a small network; better, but one second slower per megapixel"
        )
        self.filters_3d = QCheckBox("3-D, through the planes")
        self.flatten = QCheckBox(_EVEN_OUT)
        self.flatten.setToolTip(
            "Correct a slow change of brightness before filtering, such as vignetting or a shadow, "
            "where there is one"
        )
        self.reset = QPushButton("Reset to defaults")
        self.reset.setToolTip("All of the above as at first")
        self.reset.clicked.connect(self._reset)
        self.add("Scale", self.scale)
        self.add("Components", self.components)
        self.add("Filters", stacked(self.filters, self.learned, self.filters_3d))
        self.add("Light", self.flatten)
        self.add("Forest", self.forest)
        self.add("Trees", self.trees)
        self.add("Smoothing", self.smoothing)
        self.add("Seed", self.seed)
        self.add("", self.reset)
        self.add("Device", self.device)
        self.show_settings(Settings())
        for box in (self.scale, self.forest):
            box.currentIndexChanged.connect(self.changed)
        self.device.currentIndexChanged.connect(self.device_changed)
        for spin in (self.components, self.trees, self.smoothing, self.seed):
            spin.valueChanged.connect(self.changed)
        for choice in (self.filters, self.learned, self.filters_3d, self.flatten):
            choice.toggled.connect(self.changed)
        self.offer_3d(None)

    def settings(self, model: str) -> Settings:
        """Return the settings shown, with a model."""
        channels = ChannelConfig.chosen(
            self.components.value(),
            self.filters.isChecked() or model == CLASSICAL,  # pixels need at least one channel
            self.learned.isChecked(),
            self.filters_3d.isChecked() and self.filters_3d.isEnabled(),
            self.flatten.isChecked(),
        )
        config = SegmentationConfig(
            model,
            int(self.scale.currentText()),
            channels,
            self.trees.value(),
            int(self.seed.value()),
            _FORESTS[self.forest.currentText()],
            self.smoothing.value(),
        )
        return Settings(config, self.device.currentText(), self._threads)

    def show_settings(self, settings: Settings) -> None:
        """Show other settings without signalling a change."""
        self._threads = settings.threads
        with signals_blocked(self):
            if self.device.findText(settings.device) < 0:
                self.device.addItem(settings.device)
            self.device.setCurrentText(settings.device)
            self.show_config(settings.config)

    def show_config(self, config: SegmentationConfig) -> None:
        """Show another configuration without signalling a change; the device stays."""
        with signals_blocked(self):
            self.scale.setCurrentText(str(config.scale))
            self.trees.setValue(config.trees)
            self.smoothing.setValue(config.smoothing)
            self.seed.setValue(config.seed)
            self.forest.setCurrentIndex(list(_FORESTS.values()).index(config.forest))
            self.components.setValue(config.channels.components)
            self._show_filters(config)

    def _show_filters(self, config: SegmentationConfig) -> None:
        """Tick the filters that are used; leave boxes that do not apply."""
        channels, deep = config.channels, config.deep
        if deep:
            self.filters.setChecked(bool(channels.sigmas))
        if channels.sigmas:
            self.filters_3d.setChecked(bool(channels.sigmas_3d))
            self.flatten.setChecked(channels.flatten)
        if channels.sigmas and deep:
            self.learned.setChecked(bool(channels.learned))

    def _reset(self) -> None:
        before = self.settings(DEFAULT_MODEL)
        with signals_blocked(self):
            self.filters_3d.setChecked(False)
            self.show_config(SegmentationConfig())
        if self.settings(DEFAULT_MODEL) != before:
            self.changed.emit()

    def offer_devices(self, names: Sequence[str]) -> None:
        """Offer the available devices; the chosen one stays, even if it is not available."""
        chosen = self.device.currentText()
        offered = list(dict.fromkeys([*names, chosen]))
        if offered != [self.device.itemText(place) for place in range(self.device.count())]:
            with signals_blocked(self):
                self.device.clear()
                self.device.addItems(offered)
                self.device.setCurrentText(chosen)

    def tell_light(self, uneven: bool) -> None:
        """Tell whether the image has uneven light."""
        self.flatten.setText(f"{_EVEN_OUT} (uneven here)" if uneven else _EVEN_OUT)

    def offer_3d(self, spacing: float | None) -> None:
        """Offer 3-D filters for planes `spacing` pixels apart; None hides them."""
        self.filters_3d.setEnabled(spacing is not None)
        self.filters_3d.setVisible(spacing is not None)
        if spacing is not None:
            self.filters_3d.setToolTip(
                "Pixel filters also use neighbouring planes; according to the layer's scale, or "
                f"its file, planes lie {spacing:.3g} px apart"
            )


_GROUPS = (
    {
        "project_save": ("Save project…", "Keep strokes, names and settings with the image"),
        "project_open": ("Open project…", "Continue a project, or reuse its strokes"),
    },
    {
        "export": ("Export result…", "Write the segmentation as an OME-TIFF"),
        "fractions": ("Export fractions…", "Write area fractions with intervals as a table"),
        "scribbles": ("Export scribbles…", "Write the scribbles as an OME-TIFF"),
        "map": (
            "Export map…",
            "Write the map shown, uncertainty or probabilities, computed from the votes at the "
            "default temperature",
        ),
    },
    {
        "apply_stack": ("Apply to stack", "Segment every plane of this image"),
        "apply_files": ("Apply to files…", "Segment other images with this classifier"),
        "apply_folder": ("Apply to folder…", "Segment all images in a folder, or an OME-Zarr"),
    },
    {
        "save": ("Save classifier…", "Keep the forest for other images"),
        "load": ("Load classifier…", "Use a saved forest on this image"),
    },
    {
        "python": ("Copy as Python", "Copy a Python script that reproduces this result"),
        "command": ("Copy as command", "Copy a shell command that reproduces this result"),
        "bias": ("Bias report…", "Measure how much the model relies on position in this image"),
    },
)
"""Text and tooltip of each button, in groups with a gap between them."""


class ReusePanel(QWidget):
    """Buttons for what a classifier and a result can be used for."""

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(GAP)
        self.buttons: dict[str, QPushButton] = {}
        row = 0
        for group in _GROUPS:
            for place, (name, (text, tip)) in enumerate(group.items()):
                self.buttons[name] = QPushButton(text)
                self.buttons[name].setToolTip(tip)
                grid.addWidget(self.buttons[name], row + place // 2, place % 2)
            row = grid.rowCount()
            grid.setRowMinimumHeight(row, GAP)
            row += 1

    def wire(self, **acts: Callable[[], None]) -> None:
        """Connect each named button to a function."""
        for name, act in acts.items():
            self.buttons[name].clicked.connect(lambda _=False, act=act: act())

    def enable(self, *, image: bool, classifier: bool, stack: bool, script: bool) -> None:
        """Enable the buttons whose requirements are met."""
        needed = {
            "project_save": image,
            "project_open": True,
            "apply_stack": image and classifier and stack,
            "apply_files": classifier,
            "apply_folder": classifier,
            "bias": image,
            "save": classifier,
            "load": image,
            "export": image and classifier,
            "map": image and classifier,
            "fractions": image and classifier,
            "scribbles": image,
            "python": script,
            "command": script,
        }
        for name, possible in needed.items():
            self.buttons[name].setEnabled(possible)


def folded(title: str, content: QWidget) -> QCollapsible:
    """Return a block that is closed until it is clicked."""
    block = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    block.setDuration(0)  # so that its height is known when scrolled to
    for layout in (block.layout(), block.content().layout()):
        if layout is not None:
            layout.setContentsMargins(0, 0, 0, 0)
    block.addWidget(content)
    block.collapse(animate=False)
    return block


def _number(allowed: range, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(allowed[0], allowed[-1])
    box.setKeyboardTracking(False)
    box.setToolTip(tip)
    return box
