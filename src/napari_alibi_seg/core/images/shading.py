"""Uneven illumination of a plane, as a smooth surface of grey values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CELLS = 24
"""Number of averaged cells along the shorter side."""
_OUTLYING = 0.1
"""Deviation, in units of the normalised image, from which a cell counts less, like a databar."""


@dataclass(frozen=True, eq=False)
class Shading:
    """A quadratic surface for each band, with a mean of 0 over the plane.

    Attributes
    ----------
    coefficients : ndarray
        (6, bands), of 1, y, x, y^2, xy and x^2, where y and x go from -1 to 1 across the plane.
    """

    coefficients: NDArray[np.float64]

    @classmethod
    def of(cls, pixels: NDArray[np.float32]) -> Shading:
        """Fit the surface to a plane.

        The means of square cells are fitted with a loss that grows slowly (Cauchy's), so that a
        databar or a large object hardly counts.

        Parameters
        ----------
        pixels : ndarray
            (Y, X, bands), normalised; every n-th pixel of the plane will do.
        """
        cells = _cell_means(pixels)
        rows, columns, bands = cells.shape
        terms = _terms(np.arange(rows), np.arange(columns), (rows, columns)).reshape(6, -1).T
        fitted = np.stack([_fitted(terms, cells[..., n].ravel()) for n in range(bands)], axis=1)
        fitted[0] = -(terms[:, 1:] @ fitted[1:]).mean(axis=0)
        return cls(fitted)

    def __call__(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Return the (rows, columns, bands) surface at pixels of a plane of a shape."""
        terms = _terms(rows, columns, shape).astype(np.float32)
        surface: NDArray[np.float32] = np.einsum(
            "tyx,tb->yxb", terms, self.coefficients.astype(np.float32)
        )
        return surface


def _cell_means(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    height, width, bands = pixels.shape
    side = max(1, min(height, width) // _CELLS)
    rows, columns = height // side, width // side
    cells = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, bands)
    means: NDArray[np.float64] = cells.mean(axis=(1, 3), dtype=np.float64)
    return means


def _terms(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the (6, rows, columns) terms of the surface at the middles of pixels or cells."""
    places = (2 * (n + 0.5) / size - 1 for n, size in zip((rows, columns), shape, strict=True))
    y, x = np.meshgrid(*places, indexing="ij")
    return np.stack([np.ones_like(y), y, x, y * y, x * y, x * x])


def _fitted(terms: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    found = least_squares(
        lambda coefficients: terms @ coefficients - values,
        np.zeros(6),
        lambda _: terms,
        loss="cauchy",
        f_scale=_OUTLYING,
    )
    fitted: NDArray[np.float64] = found.x
    return fitted
