"""Temperature scaling of the forest's votes into probabilities.

A forest of fully grown trees trained on few strokes and many channels is underconfident: of the
pixels with 80 % of the votes, more than 80 % are right. A temperature, which depends on the kind of
channels and on whether votes are smoothed, corrects much of this (Guo et al., "On calibration of
modern neural networks", arXiv 1706.04599, applied to shares of votes). It never changes which class
wins. Figures: docs/accuracy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SHARE = 0.01


@dataclass(frozen=True)
class TemperaturePrior:
    """Prior for the temperature of a kind of forest, from micrographs with ground truth.

    Attributes
    ----------
    typical : float
        Typical temperature; below 1 sharpens.
    smoothed : float
        Typical temperature of smoothed votes (`core.forest.smoothing`).
    """

    typical: float
    smoothed: float


DEEP_PRIOR = TemperaturePrior(0.68, 0.71)
"""For deep features with pixel filters, from the development set (docs/accuracy.md)."""
CLASSICAL_PRIOR = TemperaturePrior(0.88, 0.79)
"""For pixel filters alone, from the development set."""


def calibrated(votes: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Convert shares of votes to probabilities.

    Parameters
    ----------
    votes : ndarray
        (..., K) shares, adding up to 1.
    temperature : float
        Above 0; below 1 sharpens. At 1 the shares are only regularised.

    Returns
    -------
    ndarray
        (..., K) ``(0.01 + 0.99 * share) ** (1 / temperature)``, normalised to add up to 1; the
        order of the classes of a pixel is kept.
    """
    # No probability is 0: all trees may agree and still be wrong.
    shares = _LEAST_SHARE + (1 - _LEAST_SHARE) * votes
    powers = shares ** np.float32(1 / temperature)
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def expected_confusion(
    probabilities: NDArray[np.float32], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return the confusion matrix to be expected from probabilities.

    Parameters
    ----------
    probabilities : ndarray
        (N, K), adding up to 1.
    labels : ndarray
        (N,) index of the class given to each pixel, 0 to K - 1.

    Returns
    -------
    ndarray
        (K, K) numbers of pixels by true class (row) and given class (column), sum N.
    """
    given = [probabilities[labels == label] for label in range(probabilities.shape[1])]
    return np.stack([some.sum(axis=0, dtype=np.float64) for some in given], axis=1)
