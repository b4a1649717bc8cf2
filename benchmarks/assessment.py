"""What is told of a segmentation without ground truth, against the ground truth.

    python benchmarks/assessment.py [--model classical]

For every drawing of scribbles on the development set: the temperature that suits the votes best,
by set and over all (`core.vote_calibration` holds the latter); then, with the usual temperature
taken from the *other* sets, the estimated accuracy and fractions against the true ones, the
expected calibration error before and after, and what twice the strokes gain where the result
counts as settled and where not.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from tqdm import tqdm

from comparison import print_table
from methods import SHARED
from napari_alibi_seg import Micrograph, SegmentationConfig, Segmenter, read_image, read_scribbles
from napari_alibi_seg.core.assessment import Assessment, GridPixels, StrokeSamples, assessing
from napari_alibi_seg.core.cache import FeatureCache
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.classifier import PixelClassifier, gather_samples
from napari_alibi_seg.core.images import planes_of
from napari_alibi_seg.core.judging import Training, returned
from napari_alibi_seg.core.suggestions import grid_step
from napari_alibi_seg.core.vote_calibration import (
    TemperaturePrior,
    calibrated,
    expected_calibration_error,
)
from napari_alibi_seg.core.voting import votes
from scores import class_iou

if TYPE_CHECKING:
    from pathlib import Path

    from methods import Labels
    from napari_alibi_seg.core.channels import PixelChannels

SPREAD = 0.2
_TEMPERATURES = (0.2, 5.0)


@dataclass(frozen=True, eq=False)
class Drawing:
    """One drawing, what the forest taught by it says on a grid of pixels, and what is true there.

    Attributes
    ----------
    set, name : str
        Folder, and kind of scribbles with the image's name.
    training : Training
        Of the forest.
    strokes : StrokeSamples
        What is painted.
    seen : GridPixels
        Pixels of the grid.
    truth : ndarray
        Which class, by its place among the painted ones, each of them has; -1 where not annotated
        or painted.
    gain : float or None
        Mean IoU on the grid that another drawing beside this one adds.
    """

    set: str
    name: str
    training: Training
    strokes: StrokeSamples
    seen: GridPixels
    truth: np.ndarray
    gain: float | None

    @property
    def known(self) -> np.ndarray:
        """The pixels whose truth is known."""
        return self.truth >= 0

    @property
    def right(self) -> np.ndarray:
        """Whether the known pixels have the true class."""
        return np.asarray(self.seen.votes[self.known].argmax(axis=1) == self.truth[self.known])

    def best_temperature(self) -> float:
        """Return the temperature under which the truth is most probable."""
        shares, rows = self.seen.votes[self.known], np.arange(self.known.sum())

        def misfit(log: float) -> float:
            told = calibrated(shares, np.exp(log))[rows, self.truth[self.known]]
            return float(-np.log(told).mean())

        return float(
            np.exp(minimize_scalar(misfit, bounds=np.log(_TEMPERATURES), method="bounded").x)
        )

    def assessed(self, prior: TemperaturePrior) -> Assessment:
        """Assess the forest as the window does."""
        return returned(assessing(self.strokes, self.seen, self.training.fit, prior))


class Judge:
    """Trains on drawings and looks at the results on a grid."""

    def __init__(self, model: str) -> None:
        cache = FeatureCache(memory_limit=2e9)
        self._segmenter = Segmenter(SegmentationConfig(model), cache=cache)

    def drawing(self, folder: Path, kind: str, path: Path) -> Drawing | None:
        """Train on a drawing; None if no piece of each class can be left out."""
        image = read_image(folder / "images" / path.name)
        scribbles = read_scribbles(path, image)
        classifier = self._segmenter.fit(image, scribbles)
        channels = self._channels(image, classifier)
        step = grid_step(channels.shape)
        grid = np.mgrid[: channels.shape[0] : step, : channels.shape[1] : step].reshape(2, -1)
        values = channels.points(*grid)
        shares = votes(classifier.forest, values).astype(np.float32)
        classes = np.array([info.value for info in classifier.classes])
        truth = read_scribbles(folder / "labels" / path.name, image)[tuple(grid)]
        place = np.where(np.isin(truth, classes), np.searchsorted(classes, truth), -1)
        place[scribbles[tuple(grid)] > 0] = -1
        samples = [gather_samples(channels, scribbles)]
        training = Training(classifier, self._segmenter.config, {(): scribbles}, samples)
        strokes = training.strokes()
        if strokes is None:
            return None
        gain = self._gain(image, path, scribbles, shares, place, grid)
        return Drawing(
            folder.name,
            f"{kind} {path.name}",
            training,
            strokes,
            GridPixels(values, shares),
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
    """Return the mean IoU of the classes that are there."""
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
    """Print what was found."""
    logs = [float(np.log(one.best_temperature())) for one in drawings]
    usual = by_set(drawings, logs)
    print_table(["set", "best temperature"], [[n, f"{np.exp(v):.2f}"] for n, v in usual.items()])
    print(f"\nusual temperature: {np.exp(np.mean(list(usual.values()))):.2f}")
    found = []
    for one in tqdm(drawings, mininterval=20):
        others = [value for name, value in usual.items() if name != one.set]
        found.append(one.assessed(TemperaturePrior(float(np.exp(np.mean(others))), SPREAD)))
    right = [float(one.right.mean()) for one in drawings]
    error = [abs(a.accuracy.value - r) for a, r in zip(found, right, strict=True)]
    held = [
        float(a.accuracy.low <= r <= a.accuracy.high) for a, r in zip(found, right, strict=True)
    ]
    before = [expected_calibration_error(d.seen.votes[d.known], d.right) for d in drawings]
    after = [
        expected_calibration_error(calibrated(d.seen.votes[d.known], a.temperature), d.right)
        for d, a in zip(drawings, found, strict=True)
    ]
    inside = [fractions_held(d, a) for d, a in zip(drawings, found, strict=True)]
    columns = [error, held, inside, before, after]
    sets = [by_set(drawings, column) for column in columns]
    head = ["set", "accuracy off by", "interval held", "fractions held", "ECE before", "after"]
    rows = [[name, *(f"{one[name]:.3f}" for one in sets)] for name in sets[0]]
    rows.append(["mean of sets", *(f"{np.mean(list(one.values())):.3f}" for one in sets)])
    rows.append(["mean of drawings", *(f"{np.mean(column):.3f}" for column in columns)])
    print_table(head, rows)
    report_gains(drawings, found)


def fractions_held(drawing: Drawing, assessment: Assessment) -> float:
    """Return the share of the classes whose true area fraction lies in the interval."""
    truth = drawing.truth[drawing.known]
    true = np.bincount(truth, minlength=len(drawing.training.classifier.classes)) / len(truth)
    told = assessment.fractions.values()
    return float(np.mean([e.low <= t <= e.high for e, t in zip(told, true, strict=True)]))


def report_gains(drawings: list[Drawing], found: list[Assessment]) -> None:
    """Print what twice the strokes gain, by how much the result still changes."""
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
    """Judge every drawing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--scribbles", default="*", metavar="KIND", help="a pattern of kinds")
    options = parser.parse_args()
    judge = Judge(options.model)
    every = (SHARED / "data").glob(f"*/scribbles/{options.scribbles}/*.png")
    paths = sorted(every, key=lambda path: (path.parts[-4], path.name))  # an image's drawings meet
    drawings = [
        judge.drawing(path.parents[2], path.parent.name, path)
        for path in tqdm(paths, mininterval=20)
    ]
    report([one for one in drawings if one is not None])


if __name__ == "__main__":
    main()
