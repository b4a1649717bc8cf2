"""All pixel filters: classical, 3-D and learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.channels.classical import classical_channels, describe_classical
from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS, ChannelInfo, ChannelKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

_LEARNED_SIGMA = 4.0
"""Approximate reach of learned channels, in pixels, for synthetic boundaries."""


def pixel_filters(config: ChannelConfig, plane: Plane, window: Window) -> NDArray[np.float32]:
    """Return the (height, width, F) channels of a window, classical before learned."""
    classical = classical_channels(plane, window, config.sigmas, config.sigmas_3d)
    if not config.learned:
        return classical
    from napari_alibi_seg.core.channels.learned_filters import learned_channels  # imports torch

    return np.concatenate([classical, learned_channels(plane, window)], axis=-1)


def describe_filters(config: ChannelConfig, bands: int) -> list[ChannelInfo]:
    """Describe each of the F channels."""
    learned = [ChannelInfo(ChannelKind.LEARNED, _LEARNED_SIGMA)] * (LEARNED_CHANNELS * bands)
    classical = describe_classical(bands, config.sigmas, config.sigmas_3d)
    return classical + learned if config.learned else classical


def count_filters(config: ChannelConfig, bands: int) -> int:
    """Return the number of channels F."""
    return bands * len(describe_filters(config, 1))
