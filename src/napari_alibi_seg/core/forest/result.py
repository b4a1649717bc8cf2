"""The result of a classification."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.forest.vote_calibration import expected_confusion

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo

SAMPLED = 4
"""Step between the rows, and the columns, of `Segmentation.sampled`."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The classes of a plane or of a window of it, or of the planes of an image.

    Where it is of several planes, as from `segment`, their axes come before Y: labels and
    uncertainty are (..., Y, X), and what has one layer for each class is (K, ..., Y, X).

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
    novelty : float or None
        How unlike the painted images the plane is (`Projection.novelty`), about 1 for one of them;
        None for a window, or if it is unknown.
    """

    labels: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float32] | None
    classes: tuple[ClassInfo, ...]
    sampled: NDArray[np.float32] | None = None
    novelty: float | None = None

    @property
    def confusion(self) -> NDArray[np.float64] | None:
        """(K, K) `expected_confusion` of the sampled pixels that have a class; None if coarse."""
        if self.sampled is None:
            return None
        labels = self.labels[..., ::SAMPLED, ::SAMPLED]
        classified = labels > 0
        given = np.searchsorted([info.value for info in self.classes], labels[classified])
        return expected_confusion(np.moveaxis(self.sampled, 0, -1)[classified], given)

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


def margin_uncertainty(votes: NDArray[np.float32], axis: int = -1) -> NDArray[np.float32]:
    """Return the margin uncertainty, 1 - (largest - second largest share of votes).

    Parameters
    ----------
    votes : ndarray
        Shares in [0, 1] that add up to 1 along `axis`; any shape.
    axis : int
        The axis of two or more classes.

    Returns
    -------
    ndarray
        In [0, 1], with the shape of `votes` without `axis`.
    """
    second, first = np.moveaxis(np.partition(votes, -2, axis), axis, 0)[-2:]
    uncertainty: NDArray[np.float32] = 1 - (first - second)
    return uncertainty
