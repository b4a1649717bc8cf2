"""What is probed: image files as square views, and models by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.features.extraction import usual_layer
from napari_alibi_seg.core.images.micrograph import read_pictures
from napari_alibi_seg.core.images.planes import Plane, Window, robust_levels
from napari_alibi_seg.core.model.debiasing import REMEDIES, load_model
from napari_alibi_seg.core.naming import IMAGE_SUFFIXES
from napari_alibi_seg.core.runs.finding import images_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_alibi_seg.core.model.backbone import BackboneIdentity
    from napari_alibi_seg.core.model.debiasing import TokenModel

LARGEST_SQUARE = 1024


@dataclass(frozen=True)
class Square:
    """The middle of an image.

    Attributes
    ----------
    pixels : ndarray
        (S, S, colours) float32 in [0, 1].
    shape : tuple of int
        Rows and columns of the whole image.
    """

    pixels: NDArray[np.float32]
    shape: tuple[int, int]

    def view(self, side: int) -> torch.Tensor:
        """Return the square magnified or reduced to (1, 3, side, side), in [0, 1]."""
        image = torch.from_numpy(self.pixels).permute(2, 0, 1)[None]  # (1, colours, S, S)
        image = interpolate(image, size=(side, side), mode="bicubic", antialias=True)
        return image.clamp_(0, 1).expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class ProbedModel:
    """A model as it was asked for.

    Attributes
    ----------
    name : str
        As given: a name or path for `load_model`.
    backbone : TokenModel
        In evaluation mode.
    identity : BackboneIdentity
        Of the backbone inside.
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
        """The block, counted from 1, after which a segmentation takes its features."""
        return usual_layer(self.backbone.depth)

    @property
    def label(self) -> str:
        """The name without folders but the last, for figures.

        That folder is needed: all students of `napari_alibi_seg.finetune` have one name.
        """
        kind, _, rest = self.name.partition(":")
        if kind == "timm":
            architecture, _, file = rest.partition(":")
            remedy = file[file.rfind("+") :] if file.endswith(REMEDIES) else ""
            return f"{architecture} (stock){remedy}"
        path = Path(self.name)
        file = path.name.replace(".safetensors", "")  # a remedy may follow it
        return f"{path.parent.name}/{file}" if path.parent.name else file


def find_images(sources: Sequence[Path]) -> tuple[list[Path], dict[str, str]]:
    """Return the images that files, folders and patterns stand for, without repetitions.

    Parameters
    ----------
    sources : sequence of Path
        Files are taken as they are; folders are not searched any deeper, and earlier results in
        them are no images (`images_of`).

    Returns
    -------
    tuple of list and dict
        The files, and for every folder or pattern that gives none why.

    Raises
    ------
    ImageError
        If nothing was found.
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
    return list(dict.fromkeys(found)), unreadable


def unique_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a short name for every file: without its folder, unless two would be called alike."""
    often = Counter(path.name for path in paths)
    return {path: path.name if often[path.name] == 1 else str(path) for path in paths}


def read_square(path: Path) -> Square:
    """Read the middle plane of a file and cut out its middle, at most 1024 pixels wide.

    One plane of a stack, because neighbouring planes show the same content at the same place,
    and leaving one of them out would prove nothing.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    images = read_pictures(path)
    largest = max(image.shape_yx for image in images)  # others are thumbnails or labels
    stack = [
        (image, index)
        for image in images
        if image.shape_yx == largest
        for index in image.plane_indices()
    ]
    image, index = stack[len(stack) // 2]
    data = image.plane(index)
    plane = Plane(data, robust_levels([data]))
    rows, columns = plane.shape
    side = min(rows, columns, LARGEST_SQUARE)
    window = Window((rows - side) // 2, (columns - side) // 2, side, side)
    return Square(plane.read(window).clip(0, 1), plane.shape)
