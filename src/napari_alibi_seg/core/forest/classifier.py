"""Pixel classifiers: a forest with a description of its input."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.choices import CLASSICAL, SCALE
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.errors import ClassifierError
from napari_alibi_seg.core.forest.result import SAMPLED, Segmentation
from napari_alibi_seg.core.forest.vote_calibration import (
    CLASSICAL_PRIOR,
    DEEP_PRIOR,
    calibrated,
)
from napari_alibi_seg.core.forest.voting import votes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.features.extraction import FeatureIdentity
    from napari_alibi_seg.core.forest.training import PixelForest
    from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior
    from napari_alibi_seg.core.images.pixel_size import PixelSize

_OTHER_SIZE = 1.25
"""Pixels this many times as wide, or as narrow, are not of the same magnification."""
_OTHER_SPACING = 1.5
"""Planes this many times as far apart, or as close, do not show structures in the same detail."""


@dataclass(frozen=True)
class PixelClassifier:
    """A fitted forest with a description of the input it requires.

    Attributes
    ----------
    forest : ExtraTreesClassifier or RandomForestClassifier
        Fitted on `PixelSamples` (`training_forest`).
    classes : tuple of ClassInfo
        In the order of ``forest.classes_``.
    channels : ChannelConfig
        The channels of a pixel.
    projection : Projection or None
        Projection of the deep features; None for pixel filters only.
    features : FeatureIdentity or None
        Identity of the deep features; None for pixel filters only.
    bands : int
        Number of values per pixel of the planes it was trained on: 1 for grey, 3 for colour.
    smoothing : int
        Radius, in pixels, of the filter that smooths the votes (`smoothed`); 0 for none.
    pixel_size : PixelSize or None
        That of the images it was trained on, those with strokes (`Micrograph.voxel_size`); None if
        it is unknown or they differ in it.
    recognised : bool or None
        Whether strokes left out of its training are recognised (`recognises`), without which its
        votes are no evidence; None if it was not assessed.
    """

    forest: PixelForest
    classes: tuple[ClassInfo, ...]
    channels: ChannelConfig
    projection: Projection | None
    features: FeatureIdentity | None
    bands: int
    smoothing: int = 0
    pixel_size: PixelSize | None = None
    recognised: bool | None = None

    @property
    def model(self) -> str:
        """Name of the backbone when it was trained, or ``classical`` for none."""
        return CLASSICAL if self.features is None else self.features.backbone.name

    @cached_property
    def fingerprint(self) -> str:
        """A name for what determines its labels, in memory and in files: the digits of a SHA-256.

        Names and colours of the classes and the pixel size do not count. It begins with a letter,
        or some would be taken for numbers by programs that read tables.
        """
        features = None if self.features is None else self.features.key
        settings = asdict(self.channels), features, self.bands, self.smoothing
        found = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        projection, trees = self.projection, (one.tree_ for one in self.forest.estimators_)
        projected = () if projection is None else (projection.mean, projection.components)
        nodes = (
            (one.children_left, one.children_right, one.feature, one.threshold, one.value)
            for one in trees
        )
        for values in chain((self.label_values,), projected, *nodes):
            found.update(np.ascontiguousarray(values).data)
        return f"c{found.hexdigest()[:12]}"

    @property
    def scale(self) -> int:
        """Magnification of the image before the backbone; the default if there is none."""
        return SCALE if self.features is None else self.features.scale

    def require(self, features: FeatureIdentity | None, bands: int) -> None:
        """Reject features, or planes of a number of bands, that the forest was not trained on.

        Raises
        ------
        ClassifierError
            As from `require_features` and `require_bands`.
        """
        self.require_features(features)
        self.require_bands(bands)

    def require_bands(self, bands: int) -> None:
        """Reject planes of a number of bands that the forest was not trained on.

        Raises
        ------
        ClassifierError
            If the number is another.
        """
        misfit = self.misfit(bands)
        if misfit:
            ways = {1: "one channel as grey", 3: "three channels, or grey as 0,0,0,"}
            way = ways.get(self.bands, f"{self.bands} channels")
            raise ClassifierError(
                f"{misfit}; choose {way} with channels (--channels), or train again."
            )

    def misfit(self, bands: int) -> str:
        """Return that planes of a number of bands are of another kind; empty if they are not."""
        if self.bands == bands:
            return ""
        learnt, given = map(kind_of_images, (self.bands, bands))
        return f"The classifier was trained on {learnt} images, but this one is {given}"

    def require_features(self, features: FeatureIdentity | None) -> None:
        """Reject features that the forest was not trained on.

        Raises
        ------
        ClassifierError
            If architecture, weights, geometry, block, scale or tiling differ.
        """
        mine, other = (None if f is None else f.key for f in (self.features, features))
        if mine != other:
            raise ClassifierError(
                f"The classifier was trained on features of {self.features or 'no model'}, but "
                f"these are of {features or 'no model'}; use that model and scale, or train again."
            )

    def doubt(self, size: PixelSize | None) -> str:
        """Return why its result on pixels of a size is doubtful; empty if it is not, or unknown."""
        mine = self.pixel_size
        if mine is None or size is None:
            return ""
        times = size.times(mine)
        if times is None or 1 / _OTHER_SIZE < times < _OTHER_SIZE:
            return self._doubt_through_planes(mine, size)
        return (
            f"The pixels are {size.words} wide, not {mine.words} wide as those that the classifier "
            "was trained on. It knows structures by their width in pixels, so results are "
            "doubtful; train on an image of this magnification, or resize this one."
        )

    def _doubt_through_planes(self, mine: PixelSize, size: PixelSize) -> str:
        learnt, apart = mine.anisotropy, size.anisotropy
        if not (self.channels.sigmas_3d and learnt and apart):
            return ""
        if 1 / _OTHER_SPACING < apart / learnt < _OTHER_SPACING:
            return ""
        return (
            f"The planes lie {apart:.3g} pixels apart, not {learnt:.3g} as those that the "
            "classifier was trained on. Its 3-D filters know structures as such planes show "
            "them, so results are doubtful; train on a volume like this one."
        )

    def segmentation(
        self,
        shares: NDArray[np.float64],
        missing: NDArray[np.bool_] | None,
        probabilities: bool = False,
    ) -> Segmentation:
        """Return the segmentation of a window by votes.

        Parameters
        ----------
        shares : ndarray
            (Y, X, K) smoothed shares of votes, in the order of `classes`.
        missing : ndarray or None
            (Y, X) mask of pixels to be 0; see `Plane.missing`.
        probabilities : bool
            Whether to return probabilities in addition to labels.
        """
        labels, probable = self.label_values[shares.argmax(axis=-1)], None
        sampled = self._probable(shares[::SAMPLED, ::SAMPLED])
        if probabilities:
            probable = self._probable(shares)
        return Segmentation(labels, probable, self.classes, sampled).without(missing)

    def _probable(self, shares: NDArray[np.float64]) -> NDArray[np.float32]:
        usual = self.prior.smoothed if self.smoothing else self.prior.typical
        return np.moveaxis(calibrated(shares.astype(np.float32), usual), -1, 0)

    def classify(self, values: NDArray[np.float32]) -> Segmentation:
        """Classify (Y, X, F) channel values without smoothing the votes."""
        winner = votes(self.forest, values).argmax(axis=-1)
        return Segmentation(self.label_values[winner], None, self.classes)

    @property
    def prior(self) -> TemperaturePrior:
        """Temperature prior for its kind of channels."""
        return CLASSICAL_PRIOR if self.projection is None else DEEP_PRIOR

    @property
    def label_values(self) -> NDArray[np.unsignedinteger[Any]]:
        """(K,) class values, in the smallest unsigned dtype that holds them."""
        values = np.array([info.value for info in self.classes])
        return values.astype(np.min_scalar_type(values.max()))

    def renamed(self, classes: Sequence[ClassInfo]) -> PixelClassifier:
        """Return the classifier with the names and colours of `classes`."""
        known = (*self.classes, *classes)
        return replace(self, classes=ClassInfo.of(self.label_values, known))


def require_classifier(classifier: object) -> None:
    """Raise a `ClassifierError` unless this is a `PixelClassifier`."""
    if not isinstance(classifier, PixelClassifier):
        raise ClassifierError(
            f"A classifier is a PixelClassifier, but this is {classifier!r}; read a file with "
            "load_classifier."
        )


def kind_of_images(bands: int) -> str:
    """Return what images with a number of values per pixel are called in messages."""
    return {1: "grey", 3: "colour"}.get(bands, f"{bands}-channel")
