"""What the live engine adds to a result: how good it is, and where to paint next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_alibi_seg.core.assessment import Seen, Strokes, assessing
from napari_alibi_seg.core.classifier import PixelSamples
from napari_alibi_seg.core.live_records import Assessed, Assessing
from napari_alibi_seg.core.segmentation import blocks
from napari_alibi_seg.core.strokes import stroke_pieces
from napari_alibi_seg.core.suggestions import grid_step, next_spots
from napari_alibi_seg.core.trust import CLASSICAL, DEEP
from napari_alibi_seg.core.voting import votes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.assessment import Assessment, Voter
    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.live_channels import PlaneChannels
    from napari_alibi_seg.core.live_records import Index
    from napari_alibi_seg.core.segmentation import SegmentationConfig

_TREES = 40
_SIDE = 256


@dataclass(frozen=True, eq=False)
class Result:
    """A plane that has been classified.

    Attributes
    ----------
    plane : Index
        Which plane.
    scribbles : ndarray
        (Y, X) of the plane, with what is ignored.
    channels : PlaneChannels
        Of the plane.
    classifier : PixelClassifier
        That classified it.
    samples : sequence of PixelSamples
        What that was trained on, plane by plane; empty if it came from a file.
    painted : mapping
        The scribbles of those planes, in the same order, without what is ignored.
    config : SegmentationConfig
        What it was trained with.
    """

    plane: Index
    scribbles: NDArray[Any]
    channels: PlaneChannels
    classifier: PixelClassifier
    samples: Sequence[PixelSamples]
    painted: Mapping[Index, NDArray[Any]]
    config: SegmentationConfig


def advising(result: Result) -> Iterator[Assessing | Assessed]:
    """Tell where to paint next, and how good a result is, in steps that can be left at any time.

    Yields
    ------
    Assessing, Assessed
        The spots as soon as they are known; then all, if a piece of each class can be left out.
    """
    step = grid_step(result.scribbles.shape)
    values, missing = yield from _looked_at(result, step)
    shares = votes(result.classifier.forest, values).astype(np.float32)
    spots = next_spots(shares, result.scribbles > 0, step, missing)
    yield Assessed(result.plane, spots)
    strokes = _strokes(result)
    if strokes is not None and strokes.assessable:
        ignored = result.scribbles[::step, ::step] > 0
        ignored &= ~np.isin(result.scribbles[::step, ::step], strokes.classes)
        ignored |= missing
        seen = Seen(values[~ignored], shares[~ignored])
        prior = CLASSICAL if result.classifier.projection is None else DEEP
        work = assessing(strokes, seen, partial(_fit, result), prior)
        assessment = yield from _telling(result.plane, work)
        yield Assessed(result.plane, spots, assessment)


def _looked_at(
    result: Result, step: int
) -> Generator[Assessing, None, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Return (h, w, F) channels of every few pixels, and where there is no data, by blocks."""
    windows = blocks(result.scribbles.shape, _SIDE)
    rows = []
    missing = np.zeros(result.scribbles.shape, bool)[::step, ::step].copy()
    for _, of_a_row in groupby(windows, key=attrgetter("top")):
        parts = []
        for window in of_a_row:
            yield Assessing(result.plane, 0.0)
            parts.append(result.channels.every(step, window, result.classifier.smoothing))
            there = result.channels.missing(window)
            if there is not None:
                top, left = window.top // step, window.left // step
                few = there[::step, ::step]
                missing[top : top + few.shape[0], left : left + few.shape[1]] = few
        rows.append(np.concatenate(parts, axis=1))
    return np.concatenate(rows), missing


def _telling(
    plane: Index, work: Generator[float, None, Assessment]
) -> Generator[Assessing, None, Assessment]:
    while True:
        try:
            yield Assessing(plane, next(work))
        except StopIteration as finished:
            return cast("Assessment", finished.value)


def _strokes(result: Result) -> Strokes | None:
    if not result.samples:
        return None
    painted = PixelSamples(
        np.concatenate([some.values for some in result.samples]),
        np.concatenate([some.labels for some in result.samples]),
    )
    return Strokes(painted, np.concatenate(stroke_pieces(result.painted)))


def _fit(result: Result, samples: PixelSamples) -> Voter:
    config = replace(result.config, channels=result.classifier.channels, trees=_TREES)
    forest = config.fit_forest([samples], result.classifier.projection)

    def voter(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return votes(forest, values).astype(np.float32)

    return voter
