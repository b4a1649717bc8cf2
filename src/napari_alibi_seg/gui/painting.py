"""The layers strokes are painted on, and the colours of their classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_alibi_seg.core.forest.strokes import painted_pixels
from napari_alibi_seg.gui.ownership import SCRIBBLES, scribbles_layer_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.runs.project import SparseScribbles
    from napari_alibi_seg.gui.records import PaintClass
    from napari_alibi_seg.gui.source import ImageSource

DEBOUNCE_MS = 300
ERASED = 0
OPACITY = 0.85
MANY = 20
"""More values than this are taken for labels of single grains, not classes."""
_MOST_COLOURED = 2**16 - 1  # by napari
_SAMPLED = 1e6  # pixels
_LOOKED_THROUGH = 1e8  # bytes


class Scribbles(QObject):
    """Control what is painted on a Labels layer, and signal changes to it.

    Parameters
    ----------
    layer : Labels
        Layer of the same shape as the image's planes.
    """

    drawing = Signal()
    """A stroke is being drawn."""
    touched = Signal()
    """The user painted, erased or filled."""
    settled = Signal()
    """Strokes or view may have changed, and no more changes came for a moment."""
    chosen = Signal(int)
    """Another class, or `ERASED`, was chosen, here or by napari's own controls."""

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
            (events.labels_update, self._draw),
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
        """Whether a possible change has not been signalled yet."""
        return self._timer.isActive()

    @property
    def data(self) -> NDArray[np.integer[Any]]:
        """The painted values, as the layer holds them."""
        data: NDArray[np.integer[Any]] = self.layer.data
        return data

    @property
    def breadth(self) -> float:
        """Diameter of the brush, in world units."""
        return float(self.layer.brush_size * abs(self.layer.scale[-1]))

    def note_order(self) -> None:
        """Signal nothing of what happened so far, which the order that is made now covers."""
        self._timer.stop()

    def choose(self, value: int) -> None:
        """Paint a class from now on."""
        self.layer.visible = True  # napari does not paint on hidden layers
        self.layer.selected_label = value
        self.layer.mode = "paint"

    def erase(self) -> None:
        """Erase from now on."""
        self.layer.visible = True
        self.layer.mode = "erase"

    def show(self, classes: Sequence[PaintClass]) -> None:
        """Show classes in their colours."""
        self.layer.colormap = colormap(classes)

    def pixels_of(self, value: int) -> tuple[NDArray[np.intp], ...]:
        """Return the indices of what is painted in a class, along each dimension."""
        flat = self.data.reshape(-1, self.data.shape[-1])
        rows, columns = painted_pixels(flat)
        here = flat[rows, columns] == value
        pixels = np.ravel_multi_index((rows[here], columns[here]), flat.shape)
        return np.unravel_index(pixels, self.data.shape)

    def remove(self, value: int) -> None:
        """Erase every stroke of a class; undo brings them back."""
        self.layer.data_setitem(self.pixels_of(value), 0)
        self._touch()

    def renumber(self, value: int, other: int) -> None:
        """Give the strokes of a class another value for good: nothing before it can be undone."""
        where = self.pixels_of(value)
        if where[0].size:
            self.data[where] = other
            mode, self.layer.editable = self.layer.mode, False  # forgets strokes to undo and redo
            self.layer.editable, self.layer.mode = True, mode
            self.layer.refresh()
            self._touch()

    def restore(self, scribbles: SparseScribbles) -> None:
        """Paint the pixels of an earlier session that are blank now, as one step to undo."""
        if scribbles.values.max(initial=0) > np.iinfo(self.data.dtype).max:
            self.layer.data = self.data.astype(scribbles.values.dtype)
        blank = self.data[tuple(scribbles.positions.T)] == 0
        where = tuple(scribbles.positions[blank].T)
        self.layer.data_setitem(where, scribbles.values[blank].tolist())
        self._touch()

    def _choose(self) -> None:
        erasing = self.layer.mode == "erase"
        self.chosen.emit(ERASED if erasing else int(self.layer.selected_label))

    def _touch(self) -> None:
        self.touched.emit()
        self._timer.start()

    def _settle(self) -> None:
        self._timer.start()

    def _draw(self) -> None:
        """Postpone `settled` while a stroke is being drawn."""
        self.drawing.emit()
        self._timer.start()


def new_scribbles(source: ImageSource) -> Labels:
    """Return an empty layer to paint on, lying exactly on the image."""
    return Labels(
        np.zeros(source.micrograph.label_shape, np.uint8),
        name=scribbles_layer_name(source.name),
        metadata=dict(SCRIBBLES),
        opacity=OPACITY,
        **source.placement(),
    )


def is_blank(layer: Labels) -> bool:
    """Whether nothing is painted; a volume too large to check counts as painted."""
    return layer.data.nbytes < _LOOKED_THROUGH and not layer.data.any()


def holds_many(layer: Labels) -> bool:
    """Whether a sample of pixels has more values than anybody would paint classes."""
    step = max(1, math.ceil(math.sqrt(math.prod(layer.data.shape) / _SAMPLED)))
    return len(np.unique(np.asarray(layer.data[..., ::step, ::step]))) - 1 > MANY


def scribbles_options(
    image: str, classes: Iterable[PaintClass], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return the options of a scribbles layer for an image of a given name."""
    return {
        "name": scribbles_layer_name(image),
        "metadata": SCRIBBLES | metadata,
        "opacity": OPACITY,
        "colormap": colormap(classes),
    }


def colormap(classes: Iterable[ClassInfo]) -> CyclicLabelColormap:
    """Return the colours of classes; all other values are grey.

    Every value is listed: napari's `DirectLabelColormap` compiles for a second on its first use.
    """
    known = {one.value: one.colour for one in classes if one.value <= _MOST_COLOURED}
    colours = np.full((max(255, *known, 0) + 1, 4), (0.5, 0.5, 0.5, 1.0))
    colours[0] = 0
    for value, colour in known.items():
        colours[value, :3] = np.array(colour) / 255
    return CyclicLabelColormap(colors=colours)
