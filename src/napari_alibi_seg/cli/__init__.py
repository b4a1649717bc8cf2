"""Command-line interface: a thin layer over the core.

Exit codes: 0 success, 1 some images of a batch failed, 2 wrong usage, 130 interrupted; errors by
subject: 3 image, 4 scribbles, 5 model, 6 classifier, 7 output, 8 device or memory, 9 project.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_alibi_seg import __version__
from napari_alibi_seg.cli import apply, demo, describe, features, models, segment, train
from napari_alibi_seg.core.choices import SCALE
from napari_alibi_seg.core.terminal import run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

_ABOUT = "Turn a few scribbles on a micrograph into a segmentation."
_EXIT_CODES = (__doc__ or "").partition("\n\n")[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parsed(arguments)
    return run_command(lambda: int(options.run(options)), _memory_advice(options), options.verbose)


def _memory_advice(options: argparse.Namespace) -> str:
    """Return what a user of these options can do if memory is short."""
    given = vars(options)
    ways = [f"use --scale {SCALE}"] if given.get("scale", SCALE) > SCALE else []
    ways += ["close other programs"]
    ways += ["cut the image into smaller ones"] if "axes" in given else []
    return ", or ".join(ways)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; also accept images after options, which argparse leaves unparsed."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and ("images" not in options or any(one.startswith("-") for one in rest)):
        options.misuse(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.images += rest
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("napari-alibi-seg", description=_ABOUT, epilog=_EXIT_CODES)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (segment, train, apply, describe, features, models, demo):
        command.add_to(commands)
    return parser
