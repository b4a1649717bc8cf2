"""Training of the learned filters: the two losses, the step, and the saved state."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.utils import clip_grad_norm_

from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS
from napari_alibi_seg.core.channels.learned_filters import WEIGHTS, FilterNetwork
from napari_alibi_seg.core.model.checkpoints import load_strictly, read_tensors
from napari_alibi_seg.finetune.checkpoint import Checkpoint
from napari_alibi_seg.finetune.crops import Stream
from napari_alibi_seg.finetune.episodes import fresh_episodes, score
from napari_alibi_seg.finetune.optimisation import (
    TrainingError,
    computes_bfloat16,
    learning_rate,
    move_mean,
)
from napari_alibi_seg.finetune.run_config import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_alibi_seg.finetune.episodes import Episodes, EpisodeScores
    from napari_alibi_seg.finetune.filter_config import FilterConfig
    from napari_alibi_seg.finetune.token_views import TokenViews

_LEARNER = "learner."
_MIXTURES = 32
_BETAS = (0.9, 0.98)


class Learner(nn.Module):
    """The filters and the heads for their losses, which are needed during training only.

    Both losses see linear mixtures of the channels, so that the weight of a channel is learned
    separately from its content.

    Parameters
    ----------
    targets : int
        Number of token components to predict.
    precision : torch.dtype
        Number format of the filters' convolutions.
    """

    def __init__(self, targets: int, precision: torch.dtype) -> None:
        super().__init__()
        self.filters = FilterNetwork()
        self.mix = nn.Conv2d(LEARNED_CHANNELS, _MIXTURES, 1)
        self.head = nn.Conv2d(_MIXTURES, targets, 1)
        self.log_penalty = nn.Parameter(torch.tensor(-3.0))
        self.log_sharpness = nn.Parameter(torch.tensor(1.6))
        self._precision = precision

    def residual(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return predicted minus true tokens, (B, h, w, K).

        Parameters
        ----------
        images : Tensor
            (B, 1, S, S), approximately in [0, 1]; S is a multiple of h.
        tokens : Tensor
            (B, h, w, K) true tokens.
        """
        stands_for = images.shape[-1] // tokens.shape[-2]  # px
        predicted: Tensor = self.head(avg_pool2d(self._mixtures(images), stands_for))
        return predicted.permute(0, 2, 3, 1) - tokens  # (B, K, h, w) -> (B, h, w, K)

    def score(self, shown: Episodes) -> EpisodeScores:
        """Return how well the channels classify the pixels of episodes."""
        features = self._mixtures(shown.images.float() / 255)
        return score(features, shown, self.log_penalty.exp(), self.log_sharpness.exp())

    def _mixtures(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        half = self._precision is torch.bfloat16
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            mixtures: Tensor = self.mix(self.filters(images))
        return mixtures.float()


@dataclass
class FilterState:
    """Training state, updated in place by every step.

    Attributes
    ----------
    learner, mean : Learner
        The weights in training, and their exponential moving average, which is exported.
    optimiser : AdamW
        Optimiser of the learner's parameters.
    step : int
        Number of steps taken.
    """

    learner: Learner
    mean: Learner
    optimiser: torch.optim.AdamW
    step: int = 0

    @classmethod
    def start(cls, config: FilterConfig, targets: int, device: torch.device) -> FilterState:
        """Return the state before the first step, initialised from the seed."""
        torch.manual_seed(config.seed)
        learner = Learner(targets, convolution_format(config.precision, device)).to(device)
        learner = learner.to(memory_format=torch.channels_last)
        judges = [learner.log_penalty, learner.log_sharpness]
        weights = [part for part in learner.parameters() if part.ndim]
        groups = [
            {"params": weights, "weight_decay": config.weight_decay},
            {"params": judges, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=_BETAS, fused=True)
        return cls(learner, deepcopy(learner).eval().requires_grad_(False), optimiser)

    def begin_from(self, path: Path) -> None:
        """Initialise the filters with those of an earlier run.

        Raises
        ------
        ModelError
            If the file is missing, damaged or does not hold filters.
        """
        for learner in (self.learner, self.mean):
            load_strictly(learner.filters, read_tensors(path)[0], path)

    def save(self, path: Path, made_from: str) -> None:
        """Write everything needed to resume; see `Checkpoint.write`."""
        self._checkpoint.write(path, made_from, step=str(self.step))

    def load(self, path: Path, made_from: str) -> None:
        """Restore the state that `save` wrote; see `Checkpoint.restore`."""
        self.step = int(self._checkpoint.restore(path, made_from)["step"])

    @property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(_LEARNER, WEIGHTS, self.learner, self.mean, self.optimiser)


@dataclass(frozen=True)
class FilterReport:
    """Figures of one step.

    Attributes
    ----------
    token_error : float
        Mean squared error of the predicted tokens.
    cross_entropy, accuracy : float
        Means over the episodes of the step (`EpisodeScores`).
    gradient_norm, learning_rate : float
        Gradient norm before clipping, and the learning rate used.
    """

    token_error: float
    cross_entropy: float
    accuracy: float
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class FilterTrainer:
    """Takes the optimiser steps of a run.

    Attributes
    ----------
    config : FilterConfig
        All options.
    views : TokenViews
        Views of the training pictures.
    state : FilterState
        Updated in place.
    """

    config: FilterConfig
    views: TokenViews
    state: FilterState

    def steps(self) -> Iterator[FilterReport]:
        """Take steps until the schedule is complete; the caller may stop iterating earlier.

        Raises
        ------
        TrainingError
            If the loss or its gradient is not finite; the weights are then left unchanged.
        """
        config, coming = self.config, range(self.state.step, self.config.steps)
        for shown in fresh_episodes(config.seed, config.synthetic, coming, config.workers):
            yield self._step(shown)

    def _step(self, shown: Episodes) -> FilterReport:
        state, config = self.state, self.config
        device = state.learner.log_penalty.device
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(config, state.step)
        images, tokens = seen_views(self.views, config, state.step, device)
        error = (state.learner.residual(images, tokens) ** 2).mean()
        scores = state.learner.score(shown.to(device))
        loss = error + scores.cross_entropy.mean()
        state.optimiser.zero_grad()
        loss.backward()
        norm = clip_grad_norm_(state.learner.parameters(), config.clip).item()
        if not math.isfinite(loss.item()) or not math.isfinite(norm):
            raise TrainingError.of(loss.item(), norm, state.step)
        state.optimiser.step()
        state.step += 1
        move_mean(state.mean, state.learner, config.ema, state.step)
        return FilterReport(
            token_error=error.item(),
            cross_entropy=scores.cross_entropy.mean().item(),
            accuracy=scores.accuracy.mean().item(),
            gradient_norm=norm,
            learning_rate=state.optimiser.param_groups[0]["lr"],
        )


def seen_views(
    views: TokenViews, config: FilterConfig, step: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the augmented views of a step, with their tokens rotated and mirrored accordingly.

    Returns
    -------
    tuple of Tensor
        (B, 1, S, S) and (B, h, w, K) float32.
    """
    random = np.random.default_rng((config.seed, Stream.LIGHT, step))
    chosen = torch.from_numpy(random.choice(len(views.images), config.batch, replace=False))
    images = views.images[chosen].to(device).float() / 255
    tokens = views.tokens[chosen].to(device).float()
    turns, mirrored = int(random.integers(4)), bool(random.integers(2))
    images, tokens = (torch.rot90(values, turns, (1, 2)) for values in (images, tokens))
    if mirrored:
        images, tokens = images.flip(2), tokens.flip(2)
    return _in_other_light(images, config, random)[:, None], tokens


def _in_other_light(images: Tensor, config: FilterConfig, random: np.random.Generator) -> Tensor:
    """Vary gamma, contrast and brightness of each of the (B, S, S) images, and add noise."""
    normal = torch.from_numpy(random.standard_normal((4, len(images), 1, 1), np.float32))
    gamma, contrast, brightness, noise = normal.to(images.device)
    noises = torch.Generator(images.device).manual_seed(int(random.integers(2**63)))
    grain = torch.randn(images.shape, generator=noises, device=images.device)
    changed: Tensor = images ** (config.contrast * gamma).exp() - 0.5
    changed *= (0.8 * config.contrast * contrast).exp()
    changed += 0.5 + config.brightness * brightness + config.noise * noise.abs() * grain
    return changed


def convolution_format(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the number format of the convolutions; auto is bfloat16 where supported natively."""
    if precision is Precision.AUTO:
        return torch.bfloat16 if computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision is Precision.BFLOAT16 else torch.float32
