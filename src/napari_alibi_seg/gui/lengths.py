"""The size of a pixel, as files tell it and as napari places layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.calibration import calibrate

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_alibi_seg.core.calibration import PixelSize


def layer_scale(size: PixelSize | None, axes: str) -> dict[str, Any]:
    """Return the scale and units of a layer; nothing if the size or its unit is unknown.

    Dimensions without a known length, such as time, count steps: napari calls these pixels.

    Parameters
    ----------
    size : PixelSize or None
        Of the image shown.
    axes : str
        A letter for each of the layer's dimensions.
    """
    if size is None or size.metres_per_unit is None:
        return {}
    lengths = {"Z": size.z, "Y": size.y, "X": size.x}
    known = [lengths.get(axis) for axis in axes]
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
    return calibrate({axis: (abs(scale), str(unit)) for axis, scale, unit in told if axis in "zyx"})
