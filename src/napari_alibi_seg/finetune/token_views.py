"""Views cropped from pictures, with the teacher's tokens that the filters learn to predict.

Computing the tokens dominates the cost, and they are the same in every step. So they are computed
once, a few views at a time, and stored in the run's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch.nn.functional import interpolate

from napari_alibi_seg.core.devices import inference_precision
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.features.extraction import usual_layer
from napari_alibi_seg.core.model.checkpoints import read_tensors
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch import Tensor

    from napari_alibi_seg.core.model.debiasing import TokenModel
    from napari_alibi_seg.finetune.crops import Crops, Stream

TOKEN_COMPONENTS = 64
"""Number of principal components of the tokens to predict."""

MAGNIFIED = 2
"""Magnification of a view before it is given to the model."""

_TOGETHER = 16  # views computed and written together
_BASIS_VIEWS = 128  # views from which the principal components are computed
_BASIS = "basis"


@dataclass(frozen=True)
class TokenViews:
    """Grey views of pictures and the token components to predict from them.

    Attributes
    ----------
    images : Tensor
        (N, S, S) uint8.
    tokens : Tensor
        (N, h, w, K) float16: tokens minus the mean of their view, projected on the leading
        principal components, of which the weaker ones are amplified.
    """

    images: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Teacher:
    """The model whose tokens are to be predicted, and the folder that stores them.

    Attributes
    ----------
    model : TokenModel
        Frozen, on the device to compute on.
    side : int
        Side of a view, px; a multiple of the patch size divided by `MAGNIFIED`.
    folder : Path
        Folder of the stored files.
    made_from : str
        Identifies what the files depend on, e.g. by a digest; files with another one are refused.
    progress : callable
        Wraps the iteration over parts of the work, as tqdm does.
    """

    model: TokenModel
    side: int
    folder: Path
    made_from: str
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter

    def views(self, crops: Crops, stream: Stream, count: int) -> TokenViews:
        """Return views cropped from pictures; compute those that are not stored yet.

        Parameters
        ----------
        crops : Crops
            Grey crops; those of the first call determine the principal components.
        stream : Stream
            Random stream; identifies the views together with their number.
        count : int
            Number of views.
        """
        basis = self._kept(_BASIS, partial(self._new_basis, crops, stream, count))[_BASIS]
        parts = [
            self._kept(
                f"{stream.name.lower()}-{start:05}",
                partial(self._computed, crops, _keys(stream, start, count), basis),
            )
            for start in self.progress(range(0, count, _TOGETHER))
        ]
        images, tokens = (torch.cat([part[k] for part in parts]) for k in ("images", "tokens"))
        return TokenViews(images, tokens)

    def contrast(self, images: Tensor) -> Tensor:
        """Return the tokens of (B, S, S) uint8 views minus each view's mean, (B, h, w, C)."""
        device = next(self.model.parameters()).device
        together = 1 if device.type == "cpu" else _TOGETHER  # on a CPU larger batches are slower
        tokens = torch.cat([self._tokens(some.to(device)) for some in images.split(together)])
        return tokens - tokens.mean(dim=(1, 2), keepdim=True)

    def _tokens(self, images: Tensor) -> Tensor:
        pixels = images[:, None].float() / 255
        shown = interpolate(pixels, scale_factor=float(MAGNIFIED), mode="bilinear")
        layer = usual_layer(self.model.depth)
        with torch.no_grad(), inference_precision(images.device):
            tokens: Tensor = self.model(shown.expand(-1, 3, -1, -1), layer)
        return tokens.float().cpu()

    def _new_basis(self, crops: Crops, stream: Stream, count: int) -> dict[str, Tensor]:
        """Return the (C, K) projection of contrasts on the components to predict.

        The variance of component k becomes sqrt(variance_k / mean variance): weak components
        count for more than they do in the tokens, but still for less than the strong ones.
        """
        last = min(count, _BASIS_VIEWS)
        total, tokens = torch.zeros((), dtype=torch.float64), 0
        for start in self.progress(range(0, last, _TOGETHER)):
            contrasts = self.contrast(self._images(crops, _keys(stream, start, last)))
            rows = contrasts.flatten(0, 2).double()  # (B, h, w, C) -> (N, C)
            total, tokens = total + rows.T @ rows, tokens + len(rows)
        variances, directions = torch.linalg.eigh(total / tokens)  # smallest first
        leading = variances[-TOKEN_COMPONENTS:].flip(0).clamp(min=1e-12)
        scales = (leading.mean() / leading) ** 0.25 / leading.mean() ** 0.5
        return {_BASIS: (directions[:, -TOKEN_COMPONENTS:].flip(1) * scales).float()}

    def _computed(
        self, crops: Crops, keys: list[tuple[int, ...]], basis: Tensor
    ) -> dict[str, Tensor]:
        images = self._images(crops, keys)
        return {"images": images, "tokens": (self.contrast(images) @ basis).half()}

    def _images(self, crops: Crops, keys: list[tuple[int, ...]]) -> Tensor:
        values = 255 * crops.batch(self.side, keys)[:, 0]
        return values.round().clamp(0, 255).to(torch.uint8)

    def _kept(self, name: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors stored under a name, computing and storing them if missing."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            made = {key: value.contiguous() for key, value in compute().items()}
            with replacing(path) as aside:
                aside.write_bytes(save(made, metadata={"made_from": self.made_from}))
            return made
        kept, header = read_tensors(path)
        if header.get("made_from") != self.made_from:
            raise ModelError(
                f"{path} was made from other pictures, or by another model, than those given; "
                "give the same ones, or start a new run in another --output."
            )
        return kept


def _keys(stream: Stream, start: int, count: int) -> list[tuple[int, ...]]:
    return [(stream, number) for number in range(start, min(start + _TOGETHER, count))]
