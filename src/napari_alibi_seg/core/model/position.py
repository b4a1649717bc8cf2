"""Positional bias: two probes of how well features predict the position of a token.

The authors' probe (Pawlowsky et al., arXiv 2603.16840) is fitted and tested on one image. It
mistakes smooth features for positional ones, since interpolating between nearby tokens suffices.
The other probe is fitted on all images but one and tested on the held-out image: position that can
be predicted there does not come from the content of an image. The same content in another place,
in a tile, tests it without a probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cosine_similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

FloatArray = NDArray[np.floating]

AUTHORS_ALPHA = 1.0
LEFT_OUT_ALPHA = 100.0
"""Ridge penalties of the two probes, on standardised channels."""
SMALLEST_DEVIATION = 1e-6
"""Standard deviation of a channel below which it counts as constant."""
_REPEATS = 6
_TOKENS_PER_SAMPLE = 36


def ramps(grid: tuple[int, int]) -> dict[str, FloatArray]:
    """Return the position targets of the authors' protocol (Pawlowsky et al., arXiv 2603.16840).

    Parameters
    ----------
    grid : tuple of int
        Rows and columns of the patch grid.

    Returns
    -------
    dict of str to ndarray
        ``lr``, ``ud``, ``diag`` and ``radial``, (h, w, 1), and ``lr+ud``, (h, w, 2); all in [0, 1].
    """
    down, right = np.meshgrid(*(np.linspace(0.0, 1.0, length) for length in grid), indexing="ij")
    radial = np.hypot(down - 0.5, right - 0.5) / np.sqrt(0.5)
    single = {"lr": right, "ud": down, "diag": (down + right) / 2, "radial": radial}
    targets: dict[str, FloatArray] = {name: ramp[..., None] for name, ramp in single.items()}
    return {**targets, "lr+ud": np.stack([right, down], axis=-1)}


def authors_r2(tokens: FloatArray, targets: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the R^2 of the authors' probe of one image, fitted and tested on that image.

    A ridge regression (alpha 1) on standardised channels of ``h w // 36`` random tokens, scored
    on all tokens. Interpolation between neighbouring tokens helps here, so smooth features without
    positional information score well above 0, and rough ones below.

    Parameters
    ----------
    tokens : ndarray
        (h, w, C).
    targets : ndarray
        (h, w, K).
    rng : Generator
        Draws the tokens.

    Returns
    -------
    ndarray
        (repeats, K) R^2, at most 1.
    """
    x, y = rows(tokens).astype(np.float64), rows(targets)
    scores = []
    for sample in authors_samples(len(x), rng):
        scaler = StandardScaler().fit(x[sample])
        ridge = Ridge(alpha=AUTHORS_ALPHA).fit(scaler.transform(x[sample]), y[sample])
        predicted = ridge.predict(scaler.transform(x)).reshape(y.shape)
        scores.append(r2_score(y, predicted, multioutput="raw_values"))
    return np.array(scores)


