"""The main API: train a classifier from an image and scribbles, and segment images with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.errors import AlibiSegError, ClassifierError, ModelError
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.features.extraction import FeatureExtractor, FeatureIdentity, FeatureMap
from napari_alibi_seg.core.forest.classifier import PixelClassifier, require_classifier
from napari_alibi_seg.core.forest.painted_images import painted_images
from napari_alibi_seg.core.forest.prediction import predictions, strips
from napari_alibi_seg.core.forest.result import SAMPLED, Segmentation
from napari_alibi_seg.core.forest.samples import gather_samples
from napari_alibi_seg.core.forest.training import kind_of, training_classifier
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.pixel_size import common_size
from napari_alibi_seg.core.progress import Progress, map_steps, run_to_end, silent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

BLOCK = 256
"""Side of the blocks in which pixels are classified, a multiple of `SAMPLED`; affects memory use,
not the result."""


@dataclass(frozen=True)
class Segmenter:
    """Trains and applies classifiers; caches the backbone and feature maps.

    Attributes
    ----------
    config : SegmentationConfig
        Model and training settings.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    cache : FeatureCache
        Cache of feature maps.
    progress : callable
        Called after every tile, every few trees and every block.
    """

    config: SegmentationConfig = field(default_factory=SegmentationConfig)
    device: str = "auto"
    cache: FeatureCache = field(default_factory=FeatureCache)
    progress: Progress = silent

    def __post_init__(self) -> None:
        """Reject a configuration of another type."""
        if not isinstance(self.config, SegmentationConfig):
            raise AlibiSegError(
                f"A configuration is a SegmentationConfig, but this is {self.config!r}; write, for "
                "example, SegmentationConfig(model='classical')."
            )

    @classmethod
    def of(
        cls,
        classifier: PixelClassifier,
        model: str | None = None,
        *,
        device: str = "auto",
        cache: FeatureCache | None = None,
        progress: Progress = silent,
    ) -> Segmenter:
        """Return a segmenter with the model and settings that a classifier was trained with.

        Parameters
        ----------
        classifier : PixelClassifier
            The classifier to apply.
        model : str, optional
            Name or path of the backbone, if the name in the classifier is not valid on this
            machine.
        device, cache, progress
            As for `Segmenter`.

        Raises
        ------
        ClassifierError
            If a model is given, but the classifier was trained without one.
        """
        require_classifier(classifier)
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
        return cls(config, device, FeatureCache() if cache is None else cache, progress)

    def fit(
        self,
        image: Micrograph | Sequence[Micrograph],
        scribbles: NDArray[np.integer[Any]] | Sequence[NDArray[np.integer[Any]]],
        classes: Sequence[ClassInfo] | Mapping[int, str] = (),
        ignored: Collection[int] = (),
    ) -> PixelClassifier:
        """Train one forest on all scribbled planes of one or more images.

        Parameters
        ----------
        image : Micrograph or sequence of Micrograph
            Planes or stacks of planes, of any sizes; all with the same number of bands.
        scribbles : ndarray or sequence of ndarray
            For each image, integers of its ``label_shape``; 0 (or masked) = not painted.
        classes : sequence of ClassInfo, or mapping of int to str
            Names and colours of classes, or names by value, as in ``{1: "matrix", 2: "pores"}``;
            others get default ones.
        ignored : collection of int
            Classes excluded from training (see also `Segmentation.without_painted`).

        Returns
        -------
        PixelClassifier
            Can be applied to similar images, too; its classes are those painted, ascending.

        Raises
        ------
        ScribbleError
            If the number or shapes of scribbles do not match the images, fewer than 2 or more than
            64 classes are painted in all, or `classes` or `ignored` hold something else.
        ImageError
            If their numbers of bands differ, or 3-D filters are configured and an image has no
            Z axis.
        """
        named = ClassInfo.given(classes)
        by_image = painted_images(image, scribbles, ignored)
        painted = [pair for _, pairs in by_image for pair in pairs]
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
        work = training_classifier(
            self.config,
            samples,
            projection,
            features=self._identity(scale),
            bands=planes[0].bands,
            classes=named,
            pixel_size=common_size(one.voxel_size for one, _ in by_image),
            several=len(by_image) > 1,
        )
        trees = self.config.trees
        return run_to_end(map_steps(work, lambda grown: self.progress("training", grown, trees)))

    def apply(
        self, classifier: PixelClassifier, image: Micrograph, probabilities: bool = False
    ) -> Iterator[tuple[tuple[int, ...], Segmentation]]:
        """Classify every plane of an image, one after the other.

        Parameters
        ----------
        classifier : PixelClassifier
            From `fit` or `load_classifier`.
        image : Micrograph
            With as many bands as the training images.
        probabilities : bool
            Whether to return probabilities in addition to labels.

        Yields
        ------
        tuple
            Index of the plane (as in ``image.plane_indices()``) and its segmentation.

        Raises
        ------
        ClassifierError
            If the classifier expects other features or another kind of image.
        ImageError
            If it uses 3-D filters, and the image has no Z axis or too small a slice spacing.
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
            With as many bands as the training images.
        progress : callable, optional
            Used instead of the segmenter's own callback.

        Returns
        -------
        Segmentation
            Segmentation of the whole plane.

        Raises
        ------
        ClassifierError, ImageError
            As from `channels`.
        """
        progress = progress or self.progress
        channels = self.channels(classifier, plane, progress)
        labels = np.empty(plane.shape, classifier.label_values.dtype)
        probable = None
        if probabilities:
            probable = np.empty((len(classifier.classes), *plane.shape), np.float32)
        few = (-(-side // SAMPLED) for side in plane.shape)
        sampled = np.empty((len(classifier.classes), *few), np.float32)
        every = strips(plane.shape, BLOCK, len(classifier.classes))
        found = (
            part
            for windows in every
            for parts in predictions(classifier, channels, windows, BLOCK, probabilities)
            for part in parts.items()
        )
        total = sum(map(len, every))
        for done, (window, part) in enumerate(found, start=1):
            labels[window.slices] = part.labels
            if probable is not None and part.probabilities is not None:
                probable[:, *window.slices] = part.probabilities
            if part.sampled is not None:
                sampled[:, *_sampled(window)] = part.sampled
            progress("segmentation", done, total)
        return Segmentation(labels, probable, classifier.classes, sampled, channels.novelty)

    def channels(
        self, classifier: PixelClassifier, plane: Plane, progress: Progress | None = None
    ) -> PixelChannels:
        """Return the channels of a plane for a classifier.

        Parameters
        ----------
        classifier, plane, progress
            As for `apply_to_plane`.

        Returns
        -------
        PixelChannels
            Evaluated on demand.

        Raises
        ------
        ClassifierError
            As from `apply`.
        ImageError
            If the classifier uses 3-D filters, and they cannot be computed for the plane.
        """
        require_classifier(classifier)
        classifier.channels.require(plane)
        scale = classifier.scale
        classifier.require(self._identity(scale), plane.bands)
        features = self._features(plane, scale, progress or self.progress)
        return PixelChannels(plane, classifier.channels, features, classifier.projection)

    def load(self, classifier: PixelClassifier) -> None:
        """Load the model for a classifier now, to find problems before the first image.

        Raises
        ------
        ModelError
            If the model is unknown, incomplete, damaged or cannot be downloaded.
        ClassifierError
            If the classifier expects other features.
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
        return self._extractor.identity(scale) if self.config.deep else None

    def _features(self, plane: Plane, scale: int, progress: Progress) -> FeatureMap | None:
        if not self.config.deep:
            return None
        return self.cache.get(plane, self._extractor, scale, progress)

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        return FeatureExtractor.load(self.config.model, self.device)


