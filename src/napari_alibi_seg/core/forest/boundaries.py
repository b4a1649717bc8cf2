"""Pixels at boundaries between phases, made of painted pixels inside them.

Strokes are painted where phases are plain. A forest that learns from them alone has never seen a
boundary, and takes it for the phase that varies most. Here a pixel of one phase and a pixel of
another become what the filters would show near a straight boundary between the two, sharp or
blurred as in micrographs: of a blurred step, Gaussian filters and their derivatives are known.
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

# How many are made of a painted pixel, how blurred the boundary is (the sigma, in pixels), and how
# far away it is (in these sigmas).
_SHARE = 0.3
_BLURS = (0.5, 1.5)
_DISTANCES = (0.3, 1.5)
# A difference of the pixels on either side blurs as much as a Gaussian of this sigma.
_DIFFERENCE = 3**-0.5


@dataclass(frozen=True, eq=False)
class BoundaryPixels:
    """Pixels close to a boundary.

    Attributes
    ----------
    values : ndarray
        (M, F) float32 channels.
    labels, beyond : ndarray
        (M,) class on this side of the boundary, and on the other.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]
    beyond: NDArray[np.integer[Any]]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> BoundaryPixels:
        """Return some of the pixels."""
        return BoundaryPixels(self.values[chosen], self.labels[chosen], self.beyond[chosen])


def boundary_pixels(
    channels: Sequence[ChannelInfo],
    values: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    random: np.random.Generator,
) -> BoundaryPixels:
    """Make pixels at boundaries of painted ones, 3 for every 10, all pairs of classes alike.

    Parameters
    ----------
    channels : sequence of ChannelInfo
        What the F channels are.
    values : ndarray
        (N, F) float32 channels of painted pixels.
    labels : ndarray
        (N,) their classes, at least two.
    random : numpy.random.Generator
        Draws pairs of pixels, how blurred the boundary is, and how far away.
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
    """Return what the channels become near a straight boundary.

    Parameters
    ----------
    inside, beyond : ndarray
        (M, F) channels deep inside the phase a pixel lies in, and the one across the boundary.
    distance : ndarray
        (M,) from the boundary, in pixels.
    blur : ndarray
        (M,) standard deviation of the Gaussian that blurs it, in pixels.
    channels : sequence of ChannelInfo
        What the F channels are; a Gaussian comes before what is derived from it.

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
                # The square of the slope of the pixels is a bell itself, which is then blurred.
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
    """Return the normal distribution's density."""
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2) / (np.sqrt(2 * np.pi) * width))
