"""The engine behind live painting: ask for what should be on the screen, take what comes.

It computes what `Segmenter` computes, byte for byte, in another order: what is visible comes
first, and coarse before fine. Between requests it keeps features, channels and the forest, so a
new stroke pays only for what it changes. A request is abandoned by closing its generator; the
next one goes on where it stopped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_alibi_seg.core.channels import ChannelConfig, PixelChannels, Projection
from napari_alibi_seg.core.classifier import (
    ClassInfo,
    PixelClassifier,
    PixelSamples,
    Segmentation,
    fit_forest,
)
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.live_blocks import (
    STEP,
    distance,
    magnified,
    visible_blocks,
    without_ignored,
)
from napari_alibi_seg.core.live_features import GrowingFeatures
from napari_alibi_seg.core.live_records import Block, Fitted, PlaneDone, Warmed
from napari_alibi_seg.core.remembered import RememberedClassical
from napari_alibi_seg.core.segmentation import CLASSICAL, blocks, in_order, planes_of
from napari_alibi_seg.core.strokes import amount_painted, painted_without

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.core.live_records import Index, LiveEvent, LiveRequest
    from napari_alibi_seg.core.planes import Plane, Window

_SIDES = (256, 128, 64)
_COARSE_TREES = 16
_REMEMBERED_BYTES = 400e6
_REMEMBERED_PIXELS = 2_000_000


@dataclass(frozen=True, eq=False)
class _PlaneChannels:
    """The channels of a plane, deep before classical, as `PixelChannels` orders them."""

    parts: tuple[PixelChannels | RememberedClassical, ...]

    def block(self, window: Window) -> NDArray[np.float32]:
        return np.concatenate([part.block(window) for part in self.parts], axis=-1)

    def points(self, scribbles: NDArray[Any]) -> PixelSamples:
        rows, columns = np.nonzero(scribbles)
        values = [part.points(rows, columns) for part in self.parts]
        return PixelSamples(np.concatenate(values, axis=-1), scribbles[rows, columns])


@dataclass(frozen=True, eq=False)
class _Training:
    """Two classifiers, what they were made from, and the blocks the fine one has classified."""

    request: LiveRequest
    painted: Mapping[Index, NDArray[Any]]
    coarse: PixelClassifier
    fine: PixelClassifier
    done: dict[Index, dict[Window, Counter[int]]] = field(default_factory=dict)


class LiveEngine:
    """Serves one request after the other, never two at a time.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    def __init__(self, device: str = "auto") -> None:
        self._features = GrowingFeatures(device)
        self._image: Micrograph | None = None
        self._planes: dict[Index, Plane] = {}
        self._classical: dict[tuple[Index, tuple[float, ...]], RememberedClassical] = {}
        self._training: _Training | None = None

    def update(self, request: LiveRequest) -> Generator[LiveEvent, None, None]:
        """Bring the screen up to date.

        Parameters
        ----------
        request : LiveRequest
            What should be seen.

        Yields
        ------
        LiveEvent
            What is known so far, whenever it is known.

        Raises
        ------
        AlibiSegError
            If the model, the classifier or the image cannot be used, or memory does not suffice
            even for small blocks.
        """
        for side in _SIDES:
            try:
                yield from self._update(request, side)
                return
            except (MemoryError, torch.OutOfMemoryError):
                self._classical.clear()
        raise AlibiSegError(
            "There is not enough memory for this image, even in small pieces; close other "
            "images or programs, choose scale 1, or crop the image."
        )

    def _update(self, request: LiveRequest, side: int) -> Iterator[LiveEvent]:
        self._open(request.image)
        painted = painted_without(request)
        amount = amount_painted(painted)
        yield amount
        trainable = request.classifier is not None or len(amount.pixels) > 1
        deep = request.config.model != CLASSICAL
        seen = dict.fromkeys([request.planes[0], *painted])
        if deep:
            yield from self._features.load(request.config.model)
            missing = any(not self._features.ready(request.config, index) for index in seen)
            if missing and request.predict and len(amount.pixels) > 1:
                yield from self._preliminary(request, painted, side)
            for index in seen:
                yield from self._features.compute(request.config, index, request.visible, seen)
        if not (trainable and request.predict):
            yield from self._warm(request, side)
            return
        yield from self._train(request, painted, side)
        for index in request.planes:
            if deep:
                yield from self._features.compute(request.config, index, request.visible, seen)
            yield from self._classify(request, index, side)

    def _open(self, image: Micrograph) -> None:
        if image is not self._image:
            self._planes = planes_of(image)
            self._features.open(self._planes)
            self._classical.clear()
            self._training = None
            self._image = image

    def _channels(
        self, request: LiveRequest, index: Index, config: ChannelConfig, space: Projection | None
    ) -> _PlaneChannels:
        parts: list[PixelChannels | RememberedClassical] = []
        if space is not None:
            features = self._features.map(request.config, index)
            only_deep = replace(config, sigmas=())
            parts.append(PixelChannels(self._planes[index], only_deep, features, space))
        if config.sigmas:
            parts.append(self._remembered(index, config.sigmas))
        return _PlaneChannels(tuple(parts))

    def _remembered(self, index: Index, sigmas: tuple[float, ...]) -> RememberedClassical:
        kept = self._classical.get((index, sigmas))
        if kept is None:
            for old in self._classical.values():
                old.forget_blocks()  # only the plane on the screen keeps its blocks
            kept = RememberedClassical(self._planes[index], sigmas, _REMEMBERED_BYTES)
            self._classical[index, sigmas] = kept
        return kept

    def _warm(self, request: LiveRequest, side: int) -> Iterator[Warmed]:
        """Filter what is visible before the first stroke needs it."""
        index, sigmas = request.planes[0], request.config.channels.sigmas
        if not sigmas:
            return
        kept = self._remembered(index, sigmas)
        windows = visible_blocks(self._planes[index], request.visible, side)
        for done, window in enumerate(windows, start=1):
            if kept.full:
                return
            kept.block(window)
            yield Warmed(index, done, len(windows))

    def _preliminary(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]], side: int
    ) -> Iterator[Block]:
        """Show something by the pixel filters alone while the features are being computed."""
        if not request.config.channels.sigmas:
            return
        coarse = self._fit(request, painted, request.config.channels, _COARSE_TREES, None)
        yield from self._classify_coarsely(request, coarse, side)

    def _train(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]], side: int
    ) -> Iterator[LiveEvent]:
        last, same = self._training, _same(self._training, request, painted)
        if last is not None and same:
            done = last.done if _continues(last.request, request) else {}
            names = request.classes
            self._training = _Training(
                request, painted, last.coarse, last.fine.renamed(names), done
            )
        elif request.classifier is not None:
            self._require(request)
            self._training = _Training(request, painted, request.classifier, request.classifier)
        else:
            space = self._projection(request, painted)
            channels, trees = request.config.channels, request.config.trees
            quick = _quick_channels(request, space)
            coarse = self._fit(request, painted, quick, min(trees, _COARSE_TREES), space)
            yield from self._classify_coarsely(request, coarse, side)
            fine = self._fit(request, painted, channels, trees, space)
            self._training = _Training(request, painted, coarse, fine)
            yield Fitted(fine)
            return
        yield Fitted(self._training.fine)
        if not self._training.done.get(request.planes[0]):
            yield from self._classify_coarsely(request, self._training.coarse, side)

    def _require(self, request: LiveRequest) -> None:
        assert request.classifier is not None
        deep = request.config.model != CLASSICAL
        identity = self._features.identity(request.config) if deep else None
        request.classifier.require(identity, self._planes[request.planes[0]].colours)

    def _projection(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
    ) -> Projection | None:
        if request.config.model == CLASSICAL:
            return None
        last = self._training
        if last is not None and _same_space(last, request, painted):
            return last.fine.projection
        maps = [self._features.map(request.config, index) for index in painted]
        return Projection.fit(maps, request.config.channels)

    def _fit(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        channels: ChannelConfig,
        trees: int,
        space: Projection | None,
    ) -> PixelClassifier:
        samples = [
            self._channels(request, index, channels, space).points(scribbles)
            for index, scribbles in painted.items()
        ]
        forest = fit_forest(samples, trees, request.config.seed)
        named = {info.value: info for info in request.classes}
        found = tuple(named.get(int(v), ClassInfo.default(int(v))) for v in forest.classes_)
        identity = None if space is None else self._features.identity(request.config)
        colours = next(iter(self._planes.values())).colours
        return PixelClassifier(forest, found, channels, space, identity, colours)

    def _classify_coarsely(
        self, request: LiveRequest, classifier: PixelClassifier, side: int
    ) -> Iterator[Block]:
        index = request.planes[0]
        channels = self._channels(request, index, classifier.channels, classifier.projection)

        def every_fourth(window: Window) -> Segmentation:
            return magnified(classifier.classify(channels.block(window)[::STEP, ::STEP]), window)

        windows = visible_blocks(self._planes[index], request.visible, side)
        for window, result in zip(windows, in_order(every_fourth, windows), strict=True):
            yield Block(index, window, without_ignored(request, index, window, result), False)

    def _classify(self, request: LiveRequest, index: Index, side: int) -> Iterator[LiveEvent]:
        assert self._training is not None
        classifier, plane = self._training.fine, self._planes[index]
        channels = self._channels(request, index, classifier.channels, classifier.projection)
        done = self._training.done.setdefault(index, {})
        near = partial(distance, visible=request.visible)
        windows = sorted(set(blocks(plane.shape, side)) - done.keys(), key=near)

        def classified(window: Window) -> Segmentation:
            return classifier.classify(channels.block(window), request.votes)

        for window, result in zip(windows, in_order(classified, windows), strict=True):
            shown = without_ignored(request, index, window, result)
            yield Block(index, window, shown, True)
            values, counts = np.unique(shown.labels[shown.labels > 0], return_counts=True)
            done[window] = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        yield PlaneDone(index, dict(sum(done.values(), Counter())))


def _same(
    last: _Training | None, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
) -> bool:
    if last is None or last.request.config != request.config:
        return False
    if last.request.classifier is not None or request.classifier is not None:
        return last.request.classifier is request.classifier
    return last.painted.keys() == painted.keys() and all(
        np.array_equal(last.painted[index], painted[index]) for index in painted
    )


def _same_space(
    last: _Training, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
) -> bool:
    trained = last.request.classifier is None and last.request.config == request.config
    return trained and last.painted.keys() == painted.keys()


def _continues(last: LiveRequest, request: LiveRequest) -> bool:
    return last.generation == request.generation and last.votes == request.votes


def _quick_channels(request: LiveRequest, space: Projection | None) -> ChannelConfig:
    """Leave the filters out of a coarse result where they would take longer than it may."""
    large = request.visible.height * request.visible.width > _REMEMBERED_PIXELS
    channels = request.config.channels
    return replace(channels, sigmas=()) if large and space is not None else channels
