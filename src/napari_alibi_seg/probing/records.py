"""The records of a run, from one image's figures to everything measured."""

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
"""The outputs whose mean is the `lr+ud` of the authors' table."""


@dataclass(frozen=True)
class ProbingConfig:
    """How to probe.

    Attributes
    ----------
    grid : int
        Tokens along a side of the square view that is probed; 37 is 518 px for a patch of 14.
    tile_grid : int
        Tokens along a side of the view for the tile test, a multiple of 4; tiles are half as wide.
    stability_images : int
        Images for the tile, flip and shift tests, spread evenly over all; these tests take about
        ten times as long as the probes.
    device : str
        See `choose_device`.
    seed : int
        Of everything random; each model gets the same random numbers.
    """

    grid: int = 37
    tile_grid: int = 64
    stability_images: int = 16
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Stability:
    """What tiling, flipping and shifting do to one image.

    Attributes
    ----------
    image : str
        Its name.
    tiles : dict of int to float
        Mean cosine of the tokens of a tile with those of the whole, by halo.
    segmentations : dict of StrokeLayout to tuple of Resegmentation
        One for each draw of the strokes; may lack some kinds of strokes.
    """

    image: str
    tiles: dict[int, float]
    segmentations: dict[StrokeLayout, tuple[Resegmentation, ...]]


@dataclass(frozen=True)
class LeftOut:
    """The leave-one-image-out probe of all channels together.

    Attributes
    ----------
    r2 : ndarray
        (images, 4) R^2 for each of `RAMPS`, not clipped.
    rolled, shuffled : ndarray
        (images, 4) the same with each image's tokens shifted circularly by a random amount, and
        in random order: there is no position left to find.
    seen : ndarray
        (h, w) left-to-right position that the other images' probe sees in the first image.
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
        Which.
    authors : ndarray
        (images, repeats, 5) R^2 of the authors' probe for `RAMPS` and `CONTROL`.
    left_out : LeftOut or None
        None if there is one image only.
    segmentation_r2 : float or None
        Its R^2 for lr+ud of the tokens that segmentations use, the mean over the images.
    fingerprint : ndarray
        (L, C, 2) authors' R^2 of each channel alone for lr and ud, the mean over the images.
    left_out_fingerprint : ndarray or None
        The same, each time in an image left out.
    first : ndarray
        (h, w, C) float16 tokens of the first image.
    stability : tuple of Stability
        For some of the images.
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
        """(C, 2) R^2 of each channel of the last layer alone for lr and ud.

        In images left out; in the image itself if there is one only.
        """
        probe = self.fingerprint if self.left_out_fingerprint is None else self.left_out_fingerprint
        return np.asarray(probe[-1])

    @property
    def channel_ranking(self) -> NDArray[np.intp]:
        """Channels of the last layer, the one that alone tells most of position first."""
        return np.asarray(np.argsort(-self.channel_r2.max(axis=1), kind="stable"))


@dataclass(frozen=True)
class Probing:
    """A whole run.

    Attributes
    ----------
    config : ProbingConfig
        How.
    shapes : dict of str to tuple of int
        Rows and columns of every image probed, by its name.
    failed : dict of str to str
        Images and models that could not be read, and why.
    first : Square
        The first image, for figures.
    models : tuple of ModelProbe
        In the order asked for.
    """

    config: ProbingConfig
    shapes: dict[str, tuple[int, int]]
    failed: dict[str, str]
    first: Square
    models: tuple[ModelProbe, ...]
