"""What the person paints with: the class or the eraser, chosen by key or by click."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.gui.painting import ERASED, Scribbles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Labels
    from napari.viewer import Viewer

    from napari_alibi_seg.gui.classes import ClassPanel

SIZE = 5
"""Diameter of a new brush, in pixels."""
KEYS = tuple("123456789")
ERASER_KEY = "E"
SPOT_KEY = "N"


class Brush(QObject):
    """Paint on one layer at a time, and make it active whenever a class is chosen.

    Parameters
    ----------
    viewer : Viewer
        The viewer.
    panel : ClassPanel
        Shows the chosen class.
    parent : QObject
        Owner.
    """

    drawing = Signal()
    """As `Scribbles.drawing`."""
    touched = Signal()
    """The user painted, erased or filled."""
    spot_wanted = Signal()
    """The user wants to see where to paint next."""
    settled = Signal()
    """The strokes may have changed, and no more changes came for a moment."""

    def __init__(self, viewer: Viewer, panel: ClassPanel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._panel = panel
        self._scribbles: Scribbles | None = None
        self._size = SIZE
        self.keys = Keys(self.choose_key, self.erase, self.spot_wanted.emit)

    def take(self, layer: Labels) -> Scribbles:
        """Paint on a layer from now on, keeping the brush size."""
        self.put_down()
        layer.brush_size = self._size
        self._scribbles = Scribbles(layer)
        self._scribbles.drawing.connect(self.drawing)
        self._scribbles.touched.connect(self.touched)
        self._scribbles.settled.connect(self.settled)
        self._scribbles.chosen.connect(self._panel.show_chosen)
        self.keys.bind(self._viewer)
        self.keys.bind(layer)
        return self._scribbles

    def put_down(self) -> None:
        """Paint on nothing."""
        if self._scribbles is not None:
            self._size = self._scribbles.layer.brush_size
            self._scribbles.release()
            self._scribbles = None
            self._panel.show_chosen(None)

    def release(self) -> None:
        """Stop painting, and unbind the keys."""
        self.put_down()
        self.keys.release()

    def choose(self, value: int) -> None:
        """Paint a class from now on."""
        if self._scribbles is not None:
            self.activate()
            self._scribbles.choose(value)
            self._panel.show_chosen(value)

    def activate(self) -> None:
        """Make the painted layer active again, in whatever mode it is."""
        if self._scribbles is not None:
            self._viewer.layers.selection.active = self._scribbles.layer

    def choose_key(self, number: int) -> None:
        """Paint the class whose value is the number of a key."""
        if any(info.value == number for info in self._panel.classes):
            self.choose(number)

    def erase(self) -> None:
        """Erase from now on."""
        if self._scribbles is not None:
            self.activate()
            self._scribbles.erase()
            self._panel.show_chosen(ERASED)


class Keys:
    """Bind the keys 1 to 9, E and N on layers, and unbind them again.

    A layer's own keys take precedence over the viewer's, so they are bound on every layer that may
    be active while the user paints.

    Parameters
    ----------
    choose : callable
        Called with the number of a key, 1 to 9.
    erase : callable
        Called by E.
    go : callable
        Called by N.
    """

    def __init__(
        self,
        choose: Callable[[int], None],
        erase: Callable[[], None],
        go: Callable[[], None],
    ) -> None:
        self._actions: dict[str, Callable[[Any], None]] = {
            ERASER_KEY: lambda _: erase(),
            SPOT_KEY: lambda _: go(),
            **{key: _choosing(choose, int(key)) for key in KEYS},
        }
        self._bound: list[Any] = []

    def bind(self, target: Any) -> None:
        """Bind the keys on a layer or the viewer."""
        if any(target is bound for bound in self._bound):
            return
        self._bound.append(target)
        for key, action in self._actions.items():
            target.bind_key(key, action, overwrite=True)

    def follow_layers(self, layers: Sequence[Layer]) -> None:
        """Unbind the keys on layers that were removed."""
        self._unbind([one for one in self._bound if isinstance(one, Layer) and one not in layers])

    def release(self) -> None:
        """Unbind the keys everywhere."""
        self._unbind(self._bound)

    def _unbind(self, targets: list[Any]) -> None:
        for target in targets:
            for key in self._actions:
                with suppress(RuntimeError):  # the viewer may be closing
                    target.bind_key(key, None)
        self._bound = [one for one in self._bound if all(one is not gone for gone in targets)]


def _choosing(choose: Callable[[int], None], number: int) -> Callable[[Any], None]:
    def choose_by_key(_: Any) -> None:  # napari needs the `__name__` of an action
        choose(number)

    return choose_by_key
