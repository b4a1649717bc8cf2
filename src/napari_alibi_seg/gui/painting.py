"""The layers strokes are painted on, and which layers belong to which image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.project import Strokes
    from napari_alibi_seg.gui.records import PaintClass
    from napari_alibi_seg.gui.source import ImageSource

DEBOUNCE_MS = 300
ERASED = 0
OPACITY = 0.85
_MOST_COLOURED = 2**16 - 1  # by napari
_MARK = "napari-alibi-seg"
_OF = "napari-alibi-seg of"
_SHOWS = "napari-alibi-seg shows"
SCRIBBLES = {_MARK: "scribbles"}
"""Metadata of a layer made to be painted on."""


class Scribbles(QObject):
    """Follows one Labels layer: sets what is painted, and tells when that was changed.

    Parameters
    ----------
    layer : Labels
        Of the shape of the image's planes.
    """

    touched = Signal()
    """The person painted, erased or filled."""
    settled = Signal()
    """What is painted, or the view of it, may have changed and has been still for a moment."""
    chosen = Signal(int)
    """Another class is painted from now on, or `ERASED`; also by napari's own controls."""

    def __init__(self, layer: Labels) -> None:
        super().__init__()
        self.layer = layer
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DEBOUNCE_MS)
        self._timer.timeout.connect(self.settled)
        events = layer.events
        self._followed: tuple[tuple[Any, Callable[[], None]], ...] = (
            *((emitter, self._touch) for emitter in (events.paint, events.data)),
            (events.set_data, self._settle),
            (events.labels_update, self._wait),
            *((emitter, self._choose) for emitter in (events.mode, events.selected_label)),
        )
        for emitter, slot in self._followed:
            emitter.connect(slot)

    def release(self) -> None:
        """Stop following the layer."""
        self._timer.stop()
        for emitter, slot in self._followed:
            emitter.disconnect(slot)

    @property
    def pending(self) -> bool:
        """Whether something may have changed that is not told yet."""
        return self._timer.isActive()

    @property
    def data(self) -> NDArray[np.integer[Any]]:
        """The painted values, as the layer holds them."""
        data: NDArray[np.integer[Any]] = self.layer.data
        return data

    def choose(self, value: int) -> None:
        """Paint a class from now on."""
        self.layer.selected_label = value
        self.layer.mode = "paint"

    def erase(self) -> None:
        """Erase from now on."""
        self.layer.mode = "erase"

    def show(self, classes: Sequence[PaintClass]) -> None:
        """Show classes in their colours."""
        self.layer.colormap = colormap(classes)

    def remove(self, value: int) -> None:
        """Erase every stroke of a class; undo brings them back."""
        self.layer.data_setitem(np.nonzero(self.data == value), 0)
        self._touch()

    def restore(self, strokes: Strokes) -> None:
        """Paint pixels of an earlier session, but not over what is painted."""
        blank = self.data[tuple(strokes.positions.T)] == 0
        self.layer.data[tuple(strokes.positions[blank].T)] = strokes.values[blank]
        self.layer.refresh()
        self._touch()

    def _choose(self) -> None:
        erasing = self.layer.mode == "erase"
        self.chosen.emit(ERASED if erasing else int(self.layer.selected_label))

    def _touch(self) -> None:
        self.touched.emit()
        self._timer.start()

    def _settle(self) -> None:
        self._timer.start()

    def _wait(self) -> None:
        """Put off what is due while a stroke is being drawn."""
        if self._timer.isActive():
            self._timer.start()


def new_scribbles(source: ImageSource) -> Labels:
    """Return an empty layer to paint on, lying exactly on the image."""
    return Labels(
        np.zeros(source.micrograph.label_shape, np.uint8),
        name=_name_for(source.layer.name),
        metadata=dict(SCRIBBLES),
        opacity=OPACITY,
        **source.placement(),
    )


