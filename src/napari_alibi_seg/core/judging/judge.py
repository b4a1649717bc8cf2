"""Assessing what a classifier made of a plane, for the live engine and without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.blockwise import blocks
from napari_alibi_seg.core.forest.classifier import PixelSamples, gather_samples
from napari_alibi_seg.core.forest.strokes import painted_without, stroke_pieces
from napari_alibi_seg.core.forest.training import train_forest
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.judging.assessment import GridPixels, StrokeSamples, assessing
from napari_alibi_seg.core.judging.suggestions import grid_step
from napari_alibi_seg.core.progress import returned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import Channels, PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Index, Window
    from napari_alibi_seg.core.judging.assessment import Assessment, Voter
    from napari_alibi_seg.core.segmentation import Segmenter

_TREES = 40
_SIDE = 256


@dataclass(frozen=True, eq=False)
class Training:
    """A classifier, and what it was trained on.

    Attributes
    ----------
    classifier : PixelClassifier
        What is judged.
    config : SegmentationConfig
        What it was trained with.
    painted : mapping
        (Y, X) scribbles by plane, without what is ignored.
    samples : sequence of PixelSamples
        Of those planes, in the same order; empty if the classifier came from a file.
    """

    classifier: PixelClassifier
    config: SegmentationConfig
    painted: Mapping[Index, NDArray[Any]]
    samples: Sequence[PixelSamples]

    def strokes(self) -> StrokeSamples | None:
        """Return the painted pixels in pieces; None if no piece of each class can be left out."""
        if not self.samples:
            return None
        painted = PixelSamples(
            np.concatenate([some.values for some in self.samples]),
            np.concatenate([some.labels for some in self.samples]),
        )
        strokes = StrokeSamples(painted, np.concatenate(stroke_pieces(self.painted)))
        return strokes if strokes.assessable else None

    def fit(self, samples: PixelSamples) -> Voter:
        """Train in the same way, with fewer trees."""
        config = replace(self.config, channels=self.classifier.channels, trees=_TREES)
        forest = train_forest(config, [samples], self.classifier.projection)

        def voter(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return votes(forest, values).astype(np.float32)

        return voter


def sampling_grid(
    channels: Channels, look: Callable[[Window], NDArray[np.float32]]
) -> Generator[None, None, tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Evaluate the channels of a plane at every few pixels, a block at a time.

    Parameters
    ----------
    channels : Channels
        Of the plane.
    look : callable
        From a window to the (h, w, F) channels of every `grid_step`-th of its pixels.

    Returns
    -------
    tuple
        (h, w, F) channels, and (h, w) whether a pixel has no data.
    """
    step, rows = grid_step(channels.shape), []
    for _, of_a_row in groupby(blocks(channels.shape, _SIDE), key=attrgetter("top")):
        parts = []
        for window in of_a_row:
            yield
            values, there = look(window), channels.missing(window)
            few = np.zeros(values.shape[:2], bool) if there is None else there[::step, ::step]
            parts.append((values, few))
        rows.append([np.concatenate(some, axis=1) for some in zip(*parts, strict=True)])
    values, missing = (np.concatenate(some) for some in zip(*rows, strict=True))
    return values, missing


def assessing_plane(
    training: Training,
    scribbles: NDArray[Any],
    values: NDArray[np.float32],
    shares: NDArray[np.float32],
    missing: NDArray[np.bool_],
) -> Generator[float, None, Assessment | None]:
    """Assess a plane in steps that can be left at any time; see `assessing`.

    Parameters
    ----------
    training : Training
        Of the classifier.
    scribbles : ndarray
        (Y, X) of the plane, with what is ignored.
    values, shares : ndarray
        (h, w, F) channels and (h, w, K) votes at every `grid_step` pixels of the plane.
    missing : ndarray
        (h, w) whether the plane has no data there.
    """
    strokes, step = training.strokes(), grid_step((scribbles.shape[0], scribbles.shape[1]))
    if strokes is None:
        return None
    drawn = scribbles[::step, ::step]
    counted = ((drawn == 0) | np.isin(drawn, strokes.classes)) & ~missing
    if not counted.any():
        return None
    seen = GridPixels(values[counted], shares[counted])
    return (yield from assessing(strokes, seen, training.fit, training.classifier.prior))


def assess(
    segmenter: Segmenter,
    classifier: PixelClassifier,
    image: Micrograph,
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int] = (),
) -> dict[Index, Assessment]:
    """Assess what a segmenter's classifier makes of the planes it was trained on.

    Parameters
    ----------
    segmenter : Segmenter
        That fitted the classifier.
    classifier : PixelClassifier
        Fitted on these scribbles without those that are ignored.
    image : Micrograph
        What is painted.
    scribbles : ndarray
        Integers of shape ``image.label_shape``, 0 = not painted.
    ignored : collection of int
        Classes that neither train nor count.

    Returns
    -------
    dict
        By plane, but for planes where no pixel looked at has data; empty if no piece of each class
        can be left out, or every pixel has the same value. What the window tells of the same
        plane, scribbles and settings.
    """
    if image.levels.flat:
        return {}
    planes = planes_of(image)
    painted = painted_without(planes, scribbles, ignored)
    channels = {index: segmenter.channels(classifier, planes[index]) for index in painted}
    samples = [gather_samples(channels[index], drawn) for index, drawn in painted.items()]
    training = Training(classifier, segmenter.config, painted, samples)
    found = {}
    for done, (index, known) in enumerate(channels.items(), start=1):
        look = partial(_every, known, grid_step(known.shape))
        values, missing = returned(sampling_grid(known, look))
        shares = votes(classifier.forest, values).astype(np.float32)
        assessment = returned(assessing_plane(training, scribbles[index], values, shares, missing))
        if assessment is not None:
            found[index] = assessment
        segmenter.progress("assessment", done, len(channels))
    return found


def _every(channels: PixelChannels, step: int, window: Window) -> NDArray[np.float32]:
    return channels.block(window)[::step, ::step]
