from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_alibi_seg.core.errors import ImageError, OutputError, ScribbleError
from napari_alibi_seg.core.images.micrograph import Micrograph, as_micrograph, read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.runs.results import read_scribbles, stack_writer

SHAPES = {"T": 2, "Z": 3, "Y": 20, "X": 35, "C": 3}
SIZE = PixelSize("nm", 7.1, 3.3, 2.1)


def micrograph_with(axes, pixel_size=SIZE):
    return Micrograph(np.zeros([SHAPES[axis] for axis in axes], np.uint8), axes, pixel_size)


def painted(shape, dtype=np.uint8):
    return (np.arange(np.prod(shape)) % 4).reshape(shape).astype(dtype)


def write_stack(path, micrograph, stack, channels=None):
    with stack_writer(path, micrograph, stack.dtype, channels) as write:
        for index in micrograph.plane_indices():
            write(index, stack[index])


# Stacks


@pytest.mark.parametrize("axes", ["YX", "YXC", "ZYX", "TYX", "TZYX", "ZYXC"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4"])
def test_labels_come_back_with_axes_and_pixel_size(tmp_path, axes, dtype):
    micrograph = micrograph_with(axes)
    labels = painted(micrograph.label_shape, dtype)
    write_stack(tmp_path / "labels.tif", micrograph, labels)
    back = read_image(tmp_path / "labels.tif")
    assert (back.axes, back.pixel_size) == (micrograph.label_axes, SIZE)
    assert back.data.dtype == dtype
    np.testing.assert_array_equal(back.data, labels)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "labels.tif"), labels)


@pytest.mark.parametrize(("axes", "stored"), [("YX", "CYX"), ("ZYX", "ZCYX"), ("TZYX", "TZCYX")])
def test_probabilities_come_back_channel_by_channel(tmp_path, axes, stored):
    micrograph = micrograph_with(axes)
    shares = np.random.default_rng(0).random((*micrograph.label_shape[:-2], 4, 20, 35), np.float32)
    write_stack(tmp_path / "p.tif", micrograph, shares, channels=4)
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        assert tiff.series[0].axes == stored
        np.testing.assert_array_equal(tiff.asarray(), shares)
    back = read_image(tmp_path / "p.tif", channels=[2])
    assert (back.axes, back.pixel_size) == (axes, SIZE)
    np.testing.assert_array_equal(back.data, shares[..., 2, :, :])


@pytest.mark.parametrize("unit", ["m", "cm", "mm", "µm", "nm", "pm", "Å", "inch", "light-year"])
def test_units_survive(tmp_path, unit):
    size = PixelSize(unit, None, 0.37, 1 / 3)
    micrograph = micrograph_with("YX", size)
    write_stack(tmp_path / "a.tif", micrograph, painted((20, 35)))
    assert read_image(tmp_path / "a.tif").pixel_size == size


def test_the_distance_between_planes_is_the_one_in_use(tmp_path):
    micrograph = replace(micrograph_with("ZYX", PixelSize("nm", 20, 4, 4)), spacing=2.5)
    write_stack(tmp_path / "labels.tif", micrograph, painted(micrograph.label_shape))
    assert read_image(tmp_path / "labels.tif").pixel_size == PixelSize("nm", 10, 4, 4)


def test_resolution_tags_agree_with_the_pixel_size(tmp_path):
    write_stack(tmp_path / "a.tif", micrograph_with("YX"), painted((20, 35)))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        tags = tiff.pages.first.tags
        above, below = tags["XResolution"].value
        assert tags["ResolutionUnit"].value.name == "CENTIMETER"
    assert 1e7 / (above / below) == pytest.approx(SIZE.x)


def test_without_a_pixel_size_none_is_invented(tmp_path):
    write_stack(tmp_path / "a.tif", micrograph_with("ZYX", None), painted((3, 20, 35)))
    assert read_image(tmp_path / "a.tif").pixel_size is None


def test_equal_results_are_equal_bytes_whatever_the_name(tmp_path):
    micrograph = micrograph_with("ZYX")
    for name in ("a.tif", "b.ome.TIFF"):
        write_stack(tmp_path / name, micrograph, painted((3, 20, 35)))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.ome.TIFF").read_bytes()


