"""Uneven illumination of an image, as a smooth surface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.images.levels import NORMALISED_RANGE, normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.levels import Levels

    Floats = NDArray[np.floating]

_CELLS = 40_000
"""About the number of cells, whose pixels are averaged, in a plane."""
_BINS = 256
_BLUR = 2.0
"""Sigma of the Gaussian that blurs the histogram, in bins."""
_STIFFNESS = 0.3
"""What a coefficient of 1 must gain, in nats."""
_LARGEST = 1.0
"""Limit of the coefficients; without it, all values could be moved into one bin at the end."""
_TOLERANCE = 1e-8
"""Relative change of the cost at which the optimum is taken to be found."""
_DECIMALS = 2
"""Of the coefficients; the optimum found differs by 1e-4 with the rounding of the machine."""
_LEAST_GAIN = 0.07
"""Gain on pixels that were not fitted, in nats, below which the light is taken to be even."""
_FEWEST_CELLS = 1000
"""Below this number of cells the light is taken to be even, as chance then gains as much."""
_APART = 20
"""Neighbouring places are this part of the plane's shorter side apart."""


@dataclass(frozen=True)
class Shading:
    """The illumination of one band, which varies quadratically with the place in a plane.

    Attributes
    ----------
    coefficients : tuple of float
        Of y, x, y^2 - 1/3, xy and x^2 - 1/3, where y and x go from -1 to 1 across the plane.
        The sum is what the illumination adds to a normalised value of .5; all are 0 in even light.
    factor : bool
        Whether values are multiplied, so that dark pixels change less; else all change alike.
    """

    coefficients: tuple[float, ...]
    factor: bool

    @classmethod
    def of(cls, pixels: NDArray[np.float32]) -> Shading:
        """Estimate the illumination that leaves the least entropy of the corrected values.

        Uneven light broadens the peaks of the phases in the histogram; whatever sharpens them most
        is taken for its inverse. A phase that fills one side of the image, or a databar, is a peak
        by itself and stays. After Likar et al., J. Microsc. 197 (2000) 285, with a quadratic
        factor or summand, whichever is better on parts of the plane that it was not fitted to.
        Layers of rising grey can look alike in the histogram; but they are flat in themselves, so
        a correction must also make neighbouring places more alike.

        Parameters
        ----------
        pixels : ndarray
            (N, Y, X), normalised, of N planes that share it; every n-th pixel will do. NaN is left
            out.

        Returns
        -------
        Shading
            Even if a correction would hardly sharpen the histogram of those parts, or would rather
            tilt what is flat.
        """
        cells, surfaces, black = _cells(pixels)
        finite = np.isfinite(cells)
        values, chequered = cells[finite], np.broadcast_to(black, cells.shape)[finite]
        terms = np.stack([np.broadcast_to(term, cells.shape)[finite] for term in surfaces])
        even = cls((0.0,) * 5, factor=False)
        if min(np.count_nonzero(chequered), np.count_nonzero(~chequered)) < _FEWEST_CELLS / 2:
            return even
        gain, factor = max(
            (_gain_elsewhere(values, terms, factor, chequered), factor) for factor in (False, True)
        )
        if gain < _LEAST_GAIN:
            return even
        coefficients = _fitted(values, terms, factor).round(_DECIMALS)
        surface = _surface(coefficients, surfaces)
        before, after = _slopes(cells, _without(cells, surface, factor), surface)
        return cls(tuple(coefficients.tolist()), factor) if abs(after) < abs(before) else even

    @property
    def even(self) -> bool:
        """Whether there is nothing to correct."""
        return not any(self.coefficients)

    def corrected(
        self,
        pixels: NDArray[np.float32],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        shape: tuple[int, int],
    ) -> NDArray[np.float32]:
        """Return (rows, columns) pixels of a plane of a shape as they are in even light."""
        added = _surface(self.coefficients, _terms(rows, columns, shape))
        return _without(pixels, added, self.factor).astype(np.float32)


def estimated_light(planes: Sequence[NDArray[Any]], levels: Levels) -> tuple[Shading, ...]:
    """Return the illumination of each band, which all planes share; empty if it is even.

    Parameters
    ----------
    planes : sequence of ndarray
        From `sampled_planes`.
    levels : Levels
        Those of the image.
    """
    raw = np.stack([plane.reshape(*plane.shape[:2], -1) for plane in planes])
    pixels = np.where(np.isfinite(raw), normalised(raw, levels), np.float32(np.nan))
    light = tuple(map(Shading.of, np.moveaxis(pixels, -1, 0)))
    return () if all(band.even for band in light) else light


def _without(values: Floats, added: Floats, factor: bool) -> Floats:
    return values * np.exp(-2 * added) if factor else values - added


