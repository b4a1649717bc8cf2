"""Time and peak memory of ``napari-alibi-seg apply`` to an OME-Zarr volume.

    python benchmarks/volumes.py [--planes 4 8] [--side 1024] [--model alibi-dinov2-s14]

The volume is the bundled micrograph, mirrored to the plane size asked for and stacked; every run is
a process of its own, so that its peak memory is its own. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import zarr

from micrographs import MICROGRAPH, SCRIBBLES, mirrored
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from processes import PROGRAM, cost

APPLY = ["apply", "c.skops", "volume.zarr", "--output", "labels.ome.zarr"]


def write_volume(path: Path, planes: int, side: int) -> None:
    """Write a (planes, side, side) uint8 Zarr whose planes differ."""
    plane = mirrored(side)
    volume = np.stack([np.roll(plane, 31 * n, axis=0) for n in range(planes)])
    zarr.create_array(path, data=volume, chunks=(1, 512, 512), dimension_names=["z", "y", "x"])


def train(folder: Path, model: str) -> None:
    """Save a classifier trained on the bundled micrograph at scale 1."""
    command = [*PROGRAM, "segment", str(MICROGRAPH), "--scribbles", str(SCRIBBLES)]
    command += ["--output", "one.tif", "--model", model, "--scale", "1"]
    command += ["--save-classifier", "c.skops"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print a Markdown table, a row per number of planes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    print("| planes | time (s) | s per megapixel | peak memory (GB) |\n|---|---|---|---|")
    for planes in options.planes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_volume(folder / "volume.zarr", planes, options.side)
            train(folder, options.model)
            seconds, memory = cost(APPLY, folder)
        megapixels = planes * options.side**2 / 2**20
        print(
            f"| {planes} | {seconds:.0f} | {seconds / megapixels:.1f} | {memory:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
