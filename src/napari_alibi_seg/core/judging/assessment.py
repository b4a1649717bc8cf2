"""How good a segmentation is, told from the strokes and the votes alone.

Three things are known without ground truth. What the forest says of strokes it has not seen tells
which classes it recognises; but strokes are painted where things are plain, and few of them vary
a lot, so their score is a poor guess of the image's. How sure the forest is over the whole image
is a far better one, once its votes are made probabilities (`core.forest.vote_calibration`): the
mean probability of the winning class is the share of pixels expected to be right. And how much of
the image changes when a stroke is left out tells whether strokes still matter. `docs/accuracy.md`
has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_alibi_seg.core.forest.classifier import PixelSamples
from napari_alibi_seg.core.forest.vote_calibration import HeldOut, calibrated, fit_temperature

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior

Voter: TypeAlias = "Callable[[NDArray[np.float32]], NDArray[np.float32]]"
"""From (N, F) channels to (N, K) shares of votes, classes in rising order of value."""
Fit: TypeAlias = "Callable[[PixelSamples], Voter]"
"""Trains on samples of all K classes."""

_PIXELS_OF_A_PIECE = 40
_COMPARED = 1500
_MOST_FOLDS = 10
_SUBSET_SHARES = (1 / 3, 2 / 3)
_REPEATS = 2
# Half-widths of the intervals that hold the truth nine times in ten: of the logarithm of the
# temperature, and of a fraction in shares of pixels expected to be wrong (docs/accuracy.md).
_LOG_TEMPERATURE, _WRONG_PIXELS = 0.6, 1.2
_SETTLED = 0.02
_RECOGNISED = 0.2
"""How far from chance to certainty strokes left out must be recognised for all else to count."""


@dataclass(frozen=True)
class Estimate:
    """A number between 0 and 1 with an interval for the truth.

    The interval is meant to hold the truth nine times in ten. Measured, that of the accuracy did
    for 95 % of drawings, those of area fractions for 92 %, on one set only for 33 %; see
    `docs/accuracy.md`.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class CurvePoint:
    """A point of the learning curve.

    Attributes
    ----------
    strokes : int
        How many strokes, or halves of a class's only one, were trained on.
    accuracy : float
        Share of the image's pixels that were then right, 0 to 1, judged by all strokes.
    """

    strokes: int
    accuracy: float


@dataclass(frozen=True)
class Assessment:
    """What can be said of a segmentation without ground truth.

    Attributes
    ----------
    accuracy : Estimate
        Share of the image's pixels that are right.
    fractions : mapping
        Area fraction by class value.
    recalls : mapping
        By class value, the share of its strokes that is recognised when left out.
    curve : tuple of CurvePoint
        Rising in strokes; the last point is all of them.
    unsettled : float
        Share of the pixels that change when one stroke is left out, in the mean.
    temperature : float
        What turns votes into probabilities (`core.forest.vote_calibration.calibrated`).
    """

    accuracy: Estimate
    fractions: Mapping[int, Estimate]
    recalls: Mapping[int, float]
    curve: tuple[CurvePoint, ...]
    unsettled: float
    temperature: float

    @property
    def recognises(self) -> bool:
        """Whether strokes left out are recognised better than by chance.

        If they are not, the classes look alike to the forest, and how sure it is of the image
        says nothing: `accuracy` and `fractions` are not to be shown.
        """
        chance = 1 / len(self.recalls)
        balanced = sum(self.recalls.values()) / len(self.recalls)
        return balanced > chance + _RECOGNISED * (1 - chance)

    @property
    def settled(self) -> bool:
        """Whether twice the strokes would change little: .01 of the mean IoU, when measured."""
        return self.recognises and self.unsettled < _SETTLED


@dataclass(frozen=True, eq=False)
class StrokeSamples:
    """Painted pixels and the pieces they belong to.

    Attributes
    ----------
    samples : PixelSamples
        N pixels.
    pieces : ndarray
        (N,) number of the stroke, or half of a class's only stroke; see `stroke_pieces`.
    """

    samples: PixelSamples
    pieces: NDArray[np.integer[Any]]

    def __getitem__(self, chosen: NDArray[Any]) -> StrokeSamples:
        """Return some of the pixels."""
        samples = PixelSamples(self.samples.values[chosen], self.samples.labels[chosen])
        return StrokeSamples(samples, self.pieces[chosen])

    @property
    def classes(self) -> NDArray[np.integer[Any]]:
        """(K,) values painted, rising."""
        return np.unique(self.samples.labels)

    @property
    def pieces_of_classes(self) -> list[NDArray[np.integer[Any]]]:
        """The numbers of the pieces of each class."""
        return [np.unique(self.pieces[self.samples.labels == value]) for value in self.classes]

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return len(np.unique(self.pieces))

    @property
    def assessable(self) -> bool:
        """Whether there are two classes and a piece of each can be left out."""
        counts = [len(pieces) for pieces in self.pieces_of_classes]
        return len(counts) > 1 and min(counts) > 1


@dataclass(frozen=True, eq=False)
class GridPixels:
    """Pixels on a grid over the image, as the classifier that is judged sees them.

    Attributes
    ----------
    values : ndarray
        (M, F) float32 channels.
    votes : ndarray
        (M, K) shares of its trees' votes.
    """

    values: NDArray[np.float32]
    votes: NDArray[np.float32]


