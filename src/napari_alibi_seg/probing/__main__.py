"""Command line of the probing; see ``--help``.

Exit codes: 0 success, 1 done but some images or models could not be read, 2 wrong usage, 130
interrupted; errors by subject: 3 image, 5 model, 7 output, 8 device.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from napari_alibi_seg.core.choices import LARGEST_SEED
from napari_alibi_seg.core.errors import AlibiSegError, DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_INTERRUPTED = 130
_SMALLEST_GRID = 12
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe with the given command-line arguments and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the program name; by default those of the process.
    """
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except KeyboardInterrupt:
        _say("interrupted; nothing was written.")
        return _INTERRUPTED
    except MemoryError:
        _say("error: there is too little memory; use a smaller --grid, or smaller images.")
        return DeviceError.exit_code
    except AlibiSegError as error:
        _say(f"error: {error}")
        return error.exit_code


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
        type=_grid,
        default=37,
        help="patches along a side of the probed view (default %(default)s; 37 are 518 px for "
        "patches of 14 px)",
    )
    made.add_argument(
        "--tile-grid",
        type=_tile_grid,
        default=64,
        help="patches along a side of the view for the tile test, a multiple of 4; the tile is "
        "half as wide (default %(default)s)",
    )
    made.add_argument(
        "--stability-images",
        type=_count,
        default=16,
        metavar="N",
        help="number of images for the slow tile, flip and shift tests (default %(default)s)",
    )
    made.add_argument(
        "--device",
        default="auto",
        help="device to compute on: auto, cpu, cuda, cuda:N or mps (default %(default)s)",
    )
    made.add_argument("--seed", type=_seed, default=0, help="random seed (default %(default)s)")
    return made


def _run(options: argparse.Namespace) -> int:
    from napari_alibi_seg.probing.records import ProbingConfig
    from napari_alibi_seg.probing.session import probe

    config = ProbingConfig(
        options.grid, options.tile_grid, options.stability_images, options.device, options.seed
    )
    probing = probe(
        options.images,
        options.model,
        options.output,
        config,
        lambda paths: tqdm(paths, desc="probing", unit="image"),
    )
    for name, reason in probing.failed.items():
        _say(f"{name} was left out: {reason}")
    sys.stdout.write(f"report: {options.output / 'report.html'}\n")
    return 1 if probing.failed else 0


def _grid(text: str) -> int:
    return _whole(text, f"of {_SMALLEST_GRID} or more", lambda grid: grid >= _SMALLEST_GRID)


def _tile_grid(text: str) -> int:
    return _whole(text, "that is a multiple of 4", lambda grid: grid > 0 and grid % 4 == 0)


def _count(text: str) -> int:
    return _whole(text, "of 0 or more", lambda count: True)


def _seed(text: str) -> int:
    return _whole(text, f"from 0 to {LARGEST_SEED}", lambda seed: seed <= LARGEST_SEED)


def _whole(text: str, rule: str, kept: Callable[[int], bool]) -> int:
    if not text.isdecimal() or not kept(int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number {rule}, but is {text!r}")
    return int(text)


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
