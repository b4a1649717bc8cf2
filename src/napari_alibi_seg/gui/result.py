"""Show results in layers that are made once and then updated in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_alibi_seg.gui.ownership import (
    has_given_name,
    is_copy,
    is_linked,
    is_result,
    mark_result,
    shown_in,
)
from napari_alibi_seg.gui.painting import colormap
from napari_alibi_seg.gui.records import PaintClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.live.records import ResultBlock
    from napari_alibi_seg.gui.source import ImageSource

OPACITY = 0.45
UNCERTAINTY, PROBABILITIES = "uncertainty", "probabilities"
"""The kinds of maps that can be shown."""
_LABELS = "labels"
_REDRAW_MS = 80


class ResultLayers(QObject):
    """Write result blocks into layers aligned with the image, reusing existing ones.

    Parameters
    ----------
    viewer : Viewer
        Where layers are added. The next block recreates a layer the user removed.
    source : ImageSource
        The segmented image.
    """

    opacity_changed = Signal(float)
    """The opacity of the labels has changed, here or by napari's own controls."""

    def __init__(self, viewer: Viewer, source: ImageSource) -> None:
        super().__init__()
        self._viewer = viewer
        self._source = source
        self._classes: tuple[PaintClass, ...] = ()
        self._forest: object = None
        self._forest_values: frozenset[int] = frozenset()
        self._finished: set[Index] = set()
        self._suspended: set[Index] = set()
        self._mapped: dict[str, set[Index]] = {UNCERTAINTY: set(), PROBABILITIES: set()}
        self._stale: set[Layer] = set()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        found: dict[Any, Any] = {
            shown_in(layer): layer for layer in viewer.layers if self._is_mine(layer)
        }
        self.labels: Labels | None = found.pop(_LABELS, None)
        self.uncertainty: Image | None = found.pop(UNCERTAINTY, None)
        self.probabilities: dict[int, Image] = found
        self._covered = self.labels is not None and not self.labels.visible and bool(found)
        self.opacity = OPACITY
        if self.labels is not None:
            self._follow(self.labels)

    @property
    def layers(self) -> list[Layer]:
        """The result layers in the viewer."""
        made = [self.labels, *self.probabilities.values(), self.uncertainty]
        return [layer for layer in made if layer is not None and layer in self._viewer.layers]

    @property
    def pending(self) -> bool:
        """Whether a redraw is due."""
        return self._timer.isActive()

    @property
    def finished(self) -> frozenset[Index]:
        """Planes classified completely by the last applied forest."""
        return frozenset(self._finished)

    @property
    def unfinished(self) -> frozenset[Index]:
        """The other planes."""
        return frozenset(self._source.micrograph.plane_indices()) - self._finished

    def unmapped(self, kind: str) -> frozenset[Index]:
        """Return the planes whose map is missing or does not match the labels."""
        known = self._mapped[kind] & self._finished
        return frozenset(self._source.micrograph.plane_indices()) - known

    def maps(self, kind: str) -> list[tuple[str, NDArray[np.float32]]]:
        """Return names and maps of a kind; for probabilities one per class of the forest."""
        if kind == UNCERTAINTY:
            return [] if self.uncertainty is None else [(kind, self.uncertainty.data)]
        names = {info.value: info.name for info in self._classes}
        return [
            (names.get(value, f"class {value}"), self.probabilities[value].data)
            for value in sorted(self._forest_values & self.probabilities.keys())
        ]

    def expect(self, classifier: PixelClassifier) -> bool:
        """Note the classifier of coming blocks; return whether its forest is a new one."""
        self._forest_values = frozenset(info.value for info in classifier.classes)
        outdated = classifier.forest is not self._forest
        if outdated:
            self._forest = classifier.forest
            self.outdate()
        return outdated

    def outdate(self) -> None:
        """Mark everything shown as out of date."""
        self._finished.clear()
        self._suspended.clear()

    def suspend(self) -> None:
        """Mark everything shown as out of date, unless `resume` is called."""
        self._suspended |= self._finished
        self._finished.clear()

    def resume(self) -> None:
        """Mark what was suspended as finished again, as nothing has changed after all."""
        self._finished |= self._suspended
        self._suspended.clear()

    def follow_layers(self) -> bool:
        """Drop a removed labels layer; return whether it was removed."""
        lost = self.labels is not None and self.labels not in self._viewer.layers
        if lost:
            self.labels = None
            self.outdate()
        return lost

    def follow_maps(self) -> dict[str, bool]:
        """Drop removed maps; return for their kinds whether layers are left."""
        lost = {kind: False for kind in self._mapped if not self._is_whole(kind)}
        if UNCERTAINTY in lost:
            self.uncertainty = None
        if PROBABILITIES in lost:
            known, layers = self.probabilities, self._viewer.layers
            self.probabilities = {value: one for value, one in known.items() if one in layers}
            lost[PROBABILITIES] = bool(self.probabilities)
        for kind in lost:
            self._mapped[kind].clear()
        return lost

    def finish(self, plane: Index) -> None:
        """Note that every pixel of a plane has its final class."""
        self._finished.add(plane)

    def show(self, classes: Sequence[PaintClass]) -> None:
        """Show the colours and names of classes."""
        self._classes = tuple(classes)
        if self.labels is not None:
            self.labels.colormap = colormap(classes)
            self.labels.features = _features(classes)
        for info in classes:
            layer = self.probabilities.get(info.value)
            if layer is not None:
                if has_given_name(layer, self._source.name):
                    layer.name = self._probability_name(info)
                layer.colormap = _ramp(info)
        for value in self.probabilities.keys() - {info.value for info in classes}:
            self._drop(self.probabilities.pop(value))
        self._mix()

    def set_opacity(self, opacity: float) -> None:
        """Set how strongly labels and probabilities cover the image, 0 to 1."""
        self._take_opacity(opacity)
        if self.labels is not None:
            self.labels.opacity = opacity

    def show_outputs(self, uncertainty: bool, probabilities: bool) -> None:
        """Show or hide the maps."""
        if self.uncertainty is not None:
            self.uncertainty.visible = uncertainty
        for layer in self.probabilities.values():
            layer.visible = probabilities
        self._cover(probabilities and bool(self.probabilities))

    def place(self, block: ResultBlock, uncertainty: bool, probabilities: bool) -> None:
        """Write a block into its layers, unless the labels have just been removed."""
        if self.labels is not None and self.labels not in self._viewer.layers:
            return
        self._finished.discard(block.plane)
        self._suspended.discard(block.plane)
        where = (*block.plane, *block.window.slices)
        labels = self._labels_layer()
        if labels.data.dtype < block.result.labels.dtype:  # there is a class above 255
            labels.data = labels.data.astype(block.result.labels.dtype)
        labels.data[where] = block.result.labels
        self._mark(labels)
        for kind, asked, draw in (
            (UNCERTAINTY, uncertainty, self._place_uncertainty),
            (PROBABILITIES, probabilities, self._place_probabilities),
        ):
            self._mapped[kind].discard(block.plane)
            if asked and block.result.probabilities is not None and self._is_whole(kind):
                draw(block.result, where)
                self._mapped[kind].add(block.plane)

    def _is_whole(self, kind: str) -> bool:
        """Whether no layer of a map was removed since the last `follow_maps`."""
        made = [self.uncertainty] if kind == UNCERTAINTY else list(self.probabilities.values())
        return all(layer is None or layer in self._viewer.layers for layer in made)

    def _place_uncertainty(self, result: Segmentation, where: tuple[object, ...]) -> None:
        layer = self._uncertainty_layer()
        layer.data[where] = np.where(result.labels == 0, np.nan, result.uncertainty)
        self._mark(layer)

    def _place_probabilities(self, result: Segmentation, where: tuple[object, ...]) -> None:
        assert result.probabilities is not None
        values = [info.value for info in result.classes]
        maps = dict(zip(values, result.probabilities, strict=True))  # (Y, X) each
        for value in maps:
            self._probability_layer(value)
        for value, layer in self.probabilities.items():
            layer.data[where] = maps.get(value, 0)
            self._mark(layer)
        self._mix()
        self._cover(True)

    def release(self) -> None:
        """Stop updating the layers; they stay in the viewer."""
        self._timer.stop()
        self._stale.clear()

    def _is_mine(self, layer: Layer) -> bool:
        same = is_result(layer) and not is_copy(layer) and is_linked(layer, self._source)
        return same and layer.data.shape == self._source.micrograph.label_shape

    def _drop(self, layer: Layer) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _mix(self) -> None:
        """Blend the lowest map over the image, and add the others to it."""
        for place, layer in enumerate(self.probabilities.values()):
            layer.blending = "additive" if place else "translucent_no_depth"

    def _cover(self, covered: bool) -> None:
        """Hide the labels while probabilities replace them, and show them afterwards."""
        if self.labels is not None and covered != self._covered:
            self.labels.visible = not covered
        self._covered = covered

    def _follow(self, labels: Labels) -> None:
        self.opacity = float(labels.opacity)
        labels.events.opacity.connect(self._tell_opacity)
        labels.editable = False
        labels.events.editable.connect(self._lock)

    def _lock(self) -> None:
        """Prevent painting on the labels, which the next result would overwrite."""
        if self.labels is not None:
            self.labels.editable = False

    def _tell_opacity(self) -> None:
        if self.labels is not None:
            self._take_opacity(float(self.labels.opacity))
            self.opacity_changed.emit(self.opacity)

    def _take_opacity(self, opacity: float) -> None:
        """Give the probabilities the opacity of the labels."""
        self.opacity = opacity
        for layer in self.probabilities.values():
            layer.opacity = opacity

    def _mark(self, layer: Layer) -> None:
        self._stale.add(layer)
        if not self._timer.isActive():
            self._timer.start()

    def _redraw(self) -> None:
        for layer in self._stale:
            if layer in self._viewer.layers and layer.visible:
                layer.refresh(extent=False, thumbnail=False)
        self._stale.clear()

    def _labels_layer(self) -> Labels:
        if self.labels is None:
            self.labels = Labels(
                np.zeros(self._source.micrograph.label_shape, np.uint8),
                name=f"segmentation of {self._source.name}",
                opacity=self.opacity,
                visible=not self._covered,
                colormap=colormap(self._classes),
                features=_features(self._classes),
                **self._source.placement(),
            )
            self._add(self.labels, _LABELS)
            self._follow(self.labels)
        return self.labels

    def _uncertainty_layer(self) -> Image:
        if self.uncertainty is None:
            self._mapped[UNCERTAINTY].clear()
            self.uncertainty = self._image(
                f"uncertainty of {self._source.name}", "inferno", "translucent", 0.75
            )
            self._add(self.uncertainty, UNCERTAINTY)
        return self.uncertainty

    def _probability_layer(self, value: int) -> Image:
        layer = self.probabilities.get(value)
        if layer is None:
            self._mapped[PROBABILITIES].clear()
            named = (info for info in self._classes if info.value == value)
            info = next(named, PaintClass.default(value))
            name, colours = self._probability_name(info), _ramp(info)
            layer = self._image(name, colours, "additive", self.opacity)
            self.probabilities[value] = layer
            self._add(layer, value)
        return layer

    def _probability_name(self, info: PaintClass) -> str:
        return f"{info.name} probability in {self._source.name}"

    def _image(self, name: str, colours: str | Colormap, blending: str, opacity: float) -> Image:
        return Image(
            np.zeros(self._source.micrograph.label_shape, np.float32),
            name=name,
            colormap=colours,
            blending=blending,
            contrast_limits=(0, 1),
            opacity=opacity,
            **self._source.placement(),
        )

    def _add(self, layer: Layer, shows: str | int) -> None:
        """Add a layer just above its image and results, keeping the active layer."""
        mark_result(layer, self._source, shows)
        layers = self._viewer.layers
        active = layers.selection.active
        below = [layers.index(other) for other in (self._source.layer, *self.layers)]
        layers.insert(max(below) + 1, layer)
        layers.selection.active = active


def _features(classes: Sequence[PaintClass]) -> dict[str, list[object]]:
    """Return the class names that napari shows for the pixel under the pointer."""
    return {
        "index": [0, *(info.value for info in classes)],
        "class": ["", *(info.name for info in classes)],
    }


def _ramp(info: PaintClass) -> Colormap:
    return Colormap(
        [(0, 0, 0), tuple(part / 255 for part in info.colour)],
        name="to #{:02x}{:02x}{:02x}".format(*info.colour),
    )
