"""The blocks for the image and the result: they show and ask, and decide nothing."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QPushButton,
    QSlider,
)

from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL
from napari_alibi_seg.core.model.names import MODELS
from napari_alibi_seg.gui.brush import SPOT_KEY
from napari_alibi_seg.gui.parts import (
    Chip,
    LayerCombo,
    PanelRows,
    Paragraph,
    narrow,
    side_by_side,
)
from napari_alibi_seg.gui.result import OPACITY, PROBABILITIES, UNCERTAINTY
from napari_alibi_seg.gui.source import offered_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.gui.source import ImageSource, Reading

_WORDS = {DEFAULT_MODEL: "ALiBi-DINOv2 S/14", CLASSICAL: "pixel filters only"}
_CHECKPOINT = ".safetensors"
_WHERE = {
    "bundled": "included with this plugin",
    "cached": "already on this computer",
    "to be fetched": "not on this computer yet; choosing it downloads it once (needs internet)",
}


class ImagePanel(PanelRows):
    """Choose the image, its reading and the model, and show the progress of features."""

    layer_chosen = Signal(object)
    reading_chosen = Signal(object)
    channels_chosen = Signal(object)
    model_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__("Image")
        self.layers = LayerCombo()
        self.layers.setPlaceholderText("open an image (File, Open)")
        self.layers.chosen.connect(self.layer_chosen)
        self.readings, self.channels, self.models = QComboBox(), QComboBox(), QComboBox()
        for combo in (self.readings, self.channels, self.models):
            narrow(combo)
        self.readings.activated.connect(
            lambda _: self.reading_chosen.emit(self.readings.currentData())
        )
        self.channels.activated.connect(
            lambda place: self.channels_chosen.emit(self._channel_choices[place])
        )
        self.models.activated.connect(self._take_model)
        self.model = DEFAULT_MODEL
        self.chip = Chip()
        self.add("Layer", self.layers)
        self._readings_label = self.add("Read as", self.readings)
        self._channels_label = self.add("Channel", self.channels)
        self.add("Model", self.models)
        self.add("Features", self.chip)
        self._channel_choices: list[tuple[int, ...]] = []
        self.offer_models([DEFAULT_MODEL, CLASSICAL])
        self.offer_readings([], None)

    def offer_readings(self, readings: Sequence[Reading], source: ImageSource | None) -> None:
        """List the ways to read the axes; hidden if there is only one."""
        self.readings.clear()
        for reading in readings:
            self.readings.addItem(reading.words, reading)
        self._channel_choices = []
        if source is not None:
            self.readings.setCurrentIndex(list(readings).index(source.reading))
            self._channel_choices = offered_channels(source.layer, source.reading)
        self.channels.clear()
        self.channels.addItems(list(map(_channels_words, self._channel_choices)))
        if source is not None and source.channels is not None:
            self.channels.setCurrentIndex(self._channel_choices.index(source.channels))
        for widget in (self._readings_label, self.readings):
            widget.setVisible(len(readings) > 1)
        for widget in (self._channels_label, self.channels):
            widget.setVisible(bool(self._channel_choices))

    def offer_models(self, names: Sequence[str]) -> None:
        """List models, keeping the chosen one."""
        listed = [self.models.itemData(place) for place in range(self.models.count())]
        if listed[: len(names)] != [*names]:  # not to disturb a list that is open
            self.models.clear()
            for name in names:
                self.models.addItem(_WORDS.get(name, name), name)
            self.models.addItem("a file…")
        for place, name in enumerate(names):
            self.models.setItemData(place, _tip(name), Qt.ItemDataRole.ToolTipRole)
        self.choose_model(self.model)

    def choose_model(self, name: str) -> None:
        """Choose a model, even one that is not listed."""
        if self.models.findData(name) < 0:
            words = Path(name).name if name.endswith(_CHECKPOINT) else name
            self.models.insertItem(self.models.count() - 1, words, name)
        self.models.setCurrentIndex(self.models.findData(name))
        self.models.setToolTip(_tip(name))
        self.model = name

    def _take_model(self) -> None:
        name = (
            self.models.currentData()
            or QFileDialog.getOpenFileName(self, "Model", "", f"Checkpoints (*{_CHECKPOINT})")[0]
        )
        before = self.model
        self.choose_model(name or before)
        if self.model != before:
            self.model_chosen.emit(self.model)


class ResultPanel(PanelRows):
    """Control updates and display, and show the figures of the result."""

    update_wanted = Signal()
    live_changed = Signal(bool)
    opacity_changed = Signal(float)
    outputs_changed = Signal()

    def __init__(self) -> None:
        super().__init__("Result")
        self.live = QCheckBox("Live")
        self.live.setChecked(True)
        self.live.setToolTip("Update the result after every stroke")
        self.update_button = QPushButton("Update once")
        self.update_button.setToolTip("Update the result now; Live does this automatically")
        self.update_button.setEnabled(False)
        self.live.toggled.connect(self.update_button.setDisabled)
        self.live.toggled.connect(self.live_changed)
        self.update_button.clicked.connect(self.update_wanted)
        self.spot_button = QPushButton(f"Next spot  [{SPOT_KEY}]")
        self.spot_button.setToolTip("Centre the view where a stroke would teach most")
        self.spot_button.setEnabled(False)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(100 * OPACITY))
        self.opacity.valueChanged.connect(lambda percent: self.opacity_changed.emit(percent / 100))
        self.uncertainty = QCheckBox("Uncertainty")
        self.probabilities = QCheckBox("Probabilities")
        for box, other in permutations((self.uncertainty, self.probabilities)):
            box.toggled.connect(partial(_only, other))
            box.toggled.connect(self.outputs_changed)
        self.uncertainty.setToolTip("Map of 1 - (largest - second largest probability)")
        self.probabilities.setToolTip("How probable each class is, from the votes of the trees")
        self.facts = Paragraph(3)
        self.add_wide(side_by_side(self.live, self.update_button, self.spot_button, stretch=1))
        self.add("Opacity", self.opacity)
        self.add("Show", side_by_side(self.uncertainty, self.probabilities))
        self.add_wide(self.facts)

    @property
    def shown_map(self) -> str:
        """The kind of map that is ticked; empty if there is none."""
        ticked = {UNCERTAINTY: self.uncertainty, PROBABILITIES: self.probabilities}
        return next((kind for kind, box in ticked.items() if box.isChecked()), "")


def _channels_words(channels: tuple[int, ...]) -> str:
    return f"channel {channels[0]}" if len(channels) == 1 else "all channels together"


def _tip(name: str) -> str:
    """Describe a model and whether it has to be downloaded."""
    entry = MODELS.get(name)
    return name if entry is None else f"{name}: {entry.description}; {_WHERE[entry.where]}"


def _only(other: QCheckBox, shown: bool) -> None:
    """Untick the other map, which would overlap this one."""
    if shown:
        other.setChecked(False)
