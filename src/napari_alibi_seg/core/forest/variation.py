"""Data augmentation of labelled pixels: random contrast, brightness and noise.

Without it, a forest splits on the exact grey values of the strokes, and is misled by uneven
illumination, charging, or the exposure of the next image. So each labelled pixel gets a random
contrast and brightness, and noise. No filter is recomputed: filters are linear in the pixels or,
like the structure tensor, quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.channels.kinds import ChannelKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.channels.kinds import ChannelInfo

_POWERS = {
    ChannelKind.DEEP: 0,
    ChannelKind.LEARNED: 0,
    ChannelKind.TENSOR_LARGEST: 2,
    ChannelKind.TENSOR_SMALLEST: 2,
}


@dataclass(frozen=True, eq=False)
class Response:
    """The response of channels to changes of contrast and brightness.

    When a pixel ``x`` becomes ``contrast * (x - 1/2) + 1/2 + brightness``, a channel ``v``
    becomes ``contrast**power * v + level * ((1 - contrast) / 2 + brightness)``.

    Attributes
    ----------
    powers : ndarray
        (F,) float32; 0 for channels treated as invariant.
    levels : ndarray
        (F,) float32 response of each channel to a constant image of value 1; 0 if `powers` is 0.
    """

    powers: NDArray[np.float32]
    levels: NDArray[np.float32]

    @classmethod
    def of(cls, channels: Sequence[ChannelInfo]) -> Response:
        """Return the response of channels; deep and learned ones are treated as invariant."""
        powers = [_POWERS.get(channel.kind, 1) for channel in channels]
        levels = [channel.kind is ChannelKind.GAUSSIAN for channel in channels]
        return cls(np.array(powers, np.float32), np.array(levels, np.float32))

    def __call__(
        self,
        values: NDArray[np.float32],
        contrast: NDArray[np.float32],
        brightness: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Apply (N,) contrasts and brightnesses to (N, F) channels."""
        shift = (1 - contrast) / 2 + brightness
        lit: NDArray[np.float32] = values * contrast[:, None] ** self.powers
        lit += shift[:, None] * self.levels
        return lit


@dataclass(frozen=True)
class Variation:
    """The strength of the data augmentation.

    Attributes
    ----------
    contrast : float
        Maximum absolute natural logarithm of the contrast factor.
    brightness : float
        Maximum absolute shift, in units of the normalised image.
    noise : float
        Standard deviation of the normal noise added to every channel, relative to the channel's
        standard deviation over the samples.
    """

    contrast: float
    brightness: float
    noise: float

    def __call__(
        self, response: Response, values: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Augment (N, F) channels with a contrast, a brightness and noise drawn per pixel."""
        drawn = random.uniform(-1, 1, (2, len(values))).astype(np.float32)
        contrast = np.exp(np.float32(self.contrast) * drawn[0])
        lit = response(values, contrast, np.float32(self.brightness) * drawn[1])
        noise = random.standard_normal(values.shape, np.float32)
        noise *= np.float32(self.noise) * values.std(axis=0)
        return lit + noise


WITHIN_IMAGE = Variation(0.2, 0.05, 0.15)
"""For training on one image."""
BETWEEN_IMAGES = Variation(0.4, 0.15, 0.5)
"""For training on several images, to generalise to others."""
