"""Read scribbles, and write stacks of labels and probabilities.

Results are OME-TIFFs with the axes and pixel size of the image. They contain no date, unique
identifier or machine-specific data, so equal results give identical files.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_alibi_seg.core.choices import LARGEST_CLASS
from napari_alibi_seg.core.errors import OutputError, ScribbleError
from napari_alibi_seg.core.images.axes import settle_axes
from napari_alibi_seg.core.images.micrograph import require_micrograph
from napari_alibi_seg.core.images.reading import open_stored
from napari_alibi_seg.core.images.tiff import TIFF_SUFFIXES, needs_bigtiff
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.stored import Array, Stored

    WritePlane = Callable[[tuple[int, ...], NDArray[Any]], None]

SOFTWARE = "napari-alibi-seg"
"""Software tag of the TIFFs written here."""

_LARGEST_RATIONAL = 2**32 - 1
_PAGE: dict[str, Any] = {
    "photometric": "minisblack",
    "compression": "zlib",
    "software": SOFTWARE,
    "metadata": None,
}
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
    dataset: str | int | None = None,
) -> NDArray[Any]:
    """Read the scribbles drawn on a micrograph.

    Parameters
    ----------
    path : str or Path
        A file in any format of `read_image` except JPEG, with whole numbers: 0 for unlabelled
        pixels, classes from 1. For a PNG or TIFF with a palette, indices are read, not colours.
    micrograph : Micrograph
        The image they were drawn on.
    axes : str, optional
        As for `read_image`; not needed if the shape equals that of the micrograph, as in files
        written by napari.
    dataset : str or int, optional
        As for `read_image`.

    Returns
    -------
    numpy.ndarray
        Non-negative integers of shape ``micrograph.label_shape``; memory-mapped where possible.

    Raises
    ------
    ScribbleError
        If the file is a JPEG, the shape does not match, or a value is not a whole number from 0
        to 65535.
    ImageError
        If the file cannot be read, or `micrograph` is not a `Micrograph`.
    """
    require_micrograph(micrograph)
    if Path(path).suffix.lower() in (".jpg", ".jpeg"):
        raise ScribbleError(
            f"{path} is a JPEG, which changes the numbers of classes around every stroke; save "
            "scribbles as PNG or TIFF."
        )
    stored = open_stored(Path(path), dataset, indices=True)
    data = _fitted(stored, micrograph, axes)
    if data is None or data.shape != micrograph.label_shape:
        raise ScribbleError(
            f"The scribbles {stored.name} have shape {stored.shape} and the image needs "
            f"{micrograph.label_shape} (axes {micrograph.label_axes}); draw them on this image and "
            "save class numbers, without colours."
        )
    return _class_numbers(stored.name, np.asanyarray(data))


def _fitted(stored: Stored, micrograph: Micrograph, axes: str | None) -> Array | None:
    """Return the scribbles in the micrograph's axis order; None if their axes are unknown."""
    same_names = sorted(stored.axes or "") == sorted(micrograph.label_axes)
    if axes is None and not same_names and len(stored.shape) > 2:
        if _without_ones(stored.shape) == _without_ones(micrograph.label_shape):
            return stored.array().reshape(micrograph.label_shape)
        if not stored.named or not set(stored.axes or "") <= set("TZYXCS"):
            return None
    return settle_axes(stored, axes).array()


def _without_ones(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length > 1]


