"""The coarse preview of the visible part, which is shown until the final result replaces it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.core.forest.samples import thinned
from napari_alibi_seg.core.live.blocks import visible_blocks
from napari_alibi_seg.core.live.records import ResultBlock, Step

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.windows import Index, Window
    from napari_alibi_seg.core.live.channels import LiveChannels, PlaneChannels
    from napari_alibi_seg.core.live.downsampled import DownsampledChannels
    from napari_alibi_seg.core.live.records import LiveRequest
    from napari_alibi_seg.core.live.training import LiveTrainer

_TREES = 16
_SAMPLES = 6000
_STEP = 4
_CLASSIFIED_PIXELS = 150_000
_FILTERED_PIXELS = 1e6
_SMALL_PIXELS = 2_000_000
_DEEP_SIDE = 1024
_DOWNSAMPLED_SIDE = 256


@dataclass(frozen=True, eq=False)
class CoarseClassifier:
    """A classifier of planes that are downsampled by a factor; 1 for planes as they are."""

    classifier: PixelClassifier
    factor: int


class CoarsePreview:
    """Trains coarse classifiers, and classifies every n-th row and column with them.

    Parameters
    ----------
    trainer : LiveTrainer
        Trains on the same channels.
    channels : LiveChannels
        Channels of the planes of an image.
    """

    def __init__(self, trainer: LiveTrainer, channels: LiveChannels) -> None:
        self._trainer = trainer
        self._channels = channels

    def train(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        projection: Projection | None,
    ) -> Generator[Step, None, CoarseClassifier]:
        """Train a coarse classifier; one of pixel filters alone if there is no projection."""
        deep = projection is not None
        channels, factor = coarse_config(request.config.channels, request.visible, deep)
        if factor > 1:
            samples = [
                self._channels.downsampled(index, channels, factor).samples(scribbles)
                for index, scribbles in painted.items()
            ]
        else:
            samples = self._trainer.samples(request, painted, channels, projection)
        trees = min(request.config.trees, _TREES)
        config = replace(request.config, channels=channels, trees=trees)
        few = thinned(samples, _SAMPLES)
        classifier = yield from self._trainer.fit(request, config, few, projection)
        return CoarseClassifier(classifier, factor)

    def classify(
        self, request: LiveRequest, coarse: CoarseClassifier, side: int
    ) -> Iterator[ResultBlock]:
        """Classify the visible part of the displayed plane, from the centre outwards.

        Where pixel filters are computed at full resolution, blocks have the given side, that of the
        final result, for which the filters are cached.
        """
        index = request.planes[0]
        plane = self._channels.planes[index]
        channels, side = self._channels_and_side(request, coarse, side)
        step = coarse.factor * max(1, coarse_step(request.visible) // coarse.factor)

        def every_few(window: Window) -> Segmentation:
            result = coarse.classifier.classify(channels.subsampled(window, step))
            return magnified(result, window, step).without(plane.missing(window))

        self._channels.look_at(index, request.visible)
        windows = visible_blocks(plane, request.visible, side)
        for window, result in zip(windows, in_order(every_few, windows), strict=True):
            painted = request.scribbles[index][window.slices]
            shown = result.without_painted(painted, request.ignored)
            yield ResultBlock(index, window, shown, final=False)

    def warm(self, request: LiveRequest) -> Iterator[Step]:
        """Filter the visible part of the downsampled plane, if a view is large and not deep."""
        index, visible = request.planes[0], request.visible
        config, factor = coarse_config(request.config.channels, visible, request.config.deep)
        if factor == 1:
            return
        channels = self._channels.downsampled(index, config, factor)
        windows = visible_blocks(self._channels.planes[index], visible, _DOWNSAMPLED_SIDE * factor)
        for _ in in_order(partial(channels.subsampled, step=factor), windows):
            yield Step()

    def _channels_and_side(
        self, request: LiveRequest, coarse: CoarseClassifier, side: int
    ) -> tuple[PlaneChannels | DownsampledChannels, int]:
        """Return the channels of the displayed plane, and the side of the blocks to classify."""
        index = request.planes[0]
        if coarse.factor > 1:
            config = coarse.classifier.channels
            small = self._channels.downsampled(index, config, coarse.factor)
            return small, _DOWNSAMPLED_SIDE * coarse.factor
        channels = self._trainer.channels_for(coarse.classifier, request, index)
        return channels, side if channels.filtered else _DEEP_SIDE


def coarse_config(config: ChannelConfig, visible: Window, deep: bool) -> tuple[ChannelConfig, int]:
    """Choose channels for a coarse result that are fast enough for interactive use.

    Parameters
    ----------
    config : ChannelConfig
        Channels of the final result.
    visible : Window
        The part to classify coarsely.
    deep : bool
        Whether features are available.

    Returns
    -------
    tuple of ChannelConfig and int
        Channels and downsampling factor. A small view (up to 2 megapixels) keeps `config`; a large
        one has deep channels only if available, else classical 2-D filters of a downsampled plane.
        The factor is 1 except in the last case.
    """
    if visible.height * visible.width <= _SMALL_PIXELS or not config.sigmas:
        return config, 1
    if deep:
        return replace(config, sigmas=()), 1
    return replace(config, sigmas_3d=(), learned=0), downsampling_factor(visible)


def downsampling_factor(visible: Window) -> int:
    """Return the downsampling factor, a power of two, that leaves about a megapixel of a view."""
    times = math.sqrt(visible.height * visible.width / _FILTERED_PIXELS)
    return int(2 ** max(1, round(math.log2(times))))


def coarse_step(visible: Window) -> int:
    """Return the step n of a coarse result, which classifies every n-th row and column."""
    return max(_STEP, math.ceil(math.sqrt(visible.height * visible.width / _CLASSIFIED_PIXELS)))


def magnified(result: Segmentation, window: Window, step: int) -> Segmentation:
    """Repeat each label of a coarse result `step` times along both axes, to fill a window."""
    labels = result.labels.repeat(step, axis=0).repeat(step, axis=1)
    return replace(result, labels=labels[: window.height, : window.width])
