"""Practical effects of positional bias: on tiles, and on segmentations trained on strokes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.filters import threshold_otsu

from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection
from napari_alibi_seg.core.config import ChannelConfig
from napari_alibi_seg.core.devices import inference_precision
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.forest.samples import PixelSamples
from napari_alibi_seg.core.forest.training import growing_forest
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.model.position import tile_cosine
from napari_alibi_seg.core.progress import run_to_end

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.features.extraction import FeatureMap
    from napari_alibi_seg.core.forest.training import PixelForest
    from napari_alibi_seg.core.model.debiasing import TokenModel
    from napari_alibi_seg.probing.inputs import ProbedModel, Square

HALOS = (0, 2, 4)
"""Widths of the context computed around a tile and then discarded, in tokens."""

_DEEP_ONLY = ChannelConfig(contrast=0, sigmas=())
_TREES = 60
_DABS_PER_CLASS = 6
_DRAWS = 3
_FEWEST_PAINTED = 20
_SMOOTHING = 2.0
_FLAT = 1e-3
_STEP = 4


class StrokeLayout(StrEnum):
    """Placement of the training strokes: anywhere, or each class in its half of the image."""

    SPREAD = "spread"
    ONE_SIDED = "one-sided"


class Change(StrEnum):
    """Transformations of an image that should not change the class of any pixel."""

    FLIP_LR = "flip left-right"
    FLIP_UD = "flip up-down"
    SHIFT = "half-patch shift"


@dataclass(frozen=True)
class Resegmentation:
    """Segmentations of the same pixels in an image and in its transformed versions.

    Attributes
    ----------
    original : ndarray
        (n, n) classes, 1 dark and 2 bright, at every fourth pixel of the image.
    changed : mapping of Change to ndarray
        (n, n) classes of the same pixels, segmented in each transformed image.
    painted : ndarray
        (n, n) strokes at these pixels, 0 = not painted.
    """

    original: NDArray[np.integer[Any]]
    changed: Mapping[Change, NDArray[np.integer[Any]]]
    painted: NDArray[np.integer[Any]]

    @property
    def disagreement(self) -> dict[Change, float]:
        """Share of pixels whose class differs after each change, in [0, 1]."""
        return {
            change: float((labels != self.original).mean())
            for change, labels in self.changed.items()
        }


def tile_cosines(
    backbone: TokenModel, square: Square, grid: int, device: torch.device
) -> dict[int, float]:
    """Return the similarity of the central tokens of an image, computed whole and as a tile.

    Parameters
    ----------
    backbone : TokenModel
        Model, on `device`.
    square : Square
        Image; it is resized to the grid.
    grid : int
        Tokens along a side of the whole image; the tile is its central half.
    device : torch.device
        Device to compute on.

    Returns
    -------
    dict of int to float
        Mean cosine over the tokens of the tile for each of `HALOS` that fits on the grid.
    """
    image = square.view(grid * backbone.patch_size).to(device)
    model = partial(tokens_of, backbone)
    whole = model(image)
    return {halo: tile_cosine(model, image, whole, halo) for halo in HALOS if halo <= grid // 4}


@torch.inference_mode()
def tokens_of(backbone: TokenModel, images: torch.Tensor) -> torch.Tensor:
    """Return (B, h, w, C) float32 tokens of (B, 3, H, W) images."""
    with inference_precision(images.device):
        tokens: torch.Tensor = backbone(images)
    return tokens.float()


def resegment(
    model: ProbedModel, square: Square, grid: int, device: str, seed: int
) -> dict[StrokeLayout, tuple[Resegmentation, ...]]:
    """Train segmentations on synthetic strokes and apply them to the flipped and shifted image.

    The strokes are six dabs, two patches wide, on dark and six on bright pixels (Otsu's
    threshold). They lie anywhere or, one-sided, only in the left half for dark and only in the
    right half for bright pixels. The forest is trained on deep features only, which are computed
    in tiles as in the plugin.

    Parameters
    ----------
    model : ProbedModel
        Model that computes the features.
    square : Square
        Image; it is resized to the grid.
    grid : int
        Tokens along a side.
    device : str
        See `choose_device`.
    seed : int
        Seed of the strokes and the forests.

    Returns
    -------
    dict of StrokeLayout to tuple of Resegmentation
        Three draws for each stroke layout; layouts for which a class has too few pixels, as in a
        blank image, are missing.
    """
    views = _Views.of(model, square, grid, device)
    radius = model.backbone.patch_size / _STEP
    found = {}
    for strokes in StrokeLayout:
        rng = np.random.default_rng(seed)
        draws = [_dabs(views.grey, strokes, radius, rng) for _ in range(_DRAWS)]
        if all(painted is not None for painted in draws):
            found[strokes] = tuple(
                views.resegmented(painted, seed) for painted in draws if painted is not None
            )
    return found


@dataclass(frozen=True)
class _Views:
    """Pixel channels of an image, its flips, and a view shifted by half a patch.

    Pixels are sampled on a lattice: every fourth row and column from `shift` on.
    """

    grey: NDArray[np.float32]  # smoothed, at the lattice points
    original: PixelChannels
    changed: Mapping[Change, PixelChannels]
    shift: int

    @classmethod
    def of(cls, model: ProbedModel, square: Square, grid: int, device: str) -> _Views:
        extractor = FeatureExtractor(model.backbone, model.identity, device)
        patch = model.backbone.patch_size
        side, shift = grid * patch, patch // 2
        canvas = square.view(side + shift)[0].permute(1, 2, 0).numpy()  # (S, S, 3)
        image = canvas[:side, :side]
        views = {
            Change.FLIP_LR: image[:, ::-1],
            Change.FLIP_UD: image[::-1],
            Change.SHIFT: canvas[shift:, shift:],
        }
        plane = _plane(image)
        features = extractor.extract(plane, scale=1)
        projection = Projection.fit([features], _DEEP_ONLY)

        def channels(plane: Plane, features: FeatureMap) -> PixelChannels:
            return PixelChannels(plane, _DEEP_ONLY, features, projection)

        changed = {
            change: channels(_plane(view), extractor.extract(_plane(view), scale=1))
            for change, view in views.items()
        }
        grey = gaussian_filter(image.mean(axis=2), _SMOOTHING)[shift::_STEP, shift::_STEP]
        return cls(grey, channels(plane, features), changed, shift)

    def resegmented(self, painted: NDArray[np.integer[Any]], seed: int) -> Resegmentation:
        last = self.original.shape[0] - 1
        rows, columns = np.mgrid[self.shift : last + 1 : _STEP, self.shift : last + 1 : _STEP]
        where = painted > 0
        values = self.original.points(rows[where], columns[where])
        forest = run_to_end(growing_forest([PixelSamples(values, painted[where])], _TREES, seed))
        # Where the pixel (row, column) of the original lies in each view.
        moved = {
            Change.FLIP_LR: (rows, last - columns),
            Change.FLIP_UD: (last - rows, columns),
            Change.SHIFT: (rows - self.shift, columns - self.shift),
        }
        return Resegmentation(
            original=_classes(forest, self.original, rows, columns),
            changed={
                change: _classes(forest, channels, *moved[change])
                for change, channels in self.changed.items()
            },
            painted=painted,
        )


def _plane(pixels: NDArray[np.float32]) -> Plane:
    return Plane(np.ascontiguousarray(pixels), Levels(0.0, 1.0))


def _classes(
    forest: PixelForest,
    channels: PixelChannels,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> NDArray[np.integer[Any]]:
    values = channels.points(rows.ravel(), columns.ravel())
    return np.asarray(forest.predict(values)).reshape(rows.shape)


def _dabs(
    grey: NDArray[np.float32], strokes: StrokeLayout, radius: float, rng: np.random.Generator
) -> NDArray[np.integer[Any]] | None:
    """Paint 1 on dark and 2 on bright pixels; return None if a class has too few pixels."""
    if np.ptp(grey) < _FLAT:
        return None
    bright = grey > threshold_otsu(grey)
    left = np.arange(grey.shape[1]) < grey.shape[1] / 2
    anywhere = strokes is StrokeLayout.SPREAD
    scribbles = np.zeros(grey.shape, np.uint8)
    for value, region in ((1, ~bright & (left | anywhere)), (2, bright & (~left | anywhere))):
        painted = region & _discs(region, radius, rng)
        if painted.sum() < _FEWEST_PAINTED:
            return None
        scribbles[painted] = value
    return scribbles


def _discs(region: NDArray[np.bool_], radius: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of discs with a given radius around random pixels of a region."""
    far = np.ones(region.shape, bool)
    far.flat[rng.permutation(np.flatnonzero(region))[:_DABS_PER_CLASS]] = False
    near: NDArray[np.bool_] = distance_transform_edt(far) <= radius
    return near