def _class_numbers(name: str, data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    whole = data
    if data.dtype.kind == "f":
        whole = np.clip(np.nan_to_num(data, nan=-1), -1, LARGEST_CLASS).astype(np.int32)
    fractional = whole is not data and not np.array_equal(whole, data)
    if fractional or whole.min() < 0 or whole.max() > LARGEST_CLASS:
        raise ScribbleError(
            f"The scribbles {name} hold values that are no classes; use 0 where nothing is painted "
            f"and whole class numbers from 1 to {LARGEST_CLASS}."
        )
    return whole.astype(whole.dtype.newbyteorder("="), copy=False)


@contextmanager
def stack_writer(
    path: str | Path,
    micrograph: Micrograph,
    dtype: DTypeLike,
    channels: int | None = None,
    names: Sequence[str] = (),
) -> Iterator[WritePlane]:
    """Open an OME-TIFF to write labels or probabilities of a micrograph plane by plane.

    The file has the micrograph's axes (with C before Y if there are channels) and pixel size. It
    appears under its name only when complete.

    Parameters
    ----------
    path : str or Path
        Must end in .tif or .tiff.
    micrograph : Micrograph
        The segmented image.
    dtype : dtype
        8, 16 or 32-bit integer, or 32 or 64-bit float.
    channels : int, optional
        Number of probabilities per pixel; None for labels.
    names : sequence of str
        Names of the channels; empty for none.

    Yields
    ------
    callable
        ``write(index, plane)``, to be called for every index of ``micrograph.plane_indices()`` in
        order, with a (Y, X) plane, or (channels, Y, X) if there are channels.

    Raises
    ------
    OutputError
        If the file cannot be written, its suffix or dtype is not supported, planes are missing or
        out of order, or a value is out of the range of an integer dtype.
    """
    path, dtype = Path(path), np.dtype(dtype)
    _require_ome_tiff(path, dtype)
    waiting = micrograph.plane_indices()
    planes, plane_shape = len(waiting), (channels or 1, *micrograph.shape_yx)
    large = needs_bigtiff((planes, *plane_shape), dtype)
    tags = _resolution(micrograph) | {"description": _ome_xml(micrograph, dtype, channels, names)}

    with (
        replacing(path) as aside,
        tifffile.TiffWriter(aside, bigtiff=large, ome=False) as tiff,
    ):

        def write(index: tuple[int, ...], plane: NDArray[Any]) -> None:
            pages = plane[None] if channels is None else plane
            if waiting[:1] != [index] or pages.shape != plane_shape:
                raise OutputError(
                    f"{path} was not written: plane {index} of shape {plane.shape} came where "
                    f"{waiting[:1]} was due, of shape {plane_shape}; write the planes in order."
                )
            if dtype.kind in "iu" and not _fits(plane, np.iinfo(dtype)):
                raise OutputError(
                    f"{path} was not written: plane {index} holds values from {plane.min()} to "
                    f"{plane.max()}, which {dtype} cannot hold; choose another dtype."
                )
            del waiting[0]
            for page in pages.astype(dtype, copy=False):
                tiff.write(page, **_PAGE, **tags)
                tags["description"] = None  # only the first page has the metadata

        yield write
        if waiting:
            raise OutputError(
                f"{path} was not written: it lacks {len(waiting)} of {planes} planes; write "
                "them all."
            )


def _fits(plane: NDArray[Any], range_: np.iinfo[Any]) -> bool:
    return bool(range_.min <= plane.min() and plane.max() <= range_.max)


def _require_ome_tiff(path: Path, dtype: np.dtype[Any]) -> None:
    require_tiff_name(path)
    if dtype.name not in _OME_TYPES:
        raise OutputError(f"{path} cannot hold {dtype}; use one of {', '.join(_OME_TYPES)}.")


def require_tiff_name(path: Path) -> None:
    """Raise an `OutputError` unless a path ends in .tif or .tiff."""
    if path.suffix.lower() not in TIFF_SUFFIXES:
        raise OutputError(f"{path} is no name for a TIFF; let it end in .tif or .tiff.")


def _resolution(micrograph: Micrograph) -> dict[str, Any]:
    """Return the resolution tags, in pixels per cm, if TIFF can express them."""
    size = micrograph.pixel_size
    if size is None or size.metres_per_unit is None:
        return {}
    x, y = (0.01 / (length * size.metres_per_unit) for length in (size.x, size.y))
    if max(x, y) > _LARGEST_RATIONAL:
        return {}
    return {"resolution": (x, y), "resolutionunit": "CENTIMETER"}


def _ome_xml(
    micrograph: Micrograph, dtype: np.dtype[Any], channels: int | None, names: Sequence[str]
) -> bytes:
    """Return OME-XML without the UUID that tifffile would generate for each file."""
    lengths = dict(zip(micrograph.label_axes, micrograph.label_shape, strict=True))
    lengths["C"] = channels or 1
    attributes = {f"Size{axis}": str(lengths.get(axis, 1)) for axis in "XYCZT"}
    attributes |= {"DimensionOrder": "XYCZT", "Type": _OME_TYPES[dtype.name], "ID": "Pixels:0"}
    root = ElementTree.Element("OME", xmlns=_OME, Creator=SOFTWARE)
    image = ElementTree.SubElement(root, "Image", ID="Image:0")
    pixels = ElementTree.SubElement(image, "Pixels", attributes | _physical_sizes(micrograph))
    for channel in range(lengths["C"]):
        called = {"Name": names[channel]} if names else {}
        attributes = {"ID": f"Channel:0:{channel}", **called, "SamplesPerPixel": "1"}
        ElementTree.SubElement(pixels, "Channel", attributes)
    planes = len(micrograph.plane_indices()) * lengths["C"]
    ElementTree.SubElement(pixels, "TiffData", IFD="0", PlaneCount=str(planes))
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _physical_sizes(micrograph: Micrograph) -> dict[str, str]:
    size = micrograph.voxel_size
    if size is None:
        return {}
    sizes = {"X": size.x, "Y": size.y} | ({"Z": size.z} if size.z is not None else {})
    return {f"PhysicalSize{axis}": repr(float(length)) for axis, length in sizes.items()} | {
        f"PhysicalSize{axis}Unit": size.unit for axis in sizes
    }
