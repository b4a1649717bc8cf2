"""Time and peak memory of ``napari-alibi-seg segment`` as a function of image size.

    python benchmarks/scaling.py [--sides 1024 2048 4096]

The image is the bundled micrograph, mirrored to the requested size. Every run is a separate
process, so that its peak memory can be measured. Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from skimage.io import imsave

from micrographs import mirrored, scribbled
from processes import Cost, cost


def write_inputs(folder: Path, side: int) -> None:
    """Write image.tif and scribbles.tif, side x side, with strokes in the upper left corner."""
    imsave(folder / "image.tif", mirrored(side), check_contrast=False)
    imsave(folder / "scribbles.tif", scribbled(side), check_contrast=False)


def measure(folder: Path, scale: int) -> Cost:
    """Segment once, with an empty feature cache."""
    options = ["--scribbles", "scribbles.tif", "--output", "labels.tif", "--scale", str(scale)]
    cache = {"NAPARI_ALIBI_SEG_CACHE": str(folder)}
    return cost(["segment", "image.tif", *options], folder, cache)


def main() -> None:
    """Print a Markdown table with a row per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args()
    print("| side (px) | time (s) | s per megapixel | peak memory (GB) |\n|---|---|---|---|")
    for side in options.sides:
        with tempfile.TemporaryDirectory() as name:
            write_inputs(Path(name), side)
            seconds, memory, _ = measure(Path(name), options.scale)
        print(f"| {side} | {seconds:.0f} | {seconds / side**2 * 2**20:.1f} | {memory:.2f} |")


if __name__ == "__main__":
    main()
