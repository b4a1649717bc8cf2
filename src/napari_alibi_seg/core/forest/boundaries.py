"""Synthetic training pixels at phase boundaries, made from labelled pixels inside the phases.

Strokes are usually painted well inside phases. A forest trained on them alone has never seen a
boundary, and takes it for the most variable phase. Here the channels of two pixels of different
phases are combined into those expected near a straight, more or less blurred boundary between the
phases; the response of Gaussian filters and their derivatives to a blurred step is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from napari_alibi_seg.core.channels.classical import SOBEL
from napari_alibi_seg.core.channels.kinds import ChannelKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.kinds import ChannelInfo

# Number of boundary pixels per labelled pixel, range of the blur of the boundary (sigma, in
# pixels), and range of the distance from it (in these sigmas).
_SHARE = 0.3
_BLURS = (0.5, 1.5)
_DISTANCES = (0.3, 1.5)
# Standard deviation of the Gaussian whose blur equals that of a central difference.
_DIFFERENCE = 3**-0.5


@dataclass(frozen=True, eq=False)
class BoundaryPixels:
    """Synthetic pixels close to a boundary.

    Attributes
    ----------
    values : ndarray
        (M, F) float32 channels.
    labels, beyond : ndarray
        (M,) class of the pixel, and class across the boundary.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]
    beyond: NDArray[np.integer[Any]]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> BoundaryPixels:
        """Return the pixels selected by an (M,) mask."""
        return BoundaryPixels(self.values[chosen], self.labels[chosen], self.beyond[chosen])


def boundary_pixels(
    channels: Sequence[ChannelInfo],
    values: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    random: np.random.Generator,
) -> BoundaryPixels:
    """Synthesise boundary pixels, 3 for every 10 labelled ones; all pairs of classes are as likely.

    Parameters
    ----------
    channels : sequence of ChannelInfo
        Descriptions of the F channels.
    values : ndarray
        (N, F) float32 channels of labelled pixels.
    labels : ndarray
        (N,) their classes, at least two.
    random : numpy.random.Generator
        Draws pairs of pixels, and the blur and distance of the boundary.
    """
    classes, place = np.unique(labels, return_inverse=True)
    count = round(_SHARE * len(labels))
    inside = random.integers(len(classes), size=count)
    beyond = (inside + random.integers(1, len(classes), size=count)) % len(classes)
    by_class = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    firsts = np.cumsum(sizes) - sizes
    pair = [by_class[firsts[of] + random.integers(sizes[of])] for of in (inside, beyond)]
    blur = random.uniform(*_BLURS, size=count)
    distance = blur * random.uniform(*_DISTANCES, size=count)
    seen = across_a_step(values[pair[0]], values[pair[1]], distance, blur, channels)
    return BoundaryPixels(seen, classes[inside], classes[beyond])


def across_a_step(
    inside: NDArray[np.float32],
    beyond: NDArray[np.float32],
    distance: NDArray[np.float64],
    blur: NDArray[np.float64],
    channels: Sequence[ChannelInfo],
) -> NDArray[np.float32]:
    """Compute the channels near a straight boundary.

    Parameters
    ----------
    inside, beyond : ndarray
        (M, F) channels far from the boundary, in the pixel's phase and in the phase across it.
    distance : ndarray
        (M,) distance from the boundary, in pixels.
    blur : ndarray
        (M,) standard deviation of the Gaussian that blurs the boundary, in pixels.
    channels : sequence of ChannelInfo
        Descriptions of the F channels; a Gaussian precedes the channels derived from it.

    Returns
    -------
    ndarray
        (M, F) float32.
    """
    seen = np.empty_like(inside)
    smooth: dict[float, NDArray[np.float32]] = {}
    step = np.zeros_like(distance)
    for number, channel in enumerate(channels):
        own, other = inside[:, number], beyond[:, number]
        width = np.hypot(channel.sigma, blur)
        share = ndtr(distance / width)
        mixed = share * own + (1 - share) * other
        match channel.kind:
            case ChannelKind.GAUSSIAN:
                step = own.astype(np.float64) - other
                smooth[channel.sigma] = mixed
            case ChannelKind.DIFFERENCE_OF_GAUSSIANS:
                mixed = smooth[channel.sigma] - smooth[channel.coarser]
            case ChannelKind.GRADIENT_MAGNITUDE:
                mixed = np.hypot(mixed, step * _bell(distance, np.hypot(width, _DIFFERENCE)))
            case ChannelKind.HESSIAN_LARGEST:
                mixed += _bend(step, distance, width).clip(min=0)
            case ChannelKind.HESSIAN_SMALLEST:
                mixed += _bend(step, distance, width).clip(max=0)
            case ChannelKind.TENSOR_LARGEST:
                # The squared gradient across the step is itself a Gaussian, which is then blurred.
                sharp = np.hypot(blur, _DIFFERENCE)
                energy = (SOBEL * step) ** 2 / (2 * np.sqrt(np.pi) * sharp)
                mixed += energy * _bell(distance, np.hypot(channel.sigma, sharp / np.sqrt(2)))
        seen[:, number] = mixed
    return seen


def _bend(
    step: NDArray[np.float64], distance: NDArray[np.float64], width: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the second derivative across a blurred step."""
    variance = width**2 + 2 * _DIFFERENCE**2
    return -step * distance / variance * _bell(distance, np.sqrt(variance))


def _bell(distance: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the density of a normal distribution."""
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2) / (np.sqrt(2 * np.pi) * width))
