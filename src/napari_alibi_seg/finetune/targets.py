"""Distillation targets: the teacher's tokens without their dependence on position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.core.model.channel_position import ChannelMoments, left_out_channel_r2
from napari_alibi_seg.core.model.checkpoints import read_tensors
from napari_alibi_seg.core.model.position import ramps
from napari_alibi_seg.core.writing import replacing
from napari_alibi_seg.finetune.config import Target
from napari_alibi_seg.finetune.crops import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_alibi_seg.core.model.backbone import Backbone
    from napari_alibi_seg.finetune.config import FinetuneConfig
    from napari_alibi_seg.finetune.crops import Crops

_KEPT = "kept"
_PROBED_CROPS = 64
_PROBED_RAMPS = ("lr", "ud", "radial")


class Imitated(nn.Module):
    """The distilled output of a backbone: concatenated tokens of inner blocks and the last.

    All have passed through the final layer norm and so have similar norms; the cosine of the
    concatenated tokens is therefore about the mean cosine over the blocks.

    Parameters
    ----------
    backbone : Backbone
        Teacher or student.
    inner_blocks : sequence of int
        Numbers of the inner blocks, counted from 1; without the last block.
    """

    def __init__(self, backbone: Backbone, inner_blocks: Sequence[int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.patch_size = backbone.patch_size
        self.channels = backbone.channels * (len(inner_blocks) + 1)
        self._blocks = {*inner_blocks, backbone.depth}

    def forward(self, images: Tensor) -> Tensor:
        """Return the (B, h, w, channels) tokens of (B, 3, H, W) images, the last block last."""
        return torch.cat(self.backbone.layers(images, self._blocks), dim=-1)


@dataclass(frozen=True)
class TargetTable:
    """Converts teacher tokens to distillation targets.

    Attributes
    ----------
    offsets : mapping of int to Tensor
        (side, side, C) offset to subtract, by grid side; other grid sizes have no offset.
    kept : Tensor
        (C,), 0 for blanked channels and 1 for all others.
    """

    offsets: Mapping[int, Tensor]
    kept: Tensor

    def apply(self, tokens: Tensor) -> Tensor:
        """Return the targets for teacher tokens, both (B, h, w, C)."""
        if tokens.shape[1] in self.offsets:
            tokens = tokens - self.offsets[tokens.shape[1]]
        return tokens * self.kept

    def of_last(self, channels: int) -> TargetTable:
        """Return the table for the last `channels` channels only."""
        offsets = {side: offset[..., -channels:] for side, offset in self.offsets.items()}
        return TargetTable(offsets, self.kept[-channels:])

    def to(self, device: torch.device) -> TargetTable:
        """Return the table on a device."""
        offsets = {side: offset.to(device) for side, offset in self.offsets.items()}
        return TargetTable(offsets, self.kept.to(device))

    def save(self, path: Path) -> None:
        """Write the table as safetensors."""
        tensors = {str(side): offset.cpu() for side, offset in self.offsets.items()}
        with replacing(path) as aside:
            aside.write_bytes(save({**tensors, _KEPT: self.kept.cpu()}))

    @classmethod
    def load(cls, path: Path) -> TargetTable:
        """Read a table that `save` wrote."""
        tensors, _ = read_tensors(path)
        kept = tensors.pop(_KEPT)
        return cls({int(side): offset for side, offset in tensors.items()}, kept)


def make_table(teacher: Imitated, crops: Crops, config: FinetuneConfig) -> TargetTable:
    """Estimate from random crops how position affects the teacher's tokens.

    ``centred`` subtracts, for each crop size, the difference between the mean token at each grid
    position and the overall mean. As crops are placed and rotated at random, content has the same
    mean everywhere, and the difference is due to position. ``blanked`` drops every channel that
    on its own predicts a position ramp in held-out crops. ``plain`` leaves tokens unchanged.
    """
    kept = torch.ones(teacher.channels)
    sizes = set(config.crop_sizes)
    if config.target is Target.CENTRED:
        offsets = {
            size // teacher.patch_size: _offset(teacher, crops, config, size) for size in sizes
        }
        return TargetTable(offsets, kept)
    if config.target is Target.BLANKED:
        kept[position_channels(teacher, crops, config)] = 0.0
    return TargetTable({}, kept)


def position_channels(teacher: Imitated, crops: Crops, config: FinetuneConfig) -> list[int]:
    """Return the channels whose R^2 for any position ramp exceeds `config.blank_above`.

    They are fitted on crops of the middle size and judged on others.
    """
    size = sorted(config.crop_sizes)[len(config.crop_sizes) // 2]
    count = min(_PROBED_CROPS, config.target_crops)
    grid = (size // teacher.patch_size,) * 2
    targets = np.concatenate([ramps(grid)[ramp] for ramp in _PROBED_RAMPS], axis=-1)
    moments = [
        ChannelMoments.of([image.numpy()], targets)
        for tokens in _tokens(teacher, crops, config, size, count)
        for image in tokens
    ]
    r2 = left_out_channel_r2(moments)[0].max(axis=1)  # (C, ramps) -> (C,)
    return [int(channel) for channel in np.flatnonzero(r2 > config.blank_above)]


def _offset(teacher: Imitated, crops: Crops, config: FinetuneConfig, size: int) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for tokens in _tokens(teacher, crops, config, size, config.target_crops):
        total = total + tokens.sum(dim=0, dtype=torch.float64)
    mean = total / config.target_crops  # (h, w, C)
    return (mean - mean.mean(dim=(0, 1))).float()


def _tokens(
    teacher: Imitated, crops: Crops, config: FinetuneConfig, size: int, count: int
) -> Iterator[Tensor]:
    """Yield the teacher tokens of `count` crops, in batches of (B, h, w, C) on the CPU."""
    together = max(1, config.batch_tokens // (size // teacher.patch_size) ** 2)
    device = next(teacher.parameters()).device

    def batch(start: int) -> Tensor:
        numbers = range(start, min(start + together, count))
        return crops.batch(size, [(Stream.TARGETS, size, number) for number in numbers])

    for images in in_order(batch, range(0, count, together)):
        with torch.no_grad():
            yield teacher(images.to(device)).cpu()
