"""All filters of pixels: classical ones, those through a volume, and learned ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.channels.classical import classical_channels, filter_channels
from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS, ChannelInfo, ChannelKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.planes import Plane, Window

_LEARNED_SIGMA = 4.0
"""How far learned channels look, in pixels, about, where a boundary is made up."""


@dataclass(frozen=True)
class Filters:
    """Which filters there are, and what they give.

    Attributes
    ----------
    sigmas, sigmas_3d : tuple of float
        Standard deviations of the classical ones in the plane and through the volume, in pixels.
    learned : bool
        Whether there are learned ones (`learned_filters`), which import torch.
    """

    sigmas: tuple[float, ...] = ()
    sigmas_3d: tuple[float, ...] = ()
    learned: bool = False

    def channels(self, plane: Plane, window: Window) -> NDArray[np.float32]:
        """Return the (height, width, F) channels of a window, classical before learned ones."""
        classical = classical_channels(plane, window, self.sigmas, self.sigmas_3d)
        if not self.learned:
            return classical
        from napari_alibi_seg.core.channels.learned_filters import learned_channels

        return np.concatenate([classical, learned_channels(plane, window)], axis=-1)

    def kinds(self, colours: int) -> list[ChannelInfo]:
        """Return what each of the F channels is; without sigmas there are none."""
        learned = [ChannelInfo(ChannelKind.LEARNED, _LEARNED_SIGMA)] * (LEARNED_CHANNELS * colours)
        classical = filter_channels(colours, self.sigmas, self.sigmas_3d)
        return classical + learned if self.learned else classical

    def count(self, colours: int) -> int:
        """Return F."""
        return len(self.kinds(colours))
