"""Compare the estimates made without ground truth (accuracy, fractions) with the ground truth.

    python benchmarks/assessment.py [--model classical]

For every drawing of scribbles on the development set, print the best calibration temperatures for
the votes and the smoothed votes, by set and overall (`core.forest.vote_calibration` holds the
latter). Then, with the usual temperatures taken from the *other* sets, compare estimated and true
accuracy and fractions, report the expected calibration errors before and after calibration, and
the gain from twice the strokes as a function of how far the result is from settled.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from tqdm import tqdm

from comparison import print_table
from methods import SHARED
from napari_alibi_seg import Micrograph, SegmentationConfig, Segmenter, read_image, read_scribbles
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.forest.samples import gather_samples
from napari_alibi_seg.core.forest.smoothing import smoothed
from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior, calibrated
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.judging.assessment import Assessment, cross_validating
from napari_alibi_seg.core.judging.judge import Training
from napari_alibi_seg.core.judging.suggestions import grid_step
from napari_alibi_seg.core.progress import run_to_end
from scores import class_iou, expected_calibration_error

if TYPE_CHECKING:
    from pathlib import Path

    from methods import Labels
    from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
    from napari_alibi_seg.core.forest.classifier import PixelClassifier

_TEMPERATURES = (0.2, 5.0)


@dataclass(frozen=True, eq=False)
class Drawing:
    """One drawing, the votes of the forest trained on it, and the truth, on a grid of pixels.

    Attributes
    ----------
    set, name : str
        Folder of the set; kind of scribbles and image file name.
    training : Training
        Training of the forest.
    values : ndarray
        (M, F) channels of the pixels of the grid.
    votes : ndarray
        (M, K) votes of these pixels.
    smoothed : ndarray
        (M, K) smoothed votes of these pixels, as displayed.
    truth : ndarray
        (M,) index of the true class among the painted ones; -1 where not annotated or painted.
    gain : float or None
        Gain of mean IoU on the grid when trained on a second drawing as well.
    """

    set: str
    name: str
    training: Training
    values: np.ndarray
    votes: np.ndarray
    smoothed: np.ndarray
    truth: np.ndarray
    gain: float | None

    @property
    def known(self) -> np.ndarray:
        """Mask of the pixels whose truth is known."""
        return self.truth >= 0

    def right(self, shares: np.ndarray) -> np.ndarray:
        """Return whether each known pixel is classified correctly."""
        return np.asarray(shares[self.known].argmax(axis=1) == self.truth[self.known])

    def best_temperature(self, shares: np.ndarray) -> float:
        """Return the temperature that maximises the likelihood of the truth."""
        known, rows = shares[self.known], np.arange(self.known.sum())

        def misfit(log: float) -> float:
            told = calibrated(known, np.exp(log))[rows, self.truth[self.known]]
            return float(-np.log(told).mean())

        return float(
            np.exp(minimize_scalar(misfit, bounds=np.log(_TEMPERATURES), method="bounded").x)
        )

    def calibration_error(self, shares: np.ndarray, temperature: float | None = None) -> float:
        """Return the expected calibration error of votes, calibrated if a temperature is given."""
        told = shares if temperature is None else calibrated(shares, temperature)
        return expected_calibration_error(told[self.known], self.right(shares))

    def assessed(self, prior: TemperaturePrior) -> Assessment:
        """Assess the forest as the napari dock does."""
        work = cross_validating(self.training.strokes(), self.training.fit, prior)
        return run_to_end(work).assessment(self.values, self.votes)


class Judge:
    """Trains on drawings and evaluates the results on a grid of pixels."""

    def __init__(self, model: str) -> None:
        cache = FeatureCache(memory_limit=2e9)
        self._segmenter = Segmenter(SegmentationConfig(model), cache=cache)

    def drawing(self, folder: Path, kind: str, path: Path) -> Drawing | None:
        """Train on a drawing; return None if its strokes do not allow an assessment."""
        image = read_image(folder / "images" / path.name)
        scribbles = read_scribbles(path, image)
        classifier = self._segmenter.fit(image, scribbles)
        channels = self._channels(image, classifier)
        step = grid_step(channels.shape)
        grid = np.mgrid[: channels.shape[0] : step, : channels.shape[1] : step].reshape(2, -1)
        values = channels.points(*grid)
        shares = votes(classifier.forest, values).astype(np.float32)
        whole = Window(0, 0, *channels.shape)
        shown = votes(classifier.forest, channels.block(whole))
        shown = smoothed(shown, channels.guide(whole), classifier.smoothing).astype(np.float32)
        classes = np.array([info.value for info in classifier.classes])
        truth = read_scribbles(folder / "labels" / path.name, image)[tuple(grid)]
        place = np.where(np.isin(truth, classes), np.searchsorted(classes, truth), -1)
        place[scribbles[tuple(grid)] > 0] = -1
        samples = [gather_samples(channels, scribbles)]
        training = Training(classifier, self._segmenter.config, {(): scribbles}, samples)
        if not training.strokes().assessable:
            return None
        gain = self._gain(image, path, scribbles, shares, place, grid)
        return Drawing(
            folder.name,
            f"{kind} {path.name}",
            training,
            values,
            shares,
            shown[tuple(grid)],
            place,
            gain,
        )

    def _gain(
        self,
        image: Micrograph,
        path: Path,
        scribbles: Labels,
        shares: np.ndarray,
        place: np.ndarray,
        grid: np.ndarray,
    ) -> float | None:
        family, number = path.parent.name.split("-") if "-" in path.parent.name else ("", "")
        other = path.parents[1] / f"{family}-2" / path.name
        if number != "1" or not other.exists():
            return None
        added = read_scribbles(other, image)
        both = np.where(scribbles > 0, scribbles, added)
        if not np.array_equal(np.unique(both), np.unique(scribbles)):
            return None
        classifier = self._segmenter.fit(image, both)
        more = votes(classifier.forest, self._channels(image, classifier).points(*grid))
        judged = (place >= 0) & (added[tuple(grid)] == 0)
        return mean_iou(more[judged], place[judged]) - mean_iou(shares[judged], place[judged])

    def _channels(self, image: Micrograph, classifier: PixelClassifier) -> PixelChannels:
        [plane] = planes_of(image).values()
        return self._segmenter.channels(classifier, plane)


def mean_iou(shares: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean IoU over the classes that occur in the truth."""
    found = shares.argmax(axis=1)
    return float(np.mean([class_iou(truth == c, found == c) for c in np.unique(truth)]))