def _sampled(block: Window) -> tuple[slice, slice]:
    """Return where the sampled pixels of a block lie among those of the plane."""
    rows, columns = (slice(s.start // SAMPLED, -(-s.stop // SAMPLED)) for s in block.slices)
    return rows, columns


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
        Integers of the image's ``label_shape``; 0 = not painted.
    config : SegmentationConfig, optional
        Model and training settings; defaults if None.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    Segmentation
        Labels (..., Y, X) and probabilities (K, ..., Y, X) of the whole image.

    Raises
    ------
    ScribbleError
        If the scribbles do not match the image or contain fewer than two classes.
    ModelError
        If the model is unknown, incomplete or cannot be downloaded.
    """
    segmenter = Segmenter(config or SegmentationConfig(), device)
    classifier = segmenter.fit(image, scribbles)
    labels = np.empty(image.label_shape, classifier.label_values.dtype)
    probable = np.empty((len(classifier.classes), *image.label_shape), np.float32)
    by_plane = np.moveaxis(probable, 0, -3)
    for index, plane in segmenter.apply(classifier, image, probabilities=True):
        labels[index], by_plane[index] = plane.labels, plane.probabilities
    return Segmentation(labels, probable, classifier.classes, probable[..., ::SAMPLED, ::SAMPLED])
