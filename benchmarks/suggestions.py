"""How many strokes are saved by painting where the package suggests, measured on ground truth.

    python benchmarks/suggestions.py --output DIR [--model classical] [--seeds 5]

Simulated users start on one image of each set with one stroke per class, chosen from a drawing by
the seed, and add short strokes of the true class one by one: at the spot that the napari dock
suggests, at random places, or at random places of each class in turn. Scores are mean IoUs of the
votes on every fourth pixel in rows and columns that has no stroke. Curves are added to
DIR/strokes.csv when complete; those that it has are not computed again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.ndimage import label
from tqdm import tqdm

from comparison import print_table
from methods import SHARED, Labels
from napari_alibi_seg import SegmentationConfig, Segmenter
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.forest.samples import gather_samples
from napari_alibi_seg.core.forest.training import training_forest
from napari_alibi_seg.core.forest.voting import votes
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.judging.judge import sampling_plane
from napari_alibi_seg.core.live.channels import LiveChannels, PlaneChannels
from napari_alibi_seg.core.progress import run_to_end
from quality import tasks
from scores import Table, class_iou
from strokes import only, strokes_of_classes

if TYPE_CHECKING:
    from napari_alibi_seg.core.forest.classifier import PixelClassifier

FOLLOWER, RANDOM, IN_TURN = USERS = ("suggested", "random", "random in turn")
ADDED = 12
Curve: TypeAlias = np.ndarray
"""(ADDED + 1,) mean IoU after 0 to ADDED added strokes."""

_STEP = 4
_HALF_LENGTH, _RADIUS = 10, 2


@dataclass(frozen=True)
class Point:
    """Key of a point on a user's curve; `strokes` is the number of added strokes."""

    model: str
    set: str
    user: str
    seed: int
    strokes: int


@dataclass(frozen=True)
class Reached:
    """Mean IoU over the classes at a point of a curve."""

    iou: float


@dataclass(frozen=True, eq=False)
class Canvas:
    """Ground truth, initial drawing and channels of an image, and a classifier of the drawing."""

    truth: Labels
    drawing: Labels
    channels: PlaneChannels
    classifier: PixelClassifier
    config: SegmentationConfig

    def begun(self, seed: int) -> Labels:
        """Return one stroke per class of the drawing."""
        of_classes = strokes_of_classes(self.drawing)
        return only(self.drawing, [strokes[seed % len(strokes)] for strokes in of_classes])

    def taught(self, scribbles: Labels, seed: int) -> PixelClassifier:
        """Train on scribbles."""
        samples = [gather_samples(self.channels, scribbles)]
        config = replace(self.config, seed=seed)
        forest = run_to_end(training_forest(config, samples, self.classifier.projection))
        return replace(self.classifier, forest=forest)

    def suggested(self, classifier: PixelClassifier, scribbles: Labels) -> tuple[int, int]:
        """Return (row, column) of the first suggested spot that is annotated."""
        spots = run_to_end(sampling_plane(classifier, self.channels)).spots(scribbles)
        return next((s.row, s.column) for s in spots if self.truth[s.row, s.column])

    def score(self, classifier: PixelClassifier, scribbles: Labels) -> float:
        """Return the mean IoU over the classes, on the pixels without strokes."""
        values = self.channels.subsampled(Window(0, 0, *self.truth.shape), _STEP)
        classes = classifier.forest.classes_
        found = classes[votes(classifier.forest, values).argmax(axis=-1)]
        truth, painted = (some[::_STEP, ::_STEP] for some in (self.truth, scribbles))
        scored = (truth > 0) & (painted == 0)
        pairs = [(truth[scored] == value, found[scored] == value) for value in classes]
        return float(np.mean([class_iou(*pair) for pair in pairs]))


def canvas(folder: Path, model: str) -> Canvas:
    """Prepare the first image of a set for painting."""
    [task] = tasks(folder, "same", "spread-1", 0, 1)
    [name] = task.painted
    image, drawing = task.image(name), task.scribbles(name)
    segmenter = Segmenter(SegmentationConfig(model))
    classifier, planes = segmenter.fit(image, drawing), planes_of(image)
    live, deep, filters = LiveChannels(), None, segmenter.config.channels
    live.open(planes)
    if classifier.projection is not None:
        alone = replace(classifier, channels=replace(filters, sigmas=()))
        deep = segmenter.channels(alone, planes[()])
    channels = PlaneChannels(deep, live.filtered((), filters, filters.components))
    return Canvas(task.truth(name), drawing, channels, classifier, segmenter.config)


