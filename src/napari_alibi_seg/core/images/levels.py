"""The levels that the planes of an image are normalised by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.stored import in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.stored import Array

NORMALISED_RANGE = (-1.0, 2.0)
"""Normalised values are clipped to it."""
CONSTANT = "is constant, so no phases can be distinguished"
"""Part of messages about images of a single value."""
_MISSING = 0.5
_PERCENTILES = (0.1, 99.9)
_FOREIGN_VALUES = 4  # at either end
_LEAST_OF_SPECIMEN = 1 / 4
_SAMPLED_PIXELS = 4_000_000
_SAMPLED_PLANES = 16


@dataclass(frozen=True)
class Levels:
    """The raw values that are normalised to 0 and 1: one for all bands, or one for each."""

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]

    @property
    def flat(self) -> bool:
        """Whether the image is constant, so that no phases can be distinguished."""
        return self.low == self.high

    def require_contrast(self, name: str) -> None:
        """Raise an `ImageError` if the image, to be named so in its message, is constant."""
        if self.flat:
            raise ImageError(f"{name} {CONSTANT}; use another one.")


def sampled_planes(planes: Sequence[Array]) -> list[NDArray[Any]]:
    """Return about 4 million values of an image at most, on a regular grid in at most 16 planes.

    Parameters
    ----------
    planes : sequence of array
        The planes of the image, each (Y, X) or (Y, X, bands).
    """
    chosen = np.unique(np.linspace(0, len(planes) - 1, _SAMPLED_PLANES, dtype=int))
    pixels = sum(math.prod(planes[i].shape) for i in chosen)
    step = max(math.ceil(math.sqrt(pixels / _SAMPLED_PIXELS)), 1)
    return [in_memory(planes[i][::step, ::step]) for i in chosen]


def robust_levels(planes: Sequence[NDArray[Any]], *, by_band: bool = False) -> Levels:
    """Return the 0.1 and 99.9 percentiles of the finite pixels of an image.

    Values of padding, databars and hot pixels are left out: those farther from all others than
    these are apart. If the percentiles coincide, minimum and maximum are used; a constant image is
    normalised to 0.

    Parameters
    ----------
    planes : sequence of ndarray
        From `sampled_planes`.
    by_band : bool
        Give each band its own levels, as for channels of different meaning.

    Raises
    ------
    ImageError
        If no sampled pixel is finite, or the range of values overflows.
    """
    values = np.concatenate([plane.reshape(-1, *plane.shape[2:]) for plane in planes])
    values = values.astype(np.float64)
    if not by_band:
        return Levels(*_levels(values.ravel()))
    low, high = zip(*map(_levels, values.reshape(-1, values.shape[-1]).T), strict=True)
    return Levels(low, high)


def _levels(values: NDArray[np.float64]) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if values.size == 0:
        raise ImageError(
            "The image has no finite pixel (all are NaN or infinite); use another one."
        )
    if values.max() / 2 - values.min() / 2 > np.finfo(np.float64).max / 2:
        raise ImageError(
            f"The values of the image go from {values.min():g} to {values.max():g}, which is too "
            "far apart to compute with; rescale them."
        )
    values = _of_specimen(values)
    low, high = np.percentile(values, _PERCENTILES)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _of_specimen(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave out extreme values that are farther from the next ones than all others are apart.

    They are no grey values of the specimen, and would leave it little contrast.
    """
    for _ in range(_FOREIGN_VALUES):
        inner = values[(values > values.min()) & (values < values.max())]
        if inner.size < _LEAST_OF_SPECIMEN * values.size:
            break
        low, high = inner.min(), inner.max()
        near = (low - values <= high - low) & (values - high <= high - low)
        if low == high or near.all():
            break
        values = values[near]
    return values


def normalised(raw: NDArray[Any], levels: Levels) -> NDArray[np.float32]:
    """Return raw values with the levels at 0 and 1, clipped; NaN becomes a medium grey, .5."""
    # Subtract in double precision: float32 would lose large integers and offsets.
    low, extent = np.asarray(levels.low), np.subtract(levels.high, levels.low)
    scaled = (raw.astype(np.float64) - low) / np.where(extent > 0, extent, 1.0)
    scaled = np.where(np.isnan(scaled), _MISSING, scaled)
    return np.clip(scaled, *NORMALISED_RANGE).astype(np.float32)
