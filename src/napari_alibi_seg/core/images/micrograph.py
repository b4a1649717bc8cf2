"""Micrographs: an array with named axes and a pixel size, independent of the file format.

The axes are always a subsequence of TZYX, in this order, and then C, S or neither.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_alibi_seg.core.errors import ImageError, UnsettledError
from napari_alibi_seg.core.images.axes import settle_axes, settle_channels
from napari_alibi_seg.core.images.levels import robust_levels, sampled_planes
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.planes import Depth, Plane
from napari_alibi_seg.core.images.shading import estimated_light
from napari_alibi_seg.core.images.stored import Stored, as_array
from napari_alibi_seg.core.images.windows import Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.levels import Levels
    from napari_alibi_seg.core.images.ome_zarr import Placement
    from napari_alibi_seg.core.images.shading import Shading
    from napari_alibi_seg.core.images.stored import Array

Region: TypeAlias = tuple[slice, slice]
"""Slices of rows and columns, as in numpy indexing, without a step."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """An image, or a stack of images, ready to be segmented.

    Attributes
    ----------
    data : array
        numpy (in memory or memory-mapped) or dask, with the dimensions `axes`, in native byte
        order; bool, integer or float, with any values including NaN and inf.
    axes : str
        A subsequence of TZYX that includes Y and X; at its end, S for the samples red, green and
        blue, or C for two or more channels that are used together.
    pixel_size : PixelSize or None
        Spatial calibration; None if unknown.
    path : Path or None
        The file, if there is one.
    placed : mapping
        Scale and translation by lower-case axis letter, if the file is an OME-Zarr.
    spacing : float or None
        Slice spacing, in pixels; None derives it from `pixel_size`.
    region : tuple of slice or None
        Rows and columns to segment; ``(slice(None, -64), slice(None))`` excludes a databar of 64
        rows. None for all. Intensities are always normalised over the whole image, those of
        each channel by themselves.
    """

    data: Array
    axes: str
    pixel_size: PixelSize | None = None
    path: Path | None = None
    placed: Mapping[str, Placement] = field(default_factory=dict)
    spacing: float | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        """Reject axes that do not match the data, invalid lengths, and an empty region."""
        ordered = "".join(letter for letter in "TZYX" if letter in self.axes)
        ordered += self.axes[-1:] if self.colour or self.has_channels else ""
        shaped = self.axes == ordered and "YX" in ordered and self.data.ndim == len(ordered)
        several = {"S": self.bands == 3, "C": self.bands > 1}
        if not shaped or not several.get(self.axes[-1], True):
            raise ImageError(
                f"The axes {self.axes!r} are not those of a micrograph of shape {self.data.shape}; "
                "make it with as_micrograph, which brings them into order."
            )
        if not isinstance(self.pixel_size, PixelSize | None):
            raise ImageError(
                f"A pixel size is a PixelSize, but this is {self.pixel_size!r}; write, for "
                "example, PixelSize('nm', None, 4.0, 4.0)."
            )
        spacing = 1.0 if self.spacing is None else self.spacing
        if not isinstance(spacing, Real) or not 0 < spacing < np.inf:
            raise ImageError(
                f"Planes cannot lie {spacing!r} pixels apart; give a positive number of pixels."
            )
        if self.region is not None and not _is_rectangle(self.region):
            raise ImageError(
                f"The region {self.region!r} cannot be used; give two slices without a step, of "
                "whole rows and of whole columns, like np.s_[:-64, :]."
            )
        window = self.region_window
        if window is not None and window.height * window.width == 0:
            rows, columns = self.shape_yx
            raise ImageError(
                f"The region holds no pixel of an image of {rows} rows and {columns} columns; "
                "choose another."
            )

    @property
    def region_window(self) -> Window | None:
        """The region as a window of this image; None if there is no region."""
        if self.region is None:
            return None
        rows, columns = (
            range(size)[part] for part, size in zip(self.region, self.shape_yx, strict=True)
        )
        return Window(rows.start, columns.start, len(rows), len(columns))

    @property
    def anisotropy(self) -> float:
        """Slice spacing divided by the pixel spacing; 1 if unknown."""
        size = self.pixel_size
        return self.spacing or (size and size.anisotropy) or 1.0

    @property
    def voxel_size(self) -> PixelSize | None:
        """The pixel size with the slice spacing in use."""
        size = self.pixel_size
        if size is None or self.spacing is None:
            return size
        return replace(size, z=self.spacing * size.side)

    @property
    def colour(self) -> bool:
        """Whether the last axis is red, green, blue."""
        return self.axes.endswith("S")

    @property
    def has_channels(self) -> bool:
        """Whether the last axis is channels of any meaning."""
        return self.axes.endswith("C")

    @property
    def bands(self) -> int:
        """Number of values per pixel: 1 for grey, 3 for colour, or that of channels."""
        return int(self.data.shape[-1]) if self.colour or self.has_channels else 1

    @property
    def label_axes(self) -> str:
        """Axes of scribbles and labels: all but C or S."""
        return self.axes.rstrip("CS")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of scribbles and labels, (Y, X) or (Z, Y, X) or (T, Z, Y, X)."""
        return tuple(int(length) for length in self.data.shape[: len(self.label_axes)])

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of a plane."""
        rows, columns = self.label_shape[-2:]
        return rows, columns

    @cached_property
    def levels(self) -> Levels:
        """Raw values normalised to 0 and 1 in all planes; computed on first access."""
        return robust_levels(self._sampled, by_band=self.has_channels)

    @cached_property
    def light(self) -> tuple[Shading, ...]:
        """Illumination of each band in all planes, empty if even; computed on first access."""
        return estimated_light(self._sampled, self.levels)

    @cached_property
    def _sampled(self) -> list[NDArray[Any]]:
        return sampled_planes([self.plane(index) for index in self.plane_indices()])

    def plane_indices(self) -> list[tuple[int, ...]]:
        """Return the index of each plane in order; ``[()]`` if there is one plane."""
        return list(np.ndindex(self.label_shape[:-2]))

    def plane(self, index: tuple[int, ...] = ()) -> Array:
        """Return a plane, (Y, X) or (Y, X, bands), raw values; lazy if `data` is."""
        plane: Array = self.data[index]
        return plane


def _is_rectangle(region: object) -> bool:
    """Whether a region is two slices between whole numbers, without a step."""
    parts = region if isinstance(region, tuple) else ()
    return len(parts) == 2 and all(map(_is_span, parts))


def _is_span(part: object) -> bool:
    if not isinstance(part, slice) or part.step not in (None, 1):
        return False
    return all(isinstance(end, Integral | None) for end in (part.start, part.stop))


def read_image(
    path: str | Path,
    *,
    axes: str | None = None,
    dataset: str | int | None = None,
    channels: int | Sequence[int] | None = None,
    spacing: float | None = None,
    pixel_size: PixelSize | None = None,
    region: Region | None = None,
) -> Micrograph:
    """Read a micrograph from TIFF, OME-TIFF, PNG, JPEG, BMP, OME-Zarr (0.1 to 0.5) or HDF5.

    The pixel size comes from OME metadata, ImageJ, the header of an FEI or Zeiss microscope, or
    the resolution of a TIFF, PNG or JPEG. A resolution of 5000 dpi or less is ignored: it is a
    print resolution, written by programs that do not know the scale.

    Parameters
    ----------
    path : str or Path
        The file, or the folder of an OME-Zarr image.
    axes : str, optional
        One letter per dimension, in the order of the file, from TZYXC and S (red, green and blue
        samples, as opposed to channels C of any meaning; transparency is ignored); overrides the
        names in the file, whose pixel sizes stay with the dimensions they belong to.
    dataset : str or int, optional
        Which array of an HDF5 file or Zarr group, or which image (0, 1, ...) of a TIFF; required
        if there are several, ignored for PNG, JPEG and BMP.
    channels : int or sequence of int, optional
        For an image with channels: one index to use as grey, or several to use together. The
        filters see each channel; the model sees three as red, green and blue, else their mean.
        By default, colour samples (S) are used as they are, or as grey if the three are equal
        (which is not tried on an array that is read piece by piece).
    spacing : float, optional
        Slice spacing, in pixels, for 3-D filters; overrides the file's metadata.
    pixel_size : PixelSize, optional
        Overrides the file's pixel size, and its slice spacing where it has a `z`.
    region : tuple of slice, optional
        Rows and columns to segment; see `Micrograph`.

    Returns
    -------
    Micrograph
        Its data is lazy where the file is an OME-Zarr, HDF5 or large TIFF, so the image may be
        larger than memory.

    Raises
    ------
    ImageError
        If the file is missing, damaged or of an unknown kind, or holds several arrays; if its axes
        or channels are ambiguous; or if the region contains no pixel.
    """
    # Imported here because its dependencies are slow to import.
    from napari_alibi_seg.core.images.reading import open_stored

    if not isinstance(path, str | os.PathLike):
        raise ImageError(
            f"An image is read from a path, but this is of type {type(path).__name__}; make an "
            "array an image with as_micrograph."
        )
    image = settle(open_stored(Path(path), dataset), axes, channels)
    if isinstance(pixel_size, PixelSize):
        pixel_size = pixel_size.with_spacing_of(image.pixel_size)
    return replace(image, spacing=spacing, pixel_size=pixel_size or image.pixel_size, region=region)


@dataclass(frozen=True)
class ImageFile:
    """The path of an image and the options to read it with, as for `read_image`.

    Attributes
    ----------
    path : Path
        The file, or the folder of an OME-Zarr image.
    axes : str or None
        One letter per dimension.
    dataset : str, int or None
        Which array or image of the file.
    channels : tuple of int or None
        The selected channels.
    spacing : float or None
        Slice spacing, in pixels.
    pixel_size : PixelSize or None
        Overrides that of the file.
    region : tuple of slice or None
        Rows and columns to segment.
    """

    path: Path
    axes: str | None = None
    dataset: str | int | None = None
    channels: tuple[int, ...] | None = None
    spacing: float | None = None
    pixel_size: PixelSize | None = None
    region: Region | None = field(default=None, hash=False)  # Python 3.11 cannot hash slices

    def read(self) -> Micrograph:
        """Open the image with `read_image`, which see for the errors."""
        return read_image(**vars(self))


def read_pictures(path: Path) -> list[Micrograph]:
    """Read every image in a file, for uses where the order of planes does not matter.

    Parameters
    ----------
    path : Path
        As for `read_image`. Every image of a TIFF is read; the first axis of a 3-D array that
        would otherwise be ambiguous is taken as Z.

    Raises
    ------
    ImageError
        If the file is missing, damaged or of an unknown kind, or its axes, channels or dataset
        remain ambiguous.
    """
    from napari_alibi_seg.core.images.reading import open_every

    try:
        return [_picture(stored) for stored in open_every(path)]
    except UnsettledError as error:
        raise ImageError(
            f"{error.trouble}; save what is to be used of it as images of their own."
        ) from error


def _picture(stored: Stored) -> Micrograph:
    try:
        return settle(stored, None, None)
    except UnsettledError:
        with suppress(ImageError):
            return settle(stored, "ZYX", None)
        raise


def as_micrograph(
    array: Any,
    axes: str | None = None,
    channels: int | Sequence[int] | None = None,
    *,
    spacing: float | None = None,
    pixel_size: PixelSize | None = None,
    region: Region | None = None,
) -> Micrograph:
    """Make a micrograph from an array.

    Parameters
    ----------
    array : array-like
        numpy, dask, zarr or h5py; bool, integer or float. Masked elements become NaN (no data).
    axes : str, optional
        As for `read_image`; may be omitted only for (Y, X).
    channels : int or sequence of int, optional
        As for `read_image`.
    spacing : float, optional
        As for `read_image`.
    pixel_size : PixelSize, optional
        For areas and, through its `z`, the slice spacing.
    region : tuple of slice, optional
        As for `read_image`.

    Returns
    -------
    Micrograph
        Its data is lazy if the array is a dask array or stored in chunks.

    Raises
    ------
    ImageError
        If the array is empty or not numeric, or its axes or channels are ambiguous.
    """
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.result_type(array, np.float16)), np.nan)
    image = settle(Stored(as_array(array, axes), pixel_size=pixel_size), axes, channels)
    return replace(image, spacing=spacing, region=region)


def planes_of(image: Micrograph) -> dict[tuple[int, ...], Plane]:
    """Return every plane of an image by its index, all normalised by the image's levels."""
    require_micrograph(image)
    return {
        index: Plane(
            image.plane(index),
            image.levels,
            _depth(image, index),
            image.region_window,
            image.light,
        )
        for index in image.plane_indices()
    }


def _depth(image: Micrograph, index: tuple[int, ...]) -> Depth | None:
    if "Z" not in image.axes:
        return None
    return Depth(image.plane(index[:-1]), index[-1], image.anisotropy)


def require_micrograph(image: object) -> None:
    """Raise an `ImageError` unless an image is a `Micrograph`."""
    if not isinstance(image, Micrograph):
        raise ImageError(
            f"An image is a Micrograph, but this is of type {type(image).__name__}; make one with "
            "read_image or as_micrograph."
        )


def settle(stored: Stored, axes: str | None, channels: int | Sequence[int] | None) -> Micrograph:
    """Make a micrograph from a stored array; `read_image` describes `axes` and `channels`."""
    ordered = settle_axes(stored, axes)
    data, letters = settle_channels(ordered, channels)
    return Micrograph(data, letters, ordered.pixel_size, ordered.path, ordered.placed)