def stroke(truth: Labels, row: int, column: int, random: np.random.Generator) -> np.ndarray:
    """Return the mask of a short stroke through a pixel, limited to the class of that pixel."""
    angle = random.uniform(0, np.pi)
    rows, columns = np.ogrid[-row : truth.shape[0] - row, -column : truth.shape[1] - column]
    along = np.clip(rows * np.sin(angle) + columns * np.cos(angle), -_HALF_LENGTH, _HALF_LENGTH)
    away = np.hypot(rows - along * np.sin(angle), columns - along * np.cos(angle))
    pieces = label((away <= _RADIUS) & (truth == truth[row, column]))[0]
    return np.asarray(pieces == pieces[row, column])


def curve(on: Canvas, user: str, seed: int) -> Curve:
    """Simulate a user and return the curve."""
    random, scribbles, ious = np.random.default_rng(seed), on.begun(seed), []
    classes = random.permutation(np.unique(scribbles[scribbles > 0]))
    for count in range(ADDED + 1):
        classifier = on.taught(scribbles, seed)
        ious.append(on.score(classifier, scribbles))
        if user == FOLLOWER:
            place = on.suggested(classifier, scribbles)
        else:
            wanted = [classes[count % len(classes)]] if user == IN_TURN else classes
            place = tuple(random.choice(np.argwhere(np.isin(on.truth, wanted) & (scribbles == 0))))
        there = stroke(on.truth, *place, random)
        scribbles = np.where(there & (scribbles == 0), on.truth, scribbles)
    return np.array(ious)


def saved(mine: Curve, other: Curve) -> float:
    """Return the share of strokes that `mine` saves in reaching the final score of `other`.

    If `mine` never reaches it, the result is negative: minus what `other` saves over `mine`.
    """
    if mine.max() < other[-1]:
        return 0.0 - saved(other, mine)  # never -0.0
    return 1 - int(np.argmax(mine >= other[-1])) / ADDED


def told(curves: np.ndarray) -> list[str]:
    """Format strokes saved, and their range over seeds, for (users, seeds, ADDED + 1) curves."""
    cells = []
    for other in (1, 2):
        mean = curves.mean(axis=1)
        each = [saved(mine, its) for mine, its in zip(curves[0], curves[other], strict=True)]
        spread = f"{min(each):.0%} to {max(each):.0%}"
        cells.append(f"{saved(mean[0], mean[other]):.0%} ({spread})")
    return cells


def report(sets: dict[str, np.ndarray]) -> None:
    """Print the tables for the (users, seeds, ADDED + 1) curves of the sets, weighted equally."""
    together = np.mean(list(sets.values()), axis=0)
    named = {**sets, "mean of the curves": together}
    head = ["set", "begun", *USERS, *(f"saved: {user}" for user in USERS[1:])]
    rows = [
        [
            name,
            f"{c[:, :, 0].mean():.3f}",
            *(f"{u:.3f}" for u in c[:, :, -1].mean(axis=1)),
            *told(c),
        ]
        for name, c in named.items()
    ]
    print_table(head, rows)
    means = [[saved(c[0], c[i]) for c in (s.mean(axis=1) for s in sets.values())] for i in (1, 2)]
    print(
        "\nmean of the sets:",
        *(f"{np.mean(some):.0%} of {user}" for some, user in zip(means, USERS[1:], strict=True)),
    )
    head = ["added strokes", *map(str, range(0, ADDED + 1, 2)), "mean"]
    rows = [
        [user, *(f"{iou:.3f}" for iou in (*c[::2], c[1:].mean()))]
        for user, c in zip(USERS, together.mean(axis=1), strict=True)
    ]
    print_table(head, rows)


def main() -> None:
    """Simulate all users, and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", metavar="SET", help="default: all")
    options = parser.parse_args()
    table, sets = Table(options.output / "strokes.csv", Point, Reached), {}
    folders = [p for p in sorted(options.data.iterdir()) if p.name in (options.sets or [p.name])]
    for folder in tqdm([folder for folder in folders if folder.is_dir()]):
        points = {
            key: [Point(options.model, folder.name, *key, added) for added in range(ADDED + 1)]
            for key in product(USERS, range(options.seeds))
        }
        missing = [key for key, its in points.items() if its[-1] not in table.rows]
        if missing:
            on = canvas(folder, options.model)
        for key in missing:
            ious = (Reached(round(iou, 5)) for iou in curve(on, *key).tolist())
            table.add(zip(points[key], ious, strict=True))
        of_all = [[table.rows[point].iou for point in its] for its in points.values()]
        sets[folder.name] = np.reshape(of_all, (len(USERS), options.seeds, ADDED + 1))
    report(sets)


if __name__ == "__main__":
    main()
