"""Images in Zarr folders: plain arrays, and the finest level of OME-Zarr images."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import zarr

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.ome_zarr import multiscales, placements
from napari_alibi_seg.core.images.pixel_size import calibrate
from napari_alibi_seg.core.images.stored import (
    Pieces,
    Stored,
    choose,
    is_image,
    letters,
    nothing_in,
)
from napari_alibi_seg.core.naming import is_zarr

if TYPE_CHECKING:
    from pathlib import Path


def open_zarr(path: Path, dataset: str | None) -> Stored:
    """Open an image of a folder; its name is optional if there is only one. See `open_stored`.

    Raises
    ------
    ImageError
        If the folder is not a Zarr or holds no image, or several images and none is named.
    """
    if not is_zarr(path):
        raise ImageError(f"{path} is a folder but not an OME-Zarr image; choose a file or a .zarr.")
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group) and (dataset is not None or not multiscales(node)):
        node = node[choose(path, _zarr_images(node), dataset)]
    if isinstance(node, zarr.Group):
        return _open_ome_zarr(path, node)
    if not is_image(node.shape, node.dtype.kind):
        raise nothing_in(path)
    return Stored(_zarr_data(path, node), _zarr_axes(node), path=path)


def _zarr_data(path: Path, array: zarr.Array[Any]) -> Pieces:
    return Pieces(path, array.shape, array.dtype, array.__getitem__, array.chunks)


def _zarr_axes(array: zarr.Array[Any]) -> str | None:
    names = getattr(array.metadata, "dimension_names", None)
    return letters([name or "?" for name in names]) if names else None


def _zarr_images(group: zarr.Group) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the images in a group, arrays and multiscale groups, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    with warnings.catch_warnings():
        # Other files in the group, such as METADATA.ome.xml, are allowed.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        members = dict(group.members())
    for name, member in sorted(members.items()):
        if isinstance(member, zarr.Array):
            shapes |= {name: member.shape} if is_image(member.shape, member.dtype.kind) else {}
        elif scales := multiscales(member):
            shapes[name] = _finest(member, scales).shape
        else:
            shapes |= {f"{name}/{inner}": shape for inner, shape in _zarr_images(member).items()}
    return shapes


def _finest(group: zarr.Group, scales: dict[str, Any]) -> zarr.Array[Any]:
    array = group[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise KeyError(f"{array.path} is not an array")
    return array


def _open_ome_zarr(path: Path, group: zarr.Group) -> Stored:
    scales = multiscales(group) or {}
    array = _finest(group, scales)
    named = placements(scales, array.ndim)
    placed = {name.lower(): place for name, place in named}
    size = calibrate({name: (place.scale, place.unit) for name, place in placed.items()})
    names = letters([name for name, _ in named])
    return Stored(_zarr_data(path, array), names or None, size, path, placed)
