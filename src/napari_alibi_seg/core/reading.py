"""Opening image files of any kind: what they hold, how they name their axes, their pixel size.

Nothing is decided here about unnamed axes or channels; that is `napari_alibi_seg.core.images`.
Arrays larger than memory stay in their file: uncompressed TIFFs are mapped; OME-Zarr, HDF5 and
large compressed TIFFs are read piece by piece through dask. PNG, JPEG and TIFFs with a palette are
read whole.
"""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h5py
import imagecodecs
import numpy as np
import zarr
from PIL import Image

from napari_alibi_seg.core.calibration import calibrate, resolution_size
from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.ome_zarr import multiscales, placements
from napari_alibi_seg.core.stored import (
    Pieces,
    Stored,
    choose,
    greys,
    is_zarr,
    nothing_in,
    reading,
)
from napari_alibi_seg.core.tiff import measured_tiff, open_tiff

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.calibration import PixelSize


def open_stored(path: Path, dataset: str | None = None, *, indices: bool = False) -> Stored:
    """Open an image file of any known format.

    Parameters
    ----------
    path : Path
        A TIFF, PNG, JPEG or HDF5 file or an OME-Zarr folder.
    dataset : str, optional
        Which array of an HDF5 file or Zarr group, or which image (0, 1, ...) of a TIFF.
    indices : bool
        Keep the numbers of a file with a palette, as labels need it, instead of their colours.

    Raises
    ------
    ImageError
        If there is no such file, it cannot be read, or it holds several arrays.
    """
    suffix = path.suffix.lower()
    with reading(path):
        if not path.exists():
            raise ImageError(f"{path} does not exist; check the name and the folder.")
        if path.is_dir():
            return _open_zarr(path, dataset)
        if suffix in (".tif", ".tiff"):
            return open_tiff(path, dataset, indices)
        if suffix in (".h5", ".hdf5"):
            return _open_hdf5(path, dataset)
        if suffix in (".png", ".jpg", ".jpeg"):
            return _open_picture(path, indices)
    raise ImageError(
        f"{path} is of an unknown kind; use .tif, .tiff, .png, .jpg, .jpeg, .h5, .hdf5 or an "
        "OME-Zarr folder."
    )


def measured(path: Path, shape: tuple[int, int]) -> PixelSize | None:
    """Return the pixel size that a file tells, without reading its pixels; None if it does not.

    Parameters
    ----------
    path : Path
        Any path.
    shape : tuple of int
        Rows and columns the image must have.
    """
    suffix = path.suffix.lower()
    with suppress(ImageError), reading(path):
        if suffix in (".tif", ".tiff"):
            return measured_tiff(path, shape)
        if suffix in (".png", ".jpg", ".jpeg"):
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                return _printed_size(picture) if picture.size == shape[::-1] else None
        if path.is_dir():
            stored = _open_zarr(path, None)
            return stored.pixel_size if set(shape) <= set(stored.shape) else None
    return None


def _printed_size(picture: Image.Image) -> PixelSize | None:
    dots = picture.info.get("dpi")
    return resolution_size(float(dots[1]), float(dots[0])) if dots else None


def _open_picture(path: Path, indices: bool) -> Stored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path, formats=("PNG", "JPEG"))
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{path} is too large for a PNG or JPEG, which are read whole; save it as TIFF, "
                "which is read piece by piece."
            ) from error
    with picture:
        data = _samples(path, picture, indices)
        size = _printed_size(picture)
    return Stored(data, "YXS"[: data.ndim], size, path)


def _samples(path: Path, picture: Image.Image, indices: bool) -> NDArray[Any]:
    if picture.mode == "P" and not indices:
        return greys(np.asarray(picture.convert("RGB")))
    if picture.mode == "CMYK":
        return np.asarray(picture.convert("RGB"))
    if any("16B" in str(tile) for tile in getattr(picture, "tile", ())):
        # Pillow keeps only 8 of the 16 bits unless the picture is grey.
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return np.asarray(picture)


def _open_hdf5(path: Path, dataset: str | None) -> Stored:
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and _is_image(item):
            found[name] = item.shape

    def read(key: Any) -> Any:
        with h5py.File(path) as file:
            return file[name][key]

    with h5py.File(path) as file:
        file.visititems(note)
        name = choose(path, found, dataset)
        item = file[name]
        pieces = Pieces(path, item.shape, item.dtype, read, item.chunks)
        return Stored(pieces, _hdf5_axes(item), path=path)


def _hdf5_axes(item: h5py.Dataset) -> str | None:
    """Read dimension labels, or the ``axistags`` of ilastik and vigra."""
    if "axistags" in item.attrs:
        return _letters([tag["key"] for tag in json.loads(item.attrs["axistags"])["axes"]])
    labels = [dimension.label for dimension in item.dims]
    return _letters(labels) if any(labels) else None


def _is_image(array: h5py.Dataset | zarr.Array[Any]) -> bool:
    return len(array.shape or ()) >= 2 and array.dtype.kind in "biufc"


def _letters(names: list[str]) -> str:
    return "".join(name.upper() if len(name) == 1 else "?" for name in names)


def _open_zarr(path: Path, dataset: str | None) -> Stored:
    if not is_zarr(path):
        raise ImageError(f"{path} is a folder but not an OME-Zarr image; choose a file or a .zarr.")
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group) and (dataset is not None or not multiscales(node)):
        node = node[choose(path, _zarr_images(node), dataset)]
    if isinstance(node, zarr.Group):
        return _open_ome_zarr(path, node)
    if not _is_image(node):
        raise nothing_in(path)
    return Stored(_zarr_data(path, node), _zarr_axes(node), path=path)


def _zarr_data(path: Path, array: zarr.Array[Any]) -> Pieces:
    return Pieces(path, array.shape, array.dtype, array.__getitem__, array.chunks)


def _zarr_axes(array: zarr.Array[Any]) -> str | None:
    names = getattr(array.metadata, "dimension_names", None)
    return _letters([name or "?" for name in names]) if names else None


def _zarr_images(group: zarr.Group) -> dict[str, tuple[int, ...]]:
    """List the images in a group: arrays, and groups that hold one image at several scales."""
    found: dict[str, tuple[int, ...]] = {}
    with warnings.catch_warnings():
        # Files beside the arrays, such as METADATA.ome.xml, are allowed.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        members = dict(group.members())
    for name, member in sorted(members.items()):
        if isinstance(member, zarr.Array):
            found |= {name: member.shape} if _is_image(member) else {}
        elif scales := multiscales(member):
            found[name] = _finest(member, scales).shape
        else:
            found |= {f"{name}/{inner}": shape for inner, shape in _zarr_images(member).items()}
    return found


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
    names = _letters([name for name, _ in named])
    return Stored(_zarr_data(path, array), names or None, size, path, placed)
