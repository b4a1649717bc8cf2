"""Patch features of a plane: tiles through a backbone, assembled on the patch grid."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_alibi_seg.core.choices import DEFAULT_MODEL, SCALES
from napari_alibi_seg.core.devices import (
    choose_device,
    inference_precision,
    memory_shortage_explained,
)
from napari_alibi_seg.core.features.tiling import HALO, TILE, Tile, add_tile, tiles
from napari_alibi_seg.core.images.planes import Plane, as_colours
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.model.debiasing import load_model
from napari_alibi_seg.core.model.names import absolute_model
from napari_alibi_seg.core.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.core.model.debiasing import TokenModel

_VERSION = 2
_TILE_BYTES = 120e6


def usual_layer(depth: int) -> int:
    """Return the block, out of `depth`, after which features are taken: the tenth of twelve.

    The last blocks represent image content rather than local material, and cost as much as any
    other; docs/quality.md has the figures.
    """
    return max(1, round(depth * 5 / 6))


@dataclass(frozen=True)
class FeatureIdentity:
    """Everything that determines features; maps are comparable if it is equal.

    Attributes
    ----------
    backbone : BackboneIdentity
        Architecture, geometry and weights.
    scale : int
        Magnification of the image before the backbone.
    tile, halo : int
        Tile size and half the overlap of neighbouring tiles, in tokens.
    layer : int
        Block of the backbone after which the features are taken, counted from 1.
    version : int
        Version of the code that computes features from a plane.
    """

    backbone: BackboneIdentity
    scale: int
    tile: int
    halo: int
    layer: int
    version: int = _VERSION

    @property
    def key(self) -> str:
        """SHA-256 of all fields but the backbone's name, which does not affect the features."""
        fields = asdict(self)
        del fields["backbone"]["name"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        return (
            f"{self.backbone.name} (weights {self.backbone.weights[:12]}), block {self.layer}, "
            f"scale {self.scale}, "
            f"tiles of {self.tile} tokens that share {2 * self.halo}"
        )


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Patch features of one plane.

    Attributes
    ----------
    tokens : ndarray
        (h, w, C) float16; token (i, j) is centred on pixel
        ``(stride * (i + .5) - .5, stride * (j + .5) - .5)``.
    stride : float
        Distance between neighbouring tokens, in pixels of the plane.
    identity : FeatureIdentity
        How the features were computed.
    """

    tokens: NDArray[np.float16]
    stride: float
    identity: FeatureIdentity


class FeatureExtractor:
    """Computes patch features of planes of any size with one backbone on one device.

    Parameters
    ----------
    backbone : TokenModel
        Moved to `device`.
    identity : BackboneIdentity
        Its identity, as returned by `load_model`.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    tile : int
        Tile size in tokens, of which neighbouring tiles share 4. All tiles have this size, also on
        smaller images (which are reflected), so that features do not depend on image size where the
        geometry depends on the canvas.

    Raises
    ------
    ValueError
        If the tile is not larger than what it shares.
    DeviceError
        If the device does not exist on this machine or has too little memory.
    """

    def __init__(
        self,
        backbone: TokenModel,
        identity: BackboneIdentity,
        device: str = "auto",
        tile: int = TILE,
    ) -> None:
        if tile <= 2 * HALO:
            raise ValueError(
                f"tile must be more than {2 * HALO} tokens, but is {tile}; take a larger one."
            )
        self.device = choose_device(device)
        with memory_shortage_explained(self.device):
            self.backbone = backbone.to(self.device)
        self._identity = identity
        self._tile = tile
        self._layer = usual_layer(backbone.depth)

    @classmethod
    def load(cls, model: str = DEFAULT_MODEL, device: str = "auto") -> FeatureExtractor:
        """Load a model by name or path (`load_model`) for a device (`choose_device`)."""
        return cls(*load_model(absolute_model(model)), device=device)

    def identity(self, scale: int) -> FeatureIdentity:
        """Return the identity of features at a scale.

        Parameters
        ----------
        scale : int
            Magnification, 1 to 4.

        Returns
        -------
        FeatureIdentity
            Has an equal `key` for comparable features.

        Raises
        ------
        ValueError
            If the scale is out of range.
        """
        if scale not in SCALES:
            raise ValueError(
                f"scale must be one of {', '.join(map(str, SCALES))}, but is {scale}; resize the "
                "image for another magnification."
            )
        return FeatureIdentity(self._identity, scale, self._tile, HALO, self._layer)

    def grid(self, shape: tuple[int, int], scale: int) -> tuple[int, int]:
        """Return the (rows, columns) of the patch grid that covers a plane."""
        patch = self.backbone.patch_size
        return math.ceil(shape[0] * scale / patch), math.ceil(shape[1] * scale / patch)

    def tiles(self, shape: tuple[int, int], scale: int) -> list[Tile]:
        """Return all tiles of a plane of the given shape."""
        return tiles(self.grid(shape, scale), self._tile, HALO)

    def compute(
        self, plane: Plane, wanted: Sequence[Tile], scale: int
    ) -> Iterator[tuple[Tile, NDArray[np.float16]]]:
        """Compute tiles in the given order, in batches.

        Parameters
        ----------
        plane : Plane
            The whole plane.
        wanted : sequence of Tile
            Some of `tiles`, in any order.
        scale : int
            Magnification.

        Yields
        ------
        tuple of Tile and ndarray
            The tile, and its (rows, columns, C) float16 tokens, for `add_tile`.
        """
        size = self._batch_size()
        for some in (wanted[start : start + size] for start in range(0, len(wanted), size)):
            images = torch.stack([self._pixels(plane, tile, scale) for tile in some])
            for tile, tokens in zip(some, self._tokens(images), strict=True):
                rows, columns = (s.stop - s.start for s in (tile.rows, tile.columns))
                yield tile, tokens[:rows, :columns].numpy()

    def extract(self, plane: Plane, scale: int, progress: Progress = silent) -> FeatureMap:
        """Compute the features of a whole plane.

        Parameters
        ----------
        plane : Plane
            Any size; planes smaller than a tile are reflected.
        scale : int
            Magnification, 1 to 4.
        progress : callable
            Called after every tile.

        Returns
        -------
        FeatureMap
            Tokens on the patch grid, (h, w, C) float16.

        Raises
        ------
        ValueError
            If the scale is out of range.
        DeviceError, MemoryError
            If the memory of the GPU, or of the CPU, does not suffice for one tile.
        """
        identity = self.identity(scale)
        wanted = self.tiles(plane.shape, scale)
        tokens = np.zeros((*self.grid(plane.shape, scale), self.backbone.channels), np.float16)
        for done, (tile, some) in enumerate(self.compute(plane, wanted, scale), start=1):
            add_tile(tokens, tile, some)
            progress("features", done, len(wanted))
        return FeatureMap(tokens, self.backbone.patch_size / scale, identity)

    def _pixels(self, plane: Plane, tile: Tile, scale: int) -> Tensor:
        patch, side = self.backbone.patch_size, self._tile * self.backbone.patch_size
        top, left = tile.rows.start * patch, tile.columns.start * patch  # in magnified pixels
        # Extra pixels on each side, so that the tile's border does not affect interpolation.
        window = Window(
            top // scale - 1,
            left // scale - 1,
            math.ceil(side / scale) + 3,
            math.ceil(side / scale) + 3,
        )
        pixels = torch.from_numpy(as_colours(plane.read(window))).clamp_(0, 1)
        pixels = pixels.permute(2, 0, 1)  # (H, W, 1 or 3) -> (1 or 3, H, W)
        if scale > 1:
            pixels = interpolate(pixels[None], scale_factor=float(scale), mode="bilinear")[0]
        top, left = top - window.top * scale, left - window.left * scale
        return pixels[:, top : top + side, left : left + side].expand(3, -1, -1)

    def _tokens(self, images: Tensor) -> Tensor:
        with memory_shortage_explained(self.device):
            tokens = self._tokens_at_once(images)
        if tokens is None:
            return torch.cat([self._tokens(half) for half in images.tensor_split(2)])
        return tokens

    def _tokens_at_once(self, images: Tensor) -> Tensor | None:
        """Return tokens; None if memory does not suffice, but may for a smaller batch.

        The error is handled here because its traceback would keep the memory in use.
        """
        try:
            with torch.inference_mode(), inference_precision(self.device):
                tokens: Tensor = self.backbone(images.to(self.device), self._layer)
                return tokens.to("cpu", torch.float16)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
        return None

    def _batch_size(self) -> int:
        if self.device.type != "cuda":
            return 1  # larger batches are slower on a CPU, and MPS shares memory with it
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1, min(64, int(free / 2 / _TILE_BYTES)))
