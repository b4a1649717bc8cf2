"""Pixel classifiers: a forest with a description of its input, and its training samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_alibi_seg.core.choices import CLASSICAL, SCALE
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.errors import AlibiSegError, ClassifierError, ScribbleError
from napari_alibi_seg.core.forest.strokes import require_classes, training_pixels
from napari_alibi_seg.core.forest.vote_calibration import (
    CLASSICAL_PRIOR,
    DEEP_PRIOR,
    calibrated,
    expected_confusion,
)
from napari_alibi_seg.core.forest.voting import margin_uncertainty, votes

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.pixel_channels import Projection
    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.features.extraction import FeatureIdentity
    from napari_alibi_seg.core.forest.training import PixelForest
    from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior
    from napari_alibi_seg.core.images.windows import Window

SAMPLED = 4
"""Step between the rows, and the columns, of `Segmentation.sampled`."""


class Channels(Protocol):
    """Interface to the channels of a plane."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""

    def guide(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width) normalised grey values of a window inside the plane."""

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels not to segment in a window; see `Plane.missing`."""

    def block(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width, F) channels of a window inside the plane."""

    def subsampled(self, window: Window, step: int) -> NDArray[np.float32]:
        """Return (h, w, F) channels of every `step`-th pixel of a window in rows and columns."""

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) channels of N different pixels in row-major order."""


@dataclass(frozen=True, eq=False)
class PixelSamples:
    """Labelled pixels.

    Attributes
    ----------
    values : ndarray
        (N, F) float32 channels.
    labels : ndarray
        (N,) class values as painted.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]


def thinned(samples: Sequence[PixelSamples], most: int) -> list[PixelSamples]:
    """Subsample the classes that have many pixels.

    Parameters
    ----------
    samples : sequence of PixelSamples
        Samples of each plane.
    most : int
        Approximate maximum of pixels in all, shared evenly among the classes; each plane keeps at
        least one pixel of every class in it.
    """
    classes, counts = np.unique(
        np.concatenate([some.labels for some in samples]), return_counts=True
    )
    every = -(-counts * len(classes) // most)
    few = []
    for some in samples:
        kept = [np.flatnonzero(some.labels == c)[::n] for c, n in zip(classes, every, strict=True)]
        chosen = np.sort(np.concatenate(kept))
        few.append(PixelSamples(some.values[chosen], some.labels[chosen]))
    return few


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The classes of a plane or of a window of it.

    Attributes
    ----------
    labels : ndarray
        (Y, X) class values as painted, 0 where the image has no data; uint8, or uint16 if needed.
    probabilities : ndarray or None
        (K, Y, X) float32 probability of each class, in the order of `classes`; 0 where the image
        has no data. Computed from the votes with the typical temperature
        (`core.forest.vote_calibration`); None unless requested.
    classes : tuple of ClassInfo
        The K classes.
    sampled : ndarray or None
        (K, ceil(Y / 4), ceil(X / 4)) float32 probabilities of every fourth row and column, from
        the first, computed like `probabilities`; None if coarse.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float32] | None
    classes: tuple[ClassInfo, ...]
    sampled: NDArray[np.float32] | None = None

    @property
    def confusion(self) -> NDArray[np.float64] | None:
        """(K, K) `expected_confusion` of the sampled pixels that have a class; None if coarse."""
        if self.sampled is None:
            return None
        labels = self.labels[..., ::SAMPLED, ::SAMPLED]
        there = labels > 0
        given = np.searchsorted([info.value for info in self.classes], labels[there])
        return expected_confusion(np.moveaxis(self.sampled, 0, -1)[there], given)

    @property
    def uncertainty(self) -> NDArray[np.float32]:
        """(Y, X) `margin_uncertainty` of `probabilities`, which must not be None."""
        if self.probabilities is None:
            raise AlibiSegError(
                "There is no uncertainty without probabilities; ask for them with "
                "probabilities=True."
            )
        return margin_uncertainty(self.probabilities, axis=0)

    def without(self, missing: NDArray[np.bool_] | None) -> Segmentation:
        """Return the segmentation with 0 where the (Y, X) mask `missing` is true."""
        if missing is None or not missing.any():
            return self
        labels = np.where(missing, 0, self.labels).astype(self.labels.dtype)
        probable = None if self.probabilities is None else np.where(missing, 0, self.probabilities)
        return replace(self, labels=labels, probabilities=probable)

    def without_painted(
        self, scribbles: NDArray[np.integer[Any]], ignored: Collection[int]
    ) -> Segmentation:
        """Return the segmentation with 0 where (Y, X) `scribbles` hold an ignored class."""
        return self.without(np.isin(scribbles, list(ignored))) if ignored else self


def gather_samples(channels: Channels, scribbles: NDArray[np.integer[Any]]) -> PixelSamples:
    """Evaluate the channels at the scribbled pixels that train (`training_pixels`).

    Parameters
    ----------
    channels : Channels
        Channels of the plane.
    scribbles : ndarray
        (Y, X) integers, 0 = not painted.

    Raises
    ------
    ScribbleError
        If the shape of the scribbles differs from that of the plane.
    """
    if scribbles.shape != channels.shape:
        raise ScribbleError(
            f"The scribbles have shape {scribbles.shape} but the image plane has {channels.shape}; "
            "paint on a layer of the image's own size."
        )
    rows, columns = training_pixels(scribbles)
    return PixelSamples(channels.points(rows, columns), scribbles[rows, columns])


def require_two_classes(painted: NDArray[np.integer[Any]], ignored: Collection[int] = ()) -> None:
    """Raise a `ScribbleError` unless at least two classes are painted.

    Parameters
    ----------
    painted : ndarray
        Scribbles of any shape, without ignored classes; 0 = not painted.
    ignored : collection of int
        Ignored classes, which only affect the message.

    Raises
    ------
    ScribbleError
        If a value is not a valid class, or fewer than two classes are painted.
    """
    values = np.unique(painted[painted != 0])
    require_classes(values)
    if values.size < 2:
        found = f"only class {values[0]} is painted" if values.size else "nothing is painted yet"
        found += " that is not ignored" if ignored else ""
        raise ScribbleError(
            f"A segmentation needs two classes, but {found}; paint a stroke in each of two or more."
        )


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
    """

    forest: PixelForest
    classes: tuple[ClassInfo, ...]
    channels: ChannelConfig
    projection: Projection | None
    features: FeatureIdentity | None
    bands: int
    smoothing: int = 0

    @property
    def model(self) -> str:
        """Name of the backbone when it was trained, or ``classical`` for none."""
        return CLASSICAL if self.features is None else self.features.backbone.name

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
        if self.bands != bands:
            ways = {1: "one channel as grey", 3: "three channels, or grey as 0,0,0,"}
            way = ways.get(self.bands, f"{self.bands} channels")
            raise ClassifierError(
                f"The classifier was trained on {_kind(self.bands)} images, but this one is "
                f"{_kind(bands)}; choose {way} with channels (--channels), or train again."
            )

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


def _kind(bands: int) -> str:
    return {1: "grey", 3: "colour"}.get(bands, f"{bands}-channel")
