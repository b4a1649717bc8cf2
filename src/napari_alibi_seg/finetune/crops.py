"""Random training crops; each is a deterministic function of the seed and its key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.data import Corpus, Picture


class Stream(IntEnum):
    """First element of every key, so that no two uses of the seed share random numbers."""

    SIZES, TRAINING, TARGETS, VALIDATION, EQUIVARIANCE, TURNS, EPISODES, HELD_OUT, LIGHT = range(9)


@dataclass(frozen=True)
class Batch:
    """Crop size (px) and crop keys of one batch."""

    size: int
    keys: list[tuple[int, ...]]


@dataclass(frozen=True)
class Light:
    """How strongly the light and noise of crops vary; see the options of `FinetuneConfig`."""

    contrast: float
    brightness: float
    noise: float


@dataclass(frozen=True)
class Crops:
    """Reproducible random crops of a set of pictures.

    Every crop is randomly magnified, rotated by quarter turns, mirrored and perhaps made grey.

    Attributes
    ----------
    corpus : Corpus
        Provides the pixels.
    pictures : list of Picture
        Pictures to crop from.
    seed : int
        Seed of all random numbers.
    magnification : tuple of float
        Smallest and largest magnification before cropping.
    grey : float
        Share of crops made grey, 0 to 1.
    light : Light or None
        How gamma, contrast, brightness and noise are varied; None leaves them as they are.
    """

    corpus: Corpus
    pictures: list[Picture]
    seed: int
    magnification: tuple[float, ...]
    grey: float
    light: Light | None = None

    @classmethod
    def of(cls, config: FinetuneConfig, corpus: Corpus, pictures: list[Picture]) -> Crops:
        """Return the crops of a distillation run, with light varied as its options say."""
        light = Light(config.contrast, config.brightness, config.noise)
        return cls(corpus, pictures, config.seed, config.magnification, config.grey, light)

    def batch(self, size: int, keys: Iterable[tuple[int, ...]]) -> Tensor:
        """Return one crop per key.

        Parameters
        ----------
        size : int
            Side of the crops, px.
        keys : iterable of tuple of int
            One key per crop, added to the seed; equal keys give equal crops.

        Returns
        -------
        Tensor
            (B, 3, size, size) float32, approximately in [0, 1].
        """
        crops = [self._crop(size, np.random.default_rng((self.seed, *key))) for key in keys]
        if not crops:
            return torch.empty(0, 3, size, size)
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()

    def _crop(self, size: int, random: np.random.Generator) -> NDArray[np.float32]:
        picture = self.pictures[random.integers(len(self.pictures))]
        pixels = self.corpus.pixels(picture)
        low, high = np.log(self.magnification)
        side = round(size / np.exp(random.uniform(low, high)))
        side = max(1, min(side, *pixels.shape[:2]))
        top, left = (int(random.integers(length - side + 1)) for length in pixels.shape[:2])
        crop = _resized(pixels[top : top + side, left : left + side], size)
        crop = np.rot90(crop, int(random.integers(4)))
        crop = crop[::-1] if random.random() < 0.5 else crop
        if random.random() < self.grey:
            crop = crop.mean(axis=-1, keepdims=True)
        if self.light is not None:
            crop = _changed(crop, self.light, random)
        return np.broadcast_to(crop, (size, size, 3))


def training_batches(config: FinetuneConfig, step: int, patch: int, processes: int) -> list[Batch]:
    """Return crop size and keys of the batches of one step, over all processes.

    All batches of a step have the same, randomly chosen crop size.

    Parameters
    ----------
    config : FinetuneConfig
        Provides crop sizes and shares, batch size, accumulation and seed.
    step : int
        Index of the optimiser step.
    patch : int
        Side of a patch, px.
    processes : int
        Number of processes; a batch has at least one crop for each.
    """
    random = np.random.default_rng((config.seed, Stream.SIZES, step))
    shares = np.array(config.crop_shares) / sum(config.crop_shares)
    size = int(random.choice(config.crop_sizes, p=shares))
    count = max(processes, round(config.batch_tokens / (size // patch) ** 2))
    return [
        Batch(size, [(Stream.TRAINING, step, part, crop) for crop in range(count)])
        for part in range(config.accumulate)
    ]


def _resized(crop: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    image = Image.fromarray(crop[..., 0] if crop.shape[-1] == 1 else crop)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)
    return resized.reshape(size, size, -1) / np.float32(255)


def _changed(
    crop: NDArray[np.float32], light: Light, random: np.random.Generator
) -> NDArray[np.float32]:
    gamma, factor = 1 + random.uniform(-light.contrast, light.contrast, size=2)
    shift = random.uniform(-light.brightness, light.brightness)
    deviation = random.uniform(0, light.noise)
    changed = (crop**gamma - 0.5) * factor + 0.5 + shift
    changed += deviation * random.standard_normal(crop.shape, dtype=np.float32)
    return np.asarray(changed, dtype=np.float32)
