"""From an image layer to a micrograph, and from the viewer to what of it is on the screen."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.micrograph import ImageFile, Micrograph, settle
from napari_alibi_seg.core.images.stored import Stored, as_array
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.gui.lengths import layer_pixel_size, layer_scale, layer_spacing

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.components import Dims
    from napari.layers import Image, Layer

    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.images.windows import Index

IMAGE_FILE = "napari-alibi-seg image"
"""Metadata of image layers from a project: their `ImageFile`; None once it is not theirs."""
AXES = "napari-alibi-seg axes"
"""Metadata of image layers from a project: a letter for each dimension of the data."""


@dataclass(frozen=True)
class Reading:
    """A way to read the dimensions of a layer.

    Attributes
    ----------
    axes : str
        A letter for each dimension of the data, as for `read_image`.
    words : str
        Text of the choice in the window.
    """

    axes: str
    words: str


def readings(layer: Image) -> list[Reading]:
    """Return the ways a layer can be read, that of its project or file first; one if unambiguous.

    Raises
    ------
    ImageError
        If it has more dimensions than time, depth, rows and columns.
    """
    found = {
        2: [Reading("YX", "one plane")],
        3: [
            Reading("ZYX", "planes (Z, Y, X)"),
            Reading("CYX", "channels (C, Y, X)"),
            Reading("TYX", "times (T, Y, X)"),
        ],
        4: [
            Reading("TZYX", "times, planes (T, Z, Y, X)"),
            Reading("CZYX", "channels of planes (C, Z, Y, X)"),
            Reading("CTYX", "channels of times (C, T, Y, X)"),
            Reading("ZCYX", "planes with channels (Z, C, Y, X)"),
            Reading("TCYX", "times with channels (T, C, Y, X)"),
        ],
    }.get(layer.ndim, [])
    if not found:
        raise ImageError(
            f"The layer {layer.name!r} has {layer.ndim} dimensions, but at most four (time, depth, "
            "rows, columns) can be segmented; split it first (right-click, Split Stack)."
        )
    if len(found) > 1:
        named = _named_axes(layer).removesuffix("S")
        found.sort(key=lambda one: one.axes != named)
    return [Reading(found[0].axes + "S", found[0].words)] if layer.rgb else found


def _named_axes(layer: Image) -> str:
    """Return the axes of a layer that its project or file names; empty if neither does."""
    path = layer.source.path
    if AXES in layer.metadata or path is None:
        return str(layer.metadata.get(AXES, ""))
    from napari_alibi_seg.core.images.reading import stored_axes

    return stored_axes(Path(path)) or ""


def first_channels(layer: Image, reading: Reading) -> tuple[int, ...] | None:
    """Return the channels to use at first: all that a project uses together, or the first."""
    if "C" not in reading.axes:
        return None
    return tuple(range(_channels_of_project(layer))) or (0,)


def offered_channels(layer: Image, reading: Reading) -> list[tuple[int, ...]]:
    """Return the choices of channels: each one, and all together; none without channels."""
    if "C" not in reading.axes:
        return []
    data = layer.data[0] if layer.multiscale else layer.data
    every = tuple(range(int(data.shape[reading.axes.index("C")])))
    return [*((number,) for number in every), *([every] if len(every) > 1 else [])]


def _channels_of_project(layer: Image) -> int:
    """Return how many channels of a layer from a project are used together; 0 if none are."""
    file: ImageFile | None = layer.metadata.get(IMAGE_FILE)
    count = 0 if file is None else len(file.channels or ())
    return count if count > 1 else 0


def paintable_readings(layer: Image) -> list[Reading]:
    """Return the `readings` of a layer on which napari can show strokes.

    Strokes have no channels, so they would follow the wrong slider if these came after planes.

    Raises
    ------
    ImageError
        As from `readings`, or if its file says that every plane has channels.
    """
    first, *others = readings(layer)
    if first.axes.find("C") > 0:
        raise ImageError(
            f"Each plane of {layer.name!r} has channels, which cannot be painted on here; save "
            "each channel as a separate file first (in Fiji: Image, Color, Split Channels)."
        )
    return [first, *(one for one in others if one.axes.find("C") <= 0)]


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An image layer, read in one way.

    Attributes
    ----------
    layer : Image
        The layer.
    reading : Reading
        How its dimensions are read.
    channels : tuple of int or None
        The channels in use, if there are channels.
    micrograph : Micrograph
        The pixels; lazy if the layer's are.
    pixels : array-like
        The layer's data object at the time of reading.
    file : ImageFile or None
        Where the layer came from.
    """

    layer: Image
    reading: Reading
    channels: tuple[int, ...] | None
    micrograph: Micrograph
    pixels: Any
    file: ImageFile | None = None

    @classmethod
    def of(
        cls, layer: Image, reading: Reading, channels: tuple[int, ...] | None = None
    ) -> ImageSource:
        """Read a layer.

        Raises
        ------
        ImageError
            If its values are not numbers or its axes do not fit.
        """
        data = as_array(layer.data[0] if layer.multiscale else layer.data, reading.axes)
        file = _file_of(layer, reading.axes, channels)
        stored = Stored(data, path=_origin(layer) if file is None else file.path)
        micrograph = settle(stored, reading.axes, channels)
        if file is not None and layer.rgb and not micrograph.colour:
            file = replace(file, channels=(0,))
        size = layer_pixel_size(layer, reading.axes) or _stored_pixel_size(micrograph)
        spacing = layer_spacing(layer, reading.axes)
        measured = replace(micrograph, pixel_size=size, spacing=spacing)
        return cls(layer, reading, channels, measured, layer.data, file)

    @cached_property
    def exact_file(self) -> Path | None:
        """The file that holds this image as it is; None for part of one, several or none."""
        if self.file is None:
            return None
        known = self.layer.metadata.get(IMAGE_FILE) is not None
        return self.file.path if known or self._has_shape_of(self.file.path) else None

    def _has_shape_of(self, path: Path) -> bool:
        from napari_alibi_seg.core.images.reading import open_stored

        pixels = self.pixels[0] if self.layer.multiscale else self.pixels
        last = -1 if self.layer.rgb else None  # a file may have no alpha channel
        with suppress(ImageError):
            shapes = pixels.shape[:last], open_stored(path).shape[:last]
            mine, stored = ([length for length in shape if length > 1] for shape in shapes)
            return mine == stored
        return False

    def forget_file(self) -> None:
        """Note that the pixels of the layer are no longer those of its file."""
        self.layer.metadata[IMAGE_FILE] = None

    @property
    def measured(self) -> Micrograph:
        """The image with the layer's present pixel size and spacing."""
        size = layer_pixel_size(self.layer, self.reading.axes) or self.micrograph.pixel_size
        spacing = layer_spacing(self.layer, self.reading.axes)
        return replace(self.micrograph, pixel_size=size, spacing=spacing)

    def measure(self, size: PixelSize | None, spacing: float | None) -> bool:
        """Give the layer a pixel size and spacing unless it has one; return whether it was set."""
        placed, now = layer_scale(size, self.reading.axes.removesuffix("S"), spacing), self.measured
        new = bool(placed) and now.pixel_size is None and now.spacing is None
        for name, value in placed.items() if new else ():
            setattr(self.layer, name, value)
        return new

    @property
    def name(self) -> str:
        """The name that layers of this image are named after."""
        name = str(self.layer.name)
        return name if self.channels is None else f"{name}, {channel_words(self.channels)}"

    @property
    def token(self) -> tuple[Hashable, str, tuple[int, ...] | None]:
        """The token that marks the layers of this image."""
        return self.layer.unique_id, self.reading.axes, self.channels

    @property
    def dims(self) -> list[int]:
        """The layer's dimensions that scribbles and labels share."""
        return [self.reading.axes.index(letter) for letter in self.micrograph.label_axes]

    def placement(self) -> dict[str, Any]:
        """Return scale, units and transforms that align a labels layer with the image."""
        dims, layer = self.dims, self.layer
        ends = [*dims, layer.ndim]
        placed = {
            "scale": np.asarray(layer.scale)[dims],
            "translate": np.asarray(layer.translate)[dims],
            "affine": np.asarray(layer.affine.affine_matrix)[np.ix_(ends, ends)],
            "units": [layer.units[dim] for dim in dims],
        }
        if len(dims) == layer.ndim:
            placed |= {"rotate": layer.rotate, "shear": layer.shear}
        return placed

    def place(self, layer: Layer) -> None:
        """Align scribbles or a result with the image."""
        for name, value in self.placement().items():
            setattr(layer, name, value)

    def index(self, dims: Dims) -> Index:
        """Return the plane the viewer's sliders point at."""
        offset = dims.ndim - self.layer.ndim
        point = [0.0] * self.layer.ndim
        point[max(-offset, 0) :] = dims.point[max(offset, 0) :]
        position = self.layer.world_to_data(point)
        shape = self.micrograph.label_shape[:-2]
        steps = [round(position[dim]) for dim in self.dims[:-2]]
        return tuple(
            int(np.clip(step, 0, size - 1)) for step, size in zip(steps, shape, strict=True)
        )

    def is_on_screen(self, dims: Dims) -> bool:
        """Whether the screen shows a plane, rather than a section across planes or a volume."""
        offset = dims.ndim - self.layer.ndim
        return set(dims.displayed) == {offset + dim for dim in self.dims[-2:]}

    def show_channel(self, dims: Dims) -> None:
        """Move the slider to the channel in use, if there is one alone."""
        if self.channels is not None and len(self.channels) == 1:
            axis, place = self.reading.axes.index("C"), np.zeros(self.layer.ndim)
            place[axis] = self.channels[0]
            offset = dims.ndim - self.layer.ndim
            dims.set_point(offset + axis, float(self.layer.data_to_world(place)[axis]))

    def in_world(self, pixel: tuple[int, ...]) -> tuple[float, ...]:
        """Return the world coordinates of a pixel of the scribbles, in their dimensions."""
        position = np.zeros(self.layer.ndim)
        position[self.dims] = pixel
        return tuple(np.asarray(self.layer.data_to_world(position))[self.dims].tolist())

    def on_sliders(self, pixel: tuple[int, ...], dims: Dims) -> dict[int, float]:
        """Return the world coordinates of a pixel of the scribbles by the viewer's dimensions."""
        offset = dims.ndim - self.layer.ndim
        axes = [offset + dim for dim in self.dims]
        return {a: at for a, at in zip(axes, self.in_world(pixel), strict=True) if a >= 0}

    def visible(self) -> Window:
        """Return the visible part of the plane; all of it before the first draw."""
        rows, columns = self.micrograph.shape_yx
        corners = np.asarray(self.layer.corner_pixels, float)[:, self.dims[-2:]]
        if self.layer.multiscale:
            factors = np.asarray(self.layer.downsample_factors)[self.layer.data_level]
            corners = corners * factors[self.dims[-2:]]
        (top, left), (bottom, right) = np.clip(corners.astype(int), 0, (rows, columns))
        if bottom - top < 2 or right - left < 2:
            return Window(0, 0, rows, columns)
        return Window(int(top), int(left), int(bottom - top), int(right - left))


def channel_words(channels: tuple[int, ...]) -> str:
    """Name channels in use: one, or all from the first to the last."""
    first, *others = channels
    return f"channels {first} to {others[-1]}" if others else f"channel {first}"


def _file_of(layer: Image, axes: str, channels: tuple[int, ...] | None) -> ImageFile | None:
    if IMAGE_FILE in layer.metadata:
        known: ImageFile | None = layer.metadata[IMAGE_FILE]
        return known
    path = _origin(layer)
    return None if path is None else ImageFile(path, axes, channels=channels)


def _origin(layer: Image) -> Path | None:
    """Return the file that a layer was opened from, even if its pixels are others by now."""
    path = layer.source.path
    return None if path is None else Path(path).absolute()


def _stored_pixel_size(image: Micrograph) -> PixelSize | None:
    """Return the pixel size from the image's file, which napari's own reader ignores."""
    from napari_alibi_seg.core.images.reading import stored_pixel_size

    return None if image.path is None else stored_pixel_size(image.path, image.shape_yx)
