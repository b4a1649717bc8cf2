"""Estimate the accuracy of a segmentation from strokes and votes, without ground truth.

Three sources are used. Cross-validation on held-out strokes shows which classes are recognised; but
strokes are painted where phases are clear, and a few strokes vary a lot, so their score is a poor
estimate of the image's accuracy. The confidence of the forest over the whole image is a far better
one, once votes are calibrated to probabilities (`core.forest.vote_calibration`): the mean
probability of the winning class is the expected accuracy. And the share of the image that changes
when strokes are left out shows whether more strokes would help. `docs/accuracy.md` has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_alibi_seg.core.forest.samples import PixelSamples
from napari_alibi_seg.core.forest.vote_calibration import calibrated, expected_confusion
from napari_alibi_seg.core.judging.expectation import Estimate, Expectation, expected_fractions
from napari_alibi_seg.core.judging.held_out import HeldOutVotes, fit_temperature

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior

Voter: TypeAlias = "Callable[[NDArray[np.float32]], NDArray[np.float32]]"
"""From (N, F) channels to (N, K) shares of votes, classes in ascending order of value."""
Fit: TypeAlias = "Callable[[PixelSamples], Voter]"
"""Trains on samples of all K classes."""

_PIXELS_OF_A_PIECE = 40
_COMPARED = 1500
_MOST_FOLDS = 10
_SUBSET_SHARES = (1 / 3, 2 / 3)
_REPEATS = 2
_LOG_TEMPERATURE = 0.6
"""Half-width of a 90 % interval of the logarithm of the temperature (docs/accuracy.md)."""
_SETTLED = 0.02
_RECOGNISED = 0.2
"""Minimum balanced recall of held-out strokes, as a share of the way from chance to 1."""


@dataclass(frozen=True)
class CurvePoint:
    """A point of the learning curve.

    Attributes
    ----------
    strokes : int
        Number of strokes (or halves of a class's only stroke) in the training set.
    accuracy : float
        Estimated accuracy over the image, 0 to 1, by the probabilities of the classifier trained
        on all strokes.
    """

    strokes: int
    accuracy: float


@dataclass(frozen=True)
class Assessment:
    """Assessment of a segmentation without ground truth.

    Attributes
    ----------
    accuracy : Estimate
        Share of the image's pixels that are right.
    fractions : mapping
        Area fraction by class value.
    recalls : mapping
        Recall on held-out strokes by class value, 0 to 1.
    curve : tuple of CurvePoint
        Learning curve in ascending number of strokes; the last point has all of them.
    unsettled : float
        Mean share of the pixels whose class changes when a fold of the strokes is held out; a fold
        is one stroke if there are ten or fewer.
    temperature : float
        Temperature that calibrates the votes (`core.forest.vote_calibration.calibrated`).
    """

    accuracy: Estimate
    fractions: Mapping[int, Estimate]
    recalls: Mapping[int, float]
    curve: tuple[CurvePoint, ...]
    unsettled: float
    temperature: float

    @property
    def recognises(self) -> bool:
        """Whether held-out strokes are recognised clearly better than by chance.

        If not, the forest cannot distinguish the classes and its confidence is meaningless:
        `accuracy` and `fractions` must not be shown.
        """
        chance = 1 / len(self.recalls)
        balanced = sum(self.recalls.values()) / len(self.recalls)
        return balanced > chance + _RECOGNISED * (1 - chance)

    @property
    def expected(self) -> Expectation | None:
        """Accuracy and fractions; None if they must not be shown."""
        if not self.recognises:
            return None
        return Expectation(self.accuracy.value, self.fractions, assessed=True)

    @property
    def settled(self) -> bool:
        """Whether twice the strokes would change little (0.01 of the mean IoU when measured)."""
        return self.recognises and self.unsettled < _SETTLED


@dataclass(frozen=True, eq=False)
class StrokeSamples:
    """Labelled pixels and the pieces of strokes they belong to.

    Attributes
    ----------
    samples : PixelSamples
        N labelled pixels.
    pieces : ndarray
        (N,) number of the stroke, or of the half of a class's only stroke; see `stroke_pieces`.
    """

    samples: PixelSamples
    pieces: NDArray[np.integer[Any]]

    def __getitem__(self, chosen: NDArray[Any]) -> StrokeSamples:
        """Return the selected pixels."""
        samples = PixelSamples(self.samples.values[chosen], self.samples.labels[chosen])
        return StrokeSamples(samples, self.pieces[chosen])

    @property
    def classes(self) -> NDArray[np.integer[Any]]:
        """(K,) painted class values, ascending."""
        return np.unique(self.samples.labels)

    @property
    def pieces_of_classes(self) -> list[NDArray[np.integer[Any]]]:
        """The piece numbers of each class, in the order of `classes`."""
        return [np.unique(self.pieces[self.samples.labels == value]) for value in self.classes]

    @property
    def count(self) -> int:
        """Number of pieces."""
        return len(np.unique(self.pieces))

    @property
    def assessable(self) -> bool:
        """Whether there are two or more classes with two or more pieces each."""
        counts = [len(pieces) for pieces in self.pieces_of_classes]
        return len(counts) > 1 and min(counts) > 1


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Forests trained on parts of a classifier's strokes, which tell how good it is on any plane.

    Attributes
    ----------
    voters : sequence of callable
        From all strokes, then with each fold held out, then from random subsets.
    counts : sequence of int
        Number of strokes (or halves of a class's only stroke) that each was trained on.
    folds : int
        Number of folds.
    recalls, temperature
        As in `Assessment`; the K classes in ascending order of value.
    """

    voters: Sequence[Voter]
    counts: Sequence[int]
    folds: int
    recalls: Mapping[int, float]
    temperature: float

    def assessment(self, values: NDArray[np.float32], votes: NDArray[np.float32]) -> Assessment:
        """Assess the classifier on a plane.

        Parameters
        ----------
        values : ndarray
            (M, F) channels of a few thousand pixels spread evenly over the plane.
        votes : ndarray
            (M, K) shares of votes of the classifier at these pixels.
        """
        every = -(-len(values) // _COMPARED)
        labels = [voter(values[::every]).argmax(axis=1) for voter in self.voters]
        judge = calibrated(votes[::every], self.temperature)
        rows = np.arange(len(judge))
        return Assessment(
            _accuracy(votes, self.temperature),
            expected_fractions(_confusion(votes, self.temperature), self.recalls),
            self.recalls,
            _curve(self.counts, [float(judge[rows, given].mean()) for given in labels]),
            float(np.mean([given != labels[0] for given in labels[1 : self.folds + 1]])),
            self.temperature,
        )


def cross_validating(
    strokes: StrokeSamples, fit: Fit, prior: TemperaturePrior
) -> Generator[float, None, CrossValidation]:
    """Hold out strokes in turn, as a generator that can be closed at any step.

    Parameters
    ----------
    strokes : StrokeSamples
        Training samples of a classifier; must be `assessable`.
    fit : callable
        Trains in the same way; fewer trees suffice.
    prior : TemperaturePrior
        Prior for classifiers of its kind.

    Yields
    ------
    float
        Fraction done, after each of at most 15 trainings.

    Returns
    -------
    CrossValidation
        Deterministic.
    """
    few = _thinned_strokes(strokes)
    folds = _folds(few)
    number = int(folds.max()) + 1
    subsets = [folds >= 0, *(folds != fold for fold in range(number)), *_subsets(few)]
    voters, counts = [], []
    for inside in subsets:
        part = few[inside]
        voters.append(fit(part.samples))
        counts.append(part.count)
        yield len(voters) / len(subsets)
    votes = np.empty((len(folds), len(few.classes)), np.float32)
    for fold, voter in enumerate(voters[1 : number + 1]):
        votes[folds == fold] = voter(few.samples.values[folds == fold])
    held_out = HeldOutVotes(votes, np.searchsorted(few.classes, few.samples.labels), few.pieces)
    return CrossValidation(
        voters,
        counts,
        number,
        dict(zip(few.classes.tolist(), held_out.recalls.tolist(), strict=True)),
        fit_temperature(held_out, prior),
    )


def _accuracy(votes: NDArray[np.float32], temperature: float) -> Estimate:
    """Return the mean probability of the winning class; it falls with the temperature."""
    value, low, high = (
        float(calibrated(votes, temperature * np.exp(log)).max(axis=1).mean())
        for log in (0, _LOG_TEMPERATURE, -_LOG_TEMPERATURE)
    )
    return Estimate(value, low, high)


def _confusion(votes: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return the expected confusion matrix of votes, sum 1."""
    confusion = expected_confusion(calibrated(votes, temperature), votes.argmax(axis=1))
    return confusion / len(votes)


def _thinned_strokes(strokes: StrokeSamples) -> StrokeSamples:
    """Subsample every piece evenly to at most 40 pixels, since neighbours are redundant."""
    chosen = []
    for piece in np.unique(strokes.pieces):
        pixels = np.flatnonzero(strokes.pieces == piece)
        kept = min(len(pixels), _PIXELS_OF_A_PIECE)
        chosen.append(pixels[np.linspace(0, len(pixels) - 1, kept).astype(int)])
    return strokes[np.concatenate(chosen)]


def _folds(strokes: StrokeSamples) -> NDArray[np.intp]:
    """Return the cross-validation fold of each pixel: one per piece, shared beyond ten pieces."""
    order = np.concatenate(strokes.pieces_of_classes)
    # Successive pieces are in different folds, so no fold holds out all pieces of a class.
    folds = np.arange(len(order)) % _MOST_FOLDS
    by_piece = np.argsort(order)
    return np.asarray(folds[by_piece][np.searchsorted(order[by_piece], strokes.pieces)], np.intp)


def _subsets(strokes: StrokeSamples) -> Iterator[NDArray[np.bool_]]:
    """Yield random subsets of a third, then two thirds, of each class's pieces, at least one."""
    for share in _SUBSET_SHARES:
        for repeat in range(_REPEATS):
            random = np.random.default_rng(repeat)
            drawn = [
                random.permutation(pieces)[: max(round(share * len(pieces)), 1)]
                for pieces in strokes.pieces_of_classes
            ]
            yield np.isin(strokes.pieces, np.concatenate(drawn))


def _curve(counts: Sequence[int], accuracies: Sequence[float]) -> tuple[CurvePoint, ...]:
    """Average the accuracies for each number of strokes, in ascending order."""
    by_count: dict[int, list[float]] = {count: [] for count in sorted(counts)}
    for count, accuracy in zip(counts, accuracies, strict=True):
        by_count[count].append(accuracy)
    return tuple(CurvePoint(count, float(np.mean(found))) for count, found in by_count.items())
