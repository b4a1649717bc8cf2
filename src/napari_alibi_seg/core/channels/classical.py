"""Pixel-scale channels: the classical filters of trainable segmentation.

The kinds are those of Trainable Weka Segmentation (Arganda-Carreras et al., Bioinformatics
33, 2424, 2017) that need no histogram, implemented with scipy and scikit-image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, sobel
from skimage.feature import hessian_matrix_eigvals, structure_tensor_eigenvalues

from napari_alibi_seg.core.channels.filters_3d import (
    KINDS_3D,
    TRUNCATE,
    filters_3d,
    gaussian_radius,
)
from napari_alibi_seg.core.channels.kinds import ChannelInfo, ChannelKind
from napari_alibi_seg.core.choices import SIGMAS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

SOBEL = 8.0
"""Response of the structure tensor's Sobel filters to a slope of 1 per pixel."""

_KINDS = (
    ChannelKind.GAUSSIAN,
    ChannelKind.GRADIENT_MAGNITUDE,
    ChannelKind.HESSIAN_LARGEST,
    ChannelKind.HESSIAN_SMALLEST,
    ChannelKind.TENSOR_LARGEST,
    ChannelKind.TENSOR_SMALLEST,
)


def classical_channels(
    plane: Plane,
    window: Window,
    sigmas: tuple[float, ...] = SIGMAS,
    sigmas_3d: tuple[float, ...] = (),
) -> NDArray[np.float32]:
    """Compute the classical channels of a window, equal to those of the whole reflected plane.

    For each band: the pixel itself; for each sigma, the Gaussian, the magnitude of its gradient,
    and the two eigenvalues of the Hessian and of the structure tensor; and the differences of
    Gaussians of neighbouring sigmas. The 3-D filters of all bands (`filters_3d`) follow.

    Parameters
    ----------
    plane : Plane
        Source of the pixels.
    window : Window
        The pixels to compute.
    sigmas : tuple of float
        Standard deviations of the Gaussians, in pixels, increasing.
    sigmas_3d : tuple of float
        Standard deviations of the 3-D filters, in pixels; empty for none.

    Returns
    -------
    ndarray
        (height, width, F) float32, ``F = bands * (7 * len(sigmas) + 5 * len(sigmas_3d))``.
    """
    margin = _margin(sigmas)
    pixels = plane.read(window.grown(margin))
    inner = np.s_[margin : margin + window.height, margin : margin + window.width]
    channels = [
        channel[inner]
        for band in range(pixels.shape[2])
        for channel in _of_one_band(pixels[:, :, band], sigmas)
    ]
    if sigmas_3d:
        channels += filters_3d(plane, window, sigmas_3d)
    return np.stack(channels, axis=-1)


def describe_classical(
    bands: int, sigmas: tuple[float, ...] = SIGMAS, sigmas_3d: tuple[float, ...] = ()
) -> list[ChannelInfo]:
    """Describe each of the F channels; there are none without `sigmas`."""
    if not sigmas:
        return []
    of_a_band = [
        ChannelInfo(ChannelKind.GAUSSIAN, 0.0),
        *(ChannelInfo(kind, sigma) for sigma in sigmas for kind in _KINDS),
        *(
            ChannelInfo(ChannelKind.DIFFERENCE_OF_GAUSSIANS, fine, coarse)
            for fine, coarse in pairwise(sigmas)
        ),
    ]
    through = [ChannelInfo(kind, sigma) for sigma in sigmas_3d for kind in KINDS_3D]
    return of_a_band * bands + through * bands


def _of_one_band(
    pixels: NDArray[np.float32], sigmas: tuple[float, ...]
) -> Iterator[NDArray[np.float32]]:
    yield pixels
    down, across = sobel(pixels, 0), sobel(pixels, 1)
    products = (down * down, down * across, across * across)
    smooth = [_blurred(pixels, sigma) for sigma in sigmas]
    for sigma, gaussian in zip(sigmas, smooth, strict=True):
        down, across = np.gradient(gaussian)
        down_down, down_across = np.gradient(down)
        yield gaussian
        yield np.hypot(down, across)
        yield from hessian_matrix_eigvals((down_down, down_across, np.gradient(across, axis=1)))
        yield from structure_tensor_eigenvalues([_blurred(product, sigma) for product in products])
    yield from (fine - coarse for fine, coarse in pairwise(smooth))


def _blurred(pixels: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = gaussian_filter(pixels, sigma, truncate=TRUNCATE)
    return blurred


def _margin(sigmas: tuple[float, ...]) -> int:
    return gaussian_radius(max(sigmas)) + 2  # for two successive finite differences
