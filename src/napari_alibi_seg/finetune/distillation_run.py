"""A run that distils a teacher into an ALiBi student, from the first checks to the model card."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.checkpoints import load_backbone, save_backbone
from napari_alibi_seg.core.model.fetch import sha256
from napari_alibi_seg.finetune.card import (
    earlier_training,
    make_card,
    write_card,
    write_readable_card,
)
from napari_alibi_seg.finetune.crops import Crops
from napari_alibi_seg.finetune.data import read_corpus
from napari_alibi_seg.finetune.options import ConfigError
from napari_alibi_seg.finetune.processes import LeftError, joined_processes
from napari_alibi_seg.finetune.run import (
    CHECKPOINT,
    Run,
    check_folder,
    only_run,
    progress,
    write_config,
)
from napari_alibi_seg.finetune.state import STUDENT, start
from napari_alibi_seg.finetune.targets import Imitated, TargetTable, make_table
from napari_alibi_seg.finetune.training import Trainer
from napari_alibi_seg.finetune.validation import Scores, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity
    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.run import TrainingOutcome
    from napari_alibi_seg.finetune.training import StepReport

LOG = logging.getLogger(__name__)

_TARGETS = "targets.safetensors"


def distil(config: FinetuneConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    """Distil a student in a folder, from the start or from the last checkpoint.

    Parameters
    ----------
    config : FinetuneConfig
        All options; `images` must not be empty.
    output : Path
        Receives ``config.json``, ``student.safetensors`` (float16, usable as a model by its
        path), ``checkpoint.safetensors`` (to resume), ``card.json``, ``card.md`` and the logs.
    resume : bool
        Continue the run in `output`; otherwise the folder must be new or empty.

    Returns
    -------
    TrainingOutcome or None
        None in the processes of torchrun that have nothing to report: all but the first or, after
        a failure, all but the one that raises the error.

    Raises
    ------
    AlibiSegError
        A subclass for images, model, config, output, device or a loss that is not finite.
    """
    try:
        return _distil(config, output, resume)
    except LeftError:
        return None


def _distil(config: FinetuneConfig, output: Path, resume: bool) -> TrainingOutcome | None:
    with joined_processes(config.device) as processes, ExitStack() as held:
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        with processes.together():
            if processes.first:
                check_folder(output, config, resume)
        with processes.together():
            teacher, identity = _teacher(config, processes.device)
            files = progress("images", shown=processes.first)
            corpus = read_corpus([Path(image) for image in config.images], config, files)
            state = start(config, teacher, identity)
            if processes.first:
                held.enter_context(only_run(output, config, resume))
        made_from = corpus.digest()
        with processes.together():
            if (output / CHECKPOINT).exists():
                state.load(output / CHECKPOINT, made_from)
        crops = Crops.of(config, corpus, corpus.training)
        imitated = Imitated(teacher, config.inner_blocks)
        with processes.together():
            if processes.first:
                write_config(output, config)
                _keep_table(output / _TARGETS, imitated, crops, config, begun=state.step > 0)
        table = TargetTable.load(output / _TARGETS).to(processes.device)
        trainer = Trainer(config, processes, imitated, table, crops, state)
        return DistillationRun(output, trainer, processes, corpus, identity, made_from).train()


class DistillationRun(Run[Trainer]):
    """Runs a distillation; the weights are those of the averaged student."""

    WEIGHTS = STUDENT
    SHOWN = "loss={0.loss:.4f}"
    SCORES = Scores

    def steps(self, stop: Event) -> Iterator[StepReport]:
        """Take steps until the schedule is complete or any process was asked to stop."""
        for report in self.trainer.steps(stop):
            yield report
            if report.stop:
                return

    def validator(self) -> Callable[[], Scores]:
        """Compute the teacher's tokens of the validation crops."""
        config, teacher = self.trainer.config, self.trainer.teacher.backbone
        held_out = replace(Crops.of(config, self.corpus, self.corpus.validation), light=None)
        table = self.trainer.table.of_last(teacher.channels)
        validation = Validation(teacher, table, held_out, config.validation_crops)
        return partial(validation.score, self.trainer.state.mean)

    def export(self) -> None:
        """Write the averaged student in float16, usable as a model by its path, and its card."""
        config, state, student = self.trainer.config, self.trainer.state, self.output / STUDENT
        header = {
            "teacher": self.teacher.weights,
            "licence": config.licence,
            "step": str(state.step),
            "crops": str(state.crops),
        }
        save_backbone(state.mean, self.teacher.architecture, student, header)
        identity = load_backbone(student)[1]
        made = {
            "student": {
                "file": student.name,
                "sha256": sha256(student),
                "weights": identity.weights,
                "architecture": identity.architecture,
                "geometry": json.loads(config.geometry.to_json()),
            },
            "teacher": {
                "name": config.without_folders().teacher,
                "architecture": self.teacher.architecture,
                "weights": self.teacher.weights,
            },
        }
        training = {
            "steps": state.step,
            "crops": state.crops,
            "complete": state.step == config.steps,
        }
        earlier = earlier_training(Path(config.init))
        card = make_card(config, made, self.corpus, training, self.scores, earlier=earlier)
        write_card(self.output, card)
        write_readable_card(self.output, student.name, card)


def _teacher(config: FinetuneConfig, device: torch.device) -> tuple[Backbone, BackboneIdentity]:
    teacher, identity = load_backbone(config.teacher)
    odd = [size for size in config.crop_sizes if size % teacher.patch_size or size <= 0]
    if odd:
        raise ConfigError(
            f"Crop sizes must be multiples of the teacher's patches of {teacher.patch_size} px, "
            f"but {', '.join(map(str, odd))} are not; change --crop-sizes."
        )
    if any(not 0 < block < teacher.depth for block in config.inner_blocks):
        raise ConfigError(
            f"Inner blocks must be from 1 to {teacher.depth - 1}, as the teacher's last block is "
            f"{teacher.depth}; change --inner-blocks."
        )
    if teacher.geometry is not None:
        raise ModelError(
            f"The teacher {config.teacher} already is an ALiBi model; give a stock one as "
            "timm:<id> or timm:<id>:<file>, and this one as --init."
        )
    return teacher.to(device), identity


def _keep_table(
    path: Path, teacher: Imitated, crops: Crops, config: FinetuneConfig, begun: bool
) -> None:
    if not begun or not path.exists():  # without a checkpoint, a table may stem from other images
        LOG.info("finding out what position adds to the teacher's tokens")
        make_table(teacher, crops, config).save(path)
