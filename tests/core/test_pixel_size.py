from dataclasses import astuple

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.micrograph import read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize, calibrate
from napari_alibi_seg.core.images.reading import measured

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
    for lengths in ((None, -4, 1), (None, 1, 0), (0, 1, 1), (float("nan"), 1, 1)):
        with pytest.raises(ImageError, match="give positive numbers"):
            PixelSize("nm", *lengths)


def test_the_area_of_a_pixel_is_that_of_its_rectangle():
    assert PixelSize("nm", None, 4.0, 5.0).area == 20


def write_tiff(path):
    tifffile.imwrite(path, PIXELS, resolution=(4, 2), metadata={"unit": "um"}, imagej=True)


def write_png(path):
    Image.fromarray(PIXELS).save(path, dpi=(25400, 25400))


@pytest.mark.parametrize(("name", "write"), [("a.tif", write_tiff), ("a.png", write_png)])
def test_a_file_is_measured_as_it_is_read_if_it_has_the_shape(tmp_path, name, write):
    write(tmp_path / name)
    size = measured(tmp_path / name, PIXELS.shape)
    assert size is not None
    assert size == read_image(tmp_path / name).pixel_size
    assert measured(tmp_path / name, (10, 10)) is None


@pytest.mark.parametrize("name", ["none.tif", "folder", "notes.txt", "broken.tif"])
def test_what_is_no_image_has_no_pixel_size(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.tif").write_bytes(b"II*\x00 no more")
    assert measured(tmp_path / name, (20, 35)) is None
