"""How far the forest's votes can be taken for probabilities.

A forest of fully grown trees is modest where it has few strokes and many channels: of the pixels
for which 80 % of the trees vote, more than 80 % are right. One temperature per kind of channels,
and another once votes are smoothed, repairs much of it (Guo et al., "On calibration of modern
neural networks", arXiv 1706.04599, applied to shares of votes). It never changes which class wins.
Figures: docs/accuracy.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SHARE = 0.01
_RANGE = (0.2, 5.0)


@dataclass(frozen=True)
class TemperaturePrior:
    """Which temperatures forests of a kind have on micrographs with ground truth.

    Attributes
    ----------
    typical : float
        The one that suits most; below 1 sharpens.
    smoothed : float
        The same for votes that were smoothed (`core.forest.smoothing`).
    spread : float
        Standard deviation of its natural logarithm that a few strokes are allowed to ask for.
    """

    typical: float
    smoothed: float
    spread: float


DEEP_PRIOR = TemperaturePrior(0.64, 0.71, 0.2)
"""Of deep features beside pixel filters, on the development set (docs/accuracy.md)."""
CLASSICAL_PRIOR = TemperaturePrior(0.88, 0.79, 0.2)
"""Of pixel filters alone, on the development set."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What forests said of strokes they had not seen.

    Attributes
    ----------
    votes : ndarray
        (N, K) shares of votes.
    truth : ndarray
        (N,) which of the K classes was painted.
    strokes : ndarray
        (N,) number of the stroke a pixel belongs to.
    """

    votes: NDArray[np.float32]
    truth: NDArray[np.integer[Any]]
    strokes: NDArray[np.integer[Any]]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,) adding up to 1: classes weigh alike, and so do the strokes of a class."""
        _, stroke = np.unique(self.strokes, return_inverse=True)
        weights = 1 / np.bincount(stroke)[stroke]
        weights /= np.bincount(self.truth, weights)[self.truth]
        return np.asarray(weights / weights.sum(), np.float64)

    @property
    def recalls(self) -> NDArray[np.float64]:
        """(K,) share of each class's strokes that was recognised, 0 to 1."""
        weights, right = self.weights, self.votes.argmax(axis=1) == self.truth
        whole = np.bincount(self.truth, weights, self.votes.shape[1])
        return np.asarray(
            np.bincount(self.truth, weights * right, self.votes.shape[1]) / whole, np.float64
        )


def calibrated(votes: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Turn shares of votes into probabilities.

    Parameters
    ----------
    votes : ndarray
        (..., K) shares, adding up to 1.
    temperature : float
        Above 0; 1 returns the shares themselves, but for those under 1 %.

    Returns
    -------
    ndarray
        (..., K) ``share ** (1 / temperature)``, made to add up to 1; the order of the classes of
        a pixel is kept, also among those under 1 %.
    """
    # No share is nothing: a hundred trees that agree may all be wrong.
    shares = _LEAST_SHARE + (1 - _LEAST_SHARE) * votes
    powers = shares ** np.float32(1 / temperature)
    probabilities: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def fit_temperature(held_out: HeldOut, prior: TemperaturePrior) -> float:
    """Find the temperature that strokes left out ask for, held back by what is usual.

    A few strokes are weak evidence: by themselves they miss the right temperature by a factor of
    two either way, because strokes are painted where things are plain. So each stroke counts as
    one observation against the prior.
    """
    from scipy.optimize import minimize_scalar  # only now, not when the window opens

    weights, strokes = held_out.weights, len(np.unique(held_out.strokes))
    rows = np.arange(len(held_out.truth))

    def misfit(log_temperature: float) -> float:
        told = calibrated(held_out.votes, np.exp(log_temperature))[rows, held_out.truth]
        surprise = (log_temperature - np.log(prior.typical)) / prior.spread
        return float(-strokes * (weights * np.log(told)).sum() + surprise**2 / 2)

    found = minimize_scalar(misfit, bounds=np.log(_RANGE), method="bounded")
    return float(np.exp(found.x))
