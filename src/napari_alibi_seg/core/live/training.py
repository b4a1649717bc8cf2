"""Training for the live engine, on cached channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.channels.pixel_channels import Projection
from napari_alibi_seg.core.forest.samples import gather_samples
from napari_alibi_seg.core.forest.training import training_classifier
from napari_alibi_seg.core.judging.judge import Training
from napari_alibi_seg.core.live.records import Step
from napari_alibi_seg.core.progress import map_steps

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.samples import PixelSamples
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import CrossValidation
    from napari_alibi_seg.core.live.channels import LiveChannels, PlaneChannels
    from napari_alibi_seg.core.live.features import GrowingFeatures
    from napari_alibi_seg.core.live.records import LiveRequest


class LiveTrainer:
    """Trains on cached channels, and caches the projection of the deep ones.

    Parameters
    ----------
    features : GrowingFeatures
        With complete features of the planes that are to be projected.
    channels : LiveChannels
        Channels of the planes of the same image.
    """

    def __init__(self, features: GrowingFeatures, channels: LiveChannels) -> None:
        self._features = features
        self._channels = channels
        self._projected: tuple[object, Projection] | None = None

    def forget(self) -> None:
        """Forget the projection, as the image is another."""
        self._projected = None

    def projection(self, request: LiveRequest, painted: Collection[Index]) -> Projection | None:
        """Return the projection fitted on the given planes, cached for the same set of planes."""
        if not request.config.deep:
            return None
        key = (request.config.deep_channels, tuple(painted))
        if self._projected is None or self._projected[0] != key:
            maps = [self._features.map(request.config, index) for index in painted]
            self._projected = key, Projection.fit(maps, request.config.channels)
        return self._projected[1]

    def channels(
        self,
        request: LiveRequest,
        index: Index,
        config: ChannelConfig,
        projection: Projection | None,
    ) -> PlaneChannels:
        """Return the channels of a plane, with deep ones if there is a projection."""
        features = None if projection is None else self._features.map(request.config, index)
        return self._channels.of(index, config, features, projection, request.deep_count)

    def channels_for(
        self, classifier: PixelClassifier, request: LiveRequest, index: Index
    ) -> PlaneChannels:
        """Return the channels of a plane that a classifier is applied to."""
        return self.channels(request, index, classifier.channels, classifier.projection)

    def final(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        projection: Projection | None,
    ) -> Generator[Step, None, PixelClassifier]:
        """Train the classifier that `Segmenter.fit` trains on the same scribbles."""
        samples = self.samples(request, painted, request.config.channels, projection)
        return (yield from self.fit(request, request.config, samples, projection))

    def cross_validation(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        classifier: PixelClassifier,
    ) -> Generator[Step, None, CrossValidation | None]:
        """Cross-validate what `final` has trained on the same scribbles, if they suffice."""
        samples = self.samples(request, painted, classifier.channels, classifier.projection)
        yield Step()
        work = Training(classifier, request.config, painted, samples).cross_validating()
        return (yield from map_steps(work, lambda _: Step()))

    def samples(
        self,
        request: LiveRequest,
        painted: Mapping[Index, NDArray[Any]],
        config: ChannelConfig,
        projection: Projection | None,
    ) -> list[PixelSamples]:
        """Return the training pixels of each painted plane."""
        return [
            gather_samples(self.channels(request, index, config, projection), scribbles)
            for index, scribbles in painted.items()
        ]

    def fit(
        self,
        request: LiveRequest,
        config: SegmentationConfig,
        samples: Sequence[PixelSamples],
        projection: Projection | None,
    ) -> Generator[Step, None, PixelClassifier]:
        """Train a classifier on samples."""
        work = training_classifier(
            config,
            samples,
            projection,
            features=None if projection is None else self._features.identity(request.config),
            bands=self._channels.planes[request.planes[0]].bands,
            classes=request.classes,
            pixel_size=request.image.voxel_size,
        )
        return (yield from map_steps(work, lambda _: Step()))
