"""Predict the blocks of a plane, voting on every pixel once.

Smoothing looks beyond a block of the result. Votes are therefore kept until every block that they
reach has been smoothed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.blockwise import Budget, in_order
from napari_alibi_seg.core.forest.smoothing import smoothed, support
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.windows import Window, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.forest.samples import Channels

_KEPT_BYTES, _MOST_ACROSS = 200e6, 32
# Memory per block, in copies: channels, their concatenation and temporaries of the filters; votes
# in double precision, smoothed votes and temporaries.
_COPIES = 3
_BLOCKS = Budget(1e9)  # of blocks in progress; shared by all planes that are classified at once


def predictions(
    classifier: PixelClassifier,
    channels: Channels,
    windows: Sequence[Window],
    side: int,
    probabilities: bool = False,
) -> Iterator[dict[Window, Segmentation]]:
    """Classify windows of a plane on all cores, in memory shared with all other planes.

    Parameters
    ----------
    classifier : PixelClassifier
        The classifier.
    channels : Channels
        Channels of the plane, made with this classifier's configuration.
    windows : sequence of Window
        Different rectangles inside the plane.
    side : int
        Side, in pixels, of the blocks in which pixels are voted on; it affects memory and time, not
        the result.
    probabilities : bool
        Whether to compute probabilities in addition to labels.

    Yields
    ------
    dict
        After every block of votes, the segmentations that these have completed, in about the order
        of `windows`; pixels without data are 0.
    """
    pending = _Votes(classifier, channels, windows, side, probabilities)
    per_pixel = classifier.forest.n_features_in_ + 2 * len(classifier.classes)
    needed = _COPIES * 4 * side**2 * per_pixel

    def add(block: Window) -> dict[Window, Segmentation]:
        with _BLOCKS.taken(needed):
            return pending.add(block)

    yield from in_order(add, pending.wanted, max(1, int(_BLOCKS.limit / needed)))


def strips(shape: tuple[int, int], side: int, classes: int) -> list[list[Window]]:
    """Cut a plane into vertical strips of blocks, each to be predicted before the next.

    The votes for about three rows of a strip are kept at a time: at most some 200 MB, or three
    blocks across.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    side : int
        Side of the blocks, in pixels.
    classes : int
        Number of classes.

    Returns
    -------
    list of list of Window
        The blocks of each strip, row by row.
    """
    across = min(_MOST_ACROSS, max(1, int(_KEPT_BYTES / (3 * 4 * side**2 * classes))))
    width = across * side
    return [
        blocks(shape, side, Window(0, left, shape[0], width)) for left in range(0, shape[1], width)
    ]


@dataclass(frozen=True, eq=False)
class _BlockVotes:
    """Votes (height, width, K) float32 and grey values (height, width) of a part of a block."""

    part: Window
    shares: NDArray[np.float32]
    guide: NDArray[np.float32]


class _Votes:
    """The votes for the surroundings of windows that are not smoothed yet."""

    def __init__(
        self,
        classifier: PixelClassifier,
        channels: Channels,
        windows: Sequence[Window],
        side: int,
        probabilities: bool,
    ) -> None:
        self._classifier = classifier
        self._channels = channels
        self._probabilities = probabilities
        self._around = {w: support(w, classifier.smoothing, channels.shape) for w in windows}
        self._needed = {w: blocks(channels.shape, side, self._around[w]) for w in windows}
        self._waiting: dict[Window, list[Window]] = defaultdict(list)
        for window, needed in self._needed.items():
            for block in needed:
                self._waiting[block].append(window)
        self._extent = _hull([*self._around.values()])
        self._kept: dict[Window, _BlockVotes] = {}
        self._lock = Lock()
        self.wanted = [*self._waiting]

    def add(self, block: Window) -> dict[Window, Segmentation]:
        """Vote on a block, and return the windows that this completes."""
        ready = self._keep(block, self._voted(block))
        results = {window: self._smoothed(window) for window in ready}
        self._release(ready)
        return results

    def _voted(self, block: Window) -> _BlockVotes:
        part = block.overlap(self._extent)
        inside = part.seen_from(block).slices
        shares = votes(self._classifier.forest, self._channels.block(block)[inside])
        return _BlockVotes(part, shares.astype(np.float32), self._channels.guide(block)[inside])

    def _keep(self, block: Window, found: _BlockVotes) -> list[Window]:
        with self._lock:
            self._kept[block] = found
            waiting = self._waiting[block]
            return [w for w in waiting if all(one in self._kept for one in self._needed[w])]

    def _release(self, windows: Sequence[Window]) -> None:
        with self._lock:
            for window in windows:
                for block in self._needed[window]:
                    self._waiting[block].remove(window)
                    if not self._waiting[block]:
                        del self._kept[block]

    def _smoothed(self, window: Window) -> Segmentation:
        around, kept = self._around[window], [self._kept[one] for one in self._needed[window]]
        shares = _joined({one.part: one.shares for one in kept}, around)
        guide = _joined({one.part: one.guide for one in kept}, around)
        shares = smoothed(shares.astype(np.float64), guide, self._classifier.smoothing)
        return self._classifier.segmentation(
            shares[window.seen_from(around).slices],
            self._channels.missing(window),
            self._probabilities,
        )


def _hull(windows: Sequence[Window]) -> Window:
    """Return the smallest window that contains all of these; an empty one if there are none."""
    top, left = (min((getattr(w, edge) for w in windows), default=0) for edge in ("top", "left"))
    bottom = max((w.top + w.height for w in windows), default=0)
    right = max((w.left + w.width for w in windows), default=0)
    return Window(top, left, bottom - top, right - left)


def _joined(parts: Mapping[Window, NDArray[Any]], window: Window) -> NDArray[Any]:
    """Cut a window out of the blocks that cover it."""
    first = next(iter(parts.values()))
    joined = np.empty((window.height, window.width, *first.shape[2:]), first.dtype)
    for block, values in parts.items():
        shared = block.overlap(window)
        joined[shared.seen_from(window).slices] = values[shared.seen_from(block).slices]
    return joined