def by_set(drawings: list[Drawing], values: list[float]) -> dict[str, float]:
    """Average over the drawings of each set."""
    names = [one.set for one in drawings]
    return {
        name: float(np.mean([v for n, v in zip(names, values, strict=True) if n == name]))
        for name in dict.fromkeys(names)
    }


def report(drawings: list[Drawing]) -> None:
    """Print the tables."""
    raw, shown = (
        by_set(drawings, [float(np.log(one.best_temperature(votes(one)))) for one in drawings])
        for votes in (attrgetter("votes"), attrgetter("smoothed"))
    )
    rows = [[name, f"{np.exp(raw[name]):.2f}", f"{np.exp(shown[name]):.2f}"] for name in raw]
    usual = (f"{np.exp(np.mean(list(some.values()))):.2f}" for some in (raw, shown))
    print_table(["set", "best temperature", "smoothed"], [*rows, ["usual", *usual]])
    found, after, shown_after = [], [], []
    for one in tqdm(drawings, mininterval=20):
        typical, smoothed = (
            float(np.exp(np.mean([value for name, value in some.items() if name != one.set])))
            for some in (raw, shown)
        )
        prior = TemperaturePrior(typical, smoothed)
        assessment = one.assessed(prior)
        found.append(assessment)
        after.append(one.calibration_error(one.votes, assessment.temperature))
        shown_after.append(one.calibration_error(one.smoothed, smoothed))
    right = [float(one.right(one.votes).mean()) for one in drawings]
    shown_right = [float(one.right(one.smoothed).mean()) for one in drawings]
    told = [a.accuracy.value for a in found]
    error, shown_error = (np.abs(np.subtract(told, some)).tolist() for some in (right, shown_right))
    held = [
        float(a.accuracy.low <= r <= a.accuracy.high) for a, r in zip(found, right, strict=True)
    ]
    before = [one.calibration_error(one.votes) for one in drawings]
    shown_before = [one.calibration_error(one.smoothed) for one in drawings]
    inside = [fractions_held(d, a) for d, a in zip(drawings, found, strict=True)]
    columns = [error, shown_error, held, inside, before, after, shown_before, shown_after]
    sets = [by_set(drawings, column) for column in columns]
    head = ["set", "accuracy off by", "of the smoothed", "interval held", "fractions held"]
    head += ["ECE of votes", "calibrated", "ECE of smoothed", "calibrated"]
    rows = [[name, *(f"{one[name]:.3f}" for one in sets)] for name in sets[0]]
    rows.append(["mean of sets", *(f"{np.mean(list(one.values())):.3f}" for one in sets)])
    rows.append(["mean of drawings", *(f"{np.mean(column):.3f}" for column in columns)])
    print_table(head, rows)
    report_gains(drawings, found)


def fractions_held(drawing: Drawing, assessment: Assessment) -> float:
    """Return the share of the classes whose interval contains the true area fraction."""
    truth = drawing.truth[drawing.known]
    true = np.bincount(truth, minlength=len(drawing.training.classifier.classes)) / len(truth)
    told = assessment.fractions.values()
    return float(np.mean([e.low <= t <= e.high for e, t in zip(told, true, strict=True)]))


def report_gains(drawings: list[Drawing], found: list[Assessment]) -> None:
    """Print the gain from twice the strokes, binned by the estimated share of unsettled pixels."""
    pairs = [
        (a.unsettled, d.gain) for d, a in zip(drawings, found, strict=True) if d.gain is not None
    ]
    unsettled, gain = np.array(pairs).T
    edges = [0, 0.01, 0.02, 0.04, 0.08, 1]
    rows = []
    for low, high in itertools.pairwise(edges):
        here = (unsettled >= low) & (unsettled < high)
        if here.any():
            figures = f"{gain[here].mean():+.3f}", f"{np.abs(gain[here]).max():.3f}"
            rows.append([f"{low} to {high}", str(here.sum()), *figures])
    print_table(["pixels that change", "drawings", "gain of mIoU", "largest change"], rows)


def main() -> None:
    """Evaluate every drawing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--scribbles", default="*", metavar="KIND", help="a pattern of kinds")
    options = parser.parse_args()
    judge = Judge(options.model)
    every = (SHARED / "data").glob(f"*/scribbles/{options.scribbles}/*.png")
    paths = sorted(
        every, key=lambda path: (path.parts[-4], path.name)
    )  # keeps an image's drawings together
    drawings = [
        judge.drawing(path.parents[2], path.parent.name, path)
        for path in tqdm(paths, mininterval=20)
    ]
    report([one for one in drawings if one is not None])


if __name__ == "__main__":
    main()
