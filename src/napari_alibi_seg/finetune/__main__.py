"""Command line for distilling a model into its ALiBi form; see ``--help``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari_alibi_seg.finetune.command import Command
from napari_alibi_seg.finetune.config import FinetuneConfig

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.finetune.run import TrainingOutcome


def _train(config: FinetuneConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    from napari_alibi_seg.finetune.distillation_run import distil  # imports torch

    return distil(config, output, resume)


COMMAND = Command(
    "napari_alibi_seg.finetune",
    "Distil a vision transformer into its ALiBi form.",
    FinetuneConfig,
    _train,
)

if __name__ == "__main__":
    sys.exit(COMMAND.main())
