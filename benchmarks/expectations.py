"""Compare what votes say about images without strokes with the ground truth.

    python benchmarks/expectations.py [--seeds 2] [--scribbles spread-1 ...] [--model NAME]

A classifier is trained on two images of a set and applied to the other images of that set; a row
per set tells how far the expected accuracy was off, and how many of the intervals of area fractions
contained the true fraction; so do the last rows for images unlike those painted, and for others.
"""

from __future__ import annotations

import argparse
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from comparison import print_table
from methods import SHARED
from napari_alibi_seg import SegmentationConfig, Segmenter
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.judging.expectation import Expectation, is_unlike
from quality import Task, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from methods import Labels
    from napari_alibi_seg import Segmentation


class Comparison(NamedTuple):
    """An image's expected and true accuracy, the share of intervals that hold, and its novelty."""

    set: str
    expected: float
    true: float
    held: float
    unlike: bool

    @property
    def figures(self) -> tuple[float, ...]:
        """The values of a row."""
        return self.expected, self.true, abs(self.expected - self.true), self.held


def comparisons(segmenter: Segmenter, task: Task) -> Iterator[Comparison]:
    """Train on the painted images of a task and compare the others with their truth."""
    painted = [task.image(name) for name in task.painted]
    classifier = segmenter.fit(painted, [task.scribbles(name) for name in task.painted])
    for name in task.scored:
        [(_, result)] = segmenter.apply(classifier, task.image(name))
        yield compared(task.folder.name, result, task.truth(name))


def compared(name: str, result: Segmentation, truth: Labels) -> Comparison:
    """Compare a segmentation with the truth where it is known."""
    expected = Expectation.of(result.confusion, result.classes)
    assert expected is not None
    known = np.isin(truth, [info.value for info in result.classes])
    held = [
        told.low <= np.mean(truth[known] == value) <= told.high
        for value, told in expected.fractions.items()
    ]
    right = float(np.mean(result.labels[known] == truth[known]))
    unlike = is_unlike(result.novelty)
    return Comparison(name, expected.accuracy, right, float(np.mean(held)), unlike)


def report(found: list[Comparison]) -> None:
    """Print the means of every set, and the means of these."""
    means = {}
    for name in dict.fromkeys(one.set for one in found):
        here = [one.figures for one in found if one.set == name]
        means[f"{name} ({len(here)})"] = np.mean(here, axis=0)
    means["mean of sets"] = np.mean([*means.values()], axis=0)
    for words, unlike in (("unlike those painted", True), ("others", False)):
        some = [one.figures for one in found if one.unlike is unlike]
        if some:
            means[f"{words} ({len(some)})"] = np.mean(some, axis=0)
    head = ["set (images)", "expected accuracy", "true", "off by", "fractions held"]
    print_table(head, [[name, *(f"{one:.3f}" for one in row)] for name, row in means.items()])


def main() -> None:
    """Print a row per set, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scribbles", nargs="+", default=["spread-1", "biased-1"], metavar="KIND")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    segmenter = Segmenter(SegmentationConfig(options.model), cache=FeatureCache(memory_limit=2e9))
    wanted = product(range(options.seeds), options.scribbles, sorted((SHARED / "data").iterdir()))
    every = [
        task
        for seed, kind, folder in wanted
        for task in tasks(folder, "other", kind, seed, limit=None)
    ]
    report([one for task in tqdm(every) for one in comparisons(segmenter, task)])


if __name__ == "__main__":
    main()
