"""Votes smoothed where the image is smooth, and left alone across its edges: the guided filter.

A forest judges every pixel alone, so noise makes it change its mind from one to the next. Here
the votes of each class become, in every small square, a linear function of the grey value.

K. He, J. Sun, X. Tang, "Guided image filtering", IEEE TPAMI 35 (2013) 1397-1409.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.machine_code import compiled

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
    result = np.empty_like(shares)
    _filter(shares, guide.astype(np.float64), radius, result)
    return result


def compile_now() -> None:
    """Get the machine code ready, which takes seconds the first time on a machine."""
    smoothed(np.ones((1, 1, 1)), np.zeros((1, 1), np.float32), 1)


@compiled
def _filter(shares: Any, grey: Any, radius: int, out: Any) -> None:
    """Write the smoothed shares, one class after the other."""
    height, width = grey.shape
    mean_grey, spread, total = np.empty_like(grey), np.empty_like(grey), np.zeros_like(grey)
    part, mean = np.empty_like(grey), np.empty_like(grey)
    slope, offset = np.empty_like(grey), np.empty_like(grey)
    _box(grey, radius, mean_grey)
    _box(grey * grey, radius, spread)
    spread += _EPSILON - mean_grey * mean_grey
    for k in range(shares.shape[2]):
        for y in range(height):
            for x in range(width):
                part[y, x] = shares[y, x, k]
        _box(part, radius, mean)
        part *= grey
        _box(part, radius, slope)
        for y in range(height):
            for x in range(width):
                slope[y, x] = (slope[y, x] - mean_grey[y, x] * mean[y, x]) / spread[y, x]
                offset[y, x] = mean[y, x] - slope[y, x] * mean_grey[y, x]
        _box(slope, radius, mean)
        _box(offset, radius, part)
        for y in range(height):
            for x in range(width):
                share = min(max(mean[y, x] * grey[y, x] + part[y, x], 0.0), 1.0)
                out[y, x, k] = share
                total[y, x] += share
    for y in range(height):
        for x in range(width):
            for k in range(shares.shape[2]):
                out[y, x, k] /= total[y, x]


@compiled
def _box(values: Any, radius: int, out: Any) -> None:
    """Write the mean over squares; scipy's uniform_filter is as fast, but its sums run on."""
    height, width = values.shape
    sums, row = np.empty(width), np.empty(width + 2 * radius)
    for y in range(height):
        sums[:] = 0
        for d in range(-radius, radius + 1):
            _add(sums, values[min(max(y + d, 0), height - 1)])
        row[:radius], row[radius + width :] = sums[0], sums[width - 1]
        row[radius : radius + width] = sums
        sums[:] = 0
        for d in range(2 * radius + 1):
            _add(sums, row[d : d + width])
        out[y] = sums / (2 * radius + 1) ** 2


@compiled
def _add(sums: Any, values: Any) -> None:
    for x in range(len(sums)):
        sums[x] += values[x]