def _cells(pixels: NDArray[np.float32]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return (N, h, w) means of cells, their (5, h, w) terms, and which lie in black squares.

    The squares are those of a chequerboard of 4 x 4. There are as many cells of many planes as of
    one; those without data are NaN.
    """
    count, *size = pixels.shape
    side = max(1, min(*size, round((size[0] * size[1] / _CELLS) ** 0.5)))
    shape = [length // side for length in size]
    whole = pixels[:, : shape[0] * side, : shape[1] * side]
    means = whole.reshape(count, shape[0], side, shape[1], side).mean((2, 4), dtype=np.float64)
    step = round(count**0.5)
    rows, columns = (np.arange(0, length, step) for length in shape)
    black = np.add.outer(4 * rows // shape[0], 4 * columns // shape[1]) % 2 == 0
    return means[:, ::step, ::step], _terms(rows, columns, shape), black


def _terms(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: Sequence[int]) -> Floats:
    """Return the (5, rows, columns) terms of the surface at the middles of pixels or cells."""
    places = (2 * (n + 0.5) / size - 1 for n, size in zip((rows, columns), shape, strict=True))
    y, x = np.meshgrid(*places, indexing="ij")
    return np.stack([y, x, y * y - 1 / 3, x * y, x * x - 1 / 3])


def _surface(coefficients: Floats | tuple[float, ...], terms: Floats) -> Floats:
    """Return the weighted sum of terms, unlike by a matrix product equal for any threads."""
    surface: Floats = np.einsum("i,i...->...", coefficients, terms)
    return surface


def _slopes(values: Floats, corrected: Floats, surface: Floats) -> tuple[float, float]:
    """Return how much (N, h, w) values, and corrected ones, rise where a surface rises by 1.

    Each is the median ratio of the differences between neighbours, weighted by those of the (h, w)
    surface. Neighbours of equal value are left out, as the range of the image may end there.
    """
    apart = max(1, min(surface.shape) // _APART)
    differences = []
    for axis in (-2, -1):
        rises = [_rises(each, axis, apart) for each in (values, corrected)]
        expected = np.broadcast_to(_rises(surface, axis, apart), rises[0].shape)
        known = np.isfinite(rises[0]) & (rises[0] != 0) & (expected != 0)
        differences.append(np.stack([*rises, expected])[:, known])
    *both, expected = np.concatenate(differences, axis=1)
    before, after = (_weighted_median(rises / expected, abs(expected)) for rises in both)
    return before, after


def _rises(values: Floats, axis: int, apart: int) -> Floats:
    ahead = np.moveaxis(values, axis, -1)
    return np.moveaxis(ahead[..., apart:] - ahead[..., :-apart], -1, axis)


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(below, below[-1] / 2)]) if len(values) else 0.0


def _gain_elsewhere(
    values: Floats, terms: Floats, factor: bool, chequered: NDArray[np.bool_]
) -> float:
    """Return how much entropy, in nats, a part loses by what was fitted to the other part."""
    gains = []
    for judged in (chequered, ~chequered):
        added = _surface(_fitted(values[~judged], terms[:, ~judged], factor), terms[:, judged])
        before, _ = _entropy(values[judged])
        after, _ = _entropy(_without(values[judged], added, factor))
        gains.append(before - after)
    return sum(gains) / 2


def _fitted(values: Floats, terms: Floats, factor: bool) -> Floats:
    """Return the (5,) coefficients that leave the least entropy."""
    from scipy.optimize import minimize  # imported late, so that the window opens faster

    def cost(coefficients: Floats) -> tuple[float, Floats]:
        even = _without(values, _surface(coefficients, terms), factor)
        entropy, slopes = _entropy(even)
        slopes *= -2 * even if factor else -1
        rise = np.einsum("ij,j->i", terms, slopes) + 2 * _STIFFNESS * coefficients
        return entropy + _STIFFNESS * float(coefficients @ coefficients), rise

    bounds, options = [(-_LARGEST, _LARGEST)] * 5, {"ftol": _TOLERANCE}
    found = minimize(cost, np.zeros(5), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    optimum: Floats = found.x
    return optimum


def _entropy(values: Floats) -> tuple[float, Floats]:
    """Return the entropy of the blurred histogram of values, and its derivative by each value."""
    from scipy.ndimage import gaussian_filter1d

    low, high = NORMALISED_RANGE
    width = (high - low) / _BINS
    places = np.clip((values - low) / width, 0, _BINS - 1.001)
    bins = places.astype(np.intp)
    beyond = np.bincount(bins, places - bins, _BINS)
    counts = np.bincount(bins, minlength=_BINS) - beyond
    counts[1:] += beyond[:-1]
    shares = gaussian_filter1d(counts / len(values), _BLUR, mode="reflect") + 1e-9
    rarity = -gaussian_filter1d(np.log(shares), _BLUR, mode="reflect")
    slopes = (np.diff(rarity) / width / len(values))[bins]
    slopes[(values < low) | (values > high)] = 0
    return -float(shares @ np.log(shares)), slopes