def test_labels_are_compressed(tmp_path):
    micrograph = as_micrograph(np.zeros((400, 400)))
    write_stack(tmp_path / "a.tif", micrograph, np.ones((400, 400), np.uint8))
    assert (tmp_path / "a.tif").stat().st_size < 4000


def test_results_that_may_be_too_large_for_a_tiff_are_bigtiffs(tmp_path, monkeypatch):
    micrograph = micrograph_with("ZYX")
    write_stack(tmp_path / "small.tif", micrograph, painted((3, 20, 35)))
    monkeypatch.setattr("napari_alibi_seg.core.images.tiff._CLASSIC_BYTES", 3 * 20 * 35 - 1)
    write_stack(tmp_path / "large.tif", micrograph, painted((3, 20, 35)))
    for name, large in (("small.tif", False), ("large.tif", True)):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            assert tiff.is_bigtiff == large
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), painted((3, 20, 35)))


def test_an_interruption_leaves_what_was_there(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"before")
    micrograph = micrograph_with("ZYX")
    with (
        pytest.raises(KeyboardInterrupt),
        stack_writer(tmp_path / "a.tif", micrograph, "u1") as write,
    ):
        write((0,), painted((20, 35)))
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"before"


def test_missing_planes_are_an_error(tmp_path):
    micrograph = micrograph_with("ZYX")
    with (
        pytest.raises(OutputError, match="lacks 2 of 3 planes; write them all"),
        stack_writer(tmp_path / "a.tif", micrograph, "u1") as write,
    ):
        write((0,), painted((20, 35)))
    assert not list(tmp_path.iterdir())


def test_planes_out_of_order_are_an_error(tmp_path):
    with (
        pytest.raises(OutputError, match="in order"),
        stack_writer(tmp_path / "a.tif", micrograph_with("ZYX"), "u1") as write,
    ):
        write((1,), painted((20, 35)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "dtype"), [(256, "u1"), (-1, "u2"), (40_000, "i2")])
