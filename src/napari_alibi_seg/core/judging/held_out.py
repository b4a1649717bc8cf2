"""What forests say of strokes that were held out of their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.forest.vote_calibration import calibrated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.vote_calibration import TemperaturePrior

_RANGE = (0.2, 5.0)
_SPREAD = 0.2
"""Standard deviation of the prior on the temperature's natural logarithm."""


@dataclass(frozen=True, eq=False)
class HeldOutVotes:
    """Votes of forests for strokes held out of their training.

    Attributes
    ----------
    votes : ndarray
        (N, K) shares of votes.
    truth : ndarray
        (N,) index of the painted class, 0 to K - 1.
    strokes : ndarray
        (N,) number of the stroke a pixel belongs to.
    """

    votes: NDArray[np.float32]
    truth: NDArray[np.integer[Any]]
    strokes: NDArray[np.integer[Any]]

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,) pixel weights adding up to 1; classes, and strokes within a class, weigh equally."""
        _, stroke = np.unique(self.strokes, return_inverse=True)
        weights = 1 / np.bincount(stroke)[stroke]
        weights /= np.bincount(self.truth, weights)[self.truth]
        return np.asarray(weights / weights.sum(), np.float64)

    @property
    def recalls(self) -> NDArray[np.float64]:
        """(K,) recall of each class, 0 to 1, with equal weight for each of its strokes."""
        weights, right = self.weights, self.votes.argmax(axis=1) == self.truth
        whole = np.bincount(self.truth, weights, self.votes.shape[1])
        return np.asarray(
            np.bincount(self.truth, weights * right, self.votes.shape[1]) / whole, np.float64
        )


def fit_temperature(held_out: HeldOutVotes, prior: TemperaturePrior) -> float:
    """Find the maximum a posteriori temperature for held-out strokes.

    A few strokes are weak evidence: alone they miss the right temperature by up to a factor of two,
    because strokes are painted where phases are clear. So each stroke counts as one observation
    against the prior.
    """
    from scipy.optimize import minimize_scalar  # imported late, so that the window opens faster

    weights, strokes = held_out.weights, len(np.unique(held_out.strokes))
    rows = np.arange(len(held_out.truth))

    def misfit(log_temperature: float) -> float:
        probable = calibrated(held_out.votes, np.exp(log_temperature))[rows, held_out.truth]
        surprise = (log_temperature - np.log(prior.typical)) / _SPREAD
        return float(-strokes * (weights * np.log(probable)).sum() + surprise**2 / 2)

    best = minimize_scalar(misfit, bounds=np.log(_RANGE), method="bounded")
    return float(np.exp(best.x))
