"""Edge-preserving smoothing of votes with the guided filter.

A forest classifies each pixel independently, so image noise makes its votes noisy. The guided
filter fits the votes of each class, in every small square, by a linear function of the grey value;
where votes are noisy, in squares four times as wide. Noise is distinguished from small objects by
its spectrum: it varies more between adjacent pixels than over a few pixels. Vote shares are
underconfident, more so after averaging, so they are squared first (docs/quality.md).

K. He, J. Sun, X. Tang, "Guided image filtering", IEEE TPAMI 35 (2013) 1397-1409.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.forest.machine_code import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.windows import Window

_EPSILON = 1e-5
_WIDER = 4
"""Radius of the squares where votes are noise, relative to the radius elsewhere."""
_AROUND = 3
"""Relative radius of the squares in which votes are tested for noise."""
# Energy ratio of the finest to the next finest scale of the votes: maximum for objects, and minimum
# for noise (docs/quality.md). White noise has 8.8.
_THINGS, _NOISE = 0.5, 0.7
_TINY = 1e-12


def support(window: Window, radius: int, shape: tuple[int, int]) -> Window:
    """Return the window of a plane that the smoothed votes of `window` depend on."""
    margin = 2 * _WIDER * radius + 1 if radius else 0
    return window.grown(margin).within(shape)


def smoothed(
    shares: NDArray[np.float64], guide: NDArray[np.float32], radius: int
) -> NDArray[np.float64]:
    """Square shares of votes and smooth them with an edge-preserving filter.

    Every pixel is computed from the pixels of its `support` in a fixed order, so the result is
    independent, bit for bit, of how the plane is cut into windows.

    Parameters
    ----------
    shares : ndarray
        (Y, X, K), in [0, 1], adding up to 1 over the classes.
    guide : ndarray
        (Y, X) grey values, normalised to a range of about 1.
    radius : int
        Radius, in pixels, of the squares of side ``2 * radius + 1`` where votes are not noisy; 0
        returns `shares` unchanged.

    Returns
    -------
    ndarray
        (Y, X, K), in [0, 1], adding up to 1 over the classes.
    """
    if radius == 0:
        return shares
    result = np.empty_like(shares)
    _smooth(shares, guide.astype(np.float64), radius, result)
    return result


def compile_now() -> None:
    """Compile the numba functions, which takes seconds the first time on a machine."""
    smoothed(np.ones((1, 1, 1)), np.zeros((1, 1), np.float32), 1)


@compiled
def _squared(shares: Any) -> Any:
    """Return the squares of shares, renormalised to add up to 1."""
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
    """Write the smoothed squares of shares."""
    height, width, classes = shares.shape
    guide, squares = np.empty_like(grey), _squared(shares)
    _blend(grey, 1, guide)
    near, far = _guided(squares, guide, radius), _guided(squares, guide, _WIDER * radius)
    noise = _noise(shares, radius)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for k in range(classes):
                mixed = near[k, y, x] + noise[y, x] * (far[k, y, x] - near[k, y, x])
                out[y, x, k] = min(max(mixed, 0.0), 1.0)
                total += out[y, x, k]
            for k in range(classes):
                out[y, x, k] /= total


@compiled
def _noise(shares: Any, radius: int) -> Any:
    """Return the degree to which shares are noise around each pixel, 0 (objects) to 1 (noise)."""
    height, width, classes = shares.shape
    share = np.empty((height, width))
    once, twice = np.empty_like(share), np.empty_like(share)
    finest, next_finest = np.zeros_like(share), np.zeros_like(share)
    for k in range(classes):
        share[:] = shares[..., k]
        _blend(share, 1, once)
        _blend(once, 2, twice)
        for y in range(height):
            for x in range(width):
                finest[y, x] += (share[y, x] - once[y, x]) ** 2
                next_finest[y, x] += (once[y, x] - twice[y, x]) ** 2
    _box(finest, _AROUND * radius, once)
    _box(next_finest, _AROUND * radius, twice)
    noise = np.empty_like(share)
    for y in range(height):
        for x in range(width):
            ratio = once[y, x] / max(twice[y, x], _TINY)
            noise[y, x] = min(max((ratio - _THINGS) / (_NOISE - _THINGS), 0.0), 1.0)
    return noise


@compiled
def _guided(shares: Any, guide: Any, radius: int) -> Any:
    """Return the filtered shares, (K, Y, X); those of the last class make the sum 1."""
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
def _blend(values: Any, step: int, out: Any) -> None:
    """Convolve both axes with (1/4, 1/2, 1/4), whose taps are `step` pixels apart."""
    height, width = values.shape
    row = np.empty(width + 2 * step)
    for y in range(height):
        above, below = values[max(y - step, 0)], values[min(y + step, height - 1)]
        for x in range(width):
            row[x + step] = 0.25 * (above[x] + below[x]) + 0.5 * values[y, x]
        row[:step], row[width + step :] = row[step], row[width + step - 1]
        for x in range(width):
            out[y, x] = 0.25 * (row[x] + row[x + 2 * step]) + 0.5 * row[x + step]


@compiled
def _box(values: Any, radius: int, out: Any) -> None:
    """Write the mean over squares; unlike scipy's uniform_filter, without running sums."""
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
