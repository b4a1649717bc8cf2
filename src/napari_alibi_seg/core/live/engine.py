"""The engine behind live painting: turns a request for what to show into a stream of results.

The final result equals that of `Segmenter` byte for byte, but is computed in another order: visible
parts first, and coarse before fine. Features, channels and the forest are kept between requests, so
a new stroke costs only what it changes. A request is cancelled by closing its generator; the next
one reuses what was computed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.core.channels.pixel_channels import Projection
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.forest import smoothing, voting
from napari_alibi_seg.core.forest.classifier import (
    PixelClassifier,
    PixelSamples,
    Segmentation,
    gather_samples,
    thinned,
)
from napari_alibi_seg.core.forest.prediction import predictions, strips
from napari_alibi_seg.core.forest.smoothing import reach
from napari_alibi_seg.core.forest.strokes import look_at_strokes, same_painted
from napari_alibi_seg.core.forest.training import training_classifier
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.judging.expectation import Expectation
from napari_alibi_seg.core.judging.judge import Training
from napari_alibi_seg.core.live.advice import advising
from napari_alibi_seg.core.live.blocks import (
    coarse_step,
    distance,
    magnified,
    visible_blocks,
)
from napari_alibi_seg.core.live.channels import LiveChannels, coarse_config
from napari_alibi_seg.core.live.features import GrowingFeatures
from napari_alibi_seg.core.live.records import Fitted, PlaneDone, ResultBlock, Working
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Index, Plane, Window
    from napari_alibi_seg.core.live.channels import PlaneChannels
    from napari_alibi_seg.core.live.records import LiveEvent, LiveRequest
    from napari_alibi_seg.core.live.shrunk import ShrunkChannels

_SIDES = (256, 128, 64)
_COARSE_TREES = 16
_COARSE_SAMPLES = 6000
_COARSE_SIDE = 1024
_SHRUNK_SIDE = 256
_BLOCKS_FIRST = 256
"""Number of visible blocks classified from the centre outwards, before any others in strips."""


@dataclass(frozen=True, eq=False)
class _Tally:
    """Pixel counts by class of a block, and its expected confusion (`Segmentation`)."""

    pixels: Counter[int]
    confusion: NDArray[np.float64]

    @classmethod
    def of(cls, block: Segmentation) -> _Tally:
        values, counts = np.unique(block.labels[block.labels > 0], return_counts=True)
        pixels = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        assert block.confusion is not None
        return cls(pixels, block.confusion)


@dataclass(frozen=True, eq=False)
class _Trained:
    """The coarse and the fine classifier, what they were made from, and progress of the fine one.

    `done` has the tallies of the blocks it has classified, by plane, and `assessed`
    the planes already assessed. The coarse one takes planes downsampled by `shrinkage`.
    """

    request: LiveRequest
    painted: Mapping[Index, NDArray[Any]]
    coarse: PixelClassifier
    shrinkage: int
    fine: PixelClassifier
    done: dict[Index, dict[Window, _Tally]] = field(default_factory=dict)
    assessed: set[Index] = field(default_factory=set)


class LiveEngine:
    """Serves requests one at a time.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    def __init__(self, device: str = "auto") -> None:
        self._features = GrowingFeatures(device)
        self._image: Micrograph | None = None
        self._sides: tuple[int, ...] = _SIDES
        self._planes: dict[Index, Plane] = {}
        self._channels = LiveChannels()
        self._trained: _Trained | None = None
        self._told: dict[Index, Mapping[Index, NDArray[Any]]] = {}
        self._projected: tuple[object, Projection] | None = None

    def update(self, request: LiveRequest) -> Generator[LiveEvent, None, None]:
        """Compute what is to be shown.

        Parameters
        ----------
        request : LiveRequest
            What to show.

        Yields
        ------
        LiveEvent
            Results and progress as soon as they are available.

        Raises
        ------
        AlibiSegError
            If the model, the classifier or the image cannot be used, or memory does not suffice
            even for small blocks.
        """
        if request.image is not self._image:
            self._sides = _SIDES
        for side in self._sides:
            try:
                yield from self._update(request, side)
                return
            except MemoryError:
                self._channels.forget()
                self._sides = tuple(one for one in _SIDES if one < side) or _SIDES[-1:]
                if self._trained is not None:
                    self._trained.done.clear()  # it holds blocks of another size
        raise AlibiSegError(
            "There is not enough memory for this image, even in small pieces; close other "
            "images or programs, choose scale 1, or crop the image."
        )

    def _update(self, request: LiveRequest, side: int) -> Iterator[LiveEvent]:
        self._open(request.image)
        painted, amount = look_at_strokes(self._planes, request.scribbles, request.ignored)
        yield amount
        trainable = request.classifier is not None or len(amount.pixels) > 1
        deep = request.config.deep
        seen = dict.fromkeys([request.planes[0], *painted])
        if deep:
            yield from self._features.load(request.config.model)
            missing = any(not self._features.ready(request.config, index) for index in seen)
            told = self._is_told(request.planes[0], painted)
            trains = request.predict and request.classifier is None and len(amount.pixels) > 1
            if missing and trains and not told and request.config.channels.sigmas:
                yield from self._train_coarsely(request, painted, side, None)
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
        if request.advise:
            yield from self._advise(request, painted)

    def _open(self, image: Micrograph) -> None:
        if image is not self._image:
            self._planes = planes_of(image)
            self._features.open(self._planes)
            self._channels.open(self._planes)
            self._trained = self._projected = None
            self._told = {}
            self._image = image

    def _is_told(self, index: Index, painted: Mapping[Index, NDArray[Any]]) -> bool:
        """Return whether the last result sent for a plane is final and from the same strokes."""
        return index in self._told and same_painted(self._told[index], painted)

    def _channels_of(
        self,
        request: LiveRequest,
        index: Index,
        config: ChannelConfig,
        projection: Projection | None,
    ) -> PlaneChannels:
        features = None if projection is None else self._features.map(request.config, index)
        return self._channels.of(index, config, features, projection, _room(request))

    def _warm(self, request: LiveRequest, side: int) -> Iterator[Working]:
        """Project features and filter the visible part in advance of the first stroke."""
        index = request.planes[0]
        projection = self._projection(request, [index])
        if projection is not None:
            self._channels_of(request, index, request.config.channels, projection)
            yield Working()
        if not request.config.channels.sigmas:
            return
        voting.compile_now()
        smoothing.compile_now()
        yield from self._warm_shrunk(request)
        kept = self._channels.filtered(index, request.config.channels, _room(request))
        self._channels.look_at(index, request.visible)
        plane = self._planes[index]
        around = reach(request.visible, request.config.smoothing, plane.shape)
        for window in visible_blocks(plane, around, side):
            if kept.full:
                return
            kept.block(window)
            yield Working()

    def _warm_shrunk(self, request: LiveRequest) -> Iterator[Working]:
        index, visible = request.planes[0], request.visible
        config, factor = coarse_config(request.config.channels, visible, request.config.deep)
        if factor == 1:
            return
        channels = self._channels.shrunk(index, config, factor)
        windows = visible_blocks(self._planes[index], visible, _SHRUNK_SIDE * factor)
        for _ in in_order(partial(channels.subsampled, step=factor), windows):
            yield Working()

    def _train_coarsely(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        side: int,
        projection: Projection | None,
    ) -> Generator[LiveEvent, None, tuple[PixelClassifier, int]]:
        """Yield a coarse result; return its classifier and the downsampling of its planes.

        Without a projection it is one of pixel filters alone.
        """
        deep = projection is not None
        channels, factor = coarse_config(request.config.channels, request.visible, deep)
        samples = self._samples(request, painted, channels, projection, factor)
        trees = min(request.config.trees, _COARSE_TREES)
        config = replace(request.config, channels=channels, trees=trees)
        coarse = yield from self._fit(
            request, config, thinned(samples, _COARSE_SAMPLES), projection
        )
        yield from self._classify_coarsely(request, coarse, side, factor)
        return coarse, factor

    def _train(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]], side: int
    ) -> Iterator[LiveEvent]:
        last = self._trained
        if last is not None and _same_training(last, request, painted):
            fine = last.fine.renamed(request.classes)
            self._trained = replace(last, request=request, painted=painted, fine=fine)
            if not _continues(last.request, request):
                self._trained = replace(self._trained, done={}, assessed=set())
        elif request.classifier is not None:
            self._require(request)
            self._trained = _Trained(request, painted, request.classifier, 1, request.classifier)
        else:
            projection = self._projection(request, painted)
            coarse, factor = yield from self._train_coarsely(request, painted, side, projection)
            samples = self._samples(request, painted, request.config.channels, projection)
            fine = yield from self._fit(request, request.config, samples, projection)
            self._trained = _Trained(request, painted, coarse, factor, fine)
            yield Fitted(fine, bool(request.image.light))
            return
        yield Fitted(self._trained.fine, bool(request.image.light))
        if not self._trained.done.get(request.planes[0]):
            last = self._trained
            yield from self._classify_coarsely(request, last.coarse, side, last.shrinkage)

    def _require(self, request: LiveRequest) -> None:
        assert request.classifier is not None
        identity = self._features.identity(request.config) if request.config.deep else None
        request.classifier.require(identity, self._planes[request.planes[0]].bands)

    def _projection(self, request: LiveRequest, painted: Collection[Index]) -> Projection | None:
        """Return the projection fitted on the given planes, cached for the same set of planes."""
        if not request.config.deep:
            return None
        key = (request.config.deep_channels, tuple(painted))
        if self._projected is None or self._projected[0] != key:
            maps = [self._features.map(request.config, index) for index in painted]
            self._projected = key, Projection.fit(maps, request.config.channels)
        return self._projected[1]

    def _samples(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        channels: ChannelConfig,
        projection: Projection | None,
        factor: int = 1,
    ) -> list[PixelSamples]:
        return [
            self._channels.shrunk(index, channels, factor).samples(scribbles)
            if factor > 1
            else gather_samples(self._channels_of(request, index, channels, projection), scribbles)
            for index, scribbles in painted.items()
        ]

    def _fit(
        self,
        request: LiveRequest,
        config: SegmentationConfig,
        samples: Sequence[PixelSamples],
        projection: Projection | None,
    ) -> Generator[Working, None, PixelClassifier]:
        work = training_classifier(
            config,
            samples,
            projection,
            features=None if projection is None else self._features.identity(request.config),
            bands=self._planes[request.planes[0]].bands,
            classes=request.classes,
        )
        return (yield from map_steps(work, lambda _: Working()))

    def _classify_coarsely(
        self, request: LiveRequest, classifier: PixelClassifier, side: int, factor: int
    ) -> Iterator[ResultBlock]:
        index = request.planes[0]
        plane, config = self._planes[index], classifier.channels
        step = factor * max(1, coarse_step(request.visible) // factor)
        if factor > 1:
            channels: PlaneChannels | ShrunkChannels = self._channels.shrunk(index, config, factor)
            side = _SHRUNK_SIDE * factor
        else:
            channels = whole = self._channels_of(request, index, config, classifier.projection)
            side = side if whole.filtered else _COARSE_SIDE

        def every_few(window: Window) -> Segmentation:
            result = classifier.classify(channels.subsampled(window, step))
            return magnified(result, window, step).without(plane.missing(window))

        self._told.pop(index, None)
        self._channels.look_at(index, request.visible)
        windows = visible_blocks(plane, request.visible, side)
        for window, result in zip(windows, in_order(every_few, windows), strict=True):
            painted = request.scribbles[index][window.slices]
            yield ResultBlock(
                index, window, result.without_painted(painted, request.ignored), False
            )

    def _classify(self, request: LiveRequest, index: Index, side: int) -> Iterator[LiveEvent]:
        assert self._trained is not None
        classifier, plane = self._trained.fine, self._planes[index]
        channels = self._channels_of(request, index, classifier.channels, classifier.projection)
        self._channels.look_at(index, request.visible)
        done = self._trained.done.setdefault(index, {})
        seen = visible_blocks(plane, request.visible, side)[:_BLOCKS_FIRST]
        rest = strips(plane.shape, side, len(classifier.classes))
        rest.sort(key=lambda strip: distance(strip[len(strip) // 2], request.visible))
        for some in (seen, *rest):
            windows = [window for window in some if window not in done]
            for parts in predictions(classifier, channels, windows, side, request.votes):
                for window, result in parts.items():
                    painted = request.scribbles[index][window.slices]
                    shown = result.without_painted(painted, request.ignored)
                    yield ResultBlock(index, window, shown, True)
                    done[window] = _Tally.of(shown)
                yield Working()
        if request.classifier is None:
            self._told[index] = self._trained.painted
        else:
            self._told.pop(index, None)
        yield self._told_of(index, done.values())

    def _told_of(self, index: Index, tallies: Collection[_Tally]) -> PlaneDone:
        assert self._trained is not None
        assert self._image is not None
        pixels = dict(sum((one.pixels for one in tallies), Counter()))
        confusion = np.sum([one.confusion for one in tallies], axis=0)
        flat, classes = self._image.levels.flat, self._trained.fine.classes
        return PlaneDone(index, pixels, None if flat else Expectation.of(confusion, classes))

    def _advise(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
    ) -> Iterator[LiveEvent]:
        """Assess the displayed plane, then the other scribbled planes with a final result."""
        assert self._trained is not None
        fine, shown, assessed = self._trained.fine, request.planes[0], self._trained.assessed
        channels = {
            index: self._channels_of(request, index, fine.channels, fine.projection)
            for index in (*painted, shown)  # the displayed plane last, to keep its blocks
        }
        trained = request.classifier is None and not request.image.levels.flat
        samples = [gather_samples(channels[i], p) for i, p in painted.items()] if trained else []
        training = Training(fine, request.config, painted, samples)
        told = [index for index in painted if self._is_told(index, painted)] or [*painted][:1]
        done = told if trained else []
        for index in dict.fromkeys([shown, *(one for one in done if one not in assessed)]):
            scribbles = request.scribbles[index].copy()  # the user may go on painting meanwhile
            yield from advising(index, scribbles, channels[index], training)
            assessed.add(index)


def _same_training(
    last: _Trained, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
) -> bool:
    if last.request.config != request.config:
        return False
    if last.request.classifier is not None or request.classifier is not None:
        return last.request.classifier is request.classifier
    return same_painted(last.painted, painted)


def _room(request: LiveRequest) -> int:
    """Return the number of deep channels that there will be once features are computed."""
    return request.config.channels.components if request.config.deep else 0


def _continues(last: LiveRequest, request: LiveRequest) -> bool:
    return last.generation == request.generation and last.votes == request.votes
