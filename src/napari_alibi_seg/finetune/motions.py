"""Roll crops by whole patches, flip and rotate them, and map their tokens back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """A circular roll by whole patches, then an optional flip, then quarter turns.

    Attributes
    ----------
    roll : tuple of int
        Patches to roll down and to the right.
    flip : bool
        Whether left and right are exchanged.
    turns : int
        Number of anticlockwise quarter turns.
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
        """Move tokens of moved images, (B, h, w, C), h = w, back to their original places."""
        tokens = torch.rot90(tokens, -self.turns, (1, 2))
        tokens = tokens.flip(2) if self.flip else tokens
        return torch.roll(tokens, [-shift for shift in self.roll], (1, 2))

    def _moved(self, values: Tensor, unit: int, axes: tuple[int, int]) -> Tensor:
        moved = torch.roll(values, [unit * shift for shift in self.roll], axes)
        moved = moved.flip(axes[1]) if self.flip else moved
        return torch.rot90(moved, self.turns, axes)


def random_motion(seed: int, key: tuple[int, ...], side: int = 1) -> Motion:
    """Return the random motion of a key on a grid of `side` patches; 1 means no roll."""
    random = np.random.default_rng((seed, *key))
    down, right = (int(shift) for shift in random.integers(side, size=2))
    return Motion((down, right), bool(random.integers(2)), int(random.integers(4)))
