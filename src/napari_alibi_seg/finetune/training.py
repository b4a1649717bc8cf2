"""The distillation loop (crops, targets, loss, gradient, step), in one or several processes."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.finetune.crops import Stream, training_batches
from napari_alibi_seg.finetune.motions import Motion, random_motion
from napari_alibi_seg.finetune.optimisation import TrainingError, learning_rate, move_mean
from napari_alibi_seg.finetune.state import keep_slopes_positive, number_format
from napari_alibi_seg.finetune.targets import Imitated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.crops import Batch, Crops
    from napari_alibi_seg.finetune.processes import Processes
    from napari_alibi_seg.finetune.state import State
    from napari_alibi_seg.finetune.targets import TargetTable

_MOST_THREADS = 16  # threads that prepare crops while a GPU computes


@dataclass(frozen=True)
class StepReport:
    """Figures of one step.

    Attributes
    ----------
    crop_size : int
        Side of the crops, px.
    crops : int
        Number of crops over all processes.
    loss : float
        Mean of 1 - cosine, plus the weighted equivariance and consistency terms, if any.
    gradient_norm, learning_rate : float
        Gradient norm before clipping, and the learning rate used.
    stop : bool
        Whether any process was asked to stop.
    """

    crop_size: int
    crops: int
    loss: float
    gradient_norm: float
    learning_rate: float
    stop: bool


@dataclass(frozen=True)
class Portion:
    """One process's share of a batch.

    Attributes
    ----------
    batch : Batch
        The whole batch, over all processes.
    images : Tensor
        (B, 3, S, S) crops for the student.
    shown : Tensor
        (B, 3, S, S) the same crops for the teacher.
    """

    batch: Batch
    images: Tensor
    shown: Tensor


class Distillation(nn.Module):
    """Distillation loss of a student.

    Parameters
    ----------
    student : Imitated
        Student in training.
    equivariance : float
        Weight of the cosine distance between the tokens of a crop and those of its moved copy.
    consistency : float
        Weight of the cosine distance between the tokens in the centre of a crop and those of
        the centre seen on its own.
    """

    def __init__(self, student: Imitated, equivariance: float, consistency: float) -> None:
        super().__init__()
        self.student = student
        self._equivariance = equivariance
        self._consistency = consistency

    def forward(self, images: Tensor, targets: Tensor, motion: Motion) -> Tensor:
        """Return the loss of each crop, (B,): the mean of 1 - cosine over tokens, per term.

        Parameters
        ----------
        images : Tensor
            (B, 3, S, S), approximately in [0, 1].
        targets : Tensor
            (B, h, w, C).
        motion : Motion
            How the copy is moved; only used if `equivariance` is not zero.
        """
        tokens = self.student(images)
        loss = _distance(tokens, targets)
        if self._equivariance:
            moved = self.student(motion.of_images(images, self.student.patch_size))
            loss = loss + self._equivariance * _distance(moved, motion.of_tokens(tokens.detach()))
        if self._consistency:
            alone = self.student(_middle(images, (2, 3), self.student.patch_size))
            loss = loss + self._consistency * _distance(alone, _middle(tokens, (1, 2)))
        return loss


@dataclass(frozen=True)
class Trainer:
    """Takes the optimiser steps of a run.

    Attributes
    ----------
    config : FinetuneConfig
        All options.
    processes : Processes
        This process among all.
    teacher : Imitated
        Frozen teacher, on the device.
    table : TargetTable
        Converts its tokens to targets, on the device.
    crops : Crops
        Crops of the training pictures.
    state : State
        Updated in place.
    """

    config: FinetuneConfig
    processes: Processes
    teacher: Imitated
    table: TargetTable
    crops: Crops
    state: State

    def steps(self, stop: Event) -> Iterator[StepReport]:
        """Take steps until the schedule is complete; the caller may stop iterating earlier.

        Parameters
        ----------
        stop : Event
            Request to stop; each report says whether it is set in any process.

        Raises
        ------
        TrainingError
            If the loss or its gradient is not finite; the weights are then left unchanged.
        """
        config = self.config
        student = Imitated(self.state.student, config.inner_blocks)
        model: nn.Module = Distillation(student, config.equivariance, config.consistency)
        if self.processes.count > 1:
            model = DistributedDataParallel(model, broadcast_buffers=False)
        for portions in self._prefetched():
            yield self._step(model, portions, stop)

    def portions(self, step: int) -> list[Portion]:
        """Return this process's share of each batch of a step, on its device."""
        rank, count, device = self.processes.rank, self.processes.count, self.processes.device
        unchanged = replace(self.crops, light=None)
        portions = []
        for batch in training_batches(self.config, step, self.teacher.patch_size, count):
            keys = batch.keys[rank::count]
            images = self.crops.batch(batch.size, keys).to(device)
            shown = unchanged.batch(batch.size, keys).to(device) if self.config.clean else images
            portions.append(Portion(batch, images, shown))
        return portions

    def targets(self, shown: Tensor) -> Tensor:
        """Return the targets of this step, (B, h, w, C), for the crops shown to the teacher."""
        if not self.config.turned:
            return self.table.apply(self.teacher(shown).float())
        motion = random_motion(self.config.seed, (Stream.TURNS, self.state.step))
        moved = motion.of_images(shown, self.teacher.patch_size)
        return motion.back(self.table.apply(self.teacher(moved).float()))

    def _step(self, model: nn.Module, portions: list[Portion], stop: Event) -> StepReport:
        state, optimiser = self.state, self.state.optimiser
        rate = learning_rate(self.config, state.step)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["times"]
        optimiser.zero_grad()
        own = sum(self._backward(model, part, last=part is portions[-1]) for part in portions)
        loss, stops = self.processes.summed(own / self.processes.count, stop.is_set())
        state.scaler.unscale_(optimiser)
        norm = float(clip_grad_norm_(state.student.parameters(), self.config.clip))
        self._check(loss, norm)
        state.scaler.step(optimiser)
        state.scaler.update()
        keep_slopes_positive(state.student)
        crops = sum(len(part.batch.keys) for part in portions)
        state.step, state.crops = state.step + 1, state.crops + crops
        move_mean(state.mean, state.student, self.config.ema, state.step)
        return StepReport(portions[0].batch.size, crops, loss, norm, rate, stops > 0)

    def _backward(self, model: Any, part: Portion, last: bool) -> float:
        """Accumulate the gradient of this process's crops; return their part of the loss."""
        device = self.processes.device
        number = number_format(self.config.precision, device)
        half = torch.autocast(device.type, number, enabled=number is not torch.float32)
        with torch.no_grad(), half:
            targets = self.targets(part.shown)
        key = (Stream.EQUIVARIANCE, self.state.step)
        motion = random_motion(self.config.seed, key, targets.shape[1])
        waits = nullcontext() if last or self.processes.count == 1 else model.no_sync()
        with waits:
            with half:
                losses = model(part.images, targets, motion)
            # DDP averages over processes, whose shares of a batch may differ by one crop.
            share = self.processes.count / (len(part.batch.keys) * self.config.accumulate)
            loss = losses.sum() * share
            self.state.scaler.scale(loss).backward()
        return float(loss.detach())

    def _check(self, loss: float, norm: float) -> None:
        # In float16 the scaler skips steps whose gradient overflows, and lowers its scale.
        if math.isfinite(loss) and (math.isfinite(norm) or self.state.scaler.is_enabled()):
            return
        raise TrainingError.of(loss, norm, self.state.step)

    def _prefetched(self) -> Iterator[list[Portion]]:
        """Yield the crops of every remaining step, prefetching in background threads."""
        steps = range(self.state.step, self.config.steps)
        spare = 1 if self.processes.device.type == "cpu" else _MOST_THREADS
        return in_order(self.portions, steps, spare)


def _middle(values: Tensor, axes: tuple[int, int], unit: int = 1) -> Tensor:
    """Return the central half along two axes, rounded up to whole patches of `unit` values."""
    for axis in axes:
        margin = values.shape[axis] // unit // 4 * unit
        values = values.narrow(axis, margin, values.shape[axis] - 2 * margin)
    return values


def _distance(tokens: Tensor, targets: Tensor) -> Tensor:
    return (1 - cosine_similarity(tokens.float(), targets, dim=-1)).mean(dim=(1, 2))
