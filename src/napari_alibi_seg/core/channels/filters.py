"""All pixel filters: classical, 3-D and learned."""

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
"""Approximate reach of learned channels, in pixels, for synthetic boundaries."""


@dataclass(frozen=True)
class Filters:
    """A choice of pixel filters.

    Attributes
    ----------
    sigmas, sigmas_3d : tuple of float
        Standard deviations of the classical 2-D and 3-D filters, in pixels.
    learned : bool
        Whether to use the learned filters (`learned_filters`), which import torch.
    """

    sigmas: tuple[float, ...] = ()
    sigmas_3d: tuple[float, ...] = ()
    learned: bool = False

    def channels(self, plane: Plane, window: Window) -> NDArray[np.float32]:
        """Return the (height, width, F) channels of a window, classical before learned."""
        classical = classical_channels(plane, window, self.sigmas, self.sigmas_3d)
        if not self.learned:
            return classical
        from napari_alibi_seg.core.channels.learned_filters import learned_channels

        return np.concatenate([classical, learned_channels(plane, window)], axis=-1)

    def kinds(self, bands: int) -> list[ChannelInfo]:
        """Describe each of the F channels."""
        learned = [ChannelInfo(ChannelKind.LEARNED, _LEARNED_SIGMA)] * (LEARNED_CHANNELS * bands)
        classical = filter_channels(bands, self.sigmas, self.sigmas_3d)
        return classical + learned if self.learned else classical

    def count(self, bands: int) -> int:
        """Return the number of channels F."""
        return bands * len(self.kinds(1))
