"""Delete a class with everything painted in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
    from napari_alibi_seg.gui.brush import Brush
    from napari_alibi_seg.gui.dock import Panels
    from napari_alibi_seg.gui.records import PaintClass
    from napari_alibi_seg.gui.workspace import Workspace
    from napari_alibi_seg.gui.workspaces import Workspaces

_USED = (
    "The loaded classifier finds this class; paint to use your own strokes again, then delete it."
)


class ClassRemoval(QObject):
    """Delete classes, after a question where strokes would be lost.

    Parameters
    ----------
    workspaces : Workspaces
        Tell which image is open.
    panels : Panels
        List the classes, and show the question.
    brush : Brush
        Paints another class afterwards.
    parent : QObject
        Owner.
    """

    removed = Signal()
    """A class of the open image was deleted."""

    def __init__(
        self, workspaces: Workspaces, panels: Panels, brush: Brush, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._workspaces = workspaces
        self._panels = panels
        self._brush = brush

    def propose(self, value: int) -> None:
        """Delete a class; ask first if something is painted in it."""
        work, classes = self._workspaces.current, self._panels.classes.classes
        if work is not None and work.loaded is not None and value in work.loaded.label_values:
            self._panels.strip.say(_USED, holds=partial(_is_used, work, work.loaded))
            return
        painted = 0 if work is None else len(work.scribbles.pixels_of(value)[0])
        if work is None or not painted:
            self._remove(work, value, painted=False)
            return
        [info] = [info for info in classes if info.value == value]
        self._panels.strip.say(
            f"Delete {info.name!r} and the {counted(painted, 'pixel')} painted in it? "
            "Ctrl-Z brings both back.",
            ("Delete", partial(self._remove, work, value, painted=True)),
            holds=partial(self._is_painted, work, info, work.counts),
        )

    def _is_painted(self, work: Workspace, info: PaintClass, before: ScribbleCounts | None) -> bool:
        """Whether a class is unchanged, not the last, and still has strokes by any newer report."""
        now, classes = work.counts, self._panels.classes.classes
        there = info in classes and len(classes) > 1
        if info.ignored or now is None or now == before:  # no newer report on its strokes
            return there
        return there and info.value in {*now.pixels, *now.lost}

    def _remove(self, work: Workspace | None, value: int, painted: bool) -> None:
        """Delete a class and erase its strokes, unless another image has been chosen."""
        if work is not self._workspaces.current:
            return
        self._panels.classes.remove(value, painted)
        if work is not None:
            if painted:
                work.scribbles.remove(value)
                self._brush.activate()  # undo is that of the active layer
            self.removed.emit()
            if work.scribbles.layer.selected_label == value:
                self._brush.choose(self._panels.classes.classes[0].value)


def _is_used(work: Workspace, classifier: PixelClassifier) -> bool:
    return work.loaded is classifier
