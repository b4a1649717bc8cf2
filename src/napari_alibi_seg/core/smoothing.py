"""Votes smoothed where the image is smooth, and left alone across its edges: the guided filter.

A forest judges every pixel alone, so noise makes it change its mind from one to the next. Here
the votes of each class become, in every small square, a linear function of the grey value; where
they are mostly noise, in squares twice as wide. Trees agree less than they are right, and the
more so once neighbours are averaged, so shares are squared first (docs/quality.md).

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
# How much noise in the votes hides as much of what they vary with (docs/quality.md).
_NOISE_COUNTS = 12.0


def margin(radius: int) -> int:
    """Return how far around a pixel its smoothed votes look, in pixels."""
    return 4 * radius + 1 if radius else 0


def reach(window: Window, radius: int, shape: tuple[int, int]) -> Window:
    """Return what of a plane must be known to smooth a window of it."""
    return window.grown(margin(radius)).within(shape)


def smoothed(
    shares: NDArray[np.float64], guide: NDArray[np.float32], radius: int
) -> NDArray[np.float64]:
    """Square shares of votes, and smooth them along the edges of an image.

    Every pixel is computed from the pixels within `reach` in one fixed order, so windows cut in
    other ways agree to the last bit.

    Parameters
    ----------
    shares : ndarray
        (Y, X, K), in [0, 1], with sum 1.
    guide : ndarray
        (Y, X) grey values, normalised so that the image extends over about 1.
    radius : int
        Half the side of the squares, in pixels, where the votes are clear; 0 changes nothing.

    Returns
    -------
    ndarray
        (Y, X, K), in [0, 1], with sum 1.
    """
    if radius == 0:
        return shares
    result = np.empty_like(shares)
    _smooth(_squared(shares), guide.astype(np.float64), radius, result)
    return result


def compile_now() -> None:
    """Get the machine code ready, which takes seconds the first time on a machine."""
    smoothed(np.ones((1, 1, 1)), np.zeros((1, 1), np.float32), 1)


@compiled
def _squared(shares: Any) -> Any:
    """Return the squares of shares, made to add up to 1."""
    height, width, classes = shares.shape
    squares = shares * shares
    for y in range(height):
        for x in range(width):
            total = 0.0
            for k in range(classes):
                total += squares[y, x, k]
            for k in range(classes):
                squares[y, x, k] /= total
    return squares


@compiled
def _smooth(shares: Any, grey: Any, radius: int, out: Any) -> None:
    """Write the smoothed shares."""
    height, width, classes = shares.shape
    share, guide, edges = np.empty_like(grey), np.empty_like(grey), np.empty_like(grey)
    noise, structure = np.zeros_like(grey), np.zeros_like(grey)
    _cross(grey, 0.5, 0.25, guide)
    near, far = _guided(shares, guide, radius), _guided(shares, guide, 2 * radius)
    for k in range(classes):
        share[:] = shares[..., k]
        _cross(share, 1.0, -0.5, edges)
        _add_variance(edges, radius, noise)
        _add_variance(near[k], radius, structure)
    for y in range(height):
        for x in range(width):
            unclear = (_NOISE_COUNTS * noise[y, x]) ** 2
            wide = unclear / (unclear + structure[y, x] ** 2 + _EPSILON**2)
            total = 0.0
            for k in range(classes):
                mixed = near[k, y, x] + wide * (far[k, y, x] - near[k, y, x])
                out[y, x, k] = min(max(mixed, 0.0), 1.0)
                total += out[y, x, k]
            for k in range(classes):
                out[y, x, k] /= total


@compiled
def _guided(shares: Any, guide: Any, radius: int) -> Any:
    """Return the shares filtered, (K, Y, X); the last class is what the others leave."""
    height, width, classes = shares.shape
    result = np.ones((classes, height, width))
    share, mean, slope = np.empty_like(guide), np.empty_like(guide), np.empty_like(guide)
    mean_guide, spread = np.empty_like(guide), np.empty_like(guide)
    _box(guide, radius, mean_guide)
    _box(guide * guide, radius, spread)
    spread += _EPSILON - mean_guide * mean_guide
    for k in range(classes - 1):
        share[:] = shares[..., k]
        _box(share, radius, mean)
        share *= guide
        _box(share, radius, slope)
        for y in range(height):
            for x in range(width):
                slope[y, x] = (slope[y, x] - mean[y, x] * mean_guide[y, x]) / spread[y, x]
                mean[y, x] -= slope[y, x] * mean_guide[y, x]
        _box(mean, radius, result[k])
        _box(slope, radius, mean)
        result[k] += mean * guide
        result[-1] -= result[k]
    return result


@compiled
def _add_variance(values: Any, radius: int, total: Any) -> None:
    """Add the variances within squares."""
    height, width = values.shape
    mean, square = np.empty_like(values), np.empty_like(values)
    _box(values, radius, mean)
    _box(values * values, radius, square)
    for y in range(height):
        for x in range(width):
            total[y, x] += square[y, x] - mean[y, x] ** 2


@compiled
def _cross(values: Any, middle: float, side: float, out: Any) -> None:
    """Convolve with (side, middle, side) along both axes."""
    height, width = values.shape
    row = np.empty(width + 2)
    for y in range(height):
        above, here, below = values[max(y - 1, 0)], values[y], values[min(y + 1, height - 1)]
        for x in range(width):
            row[x + 1] = side * (above[x] + below[x]) + middle * here[x]
        row[0], row[width + 1] = row[1], row[width]
        for x in range(width):
            out[y, x] = side * (row[x] + row[x + 2]) + middle * row[x + 1]


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
