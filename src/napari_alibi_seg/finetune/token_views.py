"""Views of pictures, and what the model says of them: the first half of what filters learn from.

The tokens cost the most by far and are the same in every step, so they are computed once, a few
views at a time, and kept in the run's folder.
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
"""Principal components of the tokens that are to be foretold."""

MAGNIFIED = 2
"""How many times a view is magnified before the model."""

_TOGETHER = 16  # views that are computed and written at once
_BASIS_VIEWS = 128  # that show what the principal components are
_BASIS = "basis"


@dataclass(frozen=True)
class TokenViews:
    """Grey views of pictures and what of their tokens is to be foretold.

    Attributes
    ----------
    images : Tensor
        (N, S, S) uint8.
    tokens : Tensor
        (N, h, w, K) float16: the contrast of each token to the mean of its view, on the leading
        principal components, the weaker of which are lifted.
    """

    images: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Teacher:
    """The model whose tokens are to be foretold, and the folder that keeps them.

    Attributes
    ----------
    model : TokenModel
        Frozen, on the device to compute on.
    side : int
        Of a view, px: a multiple of what a token stands for in it, the patch over `MAGNIFIED`.
    folder : Path
        Where files are kept.
    made_from : str
        What the files depend on besides their name, e.g. a digest; others are refused.
    progress : callable
        Wraps the iteration over parts of the work, as tqdm does.
    """

    model: TokenModel
    side: int
    folder: Path
    made_from: str
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter

    def views(self, crops: Crops, stream: Stream, count: int) -> TokenViews:
        """Return views cut from pictures; those are computed that the folder lacks.

        Parameters
        ----------
        crops : Crops
            Of grey pictures. The first to be asked for show what the principal components are.
        stream : Stream
            Names the views, with their number.
        count : int
            How many.
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
        """Return the tokens of (B, S, S) uint8 views less their mean, (B, h, w, C) float32."""
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
        """Return (C, K): what takes contrasts to the components that are to be foretold.

        The variance of component k becomes sqrt(variance_k * mean variance) / mean variance, so
        the weak ones count for more than they do in the tokens, and for less than the strong.
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
        """Return what is kept under a name, and keep it first if it is not."""
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
