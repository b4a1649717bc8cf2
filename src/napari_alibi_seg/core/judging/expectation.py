"""What is expected of a segmentation without ground truth. Has no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import Assessment

_WRONG_PIXELS = 1.2
"""Half-width of a 90 % interval, as a multiple of the share of pixels expected to be wrong
(docs/accuracy.md)."""

_UNLIKE = 2.5
"""The novelty from which on a plane is unlike those painted (docs/accuracy.md)."""


@dataclass(frozen=True)
class Estimate:
    """A number between 0 and 1 with a nominal 90 % interval for the true value.

    The measured coverage is 98 % for the accuracy and, with deep features, 95 % for area fractions,
    but only 33 % of these on the worst data set; see `docs/accuracy.md`.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Expectation:
    """What votes say about the accuracy of a plane.

    Attributes
    ----------
    accuracy : float
        Expected share of the pixels that are right, 0 to 1.
    fractions : mapping
        Area fraction by class value.
    assessed : bool
        Whether strokes on the plane were held out to assess it.
    """

    accuracy: float
    fractions: Mapping[int, Estimate]
    assessed: bool = False

    @classmethod
    def of(
        cls, confusion: NDArray[np.float64] | None, classes: Sequence[ClassInfo]
    ) -> Expectation | None:
        """Return what the votes for a plane say; None if none of its pixels has data.

        Without strokes on the plane this holds as far as the plane resembles those painted
        (docs/accuracy.md).

        Parameters
        ----------
        confusion : ndarray or None
            (K, K), as in `Segmentation`.
        classes : sequence of ClassInfo
            The K classes.
        """
        if confusion is None or not confusion.any():
            return None
        confusion = confusion / confusion.sum()
        values = [info.value for info in classes]
        return cls(float(np.trace(confusion)), expected_fractions(confusion, values))


def recognises(assessments: Mapping[Index, Assessment]) -> bool:
    """Return whether votes count where nothing is painted: all assessments show recognition.

    Without any, nothing shows that the classes are recognised.
    """
    return bool(assessments) and all(one.recognises for one in assessments.values())


def is_unlike(novelty: float | None) -> bool:
    """Return whether a plane of this novelty (`Segmentation.novelty`) is unlike those painted."""
    return novelty is not None and novelty > _UNLIKE


def expectation(
    index: Index,
    voted: Expectation | None,
    assessments: Mapping[Index, Assessment] | None = None,
    recognised: bool | None = None,
    novelty: float | None = None,
) -> Expectation | None:
    """Return what is expected of a segmented plane; None if nothing can be said.

    Parameters
    ----------
    index : tuple of int
        Index of the plane.
    voted : Expectation or None
        What the votes for the plane say.
    assessments : mapping, optional
        Assessments of the painted planes, if the image was painted; the votes for its other
        planes count as `recognises` says.
    recognised : bool or None
        `PixelClassifier.recognised`; votes do not count if that is False, where the image was not
        painted.
    novelty : float, optional
        As in `Segmentation`; the votes for a plane that `is_unlike` do not count.
    """
    if assessments is not None:
        if index in assessments:
            return assessments[index].expected
        recognised = recognises(assessments)
    return None if recognised is False or is_unlike(novelty) else voted


def expected_fractions(
    confusion: NDArray[np.float64], classes: Iterable[int]
) -> dict[int, Estimate]:
    """Return area fractions with intervals from the expected errors of each class."""
    shares = confusion.sum(axis=0)
    wrong = shares + confusion.sum(axis=1) - 2 * np.diag(confusion)
    low, high = np.clip([shares - _WRONG_PIXELS * wrong, shares + _WRONG_PIXELS * wrong], 0, 1)
    return {
        int(value): Estimate(*map(float, numbers))
        for value, *numbers in zip(classes, shares, low, high, strict=True)
    }
