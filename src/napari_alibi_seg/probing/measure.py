"""Take all measurements of one model: per image, then over all images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.metrics import r2_score

from napari_alibi_seg.core.devices import (
    choose_device,
    inference_precision,
    memory_shortage_explained,
)
from napari_alibi_seg.core.model.channel_position import ChannelMoments, left_out_channel_r2
from napari_alibi_seg.core.model.position import (
    authors_r2,
    leave_one_image_out_predictions,
    leave_one_image_out_r2,
    ramps,
    rolled,
)
from napari_alibi_seg.probing.metrics import (
    authors_channel_r2,
    shuffled,
)
from napari_alibi_seg.probing.records import RAMPS, TABLE_FORM, LeftOut, ModelProbe, Stability
from napari_alibi_seg.probing.stability import resegment, tile_cosines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.position import FloatArray
    from napari_alibi_seg.probing.inputs import ProbedModel, Square
    from napari_alibi_seg.probing.records import ProbingConfig

    LeftOutImage: TypeAlias = tuple[FloatArray, FloatArray]


@dataclass
class Measurement:
    """Collects one model's figures, one image at a time.

    Keeps the features of the last block and of the block used for segmentation, as float16.

    Attributes
    ----------
    model : ProbedModel
        Model to probe; it is moved to the device.
    config : ProbingConfig
        Settings of the probing.
    """

    model: ProbedModel
    config: ProbingConfig
    _device: torch.device = field(init=False)
    _tokens: list[NDArray[np.float16]] = field(default_factory=list)
    _segmented: list[NDArray[np.float16]] = field(default_factory=list)
    _authors: list[FloatArray] = field(default_factory=list)
    _fingerprints: list[FloatArray] = field(default_factory=list)
    _moments: list[ChannelMoments] = field(default_factory=list)
    _stability: list[Stability] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._device = choose_device(self.config.device)
        self.model.backbone.to(self._device)

    def add(self, square: Square) -> None:
        """Probe one image."""
        layers = self._layers(square)
        grid = (self.config.grid, self.config.grid)
        targets = np.concatenate([ramps(grid)[name] for name in RAMPS], axis=-1)
        rng = np.random.default_rng((self.config.seed, len(self._tokens)))
        control = rng.random((*grid, 1))
        everything = np.concatenate([targets, control], axis=-1)
        self._authors.append(authors_r2(layers[-1], everything, rng))
        table_form = targets[..., TABLE_FORM]
        self._fingerprints.append(
            np.array([authors_channel_r2(layer, table_form, rng) for layer in layers])
        )
        self._moments.append(ChannelMoments.of(layers, table_form))
        self._tokens.append(layers[-1].astype(np.float16))
        self._segmented.append(layers[self.model.segmentation_layer - 1].astype(np.float16))

    def add_stability(self, name: str, square: Square) -> None:
        """Test how tiling, flipping and shifting affect one image."""
        config = self.config
        with memory_shortage_explained(self._device):
            cosines = tile_cosines(self.model.backbone, square, config.tile_grid, self._device)
        segmented = resegment(self.model, square, config.grid, config.device, config.seed)
        self._stability.append(Stability(name, cosines, segmented))

    def result(self) -> ModelProbe:
        """Return the figures over all images added."""
        several = len(self._tokens) > 1
        return ModelProbe(
            model=self.model,
            authors=np.array(self._authors),
            left_out=self._left_out() if several else None,
            segmentation_r2=(leave_one_image_out_r2(self._segmented) if several else None),
            fingerprint=np.mean(self._fingerprints, axis=0),
            left_out_fingerprint=left_out_channel_r2(self._moments) if several else None,
            first=self._tokens[0],
            stability=tuple(self._stability),
        )

    @torch.inference_mode()
    def _layers(self, square: Square) -> list[FloatArray]:
        image = square.view(self.config.grid * self.model.backbone.patch_size).to(self._device)
        with memory_shortage_explained(self._device), inference_precision(self._device):
            layers = self.model.backbone.layers(image)
        return [layer[0].float().cpu().numpy() for layer in layers]

    def _left_out(self) -> LeftOut:
        def destroyed(
            how: Callable[[FloatArray, np.random.Generator], FloatArray],
        ) -> Iterator[LeftOutImage]:
            rng = np.random.default_rng(self.config.seed)
            return _probed([how(tokens, rng) for tokens in self._tokens])

        images = list(_probed(self._tokens))
        return LeftOut(
            r2=np.array([r2 for r2, _ in images]),
            rolled=np.array([r2 for r2, _ in destroyed(rolled)]),
            shuffled=np.array([r2 for r2, _ in destroyed(shuffled)]),
            seen=images[0][1],
        )


def _probed(images: Sequence[FloatArray]) -> Iterator[LeftOutImage]:
    """Yield, per image, R^2 (4,) and predicted lr (h, w) of the probe fitted to the others."""
    truth = ramps(images[0].shape[:2])
    planes = [*leave_one_image_out_predictions(images, "lr+ud")]
    radials = leave_one_image_out_predictions(images, "radial")
    for plane, radial in zip(planes, radials, strict=True):
        right, down = plane[..., 0], plane[..., 1]
        # Ridge predictions are linear in the target, so the diagonal needs no separate fit.
        seen = {"lr": right, "ud": down, "diag": (right + down) / 2, "radial": radial}
        scores = [r2_score(truth[ramp].ravel(), seen[ramp].ravel()) for ramp in RAMPS]
        yield np.array(scores), right
