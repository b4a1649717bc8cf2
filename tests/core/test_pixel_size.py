from dataclasses import astuple, replace
from functools import partial

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.micrograph import as_micrograph, read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize, calibrate, common_size
from napari_alibi_seg.core.images.reading import stored_pixel_size

PIXELS = np.zeros((20, 35), np.uint8)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("um", "µm"),
        ("micrometer", "µm"),
        ("Microns", "µm"),
        ("µm", "µm"),
        ("\u03bcm", "µm"),
        ("nanometers", "nm"),
        (" nm ", "nm"),
        ("millimetre", "mm"),
        ("mm", "mm"),
        ("Mm", "Mm"),
        ("parsec", "parsec"),
    ],
)
def test_a_unit_has_one_spelling_and_an_unknown_one_stays_as_it_is(name, symbol):
    found = calibrate({"z": (3, name), "y": (2, name), "x": (1, name)})
    assert found == PixelSize(symbol, 3, 2, 1)


@pytest.mark.parametrize("name", [None, "", "pixel", "pixels", "reference frame", "a\x00"])
def test_pixels_are_no_lengths(name):
    assert calibrate({"y": (2, name), "x": (1, name)}) is None


def test_lengths_are_never_converted_from_a_unit_that_is_not_known():
    assert calibrate({"y": (2, "parsec"), "x": (1, "nm")}) is None
    found = calibrate({"z": (3, "parsec"), "y": (2, "µm"), "x": (1, "nm")})
    assert astuple(found) == ("nm", None, pytest.approx(2000), 1)


def test_a_size_has_the_symbol_of_its_unit_and_is_positive():
    assert PixelSize("um", None, 0.25, 0.25) == PixelSize("µm", None, 0.25, 0.25)
    assert PixelSize("parsec", 1, 2, 2).unit == "parsec"
    assert all(type(length) is float for length in astuple(PixelSize("nm", *np.ones(3, "i4")))[1:])
    wrong = [(None, -4, 1), (None, 1, 0), (0, 1, 1), (float("nan"), 1, 1), (None, "4", "4")]
    for unit, *lengths in [("nm", *some) for some in wrong] + [(None, None, 4, 4)]:
        with pytest.raises(ImageError, match="give positive numbers"):
            PixelSize(unit, *lengths)


@pytest.mark.parametrize(
    ("given", "stored", "expected"),
    [
        (PixelSize("nm", None, 4, 4), PixelSize("µm", 0.05, 0.005, 0.005), 50),
        (PixelSize("nm", 20, 4, 4), PixelSize("nm", 50, 5, 5), 20),
        (PixelSize("nm", None, 4, 4), PixelSize("parsec", 50, 5, 5), None),
        (PixelSize("parsec", None, 4, 4), PixelSize("parsec", 50, 5, 5), 50),
        (PixelSize("nm", None, 4, 4), PixelSize("nm", None, 5, 5), None),
        (PixelSize("nm", None, 4, 4), None, None),
    ],
)
def test_a_size_without_a_spacing_takes_that_of_another(given, stored, expected):
    z = None if expected is None else pytest.approx(expected)
    assert astuple(given.with_spacing_of(stored)) == (given.unit, z, 4, 4)


@pytest.mark.parametrize("size", [4.0, "4nm", ("nm", None, 4.0, 4.0)])
def test_what_is_no_pixel_size_is_refused_where_it_is_given(tmp_path, size):
    write_png(tmp_path / "a.png")
    for make in (partial(read_image, tmp_path / "a.png"), partial(as_micrograph, PIXELS)):
        with pytest.raises(ImageError, match=r"A pixel size is a PixelSize.*PixelSize\('nm'"):
            make(pixel_size=size)


def test_a_common_size_has_a_spacing_if_the_images_agree_in_it():
    flat, thin, thick = (PixelSize("nm", z, 4, 4) for z in (None, 8, 12))
    close = PixelSize("µm", 0.00802, 0.004, 0.004)
    assert common_size([thin, close]) == thin
    for other in (flat, thick):
        assert common_size([thin, close, other]) == flat


def test_the_size_of_voxels_has_the_spacing_that_was_given():
    size = PixelSize("nm", 8, 4, 4)
    stack = as_micrograph(np.zeros((3, 20, 35)), "ZYX", pixel_size=size)
    assert stack.voxel_size == size
    assert replace(stack, spacing=5).voxel_size == PixelSize("nm", 20, 4, 4)
    assert replace(stack, spacing=5, pixel_size=None).voxel_size is None


@pytest.mark.parametrize(
    ("sizes", "same"),
    [
        ([PixelSize("nm", None, 4, 4)], True),
        ([PixelSize("nm", None, 4, 4), PixelSize("µm", 1, 0.00401, 0.004)], True),
        ([PixelSize("nm", None, 4, 4), PixelSize("nm", None, 5, 5)], False),
        ([PixelSize("nm", None, 4, 4), None], False),
        ([None, PixelSize("nm", None, 4, 4)], False),
        ([PixelSize("nm", None, 4, 4), PixelSize("parsec", None, 4, 4)], False),
    ],
)
def test_images_have_a_size_in_common_if_they_agree_in_it(sizes, same):
    assert common_size(sizes) == (sizes[0] if same else None)


@pytest.mark.parametrize("unit", ["", " ", "pixel", "none", "n\nm", None])
def test_what_is_no_unit_of_length_is_no_pixel_size(unit):
    with pytest.raises(ImageError, match=r"in the unit .*; give .* a unit like 'nm'"):
        PixelSize(unit, None, 4.0, 4.0)
    assert PixelSize(" nm ", None, 4.0, 4.0).unit == "nm"


def test_the_area_of_a_pixel_is_that_of_its_rectangle():
    assert PixelSize("nm", None, 4.0, 5.0).area == 20


def write_tiff(path):
    tifffile.imwrite(path, PIXELS, resolution=(4, 2), metadata={"unit": "um"}, imagej=True)


def write_png(path):
    Image.fromarray(PIXELS).save(path, dpi=(25400, 25400))


def write_zarr(path):
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", data=PIXELS)
    transforms = [{"type": "scale", "scale": [0.5, 0.25]}]
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"],
            "datasets": [{"path": "0", "coordinateTransformations": transforms}],
        }
    ]


@pytest.mark.parametrize(
    ("name", "write"), [("a.tif", write_tiff), ("a.png", write_png), ("a.zarr", write_zarr)]
)
def test_a_file_is_measured_as_it_is_read_if_it_has_the_shape(tmp_path, name, write):
    write(tmp_path / name)
    size = stored_pixel_size(tmp_path / name, PIXELS.shape)
    assert size is not None
    assert size == read_image(tmp_path / name).pixel_size
    assert stored_pixel_size(tmp_path / name, (10, 10)) is None
    assert stored_pixel_size(tmp_path / name, PIXELS.shape[::-1]) is None


@pytest.mark.parametrize("name", ["none.tif", "folder", "notes.txt", "broken.tif"])
def test_what_is_no_image_has_no_pixel_size(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.tif").write_bytes(b"II*\x00 no more")
    assert stored_pixel_size(tmp_path / name, (20, 35)) is None
