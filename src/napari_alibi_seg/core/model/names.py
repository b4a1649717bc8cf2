"""The table of models by name. Does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_alibi_seg.core.choices import DEFAULT_MODEL
from napari_alibi_seg.core.model.fetch import HubFile, cached
from napari_alibi_seg.core.model.geometry import PUBLISHED, Geometry, Slopes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WITH_A_FILE = 3  # parts of timm:<id>:<file>
_NO_BIAS = Geometry(slope=0.0)


@dataclass(frozen=True)
class ModelEntry:
    """One row of the table of models.

    Attributes
    ----------
    description, licence : str
        Texts for the user.
    architecture : str
        timm architecture name.
    geometry : Geometry
        ALiBi geometry the weights were trained with.
    source : str or HubFile
        Name of a bundled file in ``weights/``, or a file of the Hugging Face hub.
    """

    description: str
    licence: str
    architecture: str
    geometry: Geometry
    source: str | HubFile

    @property
    def where(self) -> str:
        """``bundled``, ``cached`` or ``to be fetched``."""
        if isinstance(self.source, str):
            return "bundled"
        return "to be fetched" if cached(self.source) is None else "cached"


def _dino_saw(file: str) -> HubFile:
    return HubFile(repository="rmdocherty/dino-saw", file=file)


MODELS: Mapping[str, ModelEntry] = {
    DEFAULT_MODEL: ModelEntry(
        "DINOv2 ViT-S/14 in ALiBi form, the default",
        "Apache-2.0",
        "vit_small_patch14_dinov2",
        Geometry(slopes=Slopes.LEARNED),
        "alibi-dinov2-s14.safetensors",
    ),
    "dino-saw-dinov2-s14": ModelEntry(
        "ALiBi-DINOv2 ViT-S/14 with registers, ImageNet subset (arXiv 2603.16840)",
        "Apache-2.0",
        "vit_small_patch14_reg4_dinov2",
        PUBLISHED,
        _dino_saw("alibi_dv2_vits14_reg4.pth"),
    ),
    "dino-saw-coco-dinov2-s14": ModelEntry(
        "ALiBi-DINOv2 ViT-S/14 with registers, COCO (arXiv 2603.16840)",
        "Apache-2.0",
        "vit_small_patch14_reg4_dinov2",
        PUBLISHED,
        _dino_saw("alibi_coco_dv2_vits14_reg4.pth"),
    ),
    "dino-saw-nope-dinov2-s14": ModelEntry(
        "DINOv2 ViT-S/14 with registers and no positions at all, COCO (arXiv 2603.16840)",
        "Apache-2.0",
        "vit_small_patch14_reg4_dinov2",
        _NO_BIAS,
        _dino_saw("nope_coco_dv2_vits14_reg4.pth"),
    ),
    "dino-saw-coco-dinov3-s16plus": ModelEntry(
        "ALiBi-DINOv3 ViT-S+/16 with registers, COCO (arXiv 2603.16840)",
        "DINOv3 licence (Meta)",
        "vit_small_plus_patch16_dinov3_qkvb",
        PUBLISHED,
        _dino_saw("alibi_coco_dv3_vits16_plus_reg4.pth"),
    ),
}


def absolute_model(name: str) -> str:
    """Return a model name (see `load_model`) with the path of its file, if any, made absolute."""
    return _with_file(name, os.path.abspath)


def model_without_folder(name: str) -> str:
    """Return a model name without the folder of its file, if any, for sharing."""
    return _with_file(name, os.path.basename)


def _with_file(name: str, change: Callable[[str], str]) -> str:
    *kind, file = name.split(":", _WITH_A_FILE - 1) if name.startswith("timm:") else [name]
    if len(kind) == 1:
        return name
    for path in (file, file.rpartition("+")[0]):  # with or without the suffix of a remedy
        if path in MODELS:
            return name
        if os.path.isfile(path):
            return ":".join([*kind, change(path) + file[len(path) :]])
    return name
