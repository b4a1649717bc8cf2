"""Episodes: a few strokes on a made-up micrograph, from which all its other pixels are told.

What is fitted to the strokes is a ridge regression, because it has a solution in closed form,
through which a loss of the other pixels reaches the features (Bertinetto et al., Meta-learning
with differentiable closed-form solvers, ICLR 2019).
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

_BANDED = 0.4  # share of micrographs painted in a band alone
_RARE = 1 / 30  # classes of a smaller share of the pixels weigh less than the others
_AHEAD = 2  # steps whose episodes a background process makes before they are asked for


@dataclass(frozen=True)
class Episodes:
    """Micrographs, their truth, and where it is shown.

    Attributes
    ----------
    images : Tensor
        (B, 1, S, S) uint8.
    labels : Tensor
        (B, S, S) uint8, from 0 on.
    strokes : Tensor
        (B, S, S) bool.
    """

    images: Tensor
    labels: Tensor
    strokes: Tensor

    def to(self, device: torch.device) -> Episodes:
        """Return the episodes on a device."""
        return Episodes(self.images.to(device), self.labels.to(device), self.strokes.to(device))


@dataclass(frozen=True)
class EpisodeScores:
    """How well all other pixels are told from those under the strokes.

    Attributes
    ----------
    cross_entropy : Tensor
        (B,), classes weigh alike.
    accuracy : Tensor
        (B,), mean over classes of the share of their pixels that are told right.
    """

    cross_entropy: Tensor
    accuracy: Tensor


def episodes(keys: Sequence[Sequence[int]]) -> Episodes:
    """Return the episodes of keys, each a seed and any further numbers, none negative."""
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
    """Return one to three short strokes in each class, anywhere or all within one band.

    Parameters
    ----------
    labels : ndarray
        (S, S), classes from 0 on.
    random : Generator
        Changed in place.

    Returns
    -------
    ndarray
        (S, S), whether a pixel is painted; every class is.
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
    """Return a third of an image, from top to bottom or from left to right."""
    band = np.zeros(shape, bool)
    width = shape[1] // 3
    left = int(random.integers(shape[1] - width + 1))
    band[:, left : left + width] = True
    return band.T if random.random() < 0.5 else band


def score(features: Tensor, shown: Episodes, penalty: Tensor, sharpness: Tensor) -> EpisodeScores:
    """Tell all pixels from those under the strokes, and compare them with the truth.

    Parameters
    ----------
    features : Tensor
        (B, C, S, S) float32.
    shown : Episodes
        On the same device.
    penalty : Tensor
        (), of the squared coefficients, relative to one mean squared error.
    sharpness : Tensor
        (), logits per unit of the regression, whose aim is 1 in a class and 0 elsewhere.
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
    """Return (B, P, K), the ridge regression of the truth under strokes, classes weighing alike."""
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
    """Yield episodes for one step after the other, on micrographs that are never seen twice.

    Parameters
    ----------
    seed : int
        Of the run.
    count : int
        Micrographs of a step.
    steps : range
        Numbers of the steps, on which alone, with the seed, the episodes depend.
    workers : int
        Processes that make them in the background; 0 makes them here when they are asked for.
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
    """Leave Ctrl-C, which every process of a terminal gets, to the run that asks for episodes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
