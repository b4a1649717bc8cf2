"""Opening image files: what they hold, how they name their axes, their pixel size.

Nothing is decided here about unnamed axes or channels; that is `napari_alibi_seg.core.images`.
Arrays larger than memory stay in their file: uncompressed TIFFs are mapped; OME-Zarr, HDF5 and
large compressed TIFFs are read piece by piece through dask. PNG, JPEG and TIFFs with a palette are
read whole.
"""

from __future__ import annotations

import json
import logging
import math
import struct
import warnings
import xml.etree.ElementTree as ElementTree
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import imagecodecs
import numpy as np
import tifffile
import zarr
from PIL import Image

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images import COPIED_BYTES, PixelSize, Stored, calibrate, lazily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images import Array

# A broken tag ends in the one error message; without a handler tifffile would print it too.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_COLOUR = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_PER_INCH = {2: 1.0, 3: 2.54, 4: 25.4, 5: 25400.0}
_PRINTED_DPI = (72, 75, 96, 100, 120, 144, 150, 180, 200, 240, 300, 360, 400, 600, 720, 1200)
# What the readers raise on damaged files, collected by changing bytes of good ones at random.
_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    struct.error,
    zlib.error,
)


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
    if not path.exists():
        raise ImageError(f"{path} does not exist; check the name and the folder.")
    suffix = path.suffix.lower()
    with _reading(path):
        if path.is_dir():
            return _open_zarr(path, dataset)
        if suffix in (".tif", ".tiff"):
            return _open_tiff(path, dataset, indices)
        if suffix in (".h5", ".hdf5"):
            return _open_hdf5(path, dataset)
        if suffix in (".png", ".jpg", ".jpeg"):
            return _open_picture(path, indices)
    raise ImageError(
        f"{path} is of an unknown kind; use .tif, .tiff, .png, .jpg, .jpeg, .h5, .hdf5 or an "
        "OME-Zarr folder."
    )


def _resolution_size(dots_y: float, dots_x: float) -> PixelSize | None:
    """Make a pixel size in µm of dots per inch, unless they are a printer's or a screen's.

    Programs that do not know the scale write 1 per inch or cm or one of the usual resolutions,
    often rounded to whole dots per cm.
    """
    for dots in (dots_y, dots_x):
        if dots < 3 or any(abs(dots - usual) < 0.7 for usual in _PRINTED_DPI):
            return None
    return calibrate({"y": (25400 / dots_y, "µm"), "x": (25400 / dots_x, "µm")})


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Array in a file that is opened anew for each piece: no handle stays open."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Any], Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        with _reading(self.path):
            return np.asarray(self.read(key))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _damaged(path, reason) from error


def _damaged(path: Path, reason: str) -> ImageError:
    return ImageError(
        f"{path} cannot be read and is probably damaged, incomplete or of another kind than its "
        f"name says ({reason}); copy it again, or save it as TIFF from a program that opens it."
    )


def _choose(path: Path, found: Mapping[str, tuple[int, ...]], dataset: str | None) -> str:
    if dataset is not None and dataset.strip("/") in found:
        return dataset.strip("/")
    if dataset is None and len(found) == 1:
        return next(iter(found))
    if not found:
        raise ImageError(
            f"{path} holds no array of numbers with two or more dimensions; choose another file."
        )
    held = ", ".join(f"{name} {shape}" for name, shape in found.items())
    trouble = "holds several arrays" if dataset is None else f"holds no {dataset!r}"
    raise ImageError(f"{path} {trouble}; choose a dataset (--dataset NAME) among: {held}.")


def _open_picture(path: Path, indices: bool) -> Stored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture = Image.open(path, formats=("PNG", "JPEG"))
    with picture:
        data = _samples(path, picture, indices)
        dots = picture.info.get("dpi")
    size = _resolution_size(float(dots[1]), float(dots[0])) if dots else None
    return Stored(data, "YXS"[: data.ndim], size, path)


