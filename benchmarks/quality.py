"""Segmentation quality against ground truth, on the development set.

    python benchmarks/quality.py [--data ../shared/data] [--methods ...] [--scribbles ...]

Every image is segmented from its own scribbles. A score is the mean intersection over union of
the classes painted, over the annotated pixels that are under no scribble; it is averaged over the
images of a set, then over the sets.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from napari_alibi_seg import ChannelConfig, SegmentationConfig, Segmenter, read_image
from napari_alibi_seg.core.cache import FeatureCache
from napari_alibi_seg.core.choices import Forest
from napari_alibi_seg.core.results import read_scribbles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SHARED = Path(__file__).parents[2] / "shared"
STOCK = f"timm:vit_small_patch14_dinov2:{SHARED / 'weights/dinov2_vits14.safetensors'}"
FIVE_SIZES = ChannelConfig(sigmas=(0.7, 1.4, 2.8, 5.6, 11.2))
METHODS = {
    "random forest": SegmentationConfig("classical", channels=FIVE_SIZES, forest=Forest.RANDOM),
    "classical": SegmentationConfig("classical"),
    "stock DINOv2 + classical": SegmentationConfig(STOCK),
    "ALiBi-DINOv2 + classical": SegmentationConfig(),
}
"""`random forest`: classical channels of five sizes, as in Trainable Weka Segmentation."""


@dataclass(frozen=True)
class Case:
    """One image of a set with one drawing of scribbles."""

    set: str
    kind: str
    image: Path
    scribbles: Path
    truth: Path


def cases(data: Path, kinds: list[str]) -> Iterator[Case]:
    """Yield all images of all sets under the kinds of scribbles they have."""
    for scribbles in sorted(data.glob("*/scribbles/*/*.png")):
        kind, folder = scribbles.parent.name, scribbles.parents[2]
        if kind in kinds:
            image, truth = (folder / part / scribbles.name for part in ("images", "labels"))
            yield Case(folder.name, kind, image, scribbles, truth)


def mean_iou(
    truth: NDArray[np.integer], labels: NDArray[np.integer], scribbles: NDArray[np.integer]
) -> float:
    """Return the mean IoU over the classes painted, in [0, 1], where nothing is painted."""
    scored = (truth > 0) & (scribbles == 0)
    truth, labels = truth[scored], labels[scored]
    per_class = [
        np.count_nonzero((truth == c) & (labels == c))
        / max(np.count_nonzero((truth == c) | (labels == c)), 1)
        for c in np.unique(scribbles[scribbles > 0])
    ]
    return float(np.mean(per_class))


def score(segmenter: Segmenter, case: Case) -> float:
    """Segment an image from its own scribbles and compare with its ground truth."""
    image = read_image(case.image)
    scribbles, truth = (read_scribbles(path, image) for path in (case.scribbles, case.truth))
    classifier = segmenter.fit(image, scribbles)
    [(_, result)] = segmenter.apply(classifier, image)
    return mean_iou(truth, result.labels, scribbles)


def scores(config: SegmentationConfig, wanted: list[Case]) -> dict[tuple[str, str], float]:
    """Return the mean score by (kind of scribbles, set)."""
    segmenter = Segmenter(config, cache=FeatureCache(memory_limit=4e9))
    found: dict[tuple[str, str], list[float]] = {}
    for case in tqdm(wanted, desc=config.model, mininterval=20):
        found.setdefault((case.kind, case.set), []).append(score(segmenter, case))
    return {key: float(np.mean(values)) for key, values in found.items()}


def print_table(results: dict[str, dict[tuple[str, str], float]], kind: str) -> None:
    """Print one Markdown table: a row per set and the mean, a column per method."""
    sets = sorted({s for found in results.values() for k, s in found if k == kind})
    rows: dict[str, Callable[[dict[tuple[str, str], float]], float]] = {
        **{s: lambda found, s=s: found[kind, s] for s in sets},
        "mean over sets": lambda found: float(np.mean([found[kind, s] for s in sets])),
    }
    print(f"\n| {kind} | " + " | ".join(results) + " |\n|---|" + "---|" * len(results))
    for name, value in rows.items():
        print(f"| {name} | " + " | ".join(f"{value(f):.3f}" for f in results.values()) + " |")


def main() -> None:
    """Print the tables of all methods asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--scribbles", nargs="+", default=["spread-1", "biased-1"], metavar="KIND")
    options = parser.parse_args()
    wanted = list(cases(options.data, options.scribbles))
    results = {name: scores(METHODS[name], wanted) for name in options.methods}
    for kind in options.scribbles:
        print_table(results, kind)


if __name__ == "__main__":
    main()
