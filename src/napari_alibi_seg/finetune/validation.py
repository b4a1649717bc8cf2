"""Compare a student with its teacher on held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize

from napari_alibi_seg.core.model.position import (
    authors_r2,
    leave_one_image_out_r2,
    ramps,
    rolled,
    tile_cosine,
)
from napari_alibi_seg.finetune.crops import Stream
from napari_alibi_seg.finetune.logs import Figures

if TYPE_CHECKING:
    from torch import Tensor

    from napari_alibi_seg.core.model.backbone import Backbone
    from napari_alibi_seg.finetune.crops import Crops
    from napari_alibi_seg.finetune.targets import TargetTable

_SIDE = 16
_TILED_CROPS = 8
_NEIGHBOURS = 10_000
_QUERIES = 2_000


@dataclass(frozen=True)
class Scores(Figures):
    """Figures of one validation.

    Attributes
    ----------
    cosine_distance : float
        Mean of 1 - cosine between student and teacher tokens, on 16 x 16 grids.
    target_distance : float
        The same between student tokens and targets.
    nearest_agreement : float
        Share of patches for which student and teacher have the same nearest neighbour among up to
        10,000 teacher tokens of other crops (`nearest_agreement`).
    target_nearest_agreement : float
        The same with the targets instead of the teacher's tokens.
    tile_cosine : float
        Mean cosine between the central tokens of a 32 x 32 grid and the tokens of its central
        16 x 16 patches computed alone.
    loio_r2, null_r2 : float
        Leave-one-image-out R^2 of position over the crops (`leave_one_image_out_r2`), and the
        same for `rolled` tokens, i.e. at chance level.
    authors_r2 : float
        R^2 of the authors' probe on 32 x 32 grids (`authors_r2`), lr+ud.
    teacher_loio_r2, teacher_authors_r2 : float
        The same figures for the teacher.
    """

    cosine_distance: float
    target_distance: float
    nearest_agreement: float
    target_nearest_agreement: float
    tile_cosine: float
    loio_r2: float
    null_r2: float
    authors_r2: float
    teacher_loio_r2: float
    teacher_authors_r2: float


class Validation:
    """A fixed set of validation crops and the teacher's tokens of them.

    Parameters
    ----------
    teacher : Backbone
        Teacher, on the device to compute on.
    table : TargetTable
        Targets for the last block's tokens, on the same device.
    crops : Crops
        Crops of the held-out pictures.
    count : int
        Number of crops to use.
    """

    def __init__(self, teacher: Backbone, table: TargetTable, crops: Crops, count: int) -> None:
        patch = teacher.patch_size
        keys = [(Stream.VALIDATION, number) for number in range(count)]
        self._images = crops.batch(_SIDE * patch, keys)
        self._large = crops.batch(2 * _SIDE * patch, keys[:_TILED_CROPS])
        self._teacher = _tokens(teacher, self._images)
        device = next(teacher.parameters()).device
        self._targets = table.apply(self._teacher.to(device)).cpu()
        self._seed = crops.seed
        self._teacher_loio = leave_one_image_out_r2([*self._teacher.numpy()])
        self._teacher_authors = self._authors(_tokens(teacher, self._large))

    def score(self, student: Backbone) -> Scores:
        """Compare a student with the teacher."""
        tokens, large = _tokens(student, self._images), _tokens(student, self._large)
        random = np.random.default_rng(self._seed)
        moved = [rolled(image, random) for image in tokens.numpy()]
        return Scores(
            cosine_distance=_distance(tokens, self._teacher),
            target_distance=_distance(tokens, self._targets),
            nearest_agreement=nearest_agreement(tokens, self._teacher),
            target_nearest_agreement=nearest_agreement(tokens, self._targets),
            tile_cosine=tile_cosine(partial(_tokens, student), self._large, large),
            loio_r2=leave_one_image_out_r2([*tokens.numpy()]),
            null_r2=leave_one_image_out_r2(moved),
            authors_r2=self._authors(large),
            teacher_loio_r2=self._teacher_loio,
            teacher_authors_r2=self._teacher_authors,
        )

    def _authors(self, tokens: Tensor) -> float:
        random = np.random.default_rng(self._seed)
        target = ramps((tokens.shape[1], tokens.shape[2]))["lr+ud"]
        return float(np.mean([authors_r2(image, target, random) for image in tokens.numpy()]))


def nearest_agreement(student: Tensor, teacher: Tensor) -> float:
    """Return how often a patch's student and teacher tokens have the same nearest neighbour.

    Up to 2,000 patches are compared. Neighbours are up to 10,000 teacher tokens of other images,
    by cosine.

    Parameters
    ----------
    student, teacher : Tensor
        (B, h, w, C) tokens of the same images.
    """
    image = torch.arange(len(student)).repeat_interleave(student.shape[1] * student.shape[2])
    chosen = torch.linspace(0, len(image) - 1, min(len(image), _NEIGHBOURS)).long()
    asked = torch.linspace(0, len(chosen) - 1, min(len(chosen), _QUERIES)).long()
    same = image[chosen][asked, None] == image[chosen][None]

    def patches(tokens: Tensor) -> Tensor:
        return normalize(tokens.flatten(0, 2)[chosen], dim=-1)  # (B, h, w, C) -> (N, C)

    neighbours = patches(teacher).T

    def nearest(tokens: Tensor) -> Tensor:
        return (patches(tokens)[asked] @ neighbours).masked_fill(same, -2.0).argmax(dim=1)

    return float((nearest(student) == nearest(teacher)).float().mean())


def _distance(one: Tensor, other: Tensor) -> float:
    return float((1 - cosine_similarity(one, other, dim=-1)).mean())


@torch.no_grad()
def _tokens(backbone: Backbone, images: Tensor) -> Tensor:
    device = next(backbone.parameters()).device
    return torch.cat([backbone(part.to(device)).cpu() for part in images.split(4)])
