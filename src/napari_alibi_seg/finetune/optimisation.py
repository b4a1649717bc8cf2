"""What the optimiser steps of all training runs share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_alibi_seg.core.errors import AlibiSegError

if TYPE_CHECKING:
    from torch import nn

    from napari_alibi_seg.finetune.run_config import RunConfig


class TrainingError(AlibiSegError):
    """The loss or its gradient is not finite."""

    @classmethod
    def of(cls, loss: float, norm: float, step: int) -> TrainingError:
        """Return the error for a loss and the norm of its gradient after some steps."""
        return cls(f"The loss ({loss}) or its gradient ({norm}) is not finite in step {step + 1}")


def learning_rate(config: RunConfig, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


@torch.no_grad()
def move_mean(mean: nn.Module, learning: nn.Module, decay: float, step: int) -> None:
    """Update an exponential moving average; the decay is lower during the first steps."""
    decay = min(decay, (1 + step) / (10 + step))
    get_ema_multi_avg_fn(decay)([*mean.parameters()], [*learning.parameters()], step)


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device supports bfloat16 natively, so that it is faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not in torch 2.5
    return device.type == "cpu" and bool(able.get("avx512_bf16"))
