"""Descriptions of channels, for the data augmentation in `variation` and `boundaries`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

LEARNED_CHANNELS = 16
"""Number of learned channels per band (`learned_filters`)."""


class ChannelKind(Enum):
    """What a channel measures; Hessians and structure tensors have one channel per eigenvalue."""

    DEEP = auto()
    LEARNED = auto()
    GAUSSIAN = auto()
    DIFFERENCE_OF_GAUSSIANS = auto()
    GRADIENT_MAGNITUDE = auto()
    HESSIAN_LARGEST = auto()
    HESSIAN_MIDDLE = auto()
    HESSIAN_SMALLEST = auto()
    TENSOR_LARGEST = auto()
    TENSOR_SMALLEST = auto()


@dataclass(frozen=True)
class ChannelInfo:
    """Description of a channel.

    Attributes
    ----------
    kind : ChannelKind
        What it measures.
    sigma : float
        Standard deviation of its Gaussian, in pixels; 0 for the pixel itself.
    coarser : float
        Standard deviation of the subtracted Gaussian in a difference of Gaussians.
    """

    kind: ChannelKind
    sigma: float
    coarser: float = 0.0
