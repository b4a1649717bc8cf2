"""Agreement of features and classes between tilings of the same image.

    python benchmarks/tilings.py [--model M] [--data ../shared/data] [--tiles 20 24 40]

For the first image of every set, features are computed with the default tiles and with tiles of
other sizes, whose borders lie elsewhere; a forest trained with the default tiles classifies both.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from methods import SHARED
from napari_alibi_seg import SegmentationConfig, Segmenter, read_image, read_scribbles
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import DEFAULT_MODEL, SCALE
from napari_alibi_seg.core.features.extraction import FeatureExtractor, FeatureMap
from napari_alibi_seg.core.features.tiling import TILE
from napari_alibi_seg.core.forest.prediction import predictions
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.model.checkpoints import load_backbone
from napari_alibi_seg.core.segmentation import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.planes import Plane

TILES = (20, 24, 40)


@dataclass(frozen=True)
class Agreement:
    """Agreement of features and classes of an image between the default tiles and others.

    Attributes
    ----------
    set : str
        Folder of the image.
    tile : int
        Side of the other tiles, in tokens.
    cosine : float
        Mean cosine between the features of the same token.
    changed : float
        Share of the pixels whose class differs, with the same forest, 0 to 1.
    """

    set: str
    tile: int
    cosine: float
    changed: float


def agreements(model: str, data: Path, tiles: Sequence[int]) -> Iterator[Agreement]:
    """Compare the default tiles with others on the first image of every set."""
    loaded = load_backbone(model)
    default, *others = (FeatureExtractor(*loaded, tile=tile) for tile in (TILE, *tiles))
    for scribbles in sorted(data.glob("*/scribbles/spread-1")):
        path = min(scribbles.glob("*.png"))
        image = read_image(scribbles.parents[1] / "images" / path.name)
        plane = planes_of(image)[()]
        segmenter = Segmenter(SegmentationConfig(model))
        classifier = segmenter.fit(image, read_scribbles(path, image))
        expected = segmenter.apply_to_plane(classifier, plane).labels
        usual = segmenter.cache.get(plane, default, SCALE)
        for tile, extractor in zip(tiles, others, strict=True):
            features = extractor.extract(plane, SCALE)
            changed = labels(classifier, plane, features) != expected
            name = scribbles.parents[1].name
            yield Agreement(name, tile, cosine(usual, features), float(changed.mean()))


def labels(classifier: PixelClassifier, plane: Plane, features: FeatureMap) -> NDArray[np.integer]:
    """Classify a plane using features other than those its classifier was trained on."""
    channels = PixelChannels(plane, classifier.channels, features, classifier.projection)
    whole = Window(0, 0, *plane.shape)
    [found] = filter(None, predictions(classifier, channels, [whole], BLOCK))
    return found[whole].labels


def cosine(one: FeatureMap, other: FeatureMap) -> float:
    """Return the mean cosine between the tokens of two maps."""
    a, b = one.tokens.astype(np.float64), other.tokens.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(axis=-1) / norms).mean())


def main() -> None:
    """Print a Markdown table with a row per set and tiling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--tiles", nargs="+", type=int, default=list(TILES), metavar="TOKENS")
    options = parser.parse_args()
    print("| set | tiles | cosine of the same token | pixels of another class |")
    print("|---|---|---|---|")
    for found in agreements(options.model, options.data, options.tiles):
        print(
            f"| {found.set} | {found.tile} | {found.cosine:.4f} | {found.changed:.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