def authors_samples(tokens: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Return the indices of the tokens that each repeat of the authors' probe is fitted on.

    Parameters
    ----------
    tokens : int
        Number of tokens.
    rng : Generator
        Draws the indices.

    Returns
    -------
    list of ndarray
        For each of 6 repeats, (tokens // 36,) distinct indices.
    """
    count = tokens // _TOKENS_PER_SAMPLE
    return [rng.choice(tokens, count, replace=False) for _ in range(_REPEATS)]


def leave_one_image_out_r2(features: Sequence[FloatArray]) -> float:
    """Return the R^2 of position predicted from all channels, by leave-one-image-out validation.

    A ridge regression on standardised channels is fitted to all tokens of all images but one and
    tested on all tokens of the held-out image; R^2 is averaged over images and both axes.

    Parameters
    ----------
    features : sequence of ndarray
        (h, w, C) per image, at least two images; grids may differ.

    Returns
    -------
    float
        R^2, at most 1. Zero or less means no positional bias; clip at 0 before comparing.

    Raises
    ------
    ValueError
        If there are fewer than two images.
    """
    folds = _leave_one_out(features, "lr+ud")
    scores = [r2_score(fold.y, fold.predict()) for fold in folds]
    return float(np.mean(scores))


def leave_one_image_out_predictions(
    features: Sequence[FloatArray], target: str = "lr+ud"
) -> Iterator[FloatArray]:
    """Yield the position predicted in every image by a probe fitted on the other images.

    Parameters
    ----------
    features : sequence of ndarray
        As in `leave_one_image_out_r2`.
    target : str
        A name of `ramps`.

    Yields
    ------
    ndarray
        (h, w, K) float64, K the number of outputs of the target; in [0, 1] for good predictions.

    Raises
    ------
    ValueError
        If there are fewer than two images.
    """
    for image, fold in zip(features, _leave_one_out(features, target), strict=True):
        aim = ramps((image.shape[0], image.shape[1]))[target]
        yield aim + (fold.predict() - fold.y).reshape(aim.shape)


def rolled(tokens: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return (h, w, C) tokens shifted circularly by a random amount along both axes.

    This preserves the correlation of neighbouring tokens but not their position.
    """
    shift = [int(rng.integers(length)) for length in tokens.shape[:2]]
    return np.roll(tokens, shift, axis=(0, 1))


def tile_cosine(
    model: Callable[[Tensor], Tensor], images: Tensor, whole: Tensor, halo: int = 0
) -> float:
    """Return the mean cosine between central tokens of images and the same tokens of a tile.

    Parameters
    ----------
    model : callable
        Computes (B, h, w, C) tokens of (B, 3, H, W) images.
    images : Tensor
        (B, 3, S, S), where S is a multiple of four patches; the tile is the central half.
    whole : Tensor
        Tokens of `images`.
    halo : int
        Width of the context computed around the tile and then discarded, in tokens.
    """
    grid = whole.shape[1]
    start, stop, patch = grid // 4, grid - grid // 4, images.shape[-1] // grid
    inside = slice((start - halo) * patch, (stop + halo) * patch)
    tile = model(images[..., inside, inside])
    kept = tile[:, halo : tile.shape[1] - halo, halo : tile.shape[2] - halo]
    return float(cosine_similarity(kept, whole[:, start:stop, start:stop], dim=-1).mean())


def rows(array: FloatArray) -> FloatArray:
    """Return an (h, w, C) array as (h w, C)."""
    return array.reshape(-1, array.shape[-1])


@dataclass(frozen=True)
class _Fold:
    """Moments of all images but one, for the fit, and the tokens of the held-out image.

    `gram` (C, C) and `moment` (C, outputs) are sums over the standardised training tokens; `x`
    (N, C) is standardised likewise, and `y` (N, outputs) is centred by the training mean.
    """

    gram: FloatArray
    moment: FloatArray
    x: FloatArray
    y: FloatArray

    def predict(self) -> FloatArray:
        """Return (N, outputs) positions, minus the training mean, predicted from all channels."""
        gram = self.gram + LEFT_OUT_ALPHA * np.eye(len(self.gram))
        return np.asarray(self.x @ np.linalg.solve(gram, self.moment))


def _leave_one_out(features: Sequence[FloatArray], target: str) -> Iterator[_Fold]:
    if len(features) < 2:
        raise ValueError(
            f"Leaving one image out needs at least two images, not {len(features)}; add some."
        )
    # Not converted to double precision: the targets and means are, so all sums are, too.
    tokens = [rows(image) for image in features]
    aims = [rows(ramps((image.shape[0], image.shape[1]))[target]) for image in features]
    moments = [_moments(np.hstack([x, y])) for x, y in zip(tokens, aims, strict=True)]
    count, total, products = (sum(part) for part in zip(*moments, strict=True))
    channels = tokens[0].shape[1]
    for x, y, (n, of_image, products_of_image) in zip(tokens, aims, moments, strict=True):
        mean = (total - of_image) / (count - n)
        spread = products - products_of_image - (count - n) * np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(spread)[:channels], 0.0) / (count - n))
        scale = 1.0 / np.maximum(deviation, SMALLEST_DEVIATION)
        yield _Fold(
            gram=spread[:channels, :channels] * np.outer(scale, scale),
            moment=spread[:channels, channels:] * scale[:, None],
            x=(x - mean[:channels]) * scale,
            y=y - mean[channels:],
        )


def _moments(columns: FloatArray) -> tuple[int, FloatArray, FloatArray]:
    return len(columns), columns.sum(axis=0), columns.T @ columns
