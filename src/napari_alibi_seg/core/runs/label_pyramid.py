"""Label pyramids in OME-Zarr 0.5.

Each plane is written to all levels at once, so a partly written pyramid can be viewed: missing
planes read as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_alibi_seg.core.images.ome_zarr import Placement
from napari_alibi_seg.core.images.pixel_size import converted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.pixel_size import PixelSize

_VERSION = "0.5"
_CHUNK = 1024
_COARSEST = 512
_KINDS = {"t": "time", "z": "space", "y": "space", "x": "space"}


def create_labels(
    path: Path, image: Micrograph, dtype: DTypeLike, classes: Sequence[ClassInfo]
) -> None:
    """Create an empty label pyramid with the scale and translation of an image.

    Each level halves rows and columns, but not planes. A chunk lies within one plane and has at
    most 1024 x 1024 pixels.

    Parameters
    ----------
    path : Path
        The folder, which must not exist yet.
    image : Micrograph
        The image to be segmented.
    dtype : dtype
        uint8 or uint16.
    classes : sequence of ClassInfo
        Names and colours, stored for viewers.
    """
    axes = image.label_axes.lower()
    levels = _level_shapes(image.label_shape)
    group = zarr.create_group(path, zarr_format=3)
    for level, shape in enumerate(levels):
        group.create_array(
            str(level),
            shape=shape,
            chunks=(*[1] * (len(shape) - 2), *(min(_CHUNK, length) for length in shape[-2:])),
            dtype=np.dtype(dtype),
            dimension_names=list(axes),
        )
    group.attrs["ome"] = {
        "version": _VERSION,
        "multiscales": [_multiscale(path.name, axes, _placed(image), len(levels))],
        "image-label": _label_metadata(classes),
    }


def write_plane(
    path: Path, index: tuple[int, ...], labels: NDArray[np.unsignedinteger[Any]]
) -> None:
    """Write one (Y, X) plane to every level; each level keeps every second pixel of the finer one.

    Subsampling, unlike majority voting, preserves thin phases and keeps area fractions unbiased.
    """
    shape = zarr.open_array(path / "0", mode="r").shape
    # Coarse levels first: a plane present in the finest level is then present in all.
    for level in reversed(range(len(_level_shapes(shape)))):
        step = 2**level
        zarr.open_array(path / str(level), mode="r+")[index] = labels[::step, ::step]


def read_plane(path: Path, index: tuple[int, ...]) -> NDArray[Any]:
    """Return one (Y, X) plane of the finest level."""
    return np.asarray(zarr.open_array(path / "0", mode="r")[index])


def _level_shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    shapes = [shape]
    while max(shapes[-1][-2:]) > _COARSEST:
        *lead, rows, columns = shapes[-1]
        shapes.append((*lead, -(-rows // 2), -(-columns // 2)))
    return shapes


def _placed(image: Micrograph) -> dict[str, Placement]:
    """Return the placement of each axis: that of the OME-Zarr, with the scale of the pixel size."""
    placed = {axis: image.placed.get(axis, Placement()) for axis in image.label_axes.lower()}
    size = image.voxel_size
    if size is None:
        return placed
    return {
        axis: _measured(place, size, getattr(size, axis, None)) for axis, place in placed.items()
    }


def _measured(place: Placement, size: PixelSize, step: float | None) -> Placement:
    """Return a placement in steps of a pixel size; without a unit, it keeps its place in pixels."""
    if step is None:
        return place
    start = converted(place.translation, place.unit, size.unit)
    if start is None:
        start = place.translation / place.scale * step if place.scale else 0.0
    return Placement(step, start, size.unit_name)


def _multiscale(name: str, axes: str, placed: dict[str, Placement], levels: int) -> dict[str, Any]:
    units = {axis: {"unit": place.unit} if place.unit else {} for axis, place in placed.items()}
    return {
        "name": name.removesuffix(".zarr").removesuffix(".ome"),
        "type": "every second pixel",
        "axes": [{"name": axis, "type": _KINDS[axis], **units[axis]} for axis in axes],
        "datasets": [
            {"path": str(level), "coordinateTransformations": _transforms(placed, 2**level)}
            for level in range(levels)
        ],
    }


def _transforms(placed: dict[str, Placement], step: int) -> list[dict[str, Any]]:
    """Return scale and translation; subsampling keeps pixel (0, 0), so no level is shifted."""
    scale = [place.scale * (step if axis in "yx" else 1) for axis, place in placed.items()]
    translation = [place.translation for place in placed.values()]
    return [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": translation},
    ]


def _label_metadata(classes: Sequence[ClassInfo]) -> dict[str, Any]:
    return {
        "colors": [{"label-value": c.value, "rgba": [*c.colour, 255]} for c in classes],
        "properties": [{"label-value": c.value, "name": c.name} for c in classes],
    }
