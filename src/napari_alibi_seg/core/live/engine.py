"""The engine behind live painting: turns a request for what to show into a stream of results.

The final result equals that of `Segmenter` byte for byte, but is computed in another order: visible
parts first, and coarse before fine. Features, channels and the forest are kept between requests, so
a new stroke costs only what it changes. A request is cancelled by closing its generator; the next
one reuses what was computed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.forest import smoothing, voting
from napari_alibi_seg.core.forest.prediction import predictions, strips
from napari_alibi_seg.core.forest.scribbles import same_scribbles, training_scribbles_and_counts
from napari_alibi_seg.core.forest.smoothing import support
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.judging.expectation import Expectation
from napari_alibi_seg.core.judging.judge import sampling_plane
from napari_alibi_seg.core.live.blocks import distance, visible_blocks
from napari_alibi_seg.core.live.channels import LiveChannels
from napari_alibi_seg.core.live.coarse import CoarseClassifier, CoarsePreview
from napari_alibi_seg.core.live.features import GrowingFeatures
from napari_alibi_seg.core.live.records import Advice, ClassifierReady, PlaneDone, ResultBlock, Step
from napari_alibi_seg.core.live.training import LiveTrainer
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.forest.training import PixelForest
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Index, Window
    from napari_alibi_seg.core.judging.assessment import CrossValidation
    from napari_alibi_seg.core.live.records import LiveEvent, LiveRequest

_SIDES = (256, 128, 64)
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
class _Classification:
    """The coarse and the fine classifier, what they were made from, and progress of the fine one.

    `tallies` has one for each block that was last sent as classified by it, by plane; `novelty` is
    that of these planes; `left_out` tells planes apart by their strokes of ignored classes;
    `assessed` has the planes whose assessment is complete; `validation` is None before the first of
    them.
    """

    request: LiveRequest
    painted: Mapping[Index, NDArray[Any]]
    coarse: CoarseClassifier
    fine: PixelClassifier
    tallies: dict[Index, dict[Window, _Tally]] = field(default_factory=dict)
    novelty: dict[Index, float | None] = field(default_factory=dict)
    left_out: dict[Index, bytes] = field(default_factory=dict)
    assessed: set[Index] = field(default_factory=set)
    validation: CrossValidation | None = None


@dataclass(frozen=True, eq=False)
class _Final:
    """What a final result was made from: a forest, and its strokes unless it is from a file."""

    forest: PixelForest
    strokes: Mapping[Index, NDArray[Any]] | None


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
        self._channels = LiveChannels()
        self._trainer = LiveTrainer(self._features, self._channels)
        self._preview = CoarsePreview(self._trainer, self._channels)
        self._current: _Classification | None = None
        self._final: dict[Index, _Final] = {}  # by plane, where that was sent last

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
                if self._current is not None:
                    self._current.tallies.clear()  # it holds blocks of another size
        raise AlibiSegError(
            "There is not enough memory for this image, even in small pieces; close other "
            "images or programs, choose scale 1, or crop the image."
        )

    def _update(self, request: LiveRequest, side: int) -> Iterator[LiveEvent]:
        if request.image is not self._image:
            self._turn_to(request.image, planes_of(request.image))
        painted, counts = training_scribbles_and_counts(
            self._channels.planes, request.scribbles, request.ignored
        )
        yield counts
        applies = request.predict and request.classifier is not None
        trains = request.predict and not applies and len(counts.pixels) > 1
        deep = request.config.deep
        trained_on = painted if request.classifier is None else ()
        seen = dict.fromkeys([request.planes[0], *trained_on])
        if deep:
            yield from self._features.load(request.config.model)
            missing = any(not self._features.ready(request.config, index) for index in seen)
            shown = self._shows_final(request.planes[0], painted)
            if missing and trains and not shown and request.config.channels.sigmas:
                yield from self._train_coarsely(request, painted, side, None)
            for index in seen:
                yield from self._features.compute(request.config, index, request.visible, seen)
        if not (applies or trains):
            yield from self._warm(request, side)
            return
        yield from self._train(request, painted, side)
        for index in request.planes:
            if index != request.planes[0] and self._is_classified(request, index, side):
                yield self._finish(request, index)  # its features may no longer be kept
                continue
            if deep:
                yield from self._features.compute(request.config, index, request.visible, seen)
            yield from self._classify(request, index, side)
        if request.advise:
            yield from self._advise(request, painted)

    def close(self) -> None:
        """Forget the image and what was computed of it, except for features in the cache."""
        self._turn_to(None, {})

    def _turn_to(self, image: Micrograph | None, planes: Mapping[Index, Plane]) -> None:
        self._features.open(planes)
        self._channels.open(planes)
        self._trainer.forget()
        self._current = None
        self._final = {}
        self._image = image

    def _shows_final(self, index: Index, painted: Mapping[Index, NDArray[Any]]) -> bool:
        """Return whether the last result sent for a plane is final and from the same strokes."""
        final = self._final.get(index)
        if final is None or final.strokes is None:
            return False
        return same_scribbles(final.strokes, painted)

    def _warm(self, request: LiveRequest, side: int) -> Iterator[Step]:
        """Project features and filter the visible part in advance of the first stroke."""
        index = request.planes[0]
        projection = self._trainer.projection(request, [index])
        if projection is not None:
            self._trainer.channels(request, index, request.config.channels, projection)
            yield Step()
        if not request.config.channels.sigmas:
            return
        voting.compile_now()
        smoothing.compile_now()
        yield from self._preview.warm(request)
        kept = self._channels.filtered(index, request.config.channels, request.deep_count)
        self._channels.look_at(index, request.visible)
        plane = self._channels.planes[index]
        around = support(request.visible, request.config.smoothing, plane.shape)
        for window in visible_blocks(plane, around, side):
            if kept.full:
                return
            kept.block(window)
            yield Step()

    def _train_coarsely(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        side: int,
        projection: Projection | None,
    ) -> Generator[LiveEvent, None, CoarseClassifier]:
        """Yield a coarse result; return its classifier."""
        coarse = yield from self._preview.train(request, painted, projection)
        yield from self._classify_coarsely(request, coarse, side)
        return coarse

    def _train(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]], side: int
    ) -> Iterator[LiveEvent]:
        last = self._current
        if last is not None and _same_training(last, request, painted):
            fine = last.fine.renamed(request.classes)
            self._current = replace(last, request=request, painted=painted, fine=fine)
            if not _continues(last.request, request):
                self._current = replace(self._current, tallies={}, assessed=set())
        elif request.classifier is not None:
            self._require(request)
            as_it_is = CoarseClassifier(request.classifier, 1)
            self._current = _Classification(request, painted, as_it_is, request.classifier)
        else:
            projection = self._trainer.projection(request, painted)
            coarse = yield from self._train_coarsely(request, painted, side, projection)
            fine = yield from self._trainer.final(request, painted, projection)
            self._current = _Classification(request, painted, coarse, fine)
            yield ClassifierReady(fine, bool(request.image.light))
            return
        yield ClassifierReady(self._current.fine, bool(request.image.light))
        first = request.planes[0]
        shown = self._final_forest(first) is self._current.fine.forest
        if not (shown or self._current.tallies.get(first)):
            yield from self._classify_coarsely(request, self._current.coarse, side)

    def _require(self, request: LiveRequest) -> None:
        assert request.classifier is not None
        identity = self._features.identity(request.config) if request.config.deep else None
        request.classifier.require(identity, self._channels.planes[request.planes[0]].bands)

    def _classify_coarsely(
        self, request: LiveRequest, coarse: CoarseClassifier, side: int
    ) -> Iterator[ResultBlock]:
        self._final.pop(request.planes[0], None)
        if self._current is not None:
            self._current.tallies.pop(request.planes[0], None)
        yield from self._preview.classify(request, coarse, side)

    def _classify(self, request: LiveRequest, index: Index, side: int) -> Iterator[LiveEvent]:
        assert self._current is not None
        classifier, plane = self._current.fine, self._channels.planes[index]
        channels = self._trainer.channels_for(classifier, request, index)
        self._channels.look_at(index, request.visible)
        tallies = self._tallies(request, index)
        self._current.novelty[index] = channels.novelty
        seen = visible_blocks(plane, request.visible, side)[:_BLOCKS_FIRST]
        rest = strips(plane.shape, side, len(classifier.classes))
        rest.sort(key=lambda strip: distance(strip[len(strip) // 2], request.visible))
        for some in (seen, *rest):
            windows = [window for window in some if window not in tallies]
            for parts in predictions(classifier, channels, windows, side, request.probabilities):
                for window, result in parts.items():
                    painted = request.scribbles[index][window.slices]
                    shown = result.without_painted(painted, request.ignored)
                    if self._final_forest(index) is not classifier.forest:
                        self._final.pop(index, None)
                    yield ResultBlock(index, window, shown, True)
                    tallies[window] = _Tally.of(shown)
                yield Step()
        yield self._finish(request, index)

    def _tallies(self, request: LiveRequest, index: Index) -> dict[Window, _Tally]:
        """Return the tallies of a plane, none if its strokes of ignored classes have changed."""
        assert self._current is not None
        left_out = _left_out(request, index)
        if self._current.left_out.get(index) != left_out:
            self._current.left_out[index] = left_out
            self._current.tallies.pop(index, None)
        return self._current.tallies.setdefault(index, {})

    def _final_forest(self, index: Index) -> PixelForest | None:
        final = self._final.get(index)
        return None if final is None else final.forest

    def _is_classified(self, request: LiveRequest, index: Index, side: int) -> bool:
        """Return whether the fine classifier has classified every block of a plane."""
        assert self._current is not None
        shape, classes = self._channels.planes[index].shape, self._current.fine.classes
        windows = {window for strip in strips(shape, side, len(classes)) for window in strip}
        return windows == self._tallies(request, index).keys()

    def _finish(self, request: LiveRequest, index: Index) -> PlaneDone:
        """Note that the result of a plane is final, and sum it up."""
        assert self._current is not None
        assert self._image is not None
        strokes = self._current.painted if request.classifier is None else None
        self._final[index] = _Final(self._current.fine.forest, strokes)
        tallies = self._current.tallies[index].values()
        pixels = dict(sum((one.pixels for one in tallies), Counter()))
        confusion = np.sum([one.confusion for one in tallies], axis=0)
        flat, classes = self._image.levels.flat, self._current.fine.classes
        voted = None if flat else Expectation.of(confusion, classes)
        return PlaneDone(index, pixels, voted, flat, self._current.novelty[index])

    def _advise(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
    ) -> Iterator[LiveEvent]:
        """Advise on the displayed plane, then on scribbled ones with a final result.

        If none has one, the first is assessed.
        """
        assert self._current is not None
        fine, shown, assessed = self._current.fine, request.planes[0], self._current.assessed
        trained = request.classifier is None and not request.image.levels.flat
        final = [index for index in painted if self._shows_final(index, painted)] or [*painted][:1]
        others = [index for index in final if index not in assessed] if trained else []
        for index in dict.fromkeys([shown, *others]):
            scribbles = request.scribbles[index].copy()  # the user may go on painting meanwhile
            channels = self._trainer.channels_for(fine, request, index)
            sampled = yield from map_steps(sampling_plane(fine, channels), lambda _: Step())
            spots = sampled.spots(scribbles)
            yield Advice(index, spots)
            if trained and index in painted:
                validation = yield from self._cross_validate(request, painted)
                assessment = validation and sampled.assessment(validation, scribbles)
                if assessment:
                    yield Advice(index, spots, assessment)
            assessed.add(index)

    def _cross_validate(
        self, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
    ) -> Generator[Step, None, CrossValidation | None]:
        """Return the cross-validation of the fine classifier, made once for all planes."""
        assert self._current is not None
        if self._current.validation is None:
            work = self._trainer.cross_validation(request, painted, self._current.fine)
            validation = yield from work
            self._current = replace(self._current, validation=validation)
        return self._current.validation


def _same_training(
    last: _Classification, request: LiveRequest, painted: Mapping[Index, NDArray[Any]]
) -> bool:
    if last.request.config != request.config:
        return False
    if last.request.classifier is not None or request.classifier is not None:
        return last.request.classifier is request.classifier
    return same_scribbles(last.painted, painted)


def _left_out(request: LiveRequest, index: Index) -> bytes:
    """Return a digest of where ignored classes are painted; empty without such classes."""
    if not request.ignored:
        return b""
    painted = np.isin(request.scribbles[index], [*request.ignored])
    return sha256(np.packbits(painted).tobytes()).digest()


def _continues(last: LiveRequest, request: LiveRequest) -> bool:
    same = last.generation == request.generation
    return same and (last.probabilities or not request.probabilities)
