"""What positional bias does in practice: to tiles, and to a segmentation trained on strokes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.filters import threshold_otsu
from torch.nn.functional import cosine_similarity

from napari_alibi_seg.core.channels.pixel_channels import PixelChannels, Projection
from napari_alibi_seg.core.config import ChannelConfig
from napari_alibi_seg.core.devices import inference_precision
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.forest.classifier import PixelSamples
from napari_alibi_seg.core.forest.training import growing_forest
from napari_alibi_seg.core.images.planes import Levels, Plane
from napari_alibi_seg.core.progress import returned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.core.features.extraction import FeatureMap
    from napari_alibi_seg.core.forest.training import PixelForest
    from napari_alibi_seg.core.model.debiasing import TokenModel
    from napari_alibi_seg.probing.inputs import ProbedModel, Square

HALOS = (0, 2, 4)
"""Tokens of context around a tile, computed and cut off again."""

_DEEP_ONLY = ChannelConfig(contrast=0, sigmas=())
_TREES = 60
_DABS_PER_CLASS = 6
_DRAWS = 3
_FEWEST_PAINTED = 20
_SMOOTHING = 2.0
_FLAT = 1e-3
_STEP = 4


class StrokeLayout(StrEnum):
    """Where the pixels that a segmentation is trained on lie."""

    SPREAD = "spread"
    ONE_SIDED = "one-sided"


class Change(StrEnum):
    """What is done to an image that should not change what is seen in it."""

    FLIP_LR = "flip left-right"
    FLIP_UD = "flip up-down"
    SHIFT = "half-patch shift"


@dataclass(frozen=True)
class Resegmentation:
    """One place of an image segmented as it is and after each change, brought back.

    Attributes
    ----------
    original : ndarray
        (n, n) classes, 1 dark and 2 bright, at every fourth pixel.
    changed : mapping of Change to ndarray
        The same for the same pixels of the changed image.
    painted : ndarray
        (n, n) the strokes at those pixels, 0 where there are none.
    """

    original: NDArray[np.integer[Any]]
    changed: Mapping[Change, NDArray[np.integer[Any]]]
    painted: NDArray[np.integer[Any]]

    @property
    def disagreement(self) -> dict[Change, float]:
        """Share of pixels whose class is another after a change, in [0, 1]."""
        return {
            change: float((labels != self.original).mean())
            for change, labels in self.changed.items()
        }


def tile_cosines(
    backbone: TokenModel, square: Square, grid: int, device: torch.device
) -> dict[int, float]:
    """Return how alike the tokens of the middle of an image are, seen whole and seen as a tile.

    Parameters
    ----------
    backbone : TokenModel
        On `device`.
    square : Square
        Magnified or reduced to cover the grid.
    grid : int
        Tokens along a side of the whole; the tile keeps the middle half of it.
    device : torch.device
        Where to compute.

    Returns
    -------
    dict of int to float
        For each of `HALOS` (as far as the grid has room) the mean cosine over the tokens kept.
    """
    patch, start, stop = backbone.patch_size, grid // 4, grid // 4 + grid // 2
    image = square.view(grid * patch).to(device)
    whole = tokens_of(backbone, image)[:, start:stop, start:stop]
    cosines = {}
    for halo in (halo for halo in HALOS if halo <= start):
        inside = slice((start - halo) * patch, (stop + halo) * patch)
        tile = tokens_of(backbone, image[..., inside, inside])
        kept = tile[:, halo : halo + grid // 2, halo : halo + grid // 2]
        cosines[halo] = float(cosine_similarity(kept, whole, dim=-1).mean())
    return cosines


@torch.inference_mode()
def tokens_of(backbone: TokenModel, images: torch.Tensor) -> torch.Tensor:
    """Return (B, h, w, C) float32 tokens of (B, 3, H, W) images."""
    with inference_precision(images.device):
        tokens: torch.Tensor = backbone(images)
    return tokens.float()


def resegment(
    model: ProbedModel, square: Square, grid: int, device: str, seed: int
) -> dict[StrokeLayout, tuple[Resegmentation, ...]]:
    """Train segmentations on made-up strokes and apply them to the image flipped and shifted.

    The strokes are six dabs, two patches wide, on the dark and six on the bright half of the grey
    values (Otsu), either anywhere or, one-sided, the dark in the left and the bright in the right
    half of the image alone. The forest sees deep features alone, as the plugin computes them, in
    tiles.

    Parameters
    ----------
    model : ProbedModel
        Whose features.
    square : Square
        Magnified or reduced to cover the grid.
    grid : int
        Tokens along a side.
    device : str
        See `choose_device`.
    seed : int
        Of the strokes and of the forests.

    Returns
    -------
    dict of StrokeLayout to tuple of Resegmentation
        Three for each kind of strokes; without those kinds for which a class has too few pixels,
        as in a blank image.
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
    """An image, its flips, and the same place seen half a patch further.

    Pixels are looked at on a lattice, every fourth row and column from `shift` on.
    """

    grey: NDArray[np.float32]  # on the lattice
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
        forest = returned(growing_forest([PixelSamples(values, painted[where])], _TREES, seed))
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
    """Return strokes, 1 on dark and 2 on bright pixels, 0 elsewhere; None if there are too few."""
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
    """Return what lies within `radius` of some random pixels of a region."""
    far = np.ones(region.shape, bool)
    far.flat[rng.permutation(np.flatnonzero(region))[:_DABS_PER_CLASS]] = False
    near: NDArray[np.bool_] = distance_transform_edt(far) <= radius
    return near