def _samples(path: Path, picture: Image.Image, indices: bool) -> NDArray[Any]:
    if picture.mode == "P" and not indices:
        return _greys(np.asarray(picture.convert("RGB")))
    if picture.mode == "CMYK":
        return np.asarray(picture.convert("RGB"))
    if any("16B" in str(tile) for tile in getattr(picture, "tile", ())):
        # Pillow keeps only 8 of the 16 bits unless the picture is grey.
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    return np.asarray(picture)


def _greys(colours: NDArray[Any]) -> NDArray[Any]:
    """Return (..., 3), or (...) if all three are equal everywhere."""
    return colours[..., 0] if (colours == colours[..., :1]).all() else colours


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
        name = _choose(path, found, dataset)
        item = file[name]
        pieces = _Pieces(path, item.shape, item.dtype, read)
        return Stored(lazily(pieces, item.chunks), _hdf5_axes(item), path=path)


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
    if not any((path / marker).is_file() for marker in ("zarr.json", ".zgroup", ".zarray")):
        raise ImageError(f"{path} is a folder but not an OME-Zarr image; choose a file or a .zarr.")
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Group) and (dataset is not None or not _multiscales(node)):
        node = node[_choose(path, _zarr_images(node), dataset)]
    if isinstance(node, zarr.Group):
        return _open_ome_zarr(path, node)
    return Stored(_zarr_data(path, node), _zarr_axes(node), path=path)


def _zarr_data(path: Path, array: zarr.Array[Any]) -> Array:
    return lazily(_Pieces(path, array.shape, array.dtype, array.__getitem__), array.chunks)


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
        elif scales := _multiscales(member):
            found[name] = _finest(member, scales).shape
        else:
            found |= {f"{name}/{inner}": shape for inner, shape in _zarr_images(member).items()}
    return found


