"""Convert between the pixel size of an image and the scale of a layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.images.pixel_size import calibrate

if TYPE_CHECKING:
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.pixel_size import PixelSize


def layer_scale(size: PixelSize | None, axes: str, spacing: float | None = None) -> dict[str, Any]:
    """Return the scale and units of a layer; empty if neither size nor spacing is known.

    Dimensions without a known length, such as time, count steps: napari calls these pixels.

    Parameters
    ----------
    size : PixelSize or None
        Pixel size of the image shown.
    axes : str
        A letter for each of the layer's dimensions.
    spacing : float, optional
        Distance between planes, in pixels, if it differs from that in `size`.
    """
    if size is None or size.metres_per_unit is None:
        apart = spacing if "Z" in axes else None
        return {} if apart is None else {"scale": [apart if a == "Z" else 1.0 for a in axes]}
    depth = size.z if spacing is None else spacing * math.sqrt(size.area)
    lengths = {"Z": depth, "Y": size.y, "X": size.x}
    known = [lengths.get(axis) for axis in axes]
    return {
        "scale": [1.0 if length is None else length for length in known],
        "units": ["pixel" if length is None else size.unit for length in known],
    }


def layer_pixel_size(layer: Image, axes: str) -> PixelSize | None:
    """Return the size of a layer's pixels; None unless its rows and columns are lengths.

    Its affine transform may scale them, too.

    Parameters
    ----------
    layer : Image
        The layer.
    axes : str
        A letter for each of its dimensions, colour samples last if it has any.
    """
    sizes = zip(axes.removesuffix("S").lower(), _steps(layer), layer.units, strict=True)
    return calibrate(
        {
            axis: (size, str(unit))
            for axis, size, unit in sizes
            if axis in "zyx" and "[time]" not in unit.dimensionality
        }
    )


def layer_spacing(layer: Image, axes: str) -> float | None:
    """Return the distance between a layer's planes, in pixels, if only its scale gives it.

    None without planes, for cubic voxels, if the distance is a length, which `layer_pixel_size`
    returns, or if only rows and columns have lengths and a scale.
    """
    scale = dict(zip(axes.removesuffix("S"), _steps(layer), strict=True))
    size = layer_pixel_size(layer, axes)
    if "Z" not in scale or (size is not None and size.z is not None):
        return None
    depth, row, column = (float(scale[axis]) for axis in "ZYX")
    untold = depth == row == column if size is None else depth == 1
    return None if untold else depth / math.sqrt(row * column)


def _steps(layer: Image) -> NDArray[np.float64]:
    """Return the distances between neighbouring pixels along each dimension, in world units."""
    steps: NDArray[np.float64] = np.abs(np.multiply(layer.scale, layer.affine.scale))
    return steps
