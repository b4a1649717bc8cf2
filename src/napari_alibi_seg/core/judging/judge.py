"""Assessment of a classifier on a plane, for the live engine and for scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import ScribbleError
from napari_alibi_seg.core.forest.classifier import require_classifier
from napari_alibi_seg.core.forest.painted_images import require_fitting
from napari_alibi_seg.core.forest.samples import PixelSamples, gather_samples
from napari_alibi_seg.core.forest.scribbles import (
    ignored_classes,
    painted_classes,
    training_scribbles,
)
from napari_alibi_seg.core.forest.strokes import stroke_pieces
from napari_alibi_seg.core.forest.training import training_forest
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.micrograph import planes_of, require_micrograph
from napari_alibi_seg.core.images.windows import blocks
from napari_alibi_seg.core.judging.assessment import StrokeSamples, cross_validating
from napari_alibi_seg.core.judging.suggestions import grid_step, next_spots
from napari_alibi_seg.core.progress import run_to_end

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.samples import Channels
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import Assessment, CrossValidation, Voter
    from napari_alibi_seg.core.judging.suggestions import Spot
    from napari_alibi_seg.core.segmentation import Segmenter

_MOST_TREES = 40
_SIDE = 256


@dataclass(frozen=True, eq=False)
class Training:
    """A classifier and its training data.

    Attributes
    ----------
    classifier : PixelClassifier
        The classifier to assess.
    config : SegmentationConfig
        The settings it was trained with.
    painted : mapping
        (Y, X) scribbles by plane, without ignored classes.
    samples : sequence of PixelSamples
        Samples of these planes, in the same order.
    """

    classifier: PixelClassifier
    config: SegmentationConfig
    painted: Mapping[Index, NDArray[Any]]
    samples: Sequence[PixelSamples]

    def cross_validating(self) -> Generator[float, None, CrossValidation | None]:
        """Hold out strokes in turn, in steps; returns None if they are not `assessable`."""
        strokes = self.strokes()
        if not strokes.assessable:
            return None
        return (yield from cross_validating(strokes, self.fit, self.classifier.prior))

    def strokes(self) -> StrokeSamples:
        """Return the labelled pixels with their pieces."""
        painted = PixelSamples(
            np.concatenate([some.values for some in self.samples]),
            np.concatenate([some.labels for some in self.samples]),
        )
        return StrokeSamples(painted, np.concatenate(stroke_pieces(self.painted)))

    def fit(self, samples: PixelSamples) -> Voter:
        """Train a forest of at most 40 trees with the same settings; return its voter."""
        trees = min(self.config.trees, _MOST_TREES)
        config = replace(self.config, channels=self.classifier.channels, trees=trees)
        forest = run_to_end(training_forest(config, [samples], self.classifier.projection))

        def voter(values: NDArray[np.float32]) -> NDArray[np.float32]:
            return votes(forest, values).astype(np.float32)

        return voter


@dataclass(frozen=True, eq=False)
class SampledPlane:
    """Every `grid_step`-th pixel of a plane in rows and columns.

    Attributes
    ----------
    values : ndarray
        (h, w, F) channels.
    votes : ndarray
        (h, w, K) shares of votes of a classifier.
    missing : ndarray
        (h, w) mask of pixels without data.
    """

    values: NDArray[np.float32]
    votes: NDArray[np.float32]
    missing: NDArray[np.bool_]

    def spots(self, scribbles: NDArray[Any]) -> tuple[Spot, ...]:
        """Suggest where to paint next, beside (Y, X) scribbles of any class: `next_spots`."""
        step = grid_step((scribbles.shape[0], scribbles.shape[1]))
        return next_spots(self.votes, scribbles > 0, step, self.missing)

    def assessment(self, validation: CrossValidation, scribbles: NDArray[Any]) -> Assessment | None:
        """Assess the classifier that votes; None if every pixel lacks data or is ignored.

        Parameters
        ----------
        validation : CrossValidation
            Of the classifier.
        scribbles : ndarray
            (Y, X) scribbles of the plane, including ignored classes.
        """
        step = grid_step((scribbles.shape[0], scribbles.shape[1]))
        drawn = scribbles[::step, ::step]
        counted = ((drawn == 0) | np.isin(drawn, [*validation.recalls])) & ~self.missing
        if not counted.any():
            return None
        return validation.assessment(self.values[counted], self.votes[counted])


def sampling_plane(
    classifier: PixelClassifier, channels: Channels
) -> Generator[None, None, SampledPlane]:
    """Sample a plane, one block per step.

    Parameters
    ----------
    classifier : PixelClassifier
        Votes on the pixels.
    channels : Channels
        Channels of the plane.
    """
    step, rows = grid_step(channels.shape), []
    for _, of_a_row in groupby(blocks(channels.shape, _SIDE), key=attrgetter("top")):
        parts = []
        for window in of_a_row:
            yield
            values, missing = channels.subsampled(window, step), channels.missing(window)
            few = np.zeros(values.shape[:2], bool) if missing is None else missing[::step, ::step]
            parts.append((values, few))
        rows.append([np.concatenate(some, axis=1) for some in zip(*parts, strict=True)])
    values, missing = (np.concatenate(some) for some in zip(*rows, strict=True))
    return SampledPlane(values, votes(classifier.forest, values).astype(np.float32), missing)


def assess(
    segmenter: Segmenter,
    classifier: PixelClassifier,
    image: Micrograph,
    scribbles: NDArray[np.integer[Any]],
    ignored: Collection[int] = (),
) -> dict[Index, Assessment]:
    """Assess a classifier on the planes it was trained on.

    Parameters
    ----------
    segmenter : Segmenter
        The segmenter that fitted the classifier.
    classifier : PixelClassifier
        Fitted on these scribbles with the same ignored classes.
    image : Micrograph
        The scribbled image.
    scribbles : ndarray
        Integers of shape ``image.label_shape``, 0 (or masked) = not painted.
    ignored : collection of int
        Classes excluded from training and assessment.

    Returns
    -------
    dict
        Assessment by plane index, without planes whose sampled pixels all lack data; empty if a
        class has fewer than two pieces of strokes, or the image is constant. The napari dock shows
        the same assessment for the same plane, scribbles and settings.

    Raises
    ------
    ScribbleError
        If the scribbles do not match the image, or the classes that are painted, without ignored
        ones and where the image has data, are not those of the classifier.
    ClassifierError, ImageError
        As from `Segmenter.channels`.
    """
    require_micrograph(image)
    require_classifier(classifier)
    scribbles, ignored = np.asarray(np.ma.filled(scribbles, 0)), ignored_classes(ignored)
    require_fitting(image, scribbles)
    if image.levels.flat:
        return {}
    planes = planes_of(image)
    painted = training_scribbles(planes, scribbles, ignored)
    _require_same_classes(classifier, painted)
    channels = {index: segmenter.channels(classifier, planes[index]) for index in painted}
    samples = [gather_samples(channels[index], drawn) for index, drawn in painted.items()]
    training = Training(classifier, segmenter.config, painted, samples)
    validation = run_to_end(training.cross_validating())
    if validation is None:
        return {}
    assessments = {}
    for done, (index, of_plane) in enumerate(channels.items(), start=1):
        sampled = run_to_end(sampling_plane(classifier, of_plane))
        assessment = sampled.assessment(validation, scribbles[index])
        if assessment is not None:
            assessments[index] = assessment
        segmenter.progress("assessment", done, len(channels))
    return assessments


def _require_same_classes(
    classifier: PixelClassifier, painted: Mapping[Index, NDArray[Any]]
) -> None:
    """Raise a `ScribbleError` unless exactly the classes of the classifier are painted."""
    drawn = painted_classes(painted.values())
    trained = {info.value for info in classifier.classes}
    if drawn != trained:
        raise ScribbleError(
            f"The scribbles hold {_listed(drawn)}, but the classifier was trained on "
            f"{_listed(trained)}; assess it with the scribbles and the ignored classes that it was "
            "trained with, or train another one on these scribbles."
        )


def _listed(classes: Collection[int]) -> str:
    return f"classes {', '.join(map(str, sorted(classes)))}" if classes else "no classes"
