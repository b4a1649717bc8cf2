"""Command line that trains learned filters; see ``--help``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari_alibi_seg.finetune.command import Command
from napari_alibi_seg.finetune.filter_config import FilterConfig

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.finetune.run import TrainingOutcome


def _train(config: FilterConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    from napari_alibi_seg.finetune.filter_run import train_filters  # imports torch

    return train_filters(config, output, resume)


COMMAND = Command(
    "napari_alibi_seg.finetune.filters",
    "Train pixel filters to predict a model's tokens and to separate phases given a few strokes.",
    FilterConfig,
    _train,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
