"""Time and peak memory of ``napari-alibi-seg segment`` against the size of the image.

    python benchmarks/scaling.py [--sides 1024 2048 4096]

The image is the bundled micrograph, mirrored to the size asked for; every run is a process of its
own, so that its peak memory is its own. Linux only.
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
from skimage.io import imread, imsave

SAMPLES = Path(__file__).parents[1] / "src/napari_alibi_seg/samples"


def write_inputs(folder: Path, side: int) -> None:
    """Write image.tif, side x side, and the scribbles in its first corner."""
    pixels, scribbles = (
        imread(SAMPLES / name) for name in ("superalloy.png", "superalloy_scribbles.png")
    )
    beyond = side - pixels.shape[0]
    image = np.pad(pixels, ((0, beyond), (0, beyond)), mode="reflect")
    imsave(folder / "image.tif", image, check_contrast=False)
    painted = np.pad(scribbles, ((0, beyond), (0, beyond)))
    imsave(folder / "scribbles.tif", painted, check_contrast=False)


def measure(folder: Path, scale: int) -> tuple[float, float]:
    """Segment once; return seconds and peak gigabytes."""
    command = [sys.executable, "-m", "napari_alibi_seg", "segment", "image.tif"]
    command += ["--scribbles", "scribbles.tif", "--output", "labels.tif", "--scale", str(scale)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "NAPARI_ALIBI_SEG_CACHE": str(folder)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"segment failed with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def main() -> None:
    """Print a Markdown table, a row per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", type=int, default=[1024, 2048, 4096])
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args()
    print("| side (px) | time (s) | s per megapixel | peak memory (GB) |\n|---|---|---|---|")
    for side in options.sides:
        with tempfile.TemporaryDirectory() as name:
            write_inputs(Path(name), side)
            seconds, memory = measure(Path(name), options.scale)
        print(f"| {side} | {seconds:.0f} | {seconds / side**2 * 2**20:.1f} | {memory:.2f} |")


if __name__ == "__main__":
    main()
