"""Votes smoothed where the image is smooth, and left alone across its edges: the guided filter.

A forest judges every pixel alone, so noise makes it change its mind from one to the next. Here
the votes of each class become, in every small square, a linear function of the grey value.

K. He, J. Sun, X. Tang, "Guided image filtering", IEEE TPAMI 35 (2013) 1397-1409.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate1d

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.planes import Window

_EPSILON = 1e-4


def reach(window: Window, radius: int, shape: tuple[int, int]) -> Window:
    """Return what of a plane must be known to smooth a window of it: two radii more."""
    return window.grown(2 * radius).within(shape)


def smoothed(
    shares: NDArray[np.float64], guide: NDArray[np.float32], radius: int
) -> NDArray[np.float64]:
    """Smooth shares of votes along the edges of an image.

    Every pixel is computed from the pixels within two radii in one fixed order, so windows cut in
    other ways agree to the last bit.

    Parameters
    ----------
    shares : ndarray
        (Y, X, K), in [0, 1], with sum 1.
    guide : ndarray
        (Y, X) grey values, normalised so that the image extends over about 1.
    radius : int
        Half the side of the squares, in pixels; 0 changes nothing.

    Returns
    -------
    ndarray
        (Y, X, K), in [0, 1], with sum 1.
    """
    if radius == 0:
        return shares
    grey = guide.astype(np.float64)
    parts = np.ascontiguousarray(np.moveaxis(shares, -1, 0))  # (K, Y, X)
    mean_grey, mean_parts = _box(grey, radius), _box(parts, radius)
    variance = _box(grey * grey, radius) - mean_grey**2
    covariance = _box(grey * parts, radius) - mean_grey * mean_parts
    slope = covariance / (variance + _EPSILON)
    offset = mean_parts - slope * mean_grey
    result = np.clip(_box(slope, radius) * grey + _box(offset, radius), 0, 1)
    return np.moveaxis(result / result.sum(axis=0), 0, -1)


def _box(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Return the mean over squares; scipy's uniform_filter is faster, but its sums run on."""
    weights = np.full(2 * radius + 1, 1 / (2 * radius + 1))
    for axis in (-2, -1):
        values = correlate1d(values, weights, axis, mode="nearest")
    return values
