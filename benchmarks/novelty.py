"""How novel the images of the development set are to a classifier painted on one of them.

    python benchmarks/novelty.py [--model NAME]

A row tells, for the same image, other images of its set, and images of the other sets, the median
and the 5 and 95 % quantiles of `Segmentation.novelty`, and how many are called unlike.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from tqdm import tqdm

from comparison import print_table
from methods import SHARED
from napari_alibi_seg import read_image
from napari_alibi_seg.core.channels.pixel_channels import Projection
from napari_alibi_seg.core.choices import DEFAULT_MODEL, SCALE
from napari_alibi_seg.core.config import ChannelConfig
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.judging.expectation import is_unlike


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    extractor = FeatureExtractor.load(parser.parse_args().model)
    maps = {}
    for path in tqdm(sorted(SHARED.glob("data/*/images/*.png"))):
        [plane] = planes_of(read_image(path)).values()
        maps[path] = extractor.extract(plane, SCALE)
    found = defaultdict(list)
    for painted, features in maps.items():
        projection = Projection.fit([features], ChannelConfig())
        for path, others in maps.items():
            same = "the same set" if path.parent == painted.parent else "another set"
            kind = "the same image" if path == painted else same
            novelty = projection.novelty(others.tokens)
            assert novelty is not None
            found[kind].append(novelty)
    rows = []
    for kind, some in found.items():
        spread = (f"{q:.2f}" for q in np.quantile(some, (0.5, 0.05, 0.95)))
        rows.append(
            [kind, str(len(some)), *spread, f"{100 * np.mean([*map(is_unlike, some)]):.0f} %"]
        )
    print_table(["an image of", "pairs", "median", "5 %", "95 %", "unlike"], rows)


if __name__ == "__main__":
    main()
