"""Segmenting a whole stack: asking first if it takes long, and telling how it goes."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_alibi_seg.gui.pace import LONG_S
from napari_alibi_seg.gui.words import estimate_words, shares_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.gui.pace import Pace
    from napari_alibi_seg.gui.records import PaintClass
    from napari_alibi_seg.gui.strip import Strip
    from napari_alibi_seg.gui.workspace import Workspace


class StackRun(QObject):
    """Track which planes of a stack are to be segmented, and tell how many are done.

    Parameters
    ----------
    strip : Strip
        Shows questions and progress.
    pace : Pace
        Estimates the duration.
    parent : QObject
        Owner.
    """

    begun = Signal()
    stopped = Signal()

    def __init__(self, strip: Strip, pace: Pace, parent: QObject) -> None:
        super().__init__(parent)
        self._strip = strip
        self._pace = pace
        self._proposed: Workspace | None = None
        self._done: set[Index] = set()
        self.planes: tuple[Index, ...] = ()

    def propose(self, work: Workspace, config: SegmentationConfig) -> None:
        """Begin, or ask first if it will take long."""
        image = work.source.micrograph
        rows, columns = image.shape_yx
        pixels = len(image.plane_indices()) * rows * columns
        deep = config.deep
        scale = config.scale if deep else None
        known = self._pace.estimate(pixels, pixels, rows * columns, scale)
        self._proposed = work
        begin = partial(self._begin, work)
        if known.seconds < LONG_S:
            begin()
        else:
            planes = f"{len(image.plane_indices())} planes"
            words, holds = estimate_words(planes, known), partial(self._is_possible, work)
            self._strip.say(words, ("Start", begin), holds=holds)

    def stop(self) -> None:
        """Leave the other planes as they are."""
        self.planes = ()
        self.stopped.emit()

    def forget(self) -> None:
        """Stop without a signal, as something else was requested."""
        self.planes = ()

    def leave(self) -> None:
        """Forget the run and any proposal, as another image was chosen."""
        self.forget()
        self._proposed = None

    def tell(self, work: Workspace, plane: Index, classes: Sequence[PaintClass]) -> None:
        """Report that a plane is done, how many are and, at the end, the class fractions."""
        if not self.planes:
            return
        self._done.add(plane)
        self._done &= work.result.finished
        total = len(self.planes)
        if len(self._done) < total:
            self._tell_progress()
            return
        self.planes = ()
        pixels: Counter[int] = Counter()
        for index in self._done:
            pixels.update(work.done[index].pixels)
        words = f"All {total} planes are segmented. Overall: {shares_words(pixels, classes)}."
        self._strip.say(words, holds=self._is_whole, report=True)
        show_info(f"All {total} planes of {work.source.layer.name} are segmented.")

    def _tell_progress(self) -> None:
        words = f"Segmented {len(self._done)} of {len(self.planes)} planes."
        self._strip.say(words, ("Stop", self.stop), holds=self._goes_on, report=True)

    def _is_possible(self, work: Workspace) -> bool:
        return work is self._proposed and work.fitted is not None

    def _goes_on(self) -> bool:
        return bool(self.planes)

    def _is_whole(self) -> bool:
        return self._proposed is not None and not self._proposed.result.unfinished

    def _begin(self, work: Workspace) -> None:
        if work is not self._proposed:
            return
        self.planes = tuple(work.source.micrograph.plane_indices())
        self._done.clear()
        self._tell_progress()
        self.begun.emit()
