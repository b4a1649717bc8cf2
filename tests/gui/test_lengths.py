"""The size of pixels, from how a layer is placed."""

import numpy as np
import pytest
from napari.layers import Image

from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.gui.lengths import layer_pixel_size, layer_spacing


@pytest.mark.parametrize(
    ("placed", "size"),
    [
        ({"scale": (2, -3), "units": "nm"}, PixelSize("nm", None, 2, 3)),
        ({"affine": np.diag([4, 5, 1]), "units": "nm"}, PixelSize("nm", None, 4, 5)),
        (
            {"scale": (2, 2), "affine": np.diag([4, 4, 1]), "units": "nm", "rotate": 30},
            PixelSize("nm", None, 8, 8),
        ),
        ({"scale": (2, 2), "units": "1/nm"}, PixelSize("1 / nanometer", None, 2, 2)),
        ({"scale": (2, 2), "units": "s"}, None),
        ({"scale": (2, 2)}, None),
    ],
)
def test_pixels_are_as_large_as_scale_and_affine_make_them_in_a_length(placed, size):
    assert layer_pixel_size(Image(np.zeros((5, 6)), **placed), "YX") == size


def test_planes_are_as_far_apart_as_scale_and_affine_make_them():
    layer = Image(np.zeros((3, 5, 6)), scale=(2, 1, 1), affine=np.diag([3, 2, 2, 1]))
    assert layer_spacing(layer, "ZYX") == 3
