"""Time and peak memory of ``napari-alibi-seg apply`` to an OME-Zarr volume.

    python benchmarks/volumes.py [--planes 4 8] [--side 1024] [--model alibi-dinov2-s14] [--kill]

The volume is the bundled micrograph, mirrored to the requested plane size and stacked, with noise
added and a shift per plane. Every run is a separate process, so that its peak memory can be
measured. With ``--kill``, the run is killed (kill -9) when half of the planes are done and then
resumed; the progress files show which planes each of the two runs wrote. ``--compare`` computes
the result again without interruption and reports whether all its levels are equal. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from micrographs import MICROGRAPH, SCRIBBLES, noisy
from processes import PROGRAM, cost

CLASSIFIER, VOLUME = "c.skops", "volume.ome.zarr"
RESULT, UNBROKEN = "labels.ome.zarr", "unbroken.ome.zarr"
NOISES = 8


def write_volume(path: Path, planes: int, side: int) -> None:
    """Write a (planes, side, side) uint8 OME-Zarr whose planes differ."""
    group = zarr.create_group(path, zarr_format=3)
    array = group.create_array(
        "0",
        shape=(planes, side, side),
        chunks=(1, 512, 512),
        dtype=np.uint8,
        dimension_names=["z", "y", "x"],
    )
    seen = [noisy(side, seed) for seed in range(min(planes, NOISES))]
    for plane in range(planes):
        array[plane] = np.roll(seen[plane % NOISES], 31 * plane, axis=0)
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    levels = [{"path": "0", "coordinateTransformations": [scale]}]
    multiscale: Any = {"axes": axes, "datasets": levels}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}


def train(folder: Path, model: str) -> None:
    """Save a classifier trained on the bundled micrograph at scale 1."""
    command = [*PROGRAM, "segment", str(MICROGRAPH), "--scribbles", str(SCRIBBLES)]
    command += ["--output", "one.tif", "--model", model, "--scale", "1"]
    command += ["--save-classifier", CLASSIFIER]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def apply_to(output: str) -> list[str]:
    """Return the command that writes a result."""
    return ["apply", CLASSIFIER, VOLUME, "--output", output]


def entries(folder: Path) -> dict[str, int]:
    """Return the planes recorded as done, with the time (ns) of each record."""
    noted = (folder / f"{RESULT}.progress/planes").glob("*.json")
    return {entry.name: entry.stat().st_mtime_ns for entry in noted}


def killed(folder: Path, planes: int) -> str:
    """Kill a run, resume it, and return the cells of the table."""
    first = cost(apply_to(RESULT), folder, until=lambda: len(entries(folder)) >= planes // 2)
    before = entries(folder)
    rest = cost(apply_to(RESULT), folder)
    after = entries(folder)
    again = [plane for plane in before if after[plane] != before[plane]]
    later = len(after) - len(before) + len(again)
    return (
        f"{len(before)} + {later}, {len(again)} twice | {first.seconds:.0f} + {rest.seconds:.0f} | "
        f"{first.worked:.0f} + {rest.worked:.0f} | {max(first.gigabytes, rest.gigabytes):.2f} |"
    )


def same(folder: Path) -> bool:
    """Compute the result again without interruption, and compare every level of the two."""
    cost(apply_to(UNBROKEN), folder)
    groups = (zarr.open_group(folder / name, mode="r") for name in (RESULT, UNBROKEN))
    one, other = (dict(group.arrays()) for group in groups)
    return one.keys() == other.keys() and all(
        np.array_equal(one[level][plane], other[level][plane])
        for level in one
        for plane in range(one[level].shape[0])
    )


def main() -> None:
    """Print a Markdown table with a row per number of planes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", nargs="+", type=int, default=[4, 8])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--model", default="alibi-dinov2-s14")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    kill = " written before + after kill -9 |" if options.kill else ""
    print(f"| planes |{kill} time (s) | core-seconds | peak memory (GB) |", flush=True)
    for planes in options.planes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_volume(folder / VOLUME, planes, options.side)
            train(folder, options.model)
            if options.kill:
                cells = killed(folder, planes)
            else:
                whole = cost(apply_to(RESULT), folder)
                cells = f"{whole.seconds:.0f} | {whole.worked:.0f} | {whole.gigabytes:.2f} |"
            print(f"| {planes} | {cells}", flush=True)
            if options.compare:
                print(f"  equal to an unbroken run: {same(folder)}", flush=True)


if __name__ == "__main__":
    main()
