"""Remove positional bias from a backbone's features without training.

Both remedies wrap a backbone, give the tokens of one block or all as it does, and are selected by a
suffix of the model's name. They are the two simple baselines that Pawlowsky et al. (arXiv
2603.16840) compare ALiBi with; neither has weights of its own.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.model.backbone import make_room
from napari_alibi_seg.core.model.checkpoints import load_backbone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_alibi_seg.core.model.backbone import Backbone, BackboneIdentity

    TokenModel: TypeAlias = Backbone | "FlipAveraged" | "BlankProjected"

BLANK_COMPONENTS = 16
"""Directions removed from the features by `BlankProjected`, as in the paper."""

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


class Debiasing(StrEnum):
    """A training-free remedy for positional bias."""

    FLIPS = "flips"
    BLANK = "blank"


REMEDIES = tuple(f"+{remedy}" for remedy in Debiasing)
"""Suffixes of the names of models with a remedy."""


def load_model(name: str = DEFAULT_MODEL) -> tuple[TokenModel, BackboneIdentity]:
    """Load a backbone by name or path, wrapped in a remedy if the name ends in +flips or +blank.

    With a remedy, features and identity differ from those of the unwrapped backbone.

    Parameters
    ----------
    name : str
        As for `load_backbone`, with or without a remedy.

    Returns
    -------
    tuple of TokenModel and BackboneIdentity
        The model, on the CPU, and its identity.

    Raises
    ------
    ModelError
        See `load_backbone`; or if the name has a remedy but no deep model, or several remedies.
    """
    if not name.endswith(REMEDIES):
        return load_backbone(name)
    bare, _, remedy = name.rpartition("+")
    if bare in ("", CLASSICAL) or bare.endswith(REMEDIES):
        raise ModelError(
            f"{name!r} is not one model with one remedy of positional bias, which only deep "
            f"features have; use a name like {DEFAULT_MODEL}{REMEDIES[0]}, or {CLASSICAL} alone."
        )
    backbone, identity = load_backbone(bare)
    model = debiased(backbone, Debiasing(remedy)).eval()
    return model, replace(identity, name=name, weights=f"{identity.weights}+{remedy}")


def debiased(backbone: Backbone, debiasing: Debiasing) -> FlipAveraged | BlankProjected:
    """Return the backbone wrapped in a remedy."""
    if debiasing is Debiasing.FLIPS:
        return FlipAveraged(backbone)
    return BlankProjected(backbone)


class _Wrapped(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.patch_size = backbone.patch_size
        self.channels = backbone.channels

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.backbone.depth


class FlipAveraged(_Wrapped):
    """The mean of the tokens of an image and its flips, after undoing the flips.

    Positional components that are antisymmetric (left to right, or top to bottom) cancel; those
    that depend on the distance from the centre remain. Costs four times the backbone.

    Parameters
    ----------
    backbone : Backbone
        Source of the tokens.
    """

    def forward(self, images: Tensor, layer: int | None = None) -> Tensor:
        """Return the averaged tokens, (B, h, w, C); see `Backbone.forward`."""
        return self._averaged(images, lambda flipped: [self.backbone(flipped, layer)])[0]

    def layers(self, images: Tensor) -> list[Tensor]:
        """Return the averaged tokens after every block; see `Backbone.layers`."""
        return self._averaged(images, self.backbone.layers)

    def _averaged(
        self, images: Tensor, tokens_of: Callable[[Tensor], Sequence[Tensor]]
    ) -> list[Tensor]:
        views = [
            [tokens.flip(_on_tokens(axes)) for tokens in tokens_of(images.flip(axes))]
            for axes in _FLIPS
        ]
        return [torch.stack(layer).mean(dim=0) for layer in zip(*views, strict=True)]


class BlankProjected(_Wrapped):
    """Tokens with the directions projected out in which the tokens of a blank image vary.

    A black image has no content, so its tokens differ only by position. The leading principal
    directions of its tokens, around their mean over the grid, are projected out of the tokens of
    every image of that size. They are cached for the last few grid sizes.

    Parameters
    ----------
    backbone : Backbone
        Source of the tokens.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self._bases: dict[tuple[Any, ...], list[Tensor]] = {}

    def forward(self, images: Tensor, layer: int | None = None) -> Tensor:
        """Return the projected tokens, (B, h, w, C); see `Backbone.forward`."""
        basis = self._basis(images)[(layer or self.depth) - 1]
        return project_out(self.backbone(images, layer), basis)

    def layers(self, images: Tensor) -> list[Tensor]:
        """Return the projected tokens after every block; see `Backbone.layers`."""
        layers = zip(self.backbone.layers(images), self._basis(images), strict=True)
        return [project_out(tokens, basis) for tokens, basis in layers]

    def _basis(self, images: Tensor) -> list[Tensor]:
        key = (*images.shape[-2:], images.device)
        if key not in self._bases:
            make_room(self._bases)
            layers = self.backbone.layers(torch.zeros_like(images[:1]))
            self._bases[key] = [leading_directions(layer, BLANK_COMPONENTS) for layer in layers]
        return self._bases[key]


def leading_directions(tokens: Tensor, components: int) -> Tensor:
    """Return the leading principal directions of tokens around their mean.

    Parameters
    ----------
    tokens : Tensor
        (..., C).
    components : int
        Number of directions, at most C.

    Returns
    -------
    Tensor
        (C, components) float32, orthonormal columns.
    """
    rows = tokens.reshape(-1, tokens.shape[-1]).cpu().double()  # (..., C) -> (N, C)
    centred = rows - rows.mean(dim=0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # smallest variance first
    leading: Tensor = directions.flip(-1)[:, :components]  # (C, components)
    return leading.float().to(tokens.device)


def project_out(tokens: Tensor, basis: Tensor) -> Tensor:
    """Remove from (..., C) tokens their components along the columns of a (C, k) basis."""
    basis = basis.to(tokens.dtype)
    return tokens - (tokens @ basis) @ basis.T


def _on_tokens(axes: tuple[int, ...]) -> tuple[int, ...]:
    # Rows and columns are the last axes of (B, 3, H, W) and the middle ones of (B, h, w, C).
    return tuple(axis - 1 for axis in axes)
