"""Agreement of features and classes between two tilings of the same image.

    python benchmarks/tilings.py [--model M] [--data ../shared/data]

For the first image of every set the features are computed with the default tiles and with larger
ones, whose cuts lie elsewhere; one forest, trained with the default ones, classifies both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg import FeatureExtractor, SegmentationConfig, read_image
from napari_alibi_seg.core.channels import ChannelConfig, PixelChannels, Projection
from napari_alibi_seg.core.checkpoints import load_backbone
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.classifier import gather_samples
from napari_alibi_seg.core.features import FeatureMap, automatic_scale
from napari_alibi_seg.core.results import read_scribbles
from napari_alibi_seg.core.segmentation import blocks, planes_of

if TYPE_CHECKING:
    from napari_alibi_seg.core.planes import Plane, Window

SHARED = Path(__file__).parents[2] / "shared"
OTHER_TILE, OTHER_HALO = 40, 4


def cosine(one: FeatureMap, other: FeatureMap) -> float:
    """Return the mean cosine between the tokens of two maps."""
    a, b = one.tokens.astype(np.float64), other.tokens.astype(np.float64)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(axis=-1) / norms).mean())


def same_class(plane: Plane, painted: np.ndarray, one: FeatureMap, other: FeatureMap) -> float:
    """Return the share of pixels that one forest gives the same class from both maps."""
    config, pipeline = ChannelConfig(), SegmentationConfig()
    projection = Projection.fit([one], config)
    channels = [PixelChannels(plane, config, features, projection) for features in (one, other)]
    forest = pipeline.fit_forest([gather_samples(channels[0], painted)], projection)

    def classes(source: PixelChannels, window: Window) -> np.ndarray:
        values = source.block(window)
        return forest.predict(values.reshape(-1, values.shape[-1]))

    same = [
        np.mean(classes(channels[0], w) == classes(channels[1], w))
        for w in blocks(plane.shape, 256)
    ]
    return float(np.mean(same))


def main() -> None:
    """Print a Markdown table, a row per set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    options = parser.parse_args()
    loaded = load_backbone(options.model)
    tilings = FeatureExtractor(*loaded), FeatureExtractor(*loaded, tile=OTHER_TILE, halo=OTHER_HALO)
    print("| set | cosine of the same token | pixels of the same class |\n|---|---|---|")
    for scribbles in sorted(options.data.glob("*/scribbles/spread-1")):
        path = min(scribbles.glob("*.png"))
        image = read_image(scribbles.parents[1] / "images" / path.name)
        plane = planes_of(image)[()]
        scale = automatic_scale(plane.shape)
        maps = [extractor.extract(plane, scale) for extractor in tilings]
        share = same_class(plane, read_scribbles(path, image), *maps)
        print(f"| {scribbles.parents[1].name} | {cosine(*maps):.4f} | {share:.4f} |", flush=True)


if __name__ == "__main__":
    main()
