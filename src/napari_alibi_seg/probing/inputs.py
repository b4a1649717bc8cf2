"""Inputs of the probing: image files as square views, and models by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import interpolate

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.features.extraction import usual_layer
from napari_alibi_seg.core.images.levels import robust_levels, sampled_planes
from napari_alibi_seg.core.images.micrograph import read_pictures
from napari_alibi_seg.core.images.planes import Plane, pixel_digest
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.model.debiasing import REMEDIES, load_model
from napari_alibi_seg.core.naming import IMAGE_SUFFIXES
from napari_alibi_seg.core.runs.finding import distinct, images_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.core.model.debiasing import TokenModel

LARGEST_SQUARE = 1024
_SMALLEST_SIDE = 56  # four patches; enlarged to a grid of many more, less shows hardly anything


@dataclass(frozen=True)
class Square:
    """The central square of an image.

    Attributes
    ----------
    pixels : ndarray
        (S, S, 1 or 3) float32 in [0, 1].
    shape : tuple of int
        Rows and columns of the whole image.
    """

    pixels: NDArray[np.float32]
    shape: tuple[int, int]

    @property
    def content(self) -> str:
        """Digest of the pixels in 256 grey values, equal for copies in any format."""
        return pixel_digest(np.round(255 * self.pixels).astype(np.uint8))

    def view(self, side: int) -> torch.Tensor:
        """Return the square resized to (1, 3, side, side), in [0, 1]."""
        image = torch.from_numpy(self.pixels).permute(2, 0, 1)[None]  # (1, colours, S, S)
        image = interpolate(image, size=(side, side), mode="bicubic", antialias=True)
        return image.clamp_(0, 1).expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class ProbedModel:
    """A model to probe.

    Attributes
    ----------
    name : str
        Name or path as given; see `load_model`.
    backbone : TokenModel
        The model, in evaluation mode.
    identity : BackboneIdentity
        Identity of the backbone, without a remedy of positional bias.
    """

    name: str
    backbone: TokenModel
    identity: BackboneIdentity

    @classmethod
    def load(cls, name: str) -> ProbedModel:
        """Load a model by name or path; see `load_model`."""
        return cls(name, *load_model(name))

    @property
    def segmentation_layer(self) -> int:
        """The block, counted from 1, whose output is used as features for segmentation."""
        return usual_layer(self.backbone.depth)

    @property
    def label(self) -> str:
        """Short name for figures; a path is reduced to its last folder and file name.

        The folder is needed because all students of `napari_alibi_seg.finetune` have the same
        file name.
        """
        kind, _, rest = self.name.partition(":")
        if kind == "timm":
            architecture, _, file = rest.partition(":")
            remedy = file[file.rfind("+") :] if file.endswith(REMEDIES) else ""
            return f"{architecture} (stock){remedy}"
        path = Path(self.name)
        file = path.name.replace(".safetensors", "")  # a remedy may follow the suffix
        return f"{path.parent.name}/{file}" if path.parent.name else file


def find_images(sources: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """Return the images given by files, folders and patterns, without duplicates.

    Parameters
    ----------
    sources : sequence of Path
        Files, folders (searched without subfolders, and without earlier results) and patterns;
        see `images_of`.

    Returns
    -------
    tuple of list and dict
        The files, and the reason for every folder or pattern that yields none.

    Raises
    ------
    ImageError
        If no image was found.
    """
    found: list[Path] = []
    unreadable: dict[str, str] = {}
    for source in sources:
        try:
            found += images_of(str(source))
        except ImageError as error:
            unreadable[str(source)] = str(error)
    if not found:
        raise ImageError(
            f"No image was found in {', '.join(map(str, sources))}; give image files, or folders "
            f"that hold some ({', '.join(IMAGE_SUFFIXES)}) and may be read."
        )
    return distinct(found), unreadable


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a short name for every file: without its folder, unless that is ambiguous."""
    often = Counter(path.name for path in paths)
    return {path: path.name if often[path.name] == 1 else str(path) for path in paths}


def read_square(path: Path) -> Square:
    """Read the middle plane of a file and crop its central square, at most 1024 px wide.

    Only one plane of a stack is used: neighbouring planes show the same content at the same
    place, so leaving one of them out would be no independent test.

    Raises
    ------
    ImageError
        If the file cannot be read, or that plane is constant or less than 56 px at its shortest.
    """
    images = read_pictures(path)
    largest = max(image.shape_yx for image in images)  # others are thumbnails or labels
    if min(largest) < _SMALLEST_SIDE:
        raise ImageError(
            f"{path} is {min(largest)} px at its shortest; a grid of patches needs "
            f"{_SMALLEST_SIDE} px or more, so leave it out."
        )
    stack = [
        (image, index)
        for image in images
        if image.shape_yx == largest
        for index in image.plane_indices()
    ]
    image, index = stack[len(stack) // 2]
    data = image.plane(index)
    levels = robust_levels(sampled_planes([data]))
    levels.require_contrast(f"{path} (its middle plane)" if len(stack) > 1 else str(path))
    plane = Plane(data, levels)
    rows, columns = plane.shape
    side = min(rows, columns, LARGEST_SQUARE)
    window = Window((rows - side) // 2, (columns - side) // 2, side, side)
    return Square(plane.read(window).clip(0, 1), plane.shape)
