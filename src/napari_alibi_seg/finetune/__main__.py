"""Command line of the finetuning; see ``--help``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari_alibi_seg.finetune.command import run_command, run_parser
from napari_alibi_seg.finetune.config import FinetuneConfig

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
    return run_command(parser(), FinetuneConfig, _train, arguments)


def parser() -> argparse.ArgumentParser:
    """Return the parser: one option for every field of `FinetuneConfig`."""
    return run_parser(
        "napari_alibi_seg.finetune",
        "Distil a vision transformer into its ALiBi form.",
        FinetuneConfig,
    )


def _train(config: FinetuneConfig, output: Path, resume: bool) -> Outcome | None:
    from napari_alibi_seg.finetune.session import finetune  # imports torch

    return finetune(config, output, resume)


if __name__ == "__main__":
    sys.exit(main())
