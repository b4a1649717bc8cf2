"""The whole way: an image and scribbles in, a classifier and segmentations out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.blockwise import Budget, blocks, in_order
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.errors import ClassifierError, ModelError
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.features.extraction import FeatureExtractor, FeatureIdentity, FeatureMap
from napari_alibi_seg.core.forest.classifier import (
    PixelClassifier,
    Segmentation,
    gather_samples,
)
from napari_alibi_seg.core.forest.painted_images import painted_images
from napari_alibi_seg.core.forest.smoothing import margin
from napari_alibi_seg.core.forest.training import kind_of, train_forest
from napari_alibi_seg.core.images.micrograph import Micrograph, planes_of
from napari_alibi_seg.core.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane, Window

BLOCK = 512
"""Side of the blocks pixels are classified in; changes memory, never the result."""
_BLOCKS_BYTES = 1e9
_BLOCKS = Budget(_BLOCKS_BYTES)  # of all planes that are classified at once
# Of a block's channels: their concatenation, and what the filters need meanwhile; of its votes, in
# double precision: smoothed ones.
_COPIES = 3


@dataclass(frozen=True)
class Segmenter:
    """Trains and applies classifiers; keeps the backbone and the feature maps in between.

    Attributes
    ----------
    config : SegmentationConfig
        What to train with.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    cache : FeatureCache
        Feature maps already computed.
    progress : callable
        Told of every tile and block.
    """

    config: SegmentationConfig = field(default_factory=SegmentationConfig)
    device: str = "auto"
    cache: FeatureCache = field(default_factory=FeatureCache)
    progress: Progress = silent

    @classmethod
    def of(cls, classifier: PixelClassifier, model: str | None = None, **options: Any) -> Segmenter:
        """Return a segmenter that can apply a classifier, and would train one like it.

        Parameters
        ----------
        classifier : PixelClassifier
            What to apply.
        model : str, optional
            Where its backbone lies, if its name means nothing on this machine.
        **options
            `device`, `cache`, `progress`.

        Raises
        ------
        ClassifierError
            If a model is given, but the classifier was trained without any.
        """
        forest, deep = classifier.forest, classifier.features is not None
        if model not in (None, CLASSICAL) and not deep:
            raise ClassifierError(
                f"The classifier was trained on filters alone, so the model {model} cannot be used "
                "with it; leave it out, or train another classifier with it."
            )
        config = SegmentationConfig(
            model or classifier.model,
            classifier.scale,
            classifier.channels,
            trees=len(forest.estimators_),
            seed=forest.random_state or 0,
            forest=kind_of(forest),
            smoothing=classifier.smoothing,
        )
        return cls(config, **options)

    def fit(
        self,
        image: Micrograph | Sequence[Micrograph],
        scribbles: NDArray[np.integer[Any]] | Sequence[NDArray[np.integer[Any]]],
        classes: Sequence[ClassInfo] = (),
        ignored: Collection[int] = (),
    ) -> PixelClassifier:
        """Train one forest on all painted planes of one or more images.

        Parameters
        ----------
        image : Micrograph or sequence of Micrograph
            Planes or stacks of planes, of any sizes; all grey or all colour.
        scribbles : ndarray or sequence of ndarray
            For each image, integers of its shape without its colours; 0 = not painted.
        classes : sequence of ClassInfo
            Names and colours; those of other classes are plain.
        ignored : collection of int
            Painted classes that teach nothing (`Segmentation.without_painted`).

        Returns
        -------
        PixelClassifier
            For other images of the kind, too; its classes are those painted, rising.

        Raises
        ------
        ScribbleError
            If numbers or shapes differ, or fewer than two classes, or more than 64, are painted on
            all together.
        ImageError
            If grey and colour images are mixed, or 3-D filters are to see an image without planes.
        """
        by_image = painted_images(image, scribbles, ignored)
        painted = [pair for pairs in by_image for pair in pairs]
        planes = [plane for plane, _ in painted]
        for plane in planes:
            self.config.channels.require(plane)
        scale = self.config.scale
        maps = [self._features(plane, scale, self.progress) for plane in planes]
        deep = [m for m in maps if m is not None]
        projection = Projection.fit(deep, self.config.channels) if deep else None
        samples = [
            gather_samples(PixelChannels(plane, self.config.channels, m, projection), strokes)
            for (plane, strokes), m in zip(painted, maps, strict=True)
        ]
        several = len(by_image) > 1
        forest = train_forest(self.config, samples, projection, self.progress, several)
        return PixelClassifier(
            forest,
            ClassInfo.of(forest.classes_, classes),
            self.config.channels,
            projection,
            self._identity(scale),
            planes[0].colours,
            self.config.smoothing,
        )

    def apply(
        self, classifier: PixelClassifier, image: Micrograph, probabilities: bool = False
    ) -> Iterator[tuple[tuple[int, ...], Segmentation]]:
        """Classify every plane of an image, one after the other.

        Parameters
        ----------
        classifier : PixelClassifier
            Made by `fit` or loaded.
        image : Micrograph
            Of the kind the classifier was trained on.
        probabilities : bool
            Whether segmentations carry probabilities.

        Yields
        ------
        tuple
            Index of the plane (as in ``image.plane_indices()``) and its segmentation.

        Raises
        ------
        ClassifierError
            If the classifier expects other features or another kind of image.
        ImageError
            If it sees 3-D filters, and the image has no axis Z.
        """
        for index, plane in planes_of(image).items():
            yield index, self.apply_to_plane(classifier, plane, probabilities)

    def apply_to_plane(
        self,
        classifier: PixelClassifier,
        plane: Plane,
        probabilities: bool = False,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Classify one plane, block by block on all cores.

        Parameters
        ----------
        classifier, probabilities
            As for `apply`.
        plane : Plane
            Of the kind the classifier was trained on.
        progress : callable, optional
            Told of it instead of the segmenter's own.

        Returns
        -------
        Segmentation
            Of the whole plane.

        Raises
        ------
        ClassifierError, ImageError
            As from `channels`.
        """
        progress = progress or self.progress
        channels = self.channels(classifier, plane, progress)
        windows = blocks(plane.shape, BLOCK)
        labels = np.empty(plane.shape, classifier.label_values.dtype)
        shares = None
        if probabilities:
            shares = np.empty((len(classifier.classes), *plane.shape), np.float32)
        side = BLOCK + 2 * margin(classifier.smoothing)
        channels_and_votes = classifier.forest.n_features_in_ + 2 * len(classifier.classes)
        block_bytes = _COPIES * 4 * side**2 * channels_and_votes

        def work(window: Window) -> Segmentation:
            with _BLOCKS.taken(block_bytes):
                return classifier.predict(channels, window, probabilities)

        parts = in_order(work, windows, max(1, int(_BLOCKS_BYTES / block_bytes)))
        for done, (window, part) in enumerate(zip(windows, parts, strict=True), start=1):
            labels[window.slices] = part.labels
            if shares is not None and part.probabilities is not None:
                shares[:, *window.slices] = part.probabilities
            progress("segmentation", done, len(windows))
        return Segmentation(labels, shares, classifier.classes)

    def channels(
        self, classifier: PixelClassifier, plane: Plane, progress: Progress | None = None
    ) -> PixelChannels:
        """Return the channels of a plane that a classifier sees.

        Parameters
        ----------
        classifier, plane, progress
            As for `apply_to_plane`.

        Returns
        -------
        PixelChannels
            Evaluated where they are asked for.

        Raises
        ------
        ClassifierError
            As from `apply`.
        ImageError
            If the classifier sees 3-D filters, and the plane lies in no volume.
        """
        classifier.channels.require(plane)
        scale = classifier.scale
        classifier.require(self._identity(scale), plane.colours)
        features = self._features(plane, scale, progress or self.progress)
        return PixelChannels(plane, classifier.channels, features, classifier.projection)

    def load(self, classifier: PixelClassifier) -> None:
        """Load the model now, so that what is wrong with it is known before the first image.

        Raises
        ------
        ModelError
            If it is unknown, incomplete, damaged or cannot be fetched.
        ClassifierError
            If the classifier expects features of another.
        """
        try:
            identity = self._identity(classifier.scale)
        except ModelError as error:
            features = classifier.features
            if features is None or self.config.model != features.backbone.name:
                raise
            raise ModelError(
                f"{error} The classifier was trained with this model; if it lies elsewhere now, "
                "say where with --model."
            ) from error
        classifier.require_features(identity)

    def _identity(self, scale: int) -> FeatureIdentity | None:
        return None if self.config.model == CLASSICAL else self._extractor.identity(scale)

    def _features(self, plane: Plane, scale: int, progress: Progress) -> FeatureMap | None:
        if self.config.model == CLASSICAL:
            return None
        return self.cache.get(plane, self._extractor, scale, progress)

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor.load(self.config.model, self.device)


