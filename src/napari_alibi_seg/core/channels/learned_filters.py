"""Learned pixel filters: a small network that sees up to 58 pixels around each pixel.

The network is trained (`napari_alibi_seg.finetune.filters`) to predict the tokens of the
ALiBi-DINOv2 model from pixels under varied illumination and noise, and to separate the phases of
synthetic micrographs with known ground truth from a few strokes. It thus provides token-like
features at pixel resolution, in seconds where the model takes minutes.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import as_file, files
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, gelu, interpolate

from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS
from napari_alibi_seg.core.devices import memory_shortage_explained
from napari_alibi_seg.core.images.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane

WEIGHTS = "learned-filters.safetensors"
_WIDTHS = (LEARNED_CHANNELS, 32, 64, 96)
# In pixels, multiples of 8, the downsampling of the coarsest level. The network sees up to 58
# pixels around one, but only 54 beyond the border of a tile, which begins at a multiple of 8.
_TILE, _MARGIN = 256, 56
_ONE_AT_A_TIME = Lock()


class FilterNetwork(nn.Module):
    """A four-level U-Net whose output has the resolution of the image."""

    def __init__(self) -> None:
        super().__init__()
        finer, coarser = _WIDTHS[:-1], _WIDTHS[1:]
        before = (1, *finer)
        self.down = nn.ModuleList(_Block(i, o) for i, o in zip(before, _WIDTHS, strict=True))
        self.up = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(coarser, finer, strict=True))
        self.mix = nn.ModuleList(_Block(width, width) for width in finer)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 1, Y, X), about [0, 1], to (N, LEARNED_CHANNELS, Y, X); Y, X multiples of 8."""
        hidden = 4 * images - 2
        levels = []
        for level, block in enumerate(self.down):
            hidden = block(avg_pool2d(hidden, 2) if level else hidden)
            levels.append(hidden)
        for up, mix, finer in reversed(list(zip(self.up, self.mix, levels[:-1], strict=True))):
            hidden = mix(interpolate(up(hidden), scale_factor=2, mode="bilinear") + finer)
        return hidden


class _Block(nn.Module):
    """Two convolutions, with a residual connection where input and output widths are equal."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        made = self.second(gelu(self.first(values)))
        return gelu(values + made if values.shape == made.shape else made)


def learned_channels(plane: Plane, window: Window) -> NDArray[np.float32]:
    """Compute the learned channels of a window, equal to those of the whole reflected plane.

    The network does not see beyond the margin of a tile. Tiles have a fixed size and position in
    the plane, so overlapping windows agree bit for bit.

    Parameters
    ----------
    plane : Plane
        Source of the pixels.
    window : Window
        The pixels to compute.

    Returns
    -------
    ndarray
        (height, width, bands * LEARNED_CHANNELS) float32.
    """
    values = np.empty((window.height, window.width, plane.bands * LEARNED_CHANNELS), np.float32)
    for tile in _tiles(window):
        shared = tile.overlap(window)
        made = _filtered(plane.read(tile.grown(_MARGIN)))
        values[shared.seen_from(window).slices] = made[shared.seen_from(tile).slices]
    return values


def _filtered(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter (Y, X, bands) to (Y, X, bands * LEARNED_CHANNELS), cropped by the margin."""
    images = torch.from_numpy(pixels).permute(2, 0, 1)[:, None]  # (bands, 1, Y, X)
    with _ONE_AT_A_TIME, torch.inference_mode(), memory_shortage_explained(images.device):
        made = _network()(images.contiguous())[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    filtered: NDArray[np.float32] = made.flatten(0, 1).permute(1, 2, 0).numpy()
    return filtered


@lru_cache(maxsize=1)
def _network() -> FilterNetwork:
    network = FilterNetwork()
    with as_file(files("napari_alibi_seg") / "weights" / WEIGHTS) as path:
        network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return network.eval()


def _tiles(window: Window) -> Iterator[Window]:
    bottom, right = window.top + window.height, window.left + window.width
    for top in range(window.top // _TILE * _TILE, bottom, _TILE):
        for left in range(window.left // _TILE * _TILE, right, _TILE):
            yield Window(top, left, _TILE, _TILE)