def scribbles_options(
    image: str, classes: Iterable[PaintClass], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return the options of a layer that holds scribbles on an image of that name."""
    return {
        "name": _name_for(image),
        "metadata": SCRIBBLES | metadata,
        "opacity": OPACITY,
        "colormap": colormap(classes),
    }


def _name_for(image: str) -> str:
    return f"scribbles on {image}"


def offered_scribbles(layers: Sequence[Layer], source: ImageSource) -> list[Labels]:
    """Return the Labels layers that may be meant for an image, its own and marked ones first."""
    offered = [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        and not layer.multiscale
        and not is_result(layer)
        and not _is_of_another(layer, source, layers)
    ]
    return sorted(
        offered, key=lambda layer: (not is_linked(layer, source), not is_scribbles(layer))
    )


def own_scribbles(layers: Sequence[Layer], source: ImageSource) -> list[Labels]:
    """Return the layers to paint on that belong to an image, or to none."""
    return [
        layer
        for layer in offered_scribbles(layers, source)
        if is_scribbles(layer)
        and layer.data.shape == source.micrograph.label_shape
        and (is_linked(layer, source) or _OF not in layer.metadata)
    ]


def _is_of_another(layer: Layer, source: ImageSource, layers: Sequence[Layer]) -> bool:
    """Whether a layer was painted on another image that is open, or on this one read otherwise."""
    images = image_layers(layers)
    owner = layer.metadata.get(_OF)
    if owner is not None:
        return owner != source.token and owner[0] in [image.unique_id for image in images]
    others = [_name_for(image.name) for image in images if image != source.layer]
    return is_scribbles(layer) and layer.name in others


def link(layer: Layer, source: ImageSource) -> None:
    """Remember which image, read how, a layer belongs to."""
    layer.metadata[_OF] = source.token


def unlink(layer: Layer) -> None:
    """Let a layer belong to no image."""
    layer.metadata.pop(_OF, None)


def is_linked(layer: Layer, source: ImageSource) -> bool:
    """Whether a layer belongs to an image, read as it is."""
    return bool(layer.metadata.get(_OF) == source.token)


def last_reading(layers: Sequence[Layer], image: Image) -> tuple[str, int | None] | None:
    """Return axes and channel of the strokes on an image, of those seen; None if there are none."""
    owners = [
        (layer.visible, layer.metadata[_OF])
        for layer in layers
        if is_scribbles(layer) and layer.metadata.get(_OF, (None,))[0] == image.unique_id
    ]
    if not owners:
        return None
    _, (_, axes, channel) = max(owners, key=lambda owner: owner[0])
    return axes, channel


def image_layers(layers: Sequence[Layer]) -> list[Image]:
    """Return the images that can be segmented: all that this plugin did not make."""
    return [layer for layer in layers if isinstance(layer, Image) and not is_result(layer)]


def is_scribbles(layer: Layer) -> bool:
    """Whether a layer was made, or chosen, to be painted on."""
    return bool(layer.metadata.get(_MARK) == "scribbles")


def is_result(layer: Layer) -> bool:
    """Whether this plugin made a layer to show a result in."""
    return bool(layer.metadata.get(_MARK) == "result")


def mark_result(layer: Layer, source: ImageSource, shows: str | int) -> None:
    """Remember that a layer is a result, of which image, and what it shows."""
    layer.metadata.update({_MARK: "result", _SHOWS: shows})
    link(layer, source)


def shown_in(layer: Layer) -> str | int:
    """Return what a result layer shows."""
    shows: str | int = layer.metadata[_SHOWS]
    return shows


def colormap(classes: Iterable[PaintClass]) -> CyclicLabelColormap:
    """Return the colours of classes; what is no class is grey.

    Every value has one: napari's `DirectLabelColormap` compiles for a second on its first use.
    """
    known = {one.value: one.colour for one in classes if one.value <= _MOST_COLOURED}
    colours = np.full((max(255, *known, 0) + 1, 4), (0.5, 0.5, 0.5, 1.0))
    colours[0] = 0
    for value, colour in known.items():
        colours[value, :3] = np.array(colour) / 255
    return CyclicLabelColormap(colors=colours)