def segment(
    image: Micrograph,
    scribbles: NDArray[np.integer[Any]],
    config: SegmentationConfig | None = None,
    device: str = "auto",
) -> Segmentation:
    """Segment an image from scribbles on it.

    Parameters
    ----------
    image : Micrograph
        From `read_image` or `as_micrograph`.
    scribbles : ndarray
        Integers of the image's shape without its colours; 0 = not painted.
    config : SegmentationConfig, optional
        Model, scale, channels, trees, seed.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    Segmentation
        With labels and probabilities of the whole image: (..., Y, X) and (K, ..., Y, X).

    Raises
    ------
    ScribbleError
        If the scribbles do not fit the image or hold fewer than two classes.
    ModelError
        If the model is unknown, incomplete or cannot be fetched.
    """
    segmenter = Segmenter(config or SegmentationConfig(), device)
    classifier = segmenter.fit(image, scribbles)
    planes = [result for _, result in segmenter.apply(classifier, image, probabilities=True)]
    labels = np.stack([plane.labels for plane in planes]).reshape(image.label_shape)
    shares = np.stack([p.probabilities for p in planes if p.probabilities is not None], axis=1)
    shares = shares.reshape(-1, *image.label_shape)  # (K, planes, Y, X) -> (K, ..., Y, X)
    return Segmentation(labels, shares, classifier.classes)