def test_values_that_a_type_cannot_hold_are_an_error(tmp_path, value, dtype):
    labels = painted((20, 35), np.int32)
    labels[3, 4] = value
    with (
        pytest.raises(OutputError, match=f"{value}.* cannot hold; choose another dtype"),
        stack_writer(tmp_path / "a.tif", micrograph_with("YX"), dtype) as write,
    ):
        write((), labels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.png", "a", "a.tif.zarr"])
def test_other_extensions_are_refused(tmp_path, name):
    with (
        pytest.raises(OutputError, match=r"\.tif or \.tiff"),
        stack_writer(tmp_path / name, micrograph_with("YX"), "u1"),
    ):
        pass


@pytest.mark.parametrize("dtype", ["i8", "c8", "?"])
def test_types_ome_does_not_know_are_refused(tmp_path, dtype):
    with (
        pytest.raises(OutputError, match="uint8"),
        stack_writer(tmp_path / "a.tif", micrograph_with("YX"), dtype),
    ):
        pass


# Scribbles


@pytest.mark.parametrize("axes", ["YX", "YXC", "ZYX", "TZYX"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i8", "<f4"])
def test_scribbles_as_napari_saves_them(tmp_path, axes, dtype):
    micrograph = micrograph_with(axes)
    scribbles = painted(micrograph.label_shape, dtype)
    # Three planes of 8 or 16 bits are what tifffile takes for colours.
    planar = {"photometric": "rgb", "planarconfig": "separate"} if "Z" in axes else {}
    tifffile.imwrite(tmp_path / "s.tif", scribbles, compression="zlib", **planar)
    back = read_scribbles(tmp_path / "s.tif", micrograph)
    assert back.dtype.kind in "iu"
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, scribbles)


def test_scribbles_written_by_the_stack_writer(tmp_path):
    micrograph = micrograph_with("TZYX")
    write_stack(tmp_path / "s.tif", micrograph, painted(micrograph.label_shape))
    np.testing.assert_array_equal(
        read_scribbles(tmp_path / "s.tif", micrograph), painted(micrograph.label_shape)
    )


def test_names_decide_where_the_shape_would_fit_both_ways(tmp_path):
    cube = painted((3, 3, 3)) + painted((3, 1, 1))
    tifffile.imwrite(tmp_path / "s.tif", cube, metadata={"axes": "XYZ"})
    micrograph = as_micrograph(np.zeros((3, 3, 3)), "ZYX")
    np.testing.assert_array_equal(read_scribbles(tmp_path / "s.tif", micrograph), cube.T)
    overridden = read_scribbles(tmp_path / "s.tif", micrograph, axes="ZYX")
    np.testing.assert_array_equal(overridden, cube)


def test_slices_may_stand_for_times(tmp_path):
    tifffile.imwrite(
        tmp_path / "s.tif", painted((2, 20, 35)), imagej=True, metadata={"axes": "ZYX"}
    )
    back = read_scribbles(tmp_path / "s.tif", micrograph_with("TYX"))
    np.testing.assert_array_equal(back, painted((2, 20, 35)))


def test_a_palette_holds_class_numbers(tmp_path):
    picture = Image.fromarray(painted((20, 35))).convert("P")
    picture.putpalette([0, 0, 0, 230, 159, 0, 0, 114, 178, 9, 9, 9])
    picture.save(tmp_path / "s.png")
    tifffile.imwrite(
        tmp_path / "s.tif",
        painted((20, 35)),
        photometric="palette",
        colormap=np.arange(768, dtype=np.uint16).reshape(3, 256),
    )
    for name in ("s.png", "s.tif"):
        back = read_scribbles(tmp_path / name, micrograph_with("YX"))
        np.testing.assert_array_equal(back, painted((20, 35)))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_greys_of_few_bits_are_class_numbers(tmp_path, bits):
    Image.fromarray(painted((20, 35))).save(tmp_path / "s.png", bits=bits)
    scribbles = read_scribbles(tmp_path / "s.png", micrograph_with("YX"))
    np.testing.assert_array_equal(scribbles, painted((20, 35)))


def test_a_mask_is_one_class(tmp_path):
    Image.fromarray(painted((20, 35)) > 1).save(tmp_path / "s.png")
    back = read_scribbles(tmp_path / "s.png", micrograph_with("YX"))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, painted((20, 35)) > 1)


def test_scribbles_are_never_read_from_a_jpeg(tmp_path):
    Image.fromarray(painted((20, 35))).save(tmp_path / "s.JPG", format="jpeg")
    with pytest.raises(ScribbleError, match=r"JPEG.* save scribbles as PNG or TIFF"):
        read_scribbles(tmp_path / "s.JPG", micrograph_with("YX"))


@pytest.mark.parametrize("shape", [(35, 20), (20, 35, 3), (3, 20, 35), (2, 3, 20, 35), (20, 34)])
def test_other_shapes_are_refused_and_both_named(tmp_path, shape):
    tifffile.imwrite(tmp_path / "s.tif", painted(shape), photometric="minisblack")
    with pytest.raises(ScribbleError) as caught:
        read_scribbles(tmp_path / "s.tif", micrograph_with("YX"))
    assert str(shape) in str(caught.value)
    assert "(20, 35)" in str(caught.value)


def test_one_plane_of_scribbles_does_not_fit_a_stack(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", painted((20, 35)))
    with pytest.raises(ScribbleError, match=r"\(20, 35\).*\(3, 20, 35\)"):
        read_scribbles(tmp_path / "s.tif", micrograph_with("ZYX"))


def test_colours_are_no_classes(tmp_path):
    Image.fromarray(painted((20, 35, 3))).save(tmp_path / "s.png")
    with pytest.raises(ScribbleError, match="class numbers"):
        read_scribbles(tmp_path / "s.png", micrograph_with("YXC"))


@pytest.mark.parametrize("bad", [-1, 0.5, np.nan, np.inf, 65536])
def test_values_that_are_no_classes_are_refused(tmp_path, bad):
    scribbles = painted((20, 35), np.float64)
    scribbles[3, 4] = bad
    tifffile.imwrite(tmp_path / "s.tif", scribbles)
    with pytest.raises(ScribbleError, match="whole class numbers"):
        read_scribbles(tmp_path / "s.tif", micrograph_with("YX"))


@pytest.mark.parametrize("bad", [-1, 65536])
def test_integers_that_are_no_classes_are_refused(tmp_path, bad):
    tifffile.imwrite(tmp_path / "s.tif", painted((20, 35), np.int32) + np.int32(bad))
    with pytest.raises(ScribbleError, match="whole class numbers"):
        read_scribbles(tmp_path / "s.tif", micrograph_with("YX"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        read_scribbles(tmp_path / "s.tif", micrograph_with("YX"))
