"""Painted pixels as they might also look, so that trees learn phases and not exact greys.

A forest that sees every stroke in one light splits on grey values that hold there and nowhere
else: uneven illumination, charging and the next image's exposure then mislead it. So each painted
pixel is learnt in a contrast and a brightness of its own, and with noise. Nothing is filtered
again: the filters are linear in the pixels or, as the structure tensor, quadratic.
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
    """How channels follow the light.

    Where the light turns a pixel ``x`` into ``contrast * (x - 1/2) + 1/2 + brightness``, it turns
    a channel ``v`` into ``contrast**power * v + level * ((1 - contrast) / 2 + brightness)``.

    Attributes
    ----------
    powers : ndarray
        (F,) float32; 0 for channels that do not follow.
    levels : ndarray
        (F,) float32 value of each channel where all pixels are 1.
    """

    powers: NDArray[np.float32]
    levels: NDArray[np.float32]

    @classmethod
    def of(cls, channels: Sequence[ChannelInfo]) -> Response:
        """Return the response of channels; deep and learned ones do not follow."""
        powers = [_POWERS.get(channel.kind, 1) for channel in channels]
        levels = [channel.kind is ChannelKind.GAUSSIAN for channel in channels]
        return cls(np.array(powers, np.float32), np.array(levels, np.float32))

    def __call__(
        self,
        values: NDArray[np.float32],
        contrast: NDArray[np.float32],
        brightness: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return (N, F) channels in other light, given (N,) contrasts and brightnesses."""
        shift = (1 - contrast) / 2 + brightness
        lit: NDArray[np.float32] = values * contrast[:, None] ** self.powers
        lit += shift[:, None] * self.levels
        return lit


@dataclass(frozen=True)
class Variation:
    """How far painted pixels may differ from what they are to stand for.

    Attributes
    ----------
    contrast : float
        Largest natural logarithm of the contrast's factor, either way.
    brightness : float
        Largest shift, in the range of the normalised image, either way.
    noise : float
        Standard deviation of normal noise added to every channel, in that of the channel itself
        over the strokes.
    """

    contrast: float
    brightness: float
    noise: float

    def __call__(
        self, response: Response, values: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return (N, F) channels, each pixel's in a light and with noise drawn for it."""
        light = random.uniform(-1, 1, (2, len(values))).astype(np.float32)
        contrast = np.exp(np.float32(self.contrast) * light[0])
        lit = response(values, contrast, np.float32(self.brightness) * light[1])
        noise = random.standard_normal(values.shape, np.float32)
        noise *= np.float32(self.noise) * values.std(axis=0)
        return lit + noise


WITHIN_IMAGE = Variation(0.2, 0.05, 0.15)
"""For strokes on one image."""
BETWEEN_IMAGES = Variation(0.4, 0.15, 0.5)
"""For strokes on several: what they teach is meant for others, too."""
