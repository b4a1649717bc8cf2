"""Scribbles in, label and probability stacks out.

Results are OME-TIFFs that carry the axes and the pixel size of the image. They hold no date, no
identifier and nothing of the machine: equal results are equal bytes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_alibi_seg.core.errors import OutputError, ScribbleError
from napari_alibi_seg.core.images import settle_axes
from napari_alibi_seg.core.reading import open_stored
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import DTypeLike, NDArray

    from napari_alibi_seg.core.images import Array, Micrograph, Stored

    WritePlane = Callable[[tuple[int, ...], NDArray[Any]], None]

_CLASSIC_BYTES = 2**32 - 2**25
_LARGEST_RATIONAL = 2**32 - 1
_OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_OME_TYPES = {
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "float32": "float",
    "float64": "double",
}


def read_scribbles(
    path: str | Path,
    micrograph: Micrograph,
    *,
    axes: str | None = None,
    dataset: str | None = None,
) -> NDArray[Any]:
    """Read the scribbles drawn on a micrograph.

    Parameters
    ----------
    path : str or Path
        Any file `read_image` reads, with whole numbers: 0 unlabelled, classes from 1. Of a PNG or
        TIFF with a palette the numbers count, not the colours.
    micrograph : Micrograph
        What they were drawn on.
    axes, dataset : str, optional
        As for `read_image`. Without names a file with the very shape of the micrograph fits, as
        napari writes it.

    Returns
    -------
    numpy.ndarray
        Shape ``micrograph.label_shape``, integer, not negative; mapped if the file allows it.

    Raises
    ------
    ScribbleError
        If the shape is another one, or a value is negative or no whole number.
    ImageError
        If the file cannot be read.
    """
    stored = open_stored(Path(path), dataset, indices=True)
    data = _fitted(stored, micrograph, axes)
    if data is None or data.shape != micrograph.label_shape:
        raise ScribbleError(
            f"The scribbles {stored.name} have shape {tuple(stored.data.shape)}"
            f"{f' (axes {stored.axes})' if stored.axes else ''} and the image needs "
            f"{micrograph.label_shape} (axes {micrograph.label_axes}); draw them on this image, "
            "as class numbers without colour channels."
        )
    return _class_numbers(stored.name, np.asanyarray(data))


def _fitted(stored: Stored, micrograph: Micrograph, axes: str | None) -> Array | None:
    """Return the scribbles in the order of the micrograph; None if nothing tells their order."""
    same_names = sorted(stored.axes or "") == sorted(micrograph.label_axes)
    if axes is None and not same_names and len(stored.shape) > 2:
        if _without_ones(stored.shape) == _without_ones(micrograph.label_shape):
            return stored.data.reshape(micrograph.label_shape)
        if not stored.named or not set(stored.axes or "") <= set("TZYXCS"):
            return None
    return settle_axes(stored, axes).data


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length > 1]


def _class_numbers(name: str, data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind == "f":
        whole = np.nan_to_num(data, nan=-1, posinf=-1, neginf=-1).astype(np.int32)
        if not np.array_equal(whole, data):
            raise _not_classes(name)
        data = whole
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    if data.dtype.kind not in "iu" or data.min() < 0:
        raise _not_classes(name)
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def _not_classes(name: str) -> ScribbleError:
    return ScribbleError(
        f"The scribbles {name} hold negative or fractional values; use 0 where nothing is painted "
        "and whole class numbers from 1."
    )


@contextmanager
def stack_writer(
    path: str | Path, micrograph: Micrograph, dtype: DTypeLike, channels: int | None = None
) -> Iterator[WritePlane]:
    """Open an OME-TIFF for labels or probabilities of a micrograph, to be filled plane by plane.

    The file has the micrograph's axes (with C before Y if there are channels) and pixel size, and
    appears under its name once it is complete.

    Parameters
    ----------
    path : str or Path
        Ends in .tif or .tiff.
    micrograph : Micrograph
        What is segmented.
    dtype : dtype
        8, 16 or 32 bit integer or 32 or 64 bit float.
    channels : int, optional
        Number of probabilities per pixel; None for labels.

    Yields
    ------
    callable
        ``write(index, plane)`` takes each of ``micrograph.plane_indices()`` in turn and a plane,
        (Y, X), or (channels, Y, X) if there are channels.

    Raises
    ------
    OutputError
        If the file cannot be written, has another extension or lacks planes at the end.
    """
    path, dtype = Path(path), np.dtype(dtype)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{path} is no name for a TIFF; let it end in .tif or .tiff.")
    waiting = micrograph.plane_indices()
    plane_shape = (channels or 1, *micrograph.shape_yx)
    size = len(waiting) * int(np.prod(plane_shape)) * dtype.itemsize
    description: bytes | None = _ome_xml(micrograph, dtype, channels)
    resolution = _resolution(micrograph)

    with (
        replacing(path) as aside,
        tifffile.TiffWriter(aside, bigtiff=size > _CLASSIC_BYTES, ome=False) as tiff,
    ):

        def write(index: tuple[int, ...], plane: NDArray[Any]) -> None:
            nonlocal description
            assert index == waiting.pop(0)
            pages = plane[None] if channels is None else plane
            assert pages.shape == plane_shape
            for page in pages.astype(dtype, copy=False):
                tiff.write(
                    page,
                    photometric="minisblack",
                    compression="zlib",
                    description=description,
                    software="napari-alibi-seg",
                    metadata=None,
                    **resolution,
                )
                description = None

        yield write
        if waiting:
            raise OutputError(f"{path} was not written: {len(waiting)} planes are missing.")


def _resolution(micrograph: Micrograph) -> dict[str, Any]:
    """Return the resolution tags, in pixels per cm, if TIFF can express them."""
    size = micrograph.pixel_size
    if size is None:
        return {}
    x, y = (0.01 / (length * size.metres_per_unit) for length in (size.x, size.y))
    if max(x, y) > _LARGEST_RATIONAL:
        return {}
    return {"resolution": (x, y), "resolutionunit": "CENTIMETER"}


def _ome_xml(micrograph: Micrograph, dtype: np.dtype[Any], channels: int | None) -> bytes:
    """Return OME-XML without UUID, which tifffile would draw anew for each file."""
    lengths = dict(zip(micrograph.label_axes, micrograph.label_shape, strict=True))
    lengths["C"] = channels or 1
    told = {f"Size{axis}": str(lengths.get(axis, 1)) for axis in "XYCZT"}
    told |= {"DimensionOrder": "XYCZT", "Type": _OME_TYPES[dtype.name], "ID": "Pixels:0"}
    root = ElementTree.Element("OME", xmlns=_OME, Creator="napari-alibi-seg")
    image = ElementTree.SubElement(root, "Image", ID="Image:0")
    pixels = ElementTree.SubElement(image, "Pixels", told | _physical_sizes(micrograph))
    for channel in range(lengths["C"]):
        ElementTree.SubElement(pixels, "Channel", ID=f"Channel:0:{channel}", SamplesPerPixel="1")
    planes = len(micrograph.plane_indices()) * lengths["C"]
    ElementTree.SubElement(pixels, "TiffData", IFD="0", PlaneCount=str(planes))
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _physical_sizes(micrograph: Micrograph) -> dict[str, str]:
    size = micrograph.pixel_size
    if size is None:
        return {}
    told = {"X": size.x, "Y": size.y} | ({"Z": size.z} if size.z is not None else {})
    return {f"PhysicalSize{axis}": repr(float(length)) for axis, length in told.items()} | {
        f"PhysicalSize{axis}Unit": size.unit for axis in told
    }
