"""What a channel of a pixel is, for `variation` and `boundaries`, which make pixels up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

LEARNED_CHANNELS = 16
"""How many channels the learned filters give of each colour (`learned_filters`)."""


class ChannelKind(Enum):
    """What a channel tells of the pixels around; Hessians and structure tensors by eigenvalue."""

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
    """A channel.

    Attributes
    ----------
    kind : ChannelKind
        What it tells.
    sigma : float
        Standard deviation, in pixels, of the Gaussian it looks through; 0 for the pixel itself.
    coarser : float
        That of the Gaussian which is subtracted in a difference.
    """

    kind: ChannelKind
    sigma: float
    coarser: float = 0.0
