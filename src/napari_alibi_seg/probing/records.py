"""Records of a probing run: its settings, and the results per image, per model and overall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.position import FloatArray
    from napari_alibi_seg.probing.inputs import ProbedModel, Square
    from napari_alibi_seg.probing.stability import Resegmentation, StrokeLayout

RAMPS = ("lr", "ud", "diag", "radial")
CONTROL = "random"
TABLE_FORM = (RAMPS.index("lr"), RAMPS.index("ud"))
"""Indices in `RAMPS` whose mean is the `lr+ud` score in the authors' table."""


@dataclass(frozen=True)
class ProbingConfig:
    """Settings of the probing.

    Attributes
    ----------
    grid : int
        Tokens along a side of the probed square view; 37 are 518 px for patches of 14 px.
    tile_grid : int
        Tokens along a side of the view for the tile test, a multiple of 4; tiles are half as wide.
    stability_images : int
        Number of images for the tile, flip and shift tests, spread evenly over all; these tests
        take about ten times as long as the probes.
    device : str
        See `choose_device`.
    seed : int
        Seed of all random numbers, which are the same for every model.
    """

    grid: int = 37
    tile_grid: int = 64
    stability_images: int = 16
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Stability:
    """Effects of tiling, flipping and shifting on one image.

    Attributes
    ----------
    image : str
        Name of the image.
    tiles : dict of int to float
        Mean cosine between the tokens of a tile and those of the whole, by halo in tokens.
    segmentations : dict of StrokeLayout to tuple of Resegmentation
        One for each draw of the strokes; stroke layouts that are not possible are missing.
    """

    image: str
    tiles: dict[int, float]
    segmentations: dict[StrokeLayout, tuple[Resegmentation, ...]]


@dataclass(frozen=True)
class LeftOut:
    """Results of the leave-one-image-out probe of all channels together.

    Attributes
    ----------
    r2 : ndarray
        (images, 4) R^2 for each of `RAMPS`, not clipped.
    rolled, shuffled : ndarray
        (images, 4) the nulls: the same with each image's tokens shifted circularly by a random
        amount, and in random order, so that no position is left to find.
    seen : ndarray
        (h, w) left-to-right position in the first image, predicted by the probe that was fitted
        to the other images.
    """

    r2: FloatArray
    rolled: FloatArray
    shuffled: FloatArray
    seen: FloatArray


@dataclass(frozen=True)
class ModelProbe:
    """Everything measured of one model.

    Attributes
    ----------
    model : ProbedModel
        The model.
    authors : ndarray
        (images, repeats, 5) R^2 of the authors' probe for `RAMPS` and `CONTROL`.
    left_out : LeftOut or None
        Leave-one-image-out probe of the last layer; None if there is only one image.
    segmentation_r2 : float or None
        Leave-one-image-out R^2, lr+ud, of the features used for segmentation; mean over images.
    fingerprint : ndarray
        (L, C, 2) R^2 of the authors' probe for each channel alone, lr and ud; mean over images.
    left_out_fingerprint : ndarray or None
        The same for the leave-one-image-out probe; None if there is only one image.
    first : ndarray
        (h, w, C) float16 last-layer tokens of the first image.
    stability : tuple of Stability
        Tile, flip and shift tests of some of the images.
    """

    model: ProbedModel
    authors: FloatArray
    left_out: LeftOut | None
    segmentation_r2: float | None
    fingerprint: FloatArray
    left_out_fingerprint: FloatArray | None
    first: NDArray[np.float16]
    stability: tuple[Stability, ...]

    @property
    def channel_r2(self) -> FloatArray:
        """(C, 2) R^2 of each channel of the last layer alone, lr and ud.

        From the leave-one-image-out probe or, with only one image, the authors' probe.
        """
        probe = self.fingerprint if self.left_out_fingerprint is None else self.left_out_fingerprint
        return np.asarray(probe[-1])

    @property
    def channel_ranking(self) -> NDArray[np.intp]:
        """Channels of the last layer, in order of decreasing R^2 (the larger of lr and ud)."""
        return np.asarray(np.argsort(-self.channel_r2.max(axis=1), kind="stable"))


@dataclass(frozen=True)
class Probing:
    """Results of a whole run.

    Attributes
    ----------
    config : ProbingConfig
        Settings of the run.
    shapes : dict of str to tuple of int
        Rows and columns of every probed image, by name.
    failed : dict of str to str
        What was left out, and why: copies, and images and models that could not be read.
    first : Square
        The first image, for the figures.
    models : tuple of ModelProbe
        Results of each model, in the order given.
    """

    config: ProbingConfig
    shapes: dict[str, tuple[int, int]]
    failed: dict[str, str]
    first: Square
    models: tuple[ModelProbe, ...]
