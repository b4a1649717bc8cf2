"""Linear probe of the phases in the patch features of models.

    python benchmarks/patches.py [--model NAME=PATH ...]

A logistic regression is trained on the majority class of each patch, from the ground truth of all
images of a set but one, and tested on the held-out image; in a set with one image, on either half
of it for the other. Position is of little use for this, so a student without it can match its
teacher. Prints the mean IoU over patches for each set, the mean over sets, and its ratio to that
of the stock model.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from comparison import print_table
from methods import SHARED, STOCK
from napari_alibi_seg import read_image, read_scribbles
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.images.micrograph import planes_of
from scores import class_iou

if TYPE_CHECKING:
    from pathlib import Path

Patches: TypeAlias = tuple[NDArray[np.float32], NDArray[np.integer[Any]]]
"""Tokens and their classes."""

SCALE = 2
_PATCHES = 6000
_PENALTY = 0.01


def patches(extractor: FeatureExtractor, folder: Path, name: str) -> Patches:
    """Return the (h, w, C) tokens of an image and the (h, w) majority class of each patch."""
    image = read_image(folder / "images" / name)
    [plane] = planes_of(image).values()
    features = extractor.extract(plane, SCALE)
    truth = read_scribbles(folder / "labels" / name, image)
    rows, columns = (np.arange(side) // features.stride for side in truth.shape)
    height, width = features.tokens.shape[:2]
    counts = np.zeros((truth.max() + 1, height, width), int)
    inside = np.ix_(rows < height, columns < width)
    where = np.meshgrid(rows[rows < height].astype(int), columns[columns < width].astype(int))
    np.add.at(counts, (truth[inside], where[0].T, where[1].T), 1)
    return features.tokens.astype(np.float32), counts.argmax(axis=0)


def folds(images: list[Patches]) -> list[Patches]:
    """Return annotated (N, C) tokens and (N,) classes per image, or per half of a single one."""
    if len(images) == 1:
        [(tokens, truth)] = images
        middle = tokens.shape[1] // 2
        halves = (np.s_[:, :middle], np.s_[:, middle:])
        images = [(tokens[half], truth[half]) for half in halves]
    flat = [(tokens.reshape(-1, tokens.shape[-1]), truth.ravel()) for tokens, truth in images]
    return [(t[c > 0], c[c > 0]) for t, c in flat]


def left_out(parts: list[Patches]) -> float:
    """Return the mean IoU over patches of each part when trained on the others."""
    classes = np.unique(np.concatenate([truth for _, truth in parts]))
    scores = []
    for asked, (tokens, truth) in enumerate(parts):
        others = [part for i, part in enumerate(parts) if i != asked]
        values = np.concatenate([part[0] for part in others])
        labels = np.concatenate([part[1] for part in others])
        kept = np.random.default_rng(0).permutation(len(labels))[:_PATCHES]
        head = LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=500)
        found = make_pipeline(StandardScaler(), head).fit(values[kept], labels[kept])
        answers = found.predict(tokens)
        there = [c for c in classes if (truth == c).any()]
        scores.append(np.mean([class_iou(truth == c, answers == c) for c in there]))
    return float(np.mean(scores))


def of_a_set(extractor: FeatureExtractor, folder: Path) -> float:
    """Return the mean IoU on a set."""
    names = [path.name for path in sorted((folder / "images").glob("*.png"))]
    return left_out(folds([patches(extractor, folder, name) for name in names]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME=PATH")
    options = parser.parse_args()
    models = {"stock DINOv2": STOCK, "ALiBi-DINOv2": DEFAULT_MODEL}
    models |= dict(pair.split("=", 1) for pair in options.model)
    folders = sorted(path for path in (SHARED / "data").iterdir() if path.is_dir())
    scores = {}
    for name, model in models.items():
        extractor = FeatureExtractor.load(model)
        scores[name] = np.array([of_a_set(extractor, folder) for folder in tqdm(folders)])
    rows = [
        [folder.name, *(f"{scores[name][i]:.3f}" for name in models)]
        for i, folder in enumerate(folders)
    ]
    means = [scores[name].mean() for name in models]
    rows.append(["mean", *(f"{mean:.3f}" for mean in means)])
    rows.append(["of the stock model's", *(f"{mean / means[0]:.3f}" for mean in means)])
    print_table(["mIoU of patches", *models], rows)


if __name__ == "__main__":
    main()