def assessing(
    strokes: StrokeSamples, seen: GridPixels, fit: Fit, prior: TemperaturePrior
) -> Generator[float, None, Assessment]:
    """Assess a classifier in small steps, so that it can be left at any time.

    Parameters
    ----------
    strokes : StrokeSamples
        What it was trained on; must be `assessable`.
    seen : GridPixels
        A few thousand pixels spread evenly over the image.
    fit : callable
        Trains as it was trained; fewer trees will do.
    prior : TemperaturePrior
        Of classifiers of its kind.

    Yields
    ------
    float
        How much is done, 0 to 1, after each of at most 15 trainings.

    Returns
    -------
    Assessment
        Whatever the order of the pixels, the same for the same strokes.
    """
    few = _thinned_strokes(strokes)
    folds = _folds(few)
    subsets = [*(folds != fold for fold in range(folds.max() + 1)), *_subsets(few)]
    compared = seen.values[:: -(-len(seen.values) // _COMPARED)]
    votes = np.empty((len(folds), len(few.classes)), np.float32)
    labels = [fit(few.samples)(compared).argmax(axis=1)]
    for done, inside in enumerate(subsets):
        yield (done + 1) / (len(subsets) + 1)
        voter = fit(few[inside].samples)
        labels.append(voter(compared).argmax(axis=1))
        if done <= folds.max():
            votes[~inside] = voter(few[~inside].samples.values)
    left_out = labels[1 : folds.max() + 2]
    held_out = HeldOut(votes, np.searchsorted(few.classes, few.samples.labels), few.pieces)
    temperature = fit_temperature(held_out, prior)
    judge = calibrated(seen.votes[:: -(-len(seen.votes) // _COMPARED)], temperature)
    counts = [few.count, *(few[inside].count for inside in subsets)]
    return Assessment(
        _accuracy(seen.votes, temperature),
        _fractions(seen.votes, temperature, few.classes),
        dict(zip(few.classes.tolist(), held_out.recalls.tolist(), strict=True)),
        _curve(counts, [float(judge[np.arange(len(judge)), these].mean()) for these in labels]),
        float(np.mean([these != labels[0] for these in left_out])),
        temperature,
    )


def _accuracy(votes: NDArray[np.float32], temperature: float) -> Estimate:
    """Return the probability of the winning class; a higher temperature makes it lower."""
    value, low, high = (
        float(calibrated(votes, temperature * np.exp(log)).max(axis=1).mean())
        for log in (0, _LOG_TEMPERATURE, -_LOG_TEMPERATURE)
    )
    return Estimate(value, low, high)


def _fractions(
    votes: NDArray[np.float32], temperature: float, classes: NDArray[np.integer[Any]]
) -> dict[int, Estimate]:
    """Return area fractions, give or take the pixels expected to be wrong about the class."""
    confusion = _expected_confusion(votes, temperature)
    shares = confusion.sum(axis=0)
    wrong = shares + confusion.sum(axis=1) - 2 * np.diag(confusion)
    low, high = np.clip([shares - _WRONG_PIXELS * wrong, shares + _WRONG_PIXELS * wrong], 0, 1)
    return {
        int(value): Estimate(*map(float, numbers))
        for value, *numbers in zip(classes, shares, low, high, strict=True)
    }


def _expected_confusion(votes: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return the (K, K) share of pixels expected of each true class (row) and label (column)."""
    probabilities, labels = calibrated(votes, temperature), votes.argmax(axis=1)
    columns = [probabilities[labels == label].sum(axis=0) for label in range(votes.shape[1])]
    return np.asarray(np.stack(columns, axis=1) / len(votes), np.float64)


def _thinned_strokes(strokes: StrokeSamples) -> StrokeSamples:
    """Take few pixels of every piece, evenly: neighbours say the same."""
    chosen = []
    for piece in np.unique(strokes.pieces):
        pixels = np.flatnonzero(strokes.pieces == piece)
        kept = min(len(pixels), _PIXELS_OF_A_PIECE)
        chosen.append(pixels[np.linspace(0, len(pixels) - 1, kept).astype(int)])
    return strokes[np.concatenate(chosen)]


def _folds(strokes: StrokeSamples) -> NDArray[np.intp]:
    """Return which training leaves a pixel out: its own piece's, or one that pieces share."""
    order = np.concatenate(strokes.pieces_of_classes)
    # Neighbours in the order differ in their fold, so no fold takes all pieces of a class.
    folds = np.arange(len(order)) % _MOST_FOLDS
    by_piece = np.argsort(order)
    return np.asarray(folds[by_piece][np.searchsorted(order[by_piece], strokes.pieces)], np.intp)


def _subsets(strokes: StrokeSamples) -> Iterator[NDArray[np.bool_]]:
    """Draw a third, then two thirds, of each class's pieces: at least one, and not all."""
    for share in _SUBSET_SHARES:
        for repeat in range(_REPEATS):
            random = np.random.default_rng(repeat)
            drawn = [
                random.permutation(pieces)[: max(round(share * len(pieces)), 1)]
                for pieces in strokes.pieces_of_classes
            ]
            yield np.isin(strokes.pieces, np.concatenate(drawn))


def _curve(counts: list[int], accuracies: list[float]) -> tuple[CurvePoint, ...]:
    """Average trainings on equally many strokes, and put them in order."""
    by_count: dict[int, list[float]] = {count: [] for count in sorted(counts)}
    for count, accuracy in zip(counts, accuracies, strict=True):
        by_count[count].append(accuracy)
    return tuple(CurvePoint(count, float(np.mean(found))) for count, found in by_count.items())
