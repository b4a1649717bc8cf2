"""Command line of the probing; see ``--help``.

Exit codes: 0 success, 1 done but some images or models were left out, 2 wrong usage, 130
interrupted; errors by subject: 3 image, 5 model, 7 output, 8 device or memory.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.core.choices import LARGEST_SEED
from napari_alibi_seg.core.terminal import Bars, run_command, say, tell, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

_GRIDS, _TILE_GRIDS = range(12, 257), range(4, 257, 4)
_STABILITY_IMAGES = range(10_001)
_ADVICE = "use a smaller --grid, or smaller images"
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe with the given command-line arguments and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the program name; by default those of the process.
    """
    options = parser().parse_args(arguments)
    return run_command(lambda: _run(options), _ADVICE)


def parser() -> argparse.ArgumentParser:
    """Return the argument parser."""
    made = argparse.ArgumentParser(
        prog="python -m napari_alibi_seg.probing",
        description="Measure how much of a patch's position is in the features of your images, "
        "and report it.",
        epilog=_EXIT_CODES,
    )
    made.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGES",
        help="image files, or folders of image files; for a reliable result, give eight or more "
        "of one kind",
    )
    made.add_argument(
        "--model",
        action="append",
        required=True,
        metavar="NAME",
        help="model to probe: a name, timm:<id>, timm:<id>:<file> or a checkpoint; repeat to "
        "compare models; append +flips or +blank for a remedy of positional bias that needs no "
        "training",
    )
    made.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="a new or empty folder"
    )
    made.add_argument(
        "--grid",
        type=partial(whole, _GRIDS),
        default=37,
        help="patches along a side of the probed view (default %(default)s; 37 are 518 px for "
        "patches of 14 px)",
    )
    made.add_argument(
        "--tile-grid",
        type=partial(whole, _TILE_GRIDS),
        default=64,
        help="patches along a side of the view for the tile test, a multiple of 4; the tile is "
        "half as wide (default %(default)s)",
    )
    made.add_argument(
        "--stability-images",
        type=partial(whole, _STABILITY_IMAGES),
        default=16,
        metavar="N",
        help="number of images for the slow tile, flip and shift tests (default %(default)s)",
    )
    made.add_argument(
        "--device",
        default="auto",
        help="device to compute on: auto, cpu, cuda, cuda:N or mps (default %(default)s)",
    )
    made.add_argument(
        "--seed",
        type=partial(whole, range(LARGEST_SEED + 1)),
        default=0,
        help="random seed (default %(default)s)",
    )
    return made


def _run(options: argparse.Namespace) -> int:
    from napari_alibi_seg.probing.records import ProbingConfig
    from napari_alibi_seg.probing.session import probe

    config = ProbingConfig(
        options.grid, options.tile_grid, options.stability_images, options.device, options.seed
    )
    with Bars() as bars:
        probing = probe(options.images, options.model, options.output, config, bars)
    for name, reason in probing.failed.items():
        say(f"{name} was left out: {reason}")
    tell(f"report: {options.output / 'report.html'}")
    return 1 if probing.failed else 0


if __name__ == "__main__":
    sys.exit(main())
