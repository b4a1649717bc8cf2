"""Open image files: their arrays, axis names and pixel sizes.

Unnamed axes and channels are resolved in `napari_alibi_seg.core.images.axes`. Arrays larger than
memory stay on disk: uncompressed TIFFs are memory-mapped; OME-Zarr, HDF5 and large compressed TIFFs
are read chunk by chunk through dask. PNG, JPEG, BMP and TIFFs with a palette are read whole. The
slow imports for Zarr and HDF5 are deferred until such a file is opened.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from PIL import Image

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.pixel_size import resolution_size
from napari_alibi_seg.core.images.stored import Stored, reading
from napari_alibi_seg.core.images.tiff import (
    TIFF_SUFFIXES,
    named_axes,
    open_tiff,
    open_tiffs,
    tiff_pixel_size,
    white_is_zero,
)
from napari_alibi_seg.core.naming import FILE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.pixel_size import PixelSize

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_PICTURE_FORMATS = ("PNG", "JPEG", "BMP")
_STRETCHED = {"L;2": 85, "L;4": 17}
"""By what Pillow multiplies grey values of few bits, which may be indices, to fill 8."""


def open_stored(path: Path, dataset: str | int | None = None, *, indices: bool = False) -> Stored:
    """Open an image file of any supported format.

    Parameters
    ----------
    path : Path
        A TIFF, PNG, JPEG, BMP or HDF5 file or a Zarr folder.
    dataset : str or int, optional
        Which array of an HDF5 file or Zarr group, or which image (0, 1, ...) of a TIFF.
    indices : bool
        Return the palette indices of an image with a palette (as for labels), not its colours.

    Raises
    ------
    ImageError
        If the file does not exist, cannot be read, or holds several arrays and none is named.
    """
    suffix, dataset = path.suffix.lower(), None if dataset is None else str(dataset)
    with reading(path):
        if not path.exists():
            raise ImageError(f"{path} does not exist; check the name and the folder.")
        if path.is_dir():
            from napari_alibi_seg.core.images.zarr_images import open_zarr

            return open_zarr(path, dataset)
        if suffix in TIFF_SUFFIXES:
            return open_tiff(path, dataset, indices)
        if suffix in (".h5", ".hdf5"):
            from napari_alibi_seg.core.images.hdf5 import open_hdf5

            return open_hdf5(path, dataset)
        if suffix in _PICTURE_SUFFIXES:
            return _open_picture(path, indices)
    raise ImageError(
        f"{path} is of an unknown kind; use {', '.join(FILE_SUFFIXES)} or an OME-Zarr folder."
    )


def open_every(path: Path) -> list[Stored]:
    """Open an image file of any supported format, with every image of a TIFF.

    Raises
    ------
    ImageError
        As for `open_stored`.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return [open_stored(path)]
    with reading(path):
        return open_tiffs(path)


def stored_axes(path: Path) -> str | None:
    """Return the axes named in a TIFF, without reading pixels; None for any other file."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        with suppress(ImageError), reading(path):
            return named_axes(path)
    return None


def stores_white_as_zero(path: Path, dataset: str | None = None) -> bool:
    """Return whether a file says that its lowest value is white, which `open_stored` leaves so.

    Parameters
    ----------
    path : Path
        Any path.
    dataset : str, optional
        As for `open_stored`.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        with suppress(ImageError), reading(path):
            return white_is_zero(path, dataset)
    return False


def stored_pixel_size(path: Path, shape: tuple[int, int]) -> PixelSize | None:
    """Return the pixel size stored in a file, without reading pixels; None if there is none.

    Parameters
    ----------
    path : Path
        Any path.
    shape : tuple of int
        Rows and columns the image must have, else the result is None.
    """
    suffix = path.suffix.lower()
    with suppress(ImageError), reading(path):
        if suffix in TIFF_SUFFIXES:
            return tiff_pixel_size(path, shape)
        if suffix in _PICTURE_SUFFIXES:
            with Image.open(path, formats=_PICTURE_FORMATS) as picture:
                return _printed_size(picture) if picture.size == shape[::-1] else None
        if path.is_dir():
            from napari_alibi_seg.core.images.zarr_images import open_zarr

            stored = open_zarr(path, None)
            lengths = dict(zip(stored.axes or "", stored.shape, strict=False))
            return stored.pixel_size if shape == (lengths.get("Y"), lengths.get("X")) else None
    return None


def _printed_size(picture: Image.Image) -> PixelSize | None:
    dots = picture.info.get("dpi")
    return resolution_size(float(dots[1]), float(dots[0])) if dots else None


def _open_picture(path: Path, indices: bool) -> Stored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path, formats=_PICTURE_FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{path} is too large for a PNG, JPEG or BMP, which are read whole; save it as "
                "TIFF, which is read piece by piece."
            ) from error
    with picture:
        data = _samples(path, picture, indices)
        size = _printed_size(picture)
    return Stored(data, "YXS"[: data.ndim], size, path)


def _samples(path: Path, picture: Image.Image, indices: bool) -> NDArray[Any]:
    if picture.mode == "CMYK" or (picture.mode == "P" and not indices):
        return np.asarray(picture.convert("RGB"))
    tiles = getattr(picture, "tile", ())  # none once the picture is loaded
    if any("16B" in str(tile) for tile in tiles):
        # Pillow keeps only 8 of 16 bits unless the image is grey.
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    values = np.asarray(picture)
    stretched = [_STRETCHED[mode] for *_, mode in tiles if indices and mode in _STRETCHED]
    return values // stretched[0] if stretched else values
