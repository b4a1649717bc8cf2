"""Show notices about the work in the strip, each for as long as it holds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_alibi_seg.gui.words import lost_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
    from napari_alibi_seg.gui.records import PaintClass
    from napari_alibi_seg.gui.strip import Strip
    from napari_alibi_seg.gui.workspace import Workspace


class Notices:
    """Report failures, useless strokes, missing spots and a classifier put aside.

    Only a failure replaces a question; the others wait until it is answered.

    Parameters
    ----------
    strip : Strip
        Shows the notices.
    """

    def __init__(self, strip: Strip) -> None:
        self._strip = strip
        self._failed = self._lasting = False

    def tell_of_failure(self, message: str, try_again: Callable[[], None] | None) -> None:
        """Say what went wrong.

        Parameters
        ----------
        message : str
            What it is.
        try_again : callable or None
            Called if the user wants so, which is offered until something works again; None if that
            is offered elsewhere and the message stays until something else is chosen.
        """
        self._failed, self._lasting = True, try_again is None
        offers = [] if try_again is None else [("Try again", try_again)]
        self._strip.say(message, *offers, warn=True, holds=lambda: self._failed)

    def go_on(self) -> None:
        """Note that the engine works again."""
        if not self._lasting:
            self.recover()

    def recover(self) -> None:
        """Note that the engine has a new task."""
        self._failed = self._lasting = False
        self._strip.review()

    def tell_of_put_aside(self, work: Workspace, use_again: Callable[[], None]) -> None:
        """Say that strokes are used instead of the loaded classifier, and offer to undo that."""
        self._strip.say(
            "Your strokes are used now; the loaded classifier is put aside until all strokes "
            "are gone.",
            ("Use it again", use_again),
            holds=lambda: work.put_aside is not None,
            waits=True,
        )

    def tell_of_no_spot(self, why: Callable[[], str]) -> None:
        """Say why there is no next spot, for as long as the reason holds."""
        words = why()
        if words and not self._failed:
            self._strip.say(words, holds=lambda: why() == words, waits=True)

    def tell_of_lost(
        self, work: Workspace, counts: ScribbleCounts, classes: Sequence[PaintClass]
    ) -> None:
        """Say once which classes are painted only where there is nothing to learn from."""
        lost, before = counts.lost, work.told_lost
        work.told_lost = lost
        if lost and lost != before:
            known = {one.value: one.name for one in classes}
            names = [known.get(value, f"class {value}") for value in sorted(lost)]
            self._strip.say(lost_words(names), holds=partial(_is_lost, work, lost), waits=True)


def _is_lost(work: Workspace, lost: frozenset[int]) -> bool:
    return work.counts is not None and work.counts.lost == lost
