"""The size of a pixel, as files tell it and as napari places layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.calibration import calibrate

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_alibi_seg.core.calibration import PixelSize
    from napari_alibi_seg.core.images import Micrograph


def layer_scale(image: Micrograph) -> dict[str, Any]:
    """Return the scale and units of a layer that shows an image; nothing if its size is unknown.

    Dimensions without a known length, such as time, count steps: napari calls these pixels.
    """
    size = image.pixel_size
    if size is None:
        return {}
    lengths = {"Z": size.z, "Y": size.y, "X": size.x}
    known = [lengths.get(axis) for axis in image.label_axes]
    return {
        "scale": [1.0 if length is None else length for length in known],
        "units": ["pixel" if length is None else size.unit for length in known],
    }


def layer_pixel_size(layer: Image, axes: str) -> PixelSize | None:
    """Return the size of a layer's pixels; None unless its rows and columns are lengths.

    Parameters
    ----------
    layer : Image
        The layer.
    axes : str
        A letter for each of its dimensions, colour samples last if it has any.
    """
    told = zip(axes.removesuffix("S").lower(), layer.scale, layer.units, strict=True)
    return calibrate({axis: (scale, str(unit)) for axis, scale, unit in told if axis in "zyx"})
