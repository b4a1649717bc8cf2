"""The compared methods: each trains on scribbled images and returns a function that labels one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from torch import Tensor, nn

from napari_alibi_seg import ChannelConfig, Micrograph, SegmentationConfig, Segmenter
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.model.checkpoints import load_backbone

Labels: TypeAlias = NDArray[np.integer[Any]]
Trained: TypeAlias = Callable[[Micrograph], Labels]
Train: TypeAlias = Callable[[Sequence[Micrograph], Sequence[Labels], int], Trained]
"""Trains from images, the scribbles on each, and a seed."""
Plain: TypeAlias = RandomForestClassifier | HistGradientBoostingClassifier

SHARED = Path(__file__).parents[2] / "shared"
STOCK = f"timm:vit_small_patch14_dinov2:{SHARED / 'weights/dinov2_vits14.safetensors'}"
FIVE_SIZES = ChannelConfig(sigmas=(0.7, 1.4, 2.8, 5.6, 11.2), learned=0, flatten=False)
FOUR_SIZES = ChannelConfig(learned=0)
OURS = "default"


def methods(models: Mapping[str, str]) -> dict[str, Train]:
    """Return the methods by name, with two for each additional model (name to checkpoint)."""
    found: dict[str, Train] = {
        "random forest": partial(plain, RandomForestClassifier, FIVE_SIZES),
        "classical": forest(SegmentationConfig("classical")),
        "boosted trees": partial(plain, HistGradientBoostingClassifier, FOUR_SIZES),
    }
    cache = FeatureCache(memory_limit=4e9)
    for name, model in {"stock DINOv2": STOCK, "ALiBi-DINOv2": DEFAULT_MODEL, **models}.items():
        alone = SegmentationConfig(model, channels=ChannelConfig(sigmas=()))
        found[name] = forest(alone, cache)
        beside = SegmentationConfig(model, channels=FOUR_SIZES)
        found[f"{name} + classical"] = forest(beside, cache)
    found[OURS] = forest(SegmentationConfig(), cache)
    if find_spec("napari_convpaint"):
        found["convpaint gaussian"] = partial(convpaint, "gaussian")
        found["convpaint DINOv2"] = partial(convpaint, "dinov2")
    return found


def forest(config: SegmentationConfig, cache: FeatureCache | None = None) -> Train:
    """Return the package's own method for a configuration."""
    cache = cache or FeatureCache(memory_limit=0)

    def train(images: Sequence[Micrograph], scribbles: Sequence[Labels], seed: int) -> Trained:
        segmenter = Segmenter(replace(config, seed=seed), cache=cache)
        classifier = segmenter.fit(images, scribbles)
        return lambda image: next(segmenter.apply(classifier, image))[1].labels

    return train


def plain(
    kind: type[Plain],
    filters: ChannelConfig,
    images: Sequence[Micrograph],
    scribbles: Sequence[Labels],
    seed: int,
) -> Trained:
    """Train scikit-learn's classifier, with its defaults, on filters at all painted pixels."""
    values, labels = [], []
    for image, drawn in zip(images, scribbles, strict=True):
        painted = np.nonzero(drawn)
        values.append(channels(image, filters).points(*painted))
        labels.append(drawn[painted])
    model = kind(class_weight="balanced", random_state=seed)
    model.fit(np.concatenate(values), np.concatenate(labels))
    return partial(by_rows, model, filters)


def channels(image: Micrograph, filters: ChannelConfig) -> PixelChannels:
    """Return the filter channels of a single-plane image."""
    [plane] = planes_of(image).values()
    return PixelChannels(plane, filters)


def by_rows(model: Plain, filters: ChannelConfig, image: Micrograph, rows: int = 128) -> Labels:
    """Label an image `rows` rows at a time, to limit the memory for the channels."""
    source = channels(image, filters)
    height, width = source.shape
    parts = []
    for top in range(0, height, rows):
        values = source.block(Window(top, 0, min(rows, height - top), width))
        parts.append(model.predict(values.reshape(-1, values.shape[-1])).reshape(-1, width))
    return np.concatenate(parts)


def convpaint(
    alias: str, images: Sequence[Micrograph], scribbles: Sequence[Labels], seed: int
) -> Trained:
    """Train napari-convpaint with its own classifier and default settings.

    It would download a DINOv2 with registers; here it gets the weights that the other methods
    use. It fixes its random seed itself, so `seed` is not used.
    """
    from napari_convpaint import ConvpaintModel
    from napari_convpaint.feature_extractors.dino import Dinov2Features

    Dinov2Features.create_model = staticmethod(lambda _: StockForConvpaint())
    model = ConvpaintModel(alias)
    planes = [image.plane(()) for image in images]
    model.train(planes, list(scribbles), fe_use_device="cpu", clf_use_device="cpu")
    return lambda image: model.segment(image.plane(()), fe_use_device="cpu")


class StockForConvpaint(nn.Module):
    """DINOv2 with the interface that convpaint calls, for images that are already normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.vit = load_backbone(STOCK)[0].vit.eval()

    def forward_features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the (B, N, C) patch tokens under the key used by the original DINOv2 code."""
        tokens = self.vit.forward_features(images)
        return {"x_norm_patchtokens": tokens[:, self.vit.num_prefix_tokens :]}
