"""Validation of the filters on held-out pictures and held-out synthetic micrographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_alibi_seg.finetune.crops import Stream
from napari_alibi_seg.finetune.episodes import episodes
from napari_alibi_seg.finetune.logs import Figures

if TYPE_CHECKING:
    from napari_alibi_seg.finetune.filter_config import FilterConfig
    from napari_alibi_seg.finetune.filter_training import Learner
    from napari_alibi_seg.finetune.token_views import TokenViews

_TOGETHER = 10  # batch size: views, or micrographs


@dataclass(frozen=True)
class FilterScores(Figures):
    """Figures of one validation.

    Attributes
    ----------
    token_r2 : float
        R^2 of the predicted tokens on held-out pictures.
    cross_entropy, balanced_accuracy : float
        Means of `EpisodeScores` over held-out synthetic micrographs.
    """

    token_r2: float
    cross_entropy: float
    balanced_accuracy: float


class FilterValidation:
    """A fixed set of held-out views and episodes.

    Parameters
    ----------
    views : TokenViews
        Views of held-out pictures.
    config : FilterConfig
        Provides the seed and the number of episodes.
    """

    def __init__(self, views: TokenViews, config: FilterConfig) -> None:
        self._views = views
        keys = [(config.seed, Stream.HELD_OUT, n) for n in range(config.validation_synthetic)]
        some = (keys[start : start + _TOGETHER] for start in range(0, len(keys), _TOGETHER))
        self._episodes = [episodes(part) for part in some]

    @torch.no_grad()
    def score(self, learner: Learner) -> FilterScores:
        """Return the figures of a learner."""
        device = learner.log_penalty.device
        scored = [learner.score(shown.to(device)) for shown in self._episodes]
        return FilterScores(
            token_r2=self._token_r2(learner, device),
            cross_entropy=float(torch.cat([scores.cross_entropy for scores in scored]).mean()),
            balanced_accuracy=float(torch.cat([scores.accuracy for scores in scored]).mean()),
        )

    def _token_r2(self, learner: Learner, device: torch.device) -> float:
        residual = total = 0.0
        parts = (self._views.images.split(_TOGETHER), self._views.tokens.split(_TOGETHER))
        for images, tokens in zip(*parts, strict=True):
            aim = tokens.to(device).float()
            shown = images[:, None].to(device).float() / 255
            residual += float((learner.residual(shown, aim) ** 2).sum())
            total += float((aim**2).sum())
        return 1 - residual / max(total, 1e-12)
