"""The authors' probe for single channels, and a shuffled null."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.model.position import AUTHORS_ALPHA, authors_samples, rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.position import FloatArray


def authors_channel_r2(
    tokens: FloatArray, targets: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the R^2 of the authors' probe for each channel alone, averaged over the repeats.

    The single-channel ridge regressions are solved in closed form, for all channels at once.

    Parameters
    ----------
    tokens, targets, rng
        As in `authors_r2`.

    Returns
    -------
    ndarray
        (C, K) R^2, at most 1.
    """
    x, y = rows(tokens).astype(np.float64), rows(targets)
    scores = [_channel_r2(x, y, sample) for sample in authors_samples(len(x), rng)]
    return np.asarray(np.mean(scores, axis=0))


def shuffled(tokens: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (h, w, C) tokens in random order, which destroys all position."""
    return rng.permutation(rows(tokens)).reshape(tokens.shape)


def _channel_r2(x: FloatArray, y: FloatArray, sample: NDArray[np.intp]) -> FloatArray:
    fitted = x[sample]
    mean, target_mean = fitted.mean(axis=0), y[sample].mean(axis=0)
    deviation = fitted.std(axis=0)
    z = (x - mean) / np.where(deviation > 0, deviation, 1.0)
    weights = z[sample].T @ (y[sample] - target_mean)
    weights /= (z[sample] ** 2).sum(axis=0)[:, None] + AUTHORS_ALPHA  # (C, K)
    aim = y - target_mean
    # The sum of (aim - weight z)^2, multiplied out.
    residual = (
        (aim**2).sum(axis=0) - 2 * weights * (z.T @ aim) + weights**2 * (z**2).sum(axis=0)[:, None]
    )
    return np.asarray(1.0 - residual / ((y - y.mean(axis=0)) ** 2).sum(axis=0))
