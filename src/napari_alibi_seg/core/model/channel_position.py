"""Position predicted from single channels, by the probe that leaves one image out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from napari_alibi_seg.core.model.position import LEFT_OUT_ALPHA, SMALLEST_DEVIATION, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_alibi_seg.core.model.position import FloatArray


@dataclass(frozen=True)
class ChannelMoments:
    """Sums over the tokens of one or several images, for every layer and channel.

    Attributes
    ----------
    count : int
        Number of tokens.
    x, xx : ndarray
        (L, C) sums of the channels and of their squares.
    xy : ndarray
        (L, C, K) sums of the products of channels and targets.
    y, yy : ndarray
        (K,) sums of the targets and of their squares.
    """

    count: int
    x: FloatArray
    xx: FloatArray
    xy: FloatArray
    y: FloatArray
    yy: FloatArray

    @classmethod
    def of(cls, layers: Sequence[FloatArray], targets: FloatArray) -> ChannelMoments:
        """Compute the sums for one image.

        Parameters
        ----------
        layers : sequence of ndarray
            L arrays of tokens, (h, w, C).
        targets : ndarray
            (h, w, K).
        """
        y = rows(targets)
        columns = [rows(layer).astype(np.float64) for layer in layers]
        return cls(
            count=len(y),
            x=np.array([layer.sum(axis=0) for layer in columns]),
            xx=np.array([(layer**2).sum(axis=0) for layer in columns]),
            xy=np.array([layer.T @ y for layer in columns]),
            y=y.sum(axis=0),
            yy=(y**2).sum(axis=0),
        )

    def __add__(self, other: ChannelMoments) -> ChannelMoments:
        return self._combined(other, 1)

    def __sub__(self, other: ChannelMoments) -> ChannelMoments:
        return self._combined(other, -1)

    def _combined(self, other: ChannelMoments, sign: int) -> ChannelMoments:
        return ChannelMoments(
            count=self.count + sign * other.count,
            x=self.x + sign * other.x,
            xx=self.xx + sign * other.xx,
            xy=self.xy + sign * other.xy,
            y=self.y + sign * other.y,
            yy=self.yy + sign * other.yy,
        )


def left_out_channel_r2(images: Sequence[ChannelMoments]) -> FloatArray:
    """Return the leave-one-image-out R^2 of position for each channel of each layer.

    Computed from sums, so that the features of all layers and images need not be kept.

    Parameters
    ----------
    images : sequence of ChannelMoments
        Sums of at least two images.

    Returns
    -------
    ndarray
        (L, C, K) R^2, the mean over the images.
    """
    total = reduce(add, images)
    return np.asarray(np.mean([_tested(total - image, image) for image in images], axis=0))


def _tested(training: ChannelMoments, test: ChannelMoments) -> FloatArray:
    """Return the (L, C, K) R^2 on `test` of single-channel ridges fitted on `training`."""
    n = training.count
    mean, target_mean = training.x / n, training.y / n
    deviation = np.sqrt(np.maximum(training.xx / n - mean**2, 0.0))
    scale = 1.0 / np.maximum(deviation, SMALLEST_DEVIATION)  # (L, C)
    covariance = training.xy - n * mean[..., None] * target_mean  # (L, C, K)
    power = n * (deviation * scale) ** 2 + LEFT_OUT_ALPHA  # (L, C)
    slope = covariance * (scale**2 / power)[..., None]
    offset = target_mean - slope * mean[..., None]
    # The sum of (y - offset - slope x)^2, multiplied out.
    residual = (
        test.yy
        - 2 * (offset * test.y + slope * test.xy)
        + test.count * offset**2
        + 2 * offset * slope * test.x[..., None]
        + slope**2 * test.xx[..., None]
    )
    return np.asarray(1.0 - residual / (test.yy - test.y**2 / test.count))
