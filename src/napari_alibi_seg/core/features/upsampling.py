"""Interpolate patch features at pixels: bilinear between token centres, constant beyond them.

Interpolation commutes with a linear projection, so tokens are projected first, and the full set of
channels is never computed at full resolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.windows import Window


def upsampled_block(
    tokens: NDArray[np.float32], stride: float, window: Window
) -> NDArray[np.float32]:
    """Interpolate tokens in a window.

    Parameters
    ----------
    tokens : ndarray
        (h, w, D) projected tokens of the whole plane.
    stride : float
        Pixels per token; token i is centred on ``stride * (i + .5) - .5``.
    window : Window
        Rectangle inside the plane.

    Returns
    -------
    ndarray
        (height, width, D) float32.
    """
    rows = np.arange(window.top, window.top + window.height)
    columns = np.arange(window.left, window.left + window.width)
    above, below, down = _neighbours(rows, stride, tokens.shape[0])
    left, right, across = _neighbours(columns, stride, tokens.shape[1])
    across = across[:, None]
    used = slice(int(above[0]), int(below[-1]) + 1)
    widened = _mixed(tokens[used, left], tokens[used, right], across)  # (used, width, D)
    above, below = above - used.start, below - used.start
    return _mixed(widened[above], widened[below], down[:, None, None])  # (height, width, D)


def upsampled_points(
    tokens: NDArray[np.float32], stride: float, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the (N, D) values at N pixels, equal to those of `upsampled_block`."""
    above, below, down = _neighbours(rows, stride, tokens.shape[0])
    left, right, across = _neighbours(columns, stride, tokens.shape[1])
    down, across = down[:, None], across[:, None]
    upper = _mixed(tokens[above, left], tokens[above, right], across)
    lower = _mixed(tokens[below, left], tokens[below, right], across)
    return _mixed(upper, lower, down)  # (N, D)


def _neighbours(
    pixels: NDArray[np.intp], stride: float, length: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the tokens on either side of each pixel along an axis, and the second's weight."""
    position = np.clip((pixels + 0.5) / stride - 0.5, 0, length - 1)
    before = np.floor(position).astype(np.intp)
    after = np.minimum(before + 1, length - 1)
    return before, after, (position - before).astype(np.float32)


def _mixed(
    first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]
) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = first + (second - first) * weight
    return mixed