def _multiscales(group: zarr.Group) -> dict[str, Any] | None:
    """Return the OME metadata of an image, of version 0.5 or before; None if there is none."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales = ome.get("multiscales") if isinstance(ome, dict) else None
    return scales[0] if scales else None


def _finest(group: zarr.Group, scales: dict[str, Any]) -> zarr.Array[Any]:
    array = group[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise KeyError(f"{array.path} is not an array")
    return array


def _open_ome_zarr(path: Path, group: zarr.Group) -> Stored:
    scales = _multiscales(group) or {}
    array = _finest(group, scales)
    # Version 0.3 has plain names, the versions before had none.
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", ())]
    scale = np.ones(array.ndim)
    for holder in (scales["datasets"][0], scales):
        for transform in holder.get("coordinateTransformations", ()):
            scale = scale * transform.get("scale", 1.0)
    told = zip(axes, scale, strict=True) if axes else ()
    size = calibrate({axis["name"].lower(): (step, axis.get("unit")) for axis, step in told})
    names = _letters([axis["name"] for axis in axes])
    return Stored(_zarr_data(path, array), names or None, size, path)


def _open_tiff(path: Path, dataset: str | None, indices: bool) -> Stored:
    with tifffile.TiffFile(path) as tiff:
        found = {str(number): series.shape for number, series in enumerate(tiff.series)}
        number = int(_choose(path, found, dataset))
        series = tiff.series[number]
        _require_whole(path, tiff, series)
        data, axes = _tiff_data(path, number, series), _tiff_axes(series)
        size = _ome_size(tiff, number) or _imagej_size(tiff) or _vendor_size(tiff)
        size = size or _tagged_size(series.keyframe)
        palette = None if indices else _palette(tiff, series.keyframe)
    if palette is not None:
        data = _greys(palette[np.asarray(data)])
        axes = f"{axes}S"[: data.ndim]
    return Stored(data, axes, size, path)


def _require_whole(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Refuse a file cut short: tifffile takes the pages that are left, or zeros, for the whole."""
    if series.keyframe.dtype is None:
        raise _damaged(path, "the type of its values is unknown")
    for page in series.pages:
        if page is None:
            raise _damaged(path, "planes are missing")
        ends = [sum(piece) for piece in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if len(ends) < math.prod(series.keyframe.chunked):
            raise _damaged(path, "pieces of a plane are missing")
        if max(ends) > page.parent.filehandle.size:
            raise _damaged(path, "the file ends too early")
    if _next_page(tiff) >= tiff.filehandle.size or (tiff.is_imagej and series.kind != "imagej"):
        raise _damaged(path, "pages are missing")


def _next_page(tiff: tifffile.TiffFile) -> int:
    """Return where the last page found says that the next one is; 0 if it says there is none."""
    layout, file = tiff.tiff, tiff.filehandle
    file.seek(tiff.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(tags * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    return int(offset)


def _tiff_data(path: Path, number: int, series: tifffile.TiffPageSeries) -> Array:
    if series.dataoffset is not None:
        return tifffile.memmap(path, series=number, mode="r")
    if series.nbytes <= COPIED_BYTES:
        return np.asarray(series.asarray())

    def read(key: Any) -> Any:
        with tifffile.TiffFile(path) as tiff, tiff.series[number].aszarr(level=0) as store:
            return zarr.open_array(store, mode="r")[key]

    with series.aszarr(level=0) as store:
        chunks = zarr.open_array(store, mode="r").chunks
    return lazily(_Pieces(path, series.shape, series.dtype, read), chunks)


def _tiff_axes(series: tifffile.TiffPageSeries) -> str | None:
    """Return the axes a TIFF names; S is kept for samples that are colours or grey and alpha."""
    page, axes = series.keyframe, series.axes
    if series.kind == "shaped" and axes.startswith("S"):
        # tifffile writes any (3, Y, X) array as if it were RGB in three planes.
        return None
    colour = page.photometric in _COLOUR and page.samplesperpixel in (3, 4)
    grey = page.samplesperpixel == 2 and page.extrasamples[-1:] and page.extrasamples[-1] in _ALPHA
    return axes if colour or grey else axes.replace("S", "C")


def _palette(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> NDArray[Any] | None:
    """Return the palette, (N, 3) uint8; None if there is none to apply."""
    if page.colormap is None or tiff.is_imagej:
        return None  # a lookup table of ImageJ colours the display of what are intensities
    return np.asarray(page.colormap.T >> 8).astype(np.uint8)


def _ome_size(tiff: tifffile.TiffFile, number: int) -> PixelSize | None:
    if not tiff.ome_metadata:
        return None
    pixels = ElementTree.fromstring(tiff.ome_metadata).findall("{*}Image/{*}Pixels")
    told = pixels[number].attrib if number < len(pixels) else {}
    names = {axis: f"PhysicalSize{axis.upper()}" for axis in "zyx"}
    return calibrate(
        {axis: (told.get(name), told.get(f"{name}Unit", "µm")) for axis, name in names.items()}
    )


def _imagej_size(tiff: tifffile.TiffFile) -> PixelSize | None:
    told = tiff.imagej_metadata or {}
    unit = told.get("unit")
    if unit in ("inch", "in"):
        return None  # ImageJ's word for "the resolution tags, which may be a printer's"
    y, x = _dots(tiff.pages.first)
    return calibrate({"z": (told.get("spacing"), unit), "y": (1 / y, unit), "x": (1 / x, unit)})


def _vendor_size(tiff: tifffile.TiffFile) -> PixelSize | None:
    """Read the header of an FEI (in metres) or Zeiss (name, value, unit) electron microscope."""
    scan = (tiff.fei_metadata or {}).get("Scan", {})
    if "PixelWidth" in scan and "PixelHeight" in scan:
        return calibrate(
            {"y": (scan["PixelHeight"] * 1e9, "nm"), "x": (scan["PixelWidth"] * 1e9, "nm")}
        )
    told = (tiff.sem_metadata or {}).get("ap_image_pixel_size")
    return calibrate({"y": told[1:], "x": told[1:]}) if told else None


def _tagged_size(page: tifffile.TiffPage) -> PixelSize | None:
    per_inch = _PER_INCH.get(page.tags.valueof("ResolutionUnit", 2), math.nan)
    y, x = _dots(page)
    return _resolution_size(y * per_inch, x * per_inch)


def _dots(page: tifffile.TiffPage) -> tuple[float, float]:
    """Return the pixels per unit along y and x; nan where the page does not say."""

    def dots(tag: str) -> float:
        above, below = page.tags.valueof(tag, (0, 0))
        return above / below if above and below else math.nan

    return dots("YResolution"), dots("XResolution")
