"""Command line that trains learned filters; see ``--help``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari_alibi_seg.finetune.command import run_command, run_parser
from napari_alibi_seg.finetune.filter_config import FilterConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from napari_alibi_seg.finetune.session import Outcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the default is that of the process.
    """
    return run_command(parser(), FilterConfig, _train, arguments)


def parser() -> argparse.ArgumentParser:
    """Return the parser: one option for every field of `FilterConfig`."""
    return run_parser(
        "napari_alibi_seg.finetune.filters",
        "Train filters of pixels to foretell a model's tokens and to tell phases apart from few "
        "strokes.",
        FilterConfig,
    )


def _train(config: FilterConfig, output: Path, resume: bool) -> Outcome:
    from napari_alibi_seg.finetune.filter_session import train_filters  # imports torch

    return train_filters(config, output, resume)


if __name__ == "__main__":
    sys.exit(main())
