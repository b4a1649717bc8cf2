"""Pixel-scale 3-D filters, for structure that a single plane does not show.

Slice spacing is accounted for: where planes are `spacing` pixels apart, a Gaussian of `sigma`
pixels has a standard deviation of ``sigma / spacing`` planes, and differences between planes are
divided by `spacing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.core.channels.kinds import ChannelKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

KINDS_3D = (
    ChannelKind.GAUSSIAN,
    ChannelKind.GRADIENT_MAGNITUDE,
    ChannelKind.HESSIAN_LARGEST,
    ChannelKind.HESSIAN_MIDDLE,
    ChannelKind.HESSIAN_SMALLEST,
)
"""The channels of each sigma."""
TRUNCATE = 3.0
"""Truncation radius of Gaussians, in standard deviations, in 2-D and 3-D."""

_AXES = np.eye(3, dtype=int)


def filters_3d(
    plane: Plane, window: Window, sigmas: tuple[float, ...]
) -> Iterator[NDArray[np.float32]]:
    """Compute 3-D filters of a window, equal to those of the whole volume, reflected at its ends.

    Parameters
    ----------
    plane : Plane
        Source of the pixels, with `depth`; no plane beyond `planes_reached` is read.
    window : Window
        The pixels to compute.
    sigmas : tuple of float
        Standard deviations of the Gaussians, in pixels.

    Yields
    ------
    ndarray
        (height, width) float32; for each band and sigma, the Gaussian, the magnitude of its
        gradient, and the three eigenvalues of its Hessian, largest first.
    """
    assert plane.depth is not None
    spacing = plane.depth.spacing
    margin = gaussian_radius(max(sigmas)) + 1
    for around in _weighted_planes(plane, window.grown(margin), sigmas, spacing):
        for sigma, three in zip(sigmas, around, strict=True):
            smooth = gaussian_filter(three, (0, sigma, sigma), truncate=TRUNCATE)
            inner = smooth[:, margin - 1 : 1 - margin or None, margin - 1 : 1 - margin or None]
            yield from _of_one_gaussian(inner, spacing)


def planes_reached(sigmas: tuple[float, ...], spacing: float) -> int:
    """Return the reach of the 3-D filters, in planes before and after a plane."""
    return max((gaussian_radius(sigma / spacing) + 1 for sigma in sigmas), default=0)


def _weighted_planes(
    plane: Plane, window: Window, sigmas: tuple[float, ...], spacing: float
) -> NDArray[np.float32]:
    """Return planes smoothed along Z, centred on the plane and its two neighbours.

    The shape is (bands, sigmas, 3, height, width). Planes are accumulated one at a time, so that
    only one is held as float32.
    """
    reach = planes_reached(sigmas, spacing)
    weights = np.stack([_weights(sigma / spacing, reach) for sigma in sigmas])
    shape = (*weights.shape[:2], plane.bands, window.height, window.width)
    means = np.zeros(shape, np.float32)
    for number, pixels in enumerate(plane.read_through(window, reach)):
        for place in np.ndindex(weights.shape[:2]):
            if weights[*place, number]:
                means[place] += weights[*place, number] * np.moveaxis(pixels, -1, 0)
    return np.moveaxis(means, 2, 0)


def _weights(sigma: float, reach: int) -> NDArray[np.float32]:
    """Return (3, 2 * reach + 1) Gaussian weights centred on the previous, this and next plane."""
    weights = np.zeros((3, 2 * reach + 1), np.float32)
    radius = gaussian_radius(sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    for place in range(3):
        first = reach + place - 1 - radius
        weights[place, first : first + len(kernel)] = kernel / kernel.sum()
    return weights


def _of_one_gaussian(smooth: NDArray[np.float32], spacing: float) -> Iterator[NDArray[np.float32]]:
    """Yield the five channels at the centre of a (3, height + 2, width + 2) Gaussian."""
    steps = np.array((spacing, 1, 1), np.float32)
    _, rows, columns = smooth.shape

    def at(offset: NDArray[np.int_]) -> NDArray[np.float32]:
        z, y, x = 1 + offset
        moved: NDArray[np.float32] = smooth[z, y : rows - 2 + y, x : columns - 2 + x]
        return moved

    def second(one: int, other: int) -> NDArray[np.float32]:
        up, along = _AXES[one], _AXES[other]
        if one == other:
            change = at(up) - 2 * at(0 * up) + at(-up)
        else:
            change = at(up + along) + at(-up - along) - at(up - along) - at(along - up)
            change /= 4
        change /= steps[one] * steps[other]
        return change

    yield at(0 * _AXES[0])
    down, back, across = (
        (at(up) - at(-up)) / (2 * step) for up, step in zip(_AXES, steps, strict=True)
    )
    yield np.sqrt(down * down + back * back + across * across)
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    yield from _eigenvalues(*(second(*pair) for pair in pairs))


def _eigenvalues(
    zz: NDArray[np.float32],
    yy: NDArray[np.float32],
    xx: NDArray[np.float32],
    zy: NDArray[np.float32],
    zx: NDArray[np.float32],
    yx: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the eigenvalues of symmetric 3 x 3 matrices, largest first.

    Uses the formula of O. K. Smith, Communications of the ACM 4, 168 (1961); numpy's solver takes
    thirty times as long.
    """
    mean = (zz + yy + xx) / 3
    z, y, x = zz - mean, yy - mean, xx - mean
    extent = np.sqrt((z * z + y * y + x * x + 2 * (zy * zy + zx * zx + yx * yx)) / 6)
    determinant = z * (y * x - yx * yx) - zy * (zy * x - yx * zx) + zx * (zy * yx - y * zx)
    half = determinant / (2 * np.maximum(extent * extent * extent, np.finfo(np.float32).tiny))
    angle = np.arccos(np.clip(half, -1, 1)) / 3
    largest = mean + 2 * extent * np.cos(angle)
    least = mean + 2 * extent * np.cos(angle + np.float32(2 * np.pi / 3))
    return largest, 3 * mean - largest - least, least


def gaussian_radius(sigma: float) -> int:
    """Return the radius of a truncated Gaussian, rounded as in scipy."""
    return int(TRUNCATE * sigma + 0.5)
