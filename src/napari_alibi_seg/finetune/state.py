"""State of a distillation: the student, its moving average, optimiser and step."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.checkpoints import convert_to_alibi, load_backbone
from napari_alibi_seg.finetune.checkpoint import Checkpoint
from napari_alibi_seg.finetune.optimisation import computes_bfloat16
from napari_alibi_seg.finetune.run_config import Precision

if TYPE_CHECKING:
    from pathlib import Path

    from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity
    from napari_alibi_seg.finetune.config import FinetuneConfig

STUDENT = "student.safetensors"
"""File name of an exported student."""
_LEARNING = "student."
_SLOPES = "attn.m"


@dataclass
class State:
    """A student in training, updated in place by every step.

    Attributes
    ----------
    student : Backbone
        The weights in training.
    mean : Backbone
        Their exponential moving average, which is exported.
    optimiser : AdamW
        Optimiser of the student's trainable parameters.
    scaler : GradScaler
        Loss scaler for float16; disabled for other formats.
    step, crops : int
        Steps taken and crops seen.
    """

    student: Backbone
    mean: Backbone
    optimiser: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    crops: int = 0

    def save(self, path: Path, made_from: str) -> None:
        """Write everything needed to resume; see `Checkpoint.write`."""
        scaler, step, crops = json.dumps(self.scaler.state_dict()), str(self.step), str(self.crops)
        self._checkpoint.write(path, made_from, step=step, crops=crops, scaler=scaler)

    def load(self, path: Path, made_from: str) -> None:
        """Restore the state that `save` wrote; see `Checkpoint.restore`."""
        figures = self._checkpoint.restore(path, made_from)
        scaler = json.loads(figures["scaler"])
        if scaler:  # empty if the scaler is disabled
            self.scaler.load_state_dict(scaler)
        self.step, self.crops = int(figures["step"]), int(figures["crops"])

    @property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(_LEARNING, STUDENT, self.student.vit, self.mean.vit, self.optimiser)


@torch.no_grad()
def keep_slopes_positive(student: Backbone) -> None:
    """Clamp learned slopes at 0.

    With a negative slope, a head attends to the far end of the image, which reveals position.
    """
    for name, parameter in student.vit.named_parameters():
        if name.endswith(_SLOPES):
            parameter.clamp_(min=0)


def start(config: FinetuneConfig, teacher: Backbone, identity: BackboneIdentity) -> State:
    """Return the state before the first step, on the teacher's device.

    Raises
    ------
    ModelError
        If the checkpoint to start from does not fit the teacher or the geometry of the config.
    """
    device = next(teacher.parameters()).device
    if config.init:
        student = _student_from(config, teacher)
    else:
        student = convert_to_alibi(identity.architecture, teacher, config.geometry)
    student = student.to(device).train().requires_grad_(True)
    keep_slopes_positive(student)
    optimiser = torch.optim.AdamW(_groups(student, config), lr=config.learning_rate, fused=True)
    half = number_format(config.precision, device) is torch.float16
    scaler = torch.amp.GradScaler(device.type, enabled=half)
    mean = deepcopy(student).eval().requires_grad_(False)
    return State(student, mean, optimiser, scaler)


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the number format of forward and backward passes on a device."""
    if precision is not Precision.AUTO:
        return cast("torch.dtype", getattr(torch, precision))
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if computes_bfloat16(device) else torch.float16


def _student_from(config: FinetuneConfig, teacher: Backbone) -> Backbone:
    student, _ = load_backbone(config.init)
    if student.geometry is None:
        raise ModelError(
            f"The checkpoint {config.init} is not an ALiBi model; give a student of an earlier run "
            "as --init, or leave that out to start from the teacher."
        )
    theirs, ours = asdict(student.geometry), asdict(config.geometry)
    other = [
        f"{key} {value}, not {ours[key]}" for key, value in theirs.items() if value != ours[key]
    ]
    if other:
        raise ModelError(
            f"The checkpoint {config.init} has another geometry than the options say "
            f"({'; '.join(other)}); give its own or start from the teacher."
        )
    if (student.channels, student.patch_size) != (teacher.channels, teacher.patch_size):
        raise ModelError(
            f"The checkpoint {config.init} has {student.channels} channels and patches of "
            f"{student.patch_size} px, the teacher {teacher.channels} and {teacher.patch_size}; "
            "student and teacher must agree, so choose another one of them."
        )
    return student


def _groups(student: Backbone, config: FinetuneConfig) -> list[dict[str, Any]]:
    """Group the parameters by learning rate, and freeze those that are not trained."""
    times = {"matrices": config.matrix_rate, "slopes": config.slope_rate, "others": 1.0}
    # The loss is very steep in the patch projection, which distillation need not change.
    student.vit.patch_embed.proj.weight.requires_grad_(False)
    groups: dict[str, dict[str, Any]] = {
        kind: {"params": [], "times": rate, "weight_decay": 0.0} for kind, rate in times.items()
    }
    groups["matrices"]["weight_decay"] = config.weight_decay
    for name, parameter in student.vit.named_parameters():
        if not parameter.requires_grad:
            continue
        kind = "slopes" if name.endswith(_SLOPES) else "others"
        kind = "matrices" if parameter.ndim == 2 else kind
        groups[kind]["params"].append(parameter.requires_grad_(times[kind] > 0))
    return [group for group in groups.values() if group["params"] and group["times"]]
