"""The channels by which a pixel is classified: projected deep features, then pixel filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA

from napari_alibi_seg.core.channels.filters import count_filters, pixel_filters
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.features.upsampling import upsampled_block, upsampled_points
from napari_alibi_seg.core.images.windows import neighbourhoods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.config import ChannelConfig
    from napari_alibi_seg.core.features.extraction import FeatureMap
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.images.windows import Window

_FITTED_TOKENS = 20_000
_CHANNELS_AT_ONCE = 32
_TRUNCATE = 2.0
_JUDGED_BY = 32
"""Number of components by which novelty is measured, the same for all settings."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear projection of patch features, fitted on the scribbled planes.

    Attributes
    ----------
    mean : ndarray
        (C,) float32.
    components : ndarray
        (D, C) float32, orthonormal rows, largest variance first.
    missed : float
        Share of the variance of features, 0 to 1, that 32 components fitted on half of a plane miss
        in its other half; the mean over the fitted planes. 0 if unknown, as with fewer components
        or in tiny planes.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    missed: float = 0.0

    @classmethod
    def fit(cls, maps: Sequence[FeatureMap], config: ChannelConfig) -> Projection:
        """Fit the principal components of about 20,000 tokens at most, spread over the maps."""
        every = -(-sum(m.tokens.shape[0] * m.tokens.shape[1] for m in maps) // _FITTED_TOKENS)
        tokens = np.concatenate([_sampled(m.tokens, config.contrast, every) for m in maps])
        if len(tokens) == 1:  # nothing varies
            return cls(tokens[0].astype(np.float32), np.eye(1, tokens.shape[1], dtype=np.float32))
        kept = min(config.components, *tokens.shape)
        pca = PCA(kept, svd_solver="covariance_eigh").fit(tokens)
        known = [_missed_elsewhere(m.tokens) for m in maps] if kept >= _JUDGED_BY else []
        missed = float(np.mean([share for share in known if share] or [0.0]))
        return cls(pca.mean_.astype(np.float32), pca.components_.astype(np.float32), missed)

    def novelty(self, tokens: NDArray[np.float16]) -> float | None:
        """Return how many times as much the components miss in (h, w, C) tokens as is usual.

        This is the reconstruction error of principal components, from which process control sees
        that a model no longer holds (Jackson and Mudholkar, Technometrics 21, 341 (1979)), relative
        to that of unseen parts of the fitted planes (docs/accuracy.md).

        Returns
        -------
        float or None
            About 1 for a fitted plane, more if the fitted ones differ; mostly 1 to 2.5 for others
            like them. None if `missed` is unknown.
        """
        if not self.missed:
            return None
        return _share_missed(self.components[:_JUDGED_BY], _few(tokens)) / self.missed

    def __call__(self, tokens: NDArray[np.float16]) -> NDArray[np.float32]:
        """Project (h, w, C) tokens to (h, w, D) row by row, to avoid a float32 copy of the map."""
        projected = np.empty((*tokens.shape[:2], len(self.components)), np.float32)
        for row, out in zip(tokens, projected, strict=True):
            out[:] = (row.astype(np.float32) - self.mean) @ self.components.T
        return projected


class PixelChannels:
    """Evaluates the channels of one plane on demand, in windows or at single pixels.

    Parameters
    ----------
    plane : Plane
        The pixels.
    config : ChannelConfig
        Which channels to compute.
    features : FeatureMap, optional
        Deep features of the plane; None for pixel filters only.
    projection : Projection, optional
        Required with `features`.

    Attributes
    ----------
    novelty : float or None
        `Projection.novelty` of the plane; None without features.
    """

    def __init__(
        self,
        plane: Plane,
        config: ChannelConfig,
        features: FeatureMap | None = None,
        projection: Projection | None = None,
    ) -> None:
        config.require(plane)
        self._plane = plane.flattened if config.flatten else plane
        self._config = config
        self._tokens = self.novelty = None
        if features is not None and projection is not None:
            self.novelty = projection.novelty(features.tokens)
            self._tokens = local_contrast(projection(features.tokens), config.contrast)
            self._stride = features.stride
        elif not config.sigmas:
            raise AlibiSegError(
                "There is nothing to tell pixels by, neither a model's features nor filters; name "
                "a model, or give the filters sigmas."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self._plane.shape

    @property
    def bytes(self) -> int:
        """Memory of the projected tokens, in bytes."""
        return 0 if self._tokens is None else self._tokens.nbytes

    def guide(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width) float32 normalised grey values of a window."""
        grey: NDArray[np.float32] = self._plane.read(window).mean(axis=-1)
        return grey

    def missing(self, window: Window) -> NDArray[np.bool_] | None:
        """Return the mask of pixels not to segment in a window; see `Plane.missing`."""
        return self._plane.missing(window)

    def block(self, window: Window) -> NDArray[np.float32]:
        """Return (height, width, F) float32 channels of a window inside the plane."""
        parts = []
        if self._tokens is not None:
            parts.append(upsampled_block(self._tokens, self._stride, window))
        if self._config.sigmas:
            parts.append(pixel_filters(self._config, self._plane, window))
        return np.concatenate(parts, axis=-1)

    def subsampled(self, window: Window, step: int) -> NDArray[np.float32]:
        """Return (h, w, F) channels of every `step`-th pixel of a window in rows and columns."""
        if self._config.sigmas:
            return self.block(window)[::step, ::step]
        rows = np.arange(window.top, window.top + window.height, step)
        columns = np.arange(window.left, window.left + window.width, step)
        grid = np.meshgrid(rows, columns, indexing="ij")
        values = self.points(grid[0].ravel(), grid[1].ravel())
        return values.reshape(len(rows), len(columns), -1)

    def points(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return (N, F) float32 channels of N pixels, equal to those of `block`."""
        parts = []
        if self._tokens is not None:
            parts.append(upsampled_points(self._tokens, self._stride, rows, columns))
        if self._config.sigmas:
            parts.append(self._filtered_points(rows, columns))
        return np.concatenate(parts, axis=-1)

    def _filtered_points(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        count = count_filters(self._config, self._plane.bands)
        values = np.empty((len(rows), count), np.float32)
        for here, window in neighbourhoods(rows, columns):
            block = pixel_filters(self._config, self._plane, window)
            values[here] = block[rows[here] - window.top, columns[here] - window.left]
        return values


def _few(tokens: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return (N, C) float32 tokens of a plane in row-major order, about 20,000 at most."""
    every = -(-tokens[..., 0].size // _FITTED_TOKENS)
    return tokens.reshape(-1, tokens.shape[-1])[::every].astype(np.float32)


def _share_missed(components: NDArray[np.float32], tokens: NDArray[np.float32]) -> float:
    deviations = tokens - tokens.mean(axis=0)
    total = np.square(deviations).sum()
    return max(float(1 - np.square(deviations @ components.T).sum() / total), 0.0) if total else 0.0


def _missed_elsewhere(tokens: NDArray[np.float16]) -> float:
    """Return the share that components of two of four bands of rows miss in the others; or 0."""
    bands = np.array_split(_few(tokens), 4)
    halves = [np.concatenate(bands[start::2]) for start in (0, 1)]
    if min(map(len, halves)) <= _JUDGED_BY:
        return 0.0
    pca = PCA(_JUDGED_BY, svd_solver="covariance_eigh")
    shares = [
        _share_missed(pca.fit(one).components_, other) for one, other in (halves, halves[::-1])
    ]
    return float(np.mean(shares))


def local_contrast(tokens: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Subtract from (h, w, D) tokens their Gaussian mean of `sigma` tokens; 0 subtracts nothing."""
    if sigma == 0:
        return tokens
    surroundings = gaussian_filter(tokens, sigma, axes=(0, 1), mode="mirror", truncate=_TRUNCATE)
    contrast: NDArray[np.float32] = tokens - surroundings
    return contrast


def _sampled(tokens: NDArray[np.float16], contrast: float, every: int) -> NDArray[np.float64]:
    """Return every n-th token as (N, C) float64, a few channels at a time to save memory."""
    sampled = [
        local_contrast(some.astype(np.float32), contrast).reshape(-1, some.shape[-1])[::every]
        for some in np.array_split(tokens, tokens.shape[-1] // _CHANNELS_AT_ONCE + 1, axis=-1)
    ]
    return np.concatenate(sampled, axis=-1).astype(np.float64)
