"""TIFF in its dialects: OME, ImageJ, microscope vendors, and plain pages."""

from __future__ import annotations

import logging
import math
import re
import string
import struct
import xml.etree.ElementTree as ElementTree
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_alibi_seg.core.images.pixel_size import PixelSize, calibrate, resolution_size
from napari_alibi_seg.core.images.stored import (
    COPIED_BYTES,
    Pieces,
    Stored,
    choose,
    damaged,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.stored import Array

# A broken tag is reported once, as an ImageError; without a handler tifffile would print it too.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

TIFF_SUFFIXES = (".tif", ".tiff")
_CLASSIC_BYTES = 2**32 - 2**25
_COLOUR = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_PER_INCH = {2: 1.0, 3: 2.54}
_CENTIMETRES, _MICROMETRES = 3, ("um", "µm", "\u03bcm")
_MEASURED = {4: "mm", 5: "µm"}
"""Values of ResolutionUnit that are not used for print resolutions."""
_PRINTED = {"inch": 1.0, "in": 1.0, "cm": 2.54}
"""ImageJ's names of resolution units that may denote a print resolution, and units per inch."""


def open_tiff(path: Path, dataset: str | None, indices: bool) -> Stored:
    """Open a TIFF; see `napari_alibi_seg.core.images.reading.open_stored`."""
    with tifffile.TiffFile(path) as tiff:
        shapes = {str(number): series.shape for number, series in enumerate(tiff.series)}
        return _opened(path, tiff, int(choose(path, shapes, dataset)), indices)


def open_tiffs(path: Path) -> list[Stored]:
    """Open every image of a TIFF; files written page by page have many."""
    with tifffile.TiffFile(path) as tiff:
        return [_opened(path, tiff, number, indices=False) for number in range(len(tiff.series))]


def needs_bigtiff(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Return whether an array is too large for a classic TIFF, which has 32-bit offsets."""
    return math.prod(shape) * dtype.itemsize > _CLASSIC_BYTES


def tiff_pixel_size(path: Path, shape: tuple[int, int]) -> PixelSize | None:
    """Return the pixel size of a TIFF if its first image has these numbers of rows and columns.

    Its axes may be unknown, but rows come before columns.
    """
    with tifffile.TiffFile(path) as tiff:
        lengths = iter(tiff.series[0].shape)
        return _pixel_size(tiff, 0) if all(length in lengths for length in shape) else None


def white_is_zero(path: Path, dataset: str | None) -> bool:
    """Return whether an image of a TIFF is grey with white stored as 0."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[int(dataset or 0)].keyframe
        return bool(page.photometric == tifffile.PHOTOMETRIC.MINISWHITE)


def named_axes(path: Path) -> str | None:
    """Return the axes named in the first image of a TIFF; None if they are not known."""
    with tifffile.TiffFile(path) as tiff:
        return _tiff_axes(tiff.series[0])


def _opened(path: Path, tiff: tifffile.TiffFile, number: int, indices: bool) -> Stored:
    series = tiff.series[number]
    _require_whole(path, tiff, series)
    data, axes = _tiff_data(path, number, series), _tiff_axes(series)
    palette = None if indices else _palette(tiff, series.keyframe)
    if palette is not None:
        data, axes = palette[np.asarray(data[...])], f"{axes}S"
    return Stored(data, axes, _pixel_size(tiff, number), path)


def _require_whole(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Reject a truncated file, for which tifffile returns the remaining pages, or zeros."""
    if series.keyframe.dtype is None:
        raise damaged(path, "the type of its values is unknown")
    for page in series.pages:
        if page is None:
            raise damaged(path, "planes are missing")
        ends = [sum(piece) for piece in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if len(ends) < math.prod(series.keyframe.chunked):
            raise damaged(path, "pieces of a plane are missing")
        if max(ends) > page.parent.filehandle.size:
            raise damaged(path, "the file ends too early")
    if _next_page(tiff) >= tiff.filehandle.size or (tiff.is_imagej and series.kind == "generic"):
        raise damaged(path, "pages are missing")


def _next_page(tiff: tifffile.TiffFile) -> int:
    """Return the offset of the next page as stored in the last page found; 0 for none."""
    layout, file = tiff.tiff, tiff.filehandle
    file.seek(tiff.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(tags * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    return int(offset)


def _tiff_data(path: Path, number: int, series: tifffile.TiffPageSeries) -> Array | Pieces:
    if series.dataoffset is not None:
        return tifffile.memmap(path, series=number, mode="r")
    if series.nbytes <= COPIED_BYTES:
        return np.asarray(series.asarray())
    import zarr  # takes long to load

    array, files = zarr.open_array(series.aszarr(level=0), mode="r"), _Files(series)

    def read(key: Any) -> Any:
        with files:
            return array[key]

    return Pieces(path, series.shape, series.dtype, read, array.chunks)


class _Files:
    """The files of an image, open only while any thread reads, and not parsed again for it."""

    def __init__(self, series: tifffile.TiffPageSeries) -> None:
        self._handles = {page.parent.filehandle for page in series.pages if page is not None}
        self._lock, self._readers = Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.open()  # has no effect on an open file
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                for handle in self._handles:
                    handle.close()


def _tiff_axes(series: tifffile.TiffPageSeries) -> str | None:
    """Return the axes of a TIFF, with S only for colour samples or for grey with alpha."""
    page, axes = series.keyframe, series.axes
    if series.kind == "shaped" and "SY" in axes:
        # tifffile writes any (3, Y, X) array as if it were RGB in three planes.
        return None
    alpha = len(page.extrasamples) == 1 and page.extrasamples[0] in _ALPHA
    coloured = page.samplesperpixel - alpha == (3 if page.photometric in _COLOUR else 1)
    return axes if coloured else axes.replace("S", "C")


def _palette(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> NDArray[Any] | None:
    """Return the palette, (N, 3) uint8; None if there is none to apply."""
    if page.colormap is None or tiff.is_imagej:
        return None  # an ImageJ lookup table only colours the display of intensities
    unused = 8 if page.colormap.max() > 255 else 0  # some programs write 8 of the 16 bits
    return np.asarray(page.colormap.T >> unused).astype(np.uint8)


def _pixel_size(tiff: tifffile.TiffFile, number: int) -> PixelSize | None:
    size = _ome_size(tiff, number) or _imagej_size(tiff) or _vendor_size(tiff)
    return size or _tagged_size(tiff.series[number].keyframe)


def _ome_size(tiff: tifffile.TiffFile, number: int) -> PixelSize | None:
    if not tiff.ome_metadata:
        return None
    pixels = ElementTree.fromstring(tiff.ome_metadata).findall("{*}Image/{*}Pixels")
    metadata = pixels[number].attrib if number < len(pixels) else {}
    names = {axis: f"PhysicalSize{axis.upper()}" for axis in "zyx"}
    return calibrate(
        {
            axis: (metadata.get(name), metadata.get(f"{name}Unit", "µm"))
            for axis, name in names.items()
        }
    )


def _imagej_size(tiff: tifffile.TiffFile) -> PixelSize | None:
    """Return the size in a description by ImageJ, which reads µm per cm as Micro-Manager does."""
    metadata, page = tiff.imagej_metadata or {}, tiff.pages.first
    unit, y_unit, z_unit = (
        _unescaped(metadata.get(name, metadata.get("unit"))) for name in ("unit", "yunit", "zunit")
    )
    y, x = _dots(page)
    per_inch = _PRINTED.get(unit)
    if per_inch and not resolution_size(y * per_inch, x * per_inch):
        return None
    one = 1e4 if unit in _MICROMETRES and _resolution_unit(page) == _CENTIMETRES else 1.0
    z = abs(_decimal(metadata.get("spacing")))
    return calibrate({"z": (z, z_unit), "y": (one / y, y_unit), "x": (one / x, unit)})


def _unescaped(unit: object) -> str:
    r"""Return a unit with the characters that Java writes as \uXXXX."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), str(unit))


def _vendor_size(tiff: tifffile.TiffFile) -> PixelSize | None:
    """Return the size in the header of an FEI (metres) or Zeiss (name, value, unit) microscope."""
    fei, zeiss = tiff.fei_metadata or {}, tiff.sem_metadata or {}
    scan = fei.get("EScan", {}) | fei.get("Scan", {})
    y, x = (_decimal(scan.get(name)) * 1e9 for name in ("PixelHeight", "PixelWidth"))
    entry = zeiss.get("ap_image_pixel_size") or zeiss.get("ap_pixel_size") or ()
    text = " ".join(map(str, entry[1:]))
    number = text.rstrip(f"{string.ascii_letters}µμÅ ")
    length = _decimal(number), text.removeprefix(number)
    return calibrate({"y": (y, "nm"), "x": (x, "nm")}) or calibrate({"y": length, "x": length})


def _decimal(number: object) -> float:
    """Return a number, also one with a decimal comma; NaN if it is none."""
    try:
        return float(str(number).replace(",", "."))
    except ValueError:
        return math.nan


def _tagged_size(page: tifffile.TiffPage) -> PixelSize | None:
    unit = _resolution_unit(page)
    y, x = _dots(page)
    if unit in _MEASURED:
        return calibrate({"y": (1 / y, _MEASURED[unit]), "x": (1 / x, _MEASURED[unit])})
    per_inch = _PER_INCH.get(unit, math.nan)
    return resolution_size(y * per_inch, x * per_inch)


def _resolution_unit(page: tifffile.TiffPage) -> int:
    return int(page.tags.valueof("ResolutionUnit", 2))


def _dots(page: tifffile.TiffPage) -> tuple[float, float]:
    """Return the pixels per unit along y and x; NaN where the tag is missing."""

    def dots(tag: str) -> float:
        above, below = page.tags.valueof(tag, (0, 0))
        return above / below if above and below else math.nan

    return dots("YResolution"), dots("XResolution")
