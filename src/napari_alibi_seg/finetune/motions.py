"""Copies of crops that are rolled by whole patches, flipped and turned, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """A roll in patches, then perhaps a flip, then quarter turns.

    Attributes
    ----------
    roll : tuple of int
        Patches down and to the right, around the border.
    flip : bool
        Whether left and right are exchanged.
    turns : int
        Quarter turns.
    """

    roll: tuple[int, int]
    flip: bool
    turns: int

    def of_images(self, images: Tensor, patch: int) -> Tensor:
        """Move images, (B, 3, H, W), H = W."""
        return self._moved(images, patch, (-2, -1))

    def of_tokens(self, tokens: Tensor) -> Tensor:
        """Move tokens, (B, h, w, C), h = w."""
        return self._moved(tokens, 1, (1, 2))

    def back(self, tokens: Tensor) -> Tensor:
        """Return the tokens, (B, h, w, C), h = w, of moved images where those of the images are."""
        tokens = torch.rot90(tokens, -self.turns, (1, 2))
        tokens = tokens.flip(2) if self.flip else tokens
        return torch.roll(tokens, [-shift for shift in self.roll], (1, 2))

    def _moved(self, values: Tensor, unit: int, axes: tuple[int, int]) -> Tensor:
        moved = torch.roll(values, [unit * shift for shift in self.roll], axes)
        moved = moved.flip(axes[1]) if self.flip else moved
        return torch.rot90(moved, self.turns, axes)


def random_motion(seed: int, key: tuple[int, ...], side: int = 1) -> Motion:
    """Return the motion of a key for a grid of `side` patches; without a side nothing is rolled."""
    random = np.random.default_rng((seed, *key))
    down, right = (int(shift) for shift in random.integers(side, size=2))
    return Motion((down, right), bool(random.integers(2)), int(random.integers(4)))
