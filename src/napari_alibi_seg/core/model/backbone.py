"""A timm vision transformer with a relative (ALiBi) instead of an absolute position encoding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_alibi_seg.core.model.geometry import Geometry, Slopes, distance_matrix, fixed_slopes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_GRIDS_KEPT = 4


@dataclass(frozen=True)
class BackboneIdentity:
    """Everything that determines a backbone's features.

    Attributes
    ----------
    name : str
        Name or path by which the model was loaded; informative only.
    architecture : str
        timm architecture name.
    geometry : Geometry or None
        ALiBi geometry; None for a stock model with its own position encoding.
    weights : str
        SHA-256 of the parameters in float32 (`Backbone.digest`), hexadecimal.
    """

    name: str
    architecture: str
    geometry: Geometry | None
    weights: str


class Backbone(nn.Module):
    """Patch tokens of a timm ViT, with an ALiBi bias in every block or unmodified.

    Parameters
    ----------
    vit : nn.Module
        A timm ``VisionTransformer`` or ``Eva`` (DINOv3), without a classification head.
    geometry : Geometry or None
        ALiBi bias of every block; the ViT must then have no position encoding of its own
        (`fold_positions`). None keeps the ViT's own.
    """

    vit: Any
    _mean: Tensor
    _std: Tensor

    def __init__(self, vit: Any, geometry: Geometry | None) -> None:
        super().__init__()
        self.vit = vit
        self.geometry = geometry
        self.patch_size: int = vit.patch_embed.patch_size[0]
        self.channels: int = vit.embed_dim
        self.prefix: int = vit.num_prefix_tokens
        self.heads: int = vit.blocks[0].attn.num_heads
        for name in ("mean", "std"):
            value = torch.tensor(vit.pretrained_cfg[name]).reshape(1, 3, 1, 1)
            self.register_buffer(f"_{name}", value, persistent=False)
        self._biases: dict[tuple[Any, ...], Tensor] = {}
        if geometry is not None and geometry.slopes is Slopes.LEARNED:
            add_learned_slopes(vit, geometry)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.vit.blocks)

    def forward(self, images: Tensor, layer: int | None = None) -> Tensor:
        """Return the patch tokens after a block, with the final layer norm applied.

        Parameters
        ----------
        images : Tensor
            (B, 3, H, W) in [0, 1]; H and W are multiples of the patch size.
        layer : int, optional
            The block, 1 to `depth`; later ones are not computed. None is the last.

        Returns
        -------
        Tensor
            (B, H / patch, W / patch, C).
        """
        hidden = next(islice(self._hidden(images), (layer or self.depth) - 1, None))
        return self._on_grid(self.vit.norm(hidden), images)

    def layers(self, images: Tensor, chosen: Collection[int] | None = None) -> list[Tensor]:
        """Return the patch tokens after every block, each with the final layer norm applied.

        Parameters
        ----------
        images : Tensor
            As in `forward`.
        chosen : collection of int, optional
            Only return the tokens after these blocks, 1 to `depth`.

        Returns
        -------
        list of Tensor
            One (B, H / patch, W / patch, C) per block, in ascending order.
        """
        return [
            self._on_grid(self.vit.norm(hidden), images)
            for number, hidden in enumerate(self._hidden(images), 1)
            if chosen is None or number in chosen
        ]

    def digest(self) -> str:
        """Return the SHA-256 of all parameters in float32, hexadecimal."""
        digest = hashlib.sha256()
        for name, value in sorted(self.vit.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _hidden(self, images: Tensor) -> Iterator[Tensor]:
        images = (images - self._mean) / self._std
        if self.geometry is None:
            yield from self._hidden_with_positions(images)
            return
        patches = self.vit.patch_embed(images)
        grid = self._grid(images)
        x = self.vit.norm_pre(self._with_prefix(patches))
        for block in self.vit.blocks:
            x = block(x, attn_mask=self._bias(block, grid, x))
            yield x

    def _hidden_with_positions(self, images: Tensor) -> Iterator[Tensor]:
        x = self.vit.patch_embed(images)
        embedded = self.vit._pos_embed(x)
        x, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        x = self.vit.norm_pre(x)
        for block in self.vit.blocks:
            x = block(x) if rope is None else block(x, rope=rope)
            yield x

    def _with_prefix(self, patches: Tensor) -> Tensor:
        batch = patches.shape[0]
        tokens = [patches.reshape(batch, -1, self.channels)]  # (B, h, w, C) -> (B, h w, C)
        for prefix in (self.vit.reg_token, self.vit.cls_token):
            if prefix is not None:
                tokens.insert(0, prefix.expand(batch, -1, -1))
        return torch.cat(tokens, dim=1)

    def _bias(self, block: Any, grid: tuple[int, int], x: Tensor) -> Tensor:
        assert self.geometry is not None
        learned = getattr(block.attn, "m", None)
        key = (*grid, x.device, x.dtype)
        if key not in self._biases:
            make_room(self._biases)
            with torch.inference_mode(False):  # cached tensors are also used in training
                between = distance_matrix(self.geometry, grid, self.prefix, x.device)[None]
                if learned is None:
                    between = fixed_slopes(self.geometry, self.heads).to(x.device) * between
                # (1, 1 or heads, N, N): with three axes, torch does not use fused attention.
                self._biases[key] = -between[None].to(x.dtype)
        bias = self._biases[key]
        return bias if learned is None else bias * learned

    def _grid(self, images: Tensor) -> tuple[int, int]:
        return images.shape[-2] // self.patch_size, images.shape[-1] // self.patch_size

    def _on_grid(self, tokens: Tensor, images: Tensor) -> Tensor:
        patches = tokens[:, self.prefix :]
        return patches.reshape(len(patches), *self._grid(images), -1)  # (B, h w, C) -> (B, h, w, C)


def make_room(cache: dict[tuple[Any, ...], Any]) -> None:
    """Remove the oldest entry of a cache that is full, i.e. has entries for four grids."""
    if len(cache) >= _GRIDS_KEPT:
        cache.pop(next(iter(cache)))


@torch.no_grad()
def fold_positions(vit: Any) -> None:
    """Remove a ViT's position encoding in place, keeping the mean of its position embedding.

    The mean is added to the bias of the patch projection, and the embeddings of prefix tokens to
    these tokens. Rotary embeddings are dropped. A ViT without positions is left unchanged.
    """
    if getattr(vit, "rope", None) is not None:
        vit.rope = None
    if vit.pos_embed is None:
        return
    positions = vit.pos_embed[0]  # (prefix + h w, C) or (h w, C)
    if not vit.no_embed_class:
        for token in (vit.cls_token, vit.reg_token):
            length = 0 if token is None else token.shape[1]
            if token is not None:
                token += positions[:length]
            positions = positions[length:]
    vit.patch_embed.proj.bias += positions.mean(dim=0)
    vit.pos_embed = None


def add_learned_slopes(vit: Any, geometry: Geometry) -> None:
    """Add its slopes, (heads, 1, 1), to every attention layer as `m`, the key in checkpoints."""
    for block in vit.blocks:
        heads = block.attn.num_heads
        slopes = torch.full((heads, 1, 1), geometry.slope)
        block.attn.register_parameter("m", nn.Parameter(slopes))
