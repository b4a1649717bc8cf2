"""Time and peak memory of ``napari-alibi-seg apply`` to an OME-Zarr volume.

    python benchmarks/volumes.py [--planes 4 8] [--side 1024] [--model alibi-dinov2-s14]

The volume is the bundled micrograph, mirrored to the plane size asked for and stacked; every run is
a process of its own, so that its peak memory is its own. Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from skimage.io import imread

SAMPLES = Path(__file__).parents[1] / "src/napari_alibi_seg/samples"
PROGRAM = [sys.executable, "-m", "napari_alibi_seg"]


def write_volume(path: Path, planes: int, side: int) -> None:
    """Write a (planes, side, side) uint8 Zarr whose planes differ."""
    pixels = imread(SAMPLES / "superalloy.png")
    beyond = max(0, side - pixels.shape[0]), max(0, side - pixels.shape[1])
    plane = np.pad(pixels, [(0, beyond[0]), (0, beyond[1])], mode="reflect")[:side, :side]
    volume = np.stack([np.roll(plane, 31 * n, axis=0) for n in range(planes)])
    zarr.create_array(path, data=volume, chunks=(1, 512, 512), dimension_names=["z", "y", "x"])


def train(folder: Path, model: str) -> None:
    """Save a classifier trained on the bundled micrograph at scale 1."""
    names = [str(SAMPLES / name) for name in ("superalloy.png", "superalloy_scribbles.png")]
    command = [*PROGRAM, "segment", names[0], "--scribbles", names[1], "--output", "one.tif"]
    command += ["--model", model, "--scale", "1", "--save-classifier", "c.skops"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def measure(folder: Path) -> tuple[float, float]:
    """Segment the volume once; return seconds and peak gigabytes."""
    command = [*PROGRAM, "apply", "c.skops", "volume.zarr", "--output", "labels.ome.zarr"]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"apply failed with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def main() -> None:
    """Print a Markdown table, a row per number of planes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--model", default="alibi-dinov2-s14")
    options = parser.parse_args()
    print("| planes | time (s) | s per megapixel | peak memory (GB) |\n|---|---|---|---|")
    for planes in options.planes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_volume(folder / "volume.zarr", planes, options.side)
            train(folder, options.model)
            seconds, memory = measure(folder)
        megapixels = planes * options.side**2 / 2**20
        print(
            f"| {planes} | {seconds:.0f} | {seconds / megapixels:.1f} | {memory:.2f} |", flush=True
        )


if __name__ == "__main__":
    main()
