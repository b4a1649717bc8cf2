"""Episodes: a few strokes on a synthetic micrograph, from which its other pixels are classified.

The classifier is a ridge regression fitted to the strokes. It has a differentiable closed-form
solution, so the loss on the other pixels can be backpropagated to the features (Bertinetto et
al., Meta-learning with differentiable closed-form solvers, ICLR 2019).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.utils.data import DataLoader, Dataset

from napari_alibi_seg.finetune.crops import Stream
from napari_alibi_seg.finetune.synthetic import MOST_CLASSES, make_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

_BANDED = 0.4  # share of micrographs that are painted within one band only
_RARE = 1 / 30  # classes with a smaller share of the pixels have a lower weight
_AHEAD = 2  # steps for which a background process prefetches the episodes


@dataclass(frozen=True)
class Episodes:
    """Synthetic micrographs, their ground truth, and the strokes that reveal part of it.

    Attributes
    ----------
    images : Tensor
        (B, 1, S, S) uint8.
    labels : Tensor
        (B, S, S) uint8, the class of each pixel, from 0.
    strokes : Tensor
        (B, S, S) bool, whether a pixel is painted.
    """

    images: Tensor
    labels: Tensor
    strokes: Tensor

    def to(self, device: torch.device) -> Episodes:
        """Return the episodes on a device."""
        return Episodes(self.images.to(device), self.labels.to(device), self.strokes.to(device))


@dataclass(frozen=True)
class EpisodeScores:
    """Classification scores of the pixels outside the strokes.

    Attributes
    ----------
    cross_entropy : Tensor
        (B,), with equal class weights, but lower ones for rare classes.
    accuracy : Tensor
        (B,), balanced accuracy: the mean over classes of the share of correct pixels.
    """

    cross_entropy: Tensor
    accuracy: Tensor


def episodes(keys: Sequence[Sequence[int]]) -> Episodes:
    """Generate one episode per key (a seed and further numbers, none negative)."""
    made = [make_up(key) for key in keys]
    painted = [
        paint(micrograph.labels, np.random.default_rng([*key, 1]))
        for micrograph, key in zip(made, keys, strict=True)
    ]
    images = np.stack([micrograph.image for micrograph in made])[:, None]
    labels = np.stack([micrograph.labels for micrograph in made])
    return Episodes(
        torch.from_numpy(images),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack(painted)),
    )


def paint(labels: NDArray[np.uint8], random: Generator) -> NDArray[np.bool_]:
    """Paint one to three short strokes per class, anywhere or (if possible) within one band.

    Parameters
    ----------
    labels : ndarray
        (S, S), classes from 0 without gaps.
    random : Generator
        Advanced in place.

    Returns
    -------
    ndarray
        (S, S) bool, whether a pixel is painted; at least one pixel of every class is.
    """
    band = _band(labels.shape, random) if random.random() < _BANDED else np.ones(labels.shape, bool)
    strokes = np.zeros(labels.shape, bool)
    for number in range(int(labels.max()) + 1):
        inside = labels == number
        allowed = inside & band if (inside & band).any() else inside
        places = np.argwhere(allowed)
        for place in places[random.integers(len(places), size=random.integers(1, 4))]:
            window = tuple(
                slice(max(0, middle - half), middle + half)
                for middle, half in zip(place, random.integers(2, 9, 2), strict=True)
            )
            strokes[window] |= allowed[window]
            strokes[tuple(place)] = True
    return strokes


def _band(shape: tuple[int, ...], random: Generator) -> NDArray[np.bool_]:
    """Return the mask of a vertical or horizontal band that covers a third of a square image."""
    band = np.zeros(shape, bool)
    width = shape[1] // 3
    left = int(random.integers(shape[1] - width + 1))
    band[:, left : left + width] = True
    return band.T if random.random() < 0.5 else band


def score(features: Tensor, shown: Episodes, penalty: Tensor, sharpness: Tensor) -> EpisodeScores:
    """Classify the pixels outside the strokes from those under them, and score the result.

    Parameters
    ----------
    features : Tensor
        (B, C, S, S) float32.
    shown : Episodes
        On the same device.
    penalty : Tensor
        (), ridge penalty on the squared coefficients, relative to the mean squared error.
    sharpness : Tensor
        (), factor from the regression, with targets 1 (the class) and 0 (others), to logits.
    """
    labels, strokes = shown.labels.long().flatten(1), shown.strokes.flatten(1)  # (B, P)
    values = features.flatten(2).transpose(1, 2)  # (B, C, S, S) -> (B, P, C)
    truth = one_hot(labels, MOST_CLASSES).float()  # (B, P, K)
    there = truth.any(dim=1, keepdim=True)
    predicted = sharpness * _ridge(values, truth, strokes, penalty)
    logits = predicted.masked_fill(~there, float("-inf"))

    asked = truth * ~strokes[..., None]
    counts = asked.sum(dim=1)  # (B, K)
    weights = (asked / counts.clamp(min=_RARE * labels.shape[1])[:, None]).sum(dim=-1)
    losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    losses = losses.reshape(weights.shape)
    right = (logits.argmax(dim=-1) == labels)[..., None] * asked
    shares = right.sum(dim=1) / counts.clamp(min=1)
    return EpisodeScores(
        cross_entropy=(weights * losses).sum(dim=1) / weights.sum(dim=1),
        accuracy=shares.sum(dim=1) / (counts > 0).sum(dim=1),
    )


def _ridge(values: Tensor, truth: Tensor, strokes: Tensor, penalty: Tensor) -> Tensor:
    """Return the (B, P, K) predictions of a ridge fitted to the strokes, equal class weights."""
    painted = truth * strokes[..., None]
    counts = painted.sum(dim=1, keepdim=True)  # (B, 1, K)
    classes = (counts > 0).sum(dim=-1, keepdim=True)
    weights = (painted / counts.clamp(min=1)).sum(dim=-1, keepdim=True) / classes  # (B, P, 1)
    values = values - (weights * values).sum(dim=1, keepdim=True)
    rows = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)  # (B, P, C + 1)
    weighted = (weights * rows).transpose(1, 2)
    identity = torch.eye(rows.shape[-1], device=rows.device)
    coefficients = torch.linalg.solve(weighted @ rows + penalty * identity, weighted @ truth)
    predicted: Tensor = rows @ coefficients
    return predicted


class _EpisodesOfSteps(Dataset[Episodes]):
    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count

    def __getitem__(self, step: int) -> Episodes:
        keys = [(self._seed, Stream.EPISODES, step, number) for number in range(self._count)]
        return episodes(keys)


def fresh_episodes(seed: int, count: int, steps: range, workers: int) -> Iterator[Episodes]:
    """Yield the episodes of one step after the other; every micrograph is new.

    Parameters
    ----------
    seed : int
        Seed of the run.
    count : int
        Micrographs per step.
    steps : range
        Indices of the steps; the episodes depend on these and the seed only.
    workers : int
        Background processes that generate episodes; 0 generates them in this process.
    """
    yield from DataLoader(
        _EpisodesOfSteps(seed, count),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_as_they_are,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_leave_signals,
    )


def _as_they_are(made: Any) -> Any:
    return made


def _leave_signals(_: int) -> None:
    """Ignore Ctrl-C in workers; it reaches all processes, and the main process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
