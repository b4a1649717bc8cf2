import os
import shutil
import tracemalloc
from dataclasses import astuple
from pathlib import Path

import dask.array as da
import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images import stored, tiff
from napari_alibi_seg.core.images.micrograph import Micrograph, as_micrograph, read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.reading import open_stored

DTYPES = ["?", "u1", "<u2", ">u2", "<i4", ">i8", "<f2", ">f4", "<f8"]


def values(shape, dtype="u1"):
    """Numbers of a type, all of its bytes in use; floats with NaN and inf among them."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind == "f":
        numbers = np.linspace(-3, 7, count)
        numbers[:3] = np.nan, np.inf, -np.inf
    elif dtype.kind == "b":
        numbers = np.arange(count) % 3 == 0
    else:
        numbers = np.arange(count) % 251 + 251 * (dtype.itemsize > 1)
    return numbers.reshape(shape).astype(dtype)


def assert_same(micrograph, expected, axes):
    assert micrograph.axes == axes
    assert micrograph.data.dtype == expected.dtype.newbyteorder("=")
    assert micrograph.data.dtype.isnative
    np.testing.assert_array_equal(np.asarray(micrograph.data), expected)


def write_ome_zarr(path, array, names, units=None, scale=None, zarr_format=2, **options):
    group = zarr.create_group(path, zarr_format=zarr_format)
    chunks = (1,) * (array.ndim - 2) + (16, 16)
    group.create_array("0", data=array, chunks=chunks, **options)
    axes = [
        {"name": name} | ({"unit": units[name]} if name in (units or {}) else {}) for name in names
    ]
    level = {"type": "scale", "scale": scale or [1.0] * array.ndim}
    whole = {"type": "scale", "scale": [2.0] * array.ndim}
    image = {
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": [level]}],
        "coordinateTransformations": [whole],
    }
    if zarr_format == 2:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


def write_png(path, array):
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


# Arrays


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_keeps_its_values_in_native_order(dtype):
    array = values((2, 4, 5), dtype)
    assert_same(as_micrograph(array, "ZYX"), array, "ZYX")
    assert_same(as_micrograph(array[0]), array[0], "YX")


@pytest.mark.parametrize(
    ("axes", "expected"),
    [("ZYX", "ZYX"), ("XYZ", "ZYX"), ("yzt", None), ("YXT", "TYX"), ("XZY", "ZYX")],
)
def test_named_axes_are_put_in_one_order(axes, expected):
    array = values((2, 3, 4))
    if expected is None:
        with pytest.raises(ImageError, match="do not fit"):
            as_micrograph(array, axes)
    else:
        ordered = array.transpose([axes.index(letter) for letter in expected])
        assert_same(as_micrograph(array, axes), ordered, expected)


@pytest.mark.parametrize("shape", [(3, 8, 9), (8, 9, 3), (1, 8, 9), (2, 3, 8, 9), (2, 2, 2, 8, 9)])
def test_axes_are_never_guessed(shape):
    with pytest.raises(ImageError, match=r"--axes [TZYXCS]+\)") as caught:
        as_micrograph(values(shape))
    assert str(shape) in str(caught.value)
    assert ("or CYX for channels" in str(caught.value)) == (len(shape) == 3 and shape[0] < 5)


@pytest.mark.parametrize("shape", [(8, 9, 3), (3, 8, 9), (2, 3, 8, 9), (1, 2, 3, 8, 9)])
def test_the_axes_an_error_suggests_are_accepted(shape):
    with pytest.raises(ImageError) as caught:
        as_micrograph(values(shape))
    suggested = str(caught.value).split("axes='")[1].split("'")[0]
    channels = [0] if "C" in suggested else None
    assert as_micrograph(values(shape), suggested, channels).data.size > 0


@pytest.mark.parametrize("axes", ["ZY", "ZYXC", "ZZX", "QYX", "ZTC", "", ["Z", "Y", "X"]])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ImageError, match="do not fit"):
        as_micrograph(values((2, 3, 4)), axes)


@pytest.mark.parametrize("axes", ["ZYX", "XY", "YXS", "Y", ""])
def test_a_micrograph_has_the_axes_of_its_data_in_order(axes):
    with pytest.raises(ImageError, match="make it with as_micrograph"):
        Micrograph(values((3, 4)), axes)
    with pytest.raises(ImageError, match="make it with as_micrograph"):
        Micrograph(values((5, 6, 4)), "YXS")
    with pytest.raises(ImageError, match="make it with as_micrograph"):
        Micrograph(values((5, 6, 1)), "YXC")


@pytest.mark.parametrize(
    "region",
    [
        np.s_[::2, :],
        np.s_[::-1, :],
        np.s_[:-1],
        (1, 2),
        ":-64",
        np.s_[:, :, :],
        np.s_[1.0:5, :],
        np.s_[:, :"5"],
    ],
    ids=repr,
)
def test_a_region_is_two_slices_without_a_step(region):
    with pytest.raises(ImageError, match="two slices without a step"):
        as_micrograph(values((8, 9)), region=region)
    assert as_micrograph(values((8, 9)), region=np.s_[1:-2, ::1]).region_window.height == 5
    ends = np.arange(1, 7)
    assert as_micrograph(values((8, 9)), region=np.s_[ends[0] : ends[5], :]).region_window.top == 1


@pytest.mark.parametrize("spacing", [0, -1.0, np.nan, np.inf, "2", (2.0,)])
def test_planes_lie_a_positive_number_of_pixels_apart(spacing):
    with pytest.raises(ImageError, match=r"cannot lie .* give a positive number of pixels"):
        as_micrograph(values((3, 8, 9)), "ZYX", spacing=spacing)
    assert as_micrograph(values((3, 8, 9)), "ZYX", spacing=np.float32(2)).anisotropy == 2


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4"])
def test_what_is_masked_holds_no_data(dtype):
    array = np.ma.array(values((4, 5), dtype), mask=np.eye(4, 5))
    micrograph = as_micrograph(array)
    np.testing.assert_array_equal(np.isnan(micrograph.data), array.mask)
    np.testing.assert_array_equal(micrograph.data[~array.mask], array.compressed())


def test_axes_of_length_one_go_except_rows_and_columns():
    micrograph = as_micrograph(values((1, 3, 1, 1, 5)), "TZCYX")
    assert_same(micrograph, values((3, 1, 5)), "ZYX")


def test_planes_come_in_order():
    array = values((2, 3, 4, 5))
    micrograph = as_micrograph(array, "TZYX")
    assert micrograph.plane_indices() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    planes = [micrograph.plane(index) for index in micrograph.plane_indices()]
    np.testing.assert_array_equal(np.concatenate(planes), array.reshape(-1, 5))
    assert micrograph.shape_yx == (4, 5)
    assert micrograph.label_shape == (2, 3, 4, 5)
    assert as_micrograph(array[0, 0]).plane_indices() == [()]
    np.testing.assert_array_equal(as_micrograph(array[0, 0]).plane(), array[0, 0])


@pytest.mark.parametrize(("axes", "samples"), [("YXS", 3), ("YXS", 4), ("SYX", 3), ("ZYXS", 4)])
def test_colour_samples_are_rgb_without_alpha(axes, samples):
    lengths = {"Z": 2, "Y": 4, "X": 5, "S": samples}
    array = values([lengths[letter] for letter in axes])
    colours = np.moveaxis(array, axes.index("S"), -1)[..., :3]
    expected = axes.replace("S", "") + "S"
    micrograph = as_micrograph(array, axes)
    assert_same(micrograph, colours, expected)
    assert micrograph.colour
    assert micrograph.label_shape == colours.shape[:-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_equal_colours_are_grey_unless_they_are_requested_or_lazy(dtype):
    grey = values((3, 600, 20)).astype(dtype)
    if dtype is np.float32:
        grey[1, 7, 9] = np.nan
    array = np.stack([grey] * 3, axis=-1)
    assert_same(as_micrograph(array, "ZYXS"), grey, "ZYX")
    assert_same(as_micrograph(array, "ZYXS", (0, 1, 2)), array, "ZYXS")
    assert as_micrograph(da.from_array(array), "ZYXS").colour


@pytest.mark.parametrize("pixel", [(0, 0, 19), (1, 550, 7), (2, 599, 0)])
def test_a_single_coloured_pixel_makes_colour(pixel):
    array = np.stack([values((3, 600, 20))] * 3, axis=-1)
    array[(*pixel, 2)] += 1
    assert_same(as_micrograph(array, "ZYXS"), array, "ZYXS")


def test_grey_with_alpha_is_grey():
    array = values((4, 5, 2))
    assert_same(as_micrograph(array, "YXS"), array[..., 0], "YX")


@pytest.mark.parametrize(("axes", "count"), [("CYX", 3), ("YXC", 4), ("YXC", 5), ("YXS", 5)])
def test_channels_need_a_choice(axes, count):
    array = values([{"Y": 4, "X": 6}.get(letter, count) for letter in axes])
    with pytest.raises(ImageError, match=f"{count} channels.*--channels 0.*--channels 0,1,2") as e:
        as_micrograph(array, axes)
    assert ("axes='YXS'" in str(e.value)) == (count in (3, 4))


@pytest.mark.parametrize("make", [np.asarray, da.asarray], ids=["numpy", "dask"])
def test_channels_are_taken_as_grey_or_together(make):
    array = values((2, 5, 4, 6), ">u2")
    taken = as_micrograph(make(array), "ZCYX", channels=[4])
    assert_same(taken, array[:, 4], "ZYX")
    assert_same(as_micrograph(make(array), "ZCYX", channels=4), array[:, 4], "ZYX")
    for chosen in ([2, 0, 2], [0, 1], [4, 3, 2, 1, 0]):
        together = as_micrograph(make(array), "ZCYX", channels=chosen)
        assert_same(together, np.moveaxis(array[:, chosen], 1, -1), "ZYXC")
        assert together.bands == len(chosen)
        assert not together.colour
    assert_same(as_micrograph(array[:, :1], "ZCYX", channels=[0]), array[:, 0], "ZYX")


@pytest.mark.parametrize("channels", [[], [5], 5, [-1], [0, 5], [0, 1, 5], [0.5]])
def test_channels_that_are_not_there_are_refused(channels):
    with pytest.raises(ImageError, match="which has 5"):
        as_micrograph(values((5, 4, 6)), "CYX", channels)


def test_channels_of_a_grey_image_are_refused():
    with pytest.raises(ImageError, match="which has 1"):
        as_micrograph(values((4, 6)), channels=[1])


def test_channels_with_colours_in_each_are_refused():
    with pytest.raises(ImageError, match="both channels and colours"):
        as_micrograph(values((2, 4, 6, 3)), "CYXS")


@pytest.mark.parametrize("dtype", ["c8", "U3", "O", [("a", "u1")]])
def test_values_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(ImageError, match="convert"):
        as_micrograph(np.zeros((4, 5), dtype))


def test_an_image_is_read_from_a_path_only():
    for wrong in (as_micrograph(np.eye(4)), np.eye(4), None):
        with pytest.raises(ImageError, match=r"from a path, but this is of type .* as_micrograph"):
            read_image(wrong)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (7,), ()])
def test_images_without_pixels_are_refused(shape):
    with pytest.raises(ImageError, match="at least two dimensions and one pixel"):
        as_micrograph(np.zeros(shape))


def test_arrays_without_one_shape_are_refused():
    with pytest.raises(ImageError, match="no array of numbers"):
        as_micrograph([[1, 2], [3]])
    grown = da.asarray(values((4, 5)))
    with pytest.raises(ImageError, match="compute_chunk_sizes"):
        as_micrograph(grown[grown[:, 0] > 0])


def test_lazy_arrays_stay_lazy(tmp_path):
    array = values((3, 20, 30), ">u2")
    stored = zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(1, 8, 8))
    for lazy in (da.asarray(array), stored):
        micrograph = as_micrograph(lazy, "ZYX")
        assert isinstance(micrograph.plane((1,)), da.Array)
        assert_same(micrograph, array, "ZYX")


# Files


def test_a_compressed_stack_is_parsed_once_and_closed_between_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.core.images.tiff.COPIED_BYTES", 0)
    array = np.random.default_rng(0).integers(0, 255, (8, 64, 64)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", metadata={"axes": "ZYX"})
    image = read_image(tmp_path / "a.tif")
    monkeypatch.setattr(tifffile, "TiffFile", None)

    planes = [image.data[n] for n in range(8)]

    np.testing.assert_array_equal(da.compute(*planes, num_workers=4), array)
    if Path("/proc/self/fd").is_dir():
        opened = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
        assert str(tmp_path / "a.tif") not in opened


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}], ids=str)
def test_tiff_keeps_every_type(tmp_path, dtype, options):
    array = values((20, 35), dtype)
    order = ">" if array.dtype.byteorder == ">" else "<"
    tifffile.imwrite(tmp_path / "a.tif", array, byteorder=order, **options)
    assert_same(read_image(tmp_path / "a.tif"), array, "YX")


@pytest.mark.parametrize(
    ("options", "shape", "axes"),
    [
        ({"ome": True, "metadata": {"axes": "ZYX"}}, (4, 20, 35), "ZYX"),
        ({"ome": True, "metadata": {"axes": "TZYX"}}, (2, 3, 20, 35), "TZYX"),
        ({"ome": True, "photometric": "rgb", "metadata": {"axes": "YXS"}}, (20, 35, 3), "YXS"),
        ({"imagej": True, "metadata": {"axes": "ZYX"}}, (4, 20, 35), "ZYX"),
        ({"imagej": True, "metadata": {"axes": "TZYX"}}, (2, 3, 20, 35), "TZYX"),
        (
            {"imagej": True, "photometric": "rgb", "metadata": {"axes": "ZYXS"}},
            (2, 20, 35, 3),
            "ZYXS",
        ),
        ({"metadata": {"axes": "TYX"}}, (5, 20, 35), "TYX"),
        ({"photometric": "rgb"}, (20, 35, 3), "YXS"),
        ({"photometric": "rgb", "metadata": None}, (20, 35, 3), "YXS"),
        ({"photometric": "rgb", "compression": "lzw"}, (20, 35, 3), "YXS"),
    ],
)
def test_tiff_axes_are_the_ones_the_file_names(tmp_path, options, shape, axes):
    array = values(shape)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    assert_same(read_image(tmp_path / "a.tif"), array, axes)


def test_tiff_with_planes_of_colour_is_rgb(tmp_path):
    array = values((3, 20, 35))
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="rgb", planarconfig="separate", metadata=None
    )
    assert_same(read_image(tmp_path / "a.tif"), np.moveaxis(array, 0, -1), "YXS")


def test_tiff_alpha_is_dropped(tmp_path):
    array = values((20, 35, 4))
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    assert_same(read_image(tmp_path / "a.tif"), array[..., :3], "YXS")
    tifffile.imwrite(
        tmp_path / "b.tif",
        array[..., :2],
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    assert_same(read_image(tmp_path / "b.tif"), array[..., 0], "YX")


def test_a_fourth_sample_of_a_tiff_that_is_no_alpha_is_a_channel(tmp_path):
    array = values((20, 35, 4))
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(ImageError, match="4 channels"):
        read_image(tmp_path / "a.tif")
    assert_same(read_image(tmp_path / "a.tif", channels=[3]), array[..., 3], "YX")


@pytest.mark.parametrize(
    "options",
    [{}, {"metadata": None}, {"photometric": "rgb", "planarconfig": "separate"}],
    ids=["shaped", "plain", "three planes tifffile takes for colours"],
)
def test_tiff_without_names_asks_for_them(tmp_path, options):
    array = values((3, 20, 35))
    tifffile.imwrite(tmp_path / "a.tif", array, **({"photometric": "minisblack"} | options))
    with pytest.raises(ImageError, match="--axes ZYX"):
        read_image(tmp_path / "a.tif")
    assert_same(read_image(tmp_path / "a.tif", axes="ZYX"), array, "ZYX")


def test_tiff_samples_that_are_no_colours_are_channels(tmp_path):
    array = values((20, 35, 5))
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match="5 channels"):
        read_image(tmp_path / "a.tif")
    assert_same(read_image(tmp_path / "a.tif", channels=[3]), array[..., 3], "YX")


def test_ome_tiff_channels_need_a_choice(tmp_path):
    array = values((3, 20, 35))
    tifffile.imwrite(tmp_path / "a.tif", array, ome=True, metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="3 channels"):
        read_image(tmp_path / "a.tif")
    assert_same(read_image(tmp_path / "a.tif", channels=[1]), array[1], "YX")


def test_named_axes_of_the_user_override_the_file(tmp_path):
    array = values((3, 20, 35))
    tifffile.imwrite(tmp_path / "a.tif", array, ome=True, metadata={"axes": "CYX"})
    assert_same(read_image(tmp_path / "a.tif", axes="ZYX"), array, "ZYX")
    assert_same(read_image(tmp_path / "a.tif", axes="SYX"), np.moveaxis(array, 0, -1), "YXS")


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("ZYX", (30, 4, 5)),
        ("YZX", (4, 30, 5)),
        ("YXZ", (5, 30, 4)),
        ("TYX", (None, 4, 5)),
        ("CYX", (None, 4, 5)),
    ],
)
def test_pixels_are_as_far_apart_as_the_file_says_whatever_its_axes_are_called(
    tmp_path, axes, expected
):
    array, units = values((3, 20, 35)), dict.fromkeys("zyx", "nm")
    size = {f"PhysicalSize{a}": s for a, s in zip("ZYX", (30.0, 4.0, 5.0), strict=True)}
    size |= {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    tifffile.imwrite(tmp_path / "a.tif", array, ome=True, metadata={"axes": "ZYX", **size})
    write_ome_zarr(tmp_path / "a.zarr", array, "zyx", units, [15.0, 2.0, 2.5])
    for name in ("a.tif", "a.zarr"):
        channels = [0, 1] if "C" in axes else None
        micrograph = read_image(tmp_path / name, axes=axes, channels=channels)
        assert astuple(micrograph.pixel_size) == ("nm", *expected)
    scales = {axis.lower(): scale for axis, scale in zip(axes, (30, 4, 5), strict=True)}
    assert {axis: place.scale for axis, place in micrograph.placed.items()} == scales


def test_a_distance_between_planes_stays_with_a_file_that_calls_them_frames(tmp_path):
    metadata = {"axes": "TYX", "unit": "nm", "spacing": 30.0}
    options = {"imagej": True, "metadata": metadata, "resolution": (0.25, 0.25)}
    tifffile.imwrite(tmp_path / "a.tif", values((3, 20, 35)), **options)
    size = read_image(tmp_path / "a.tif", axes="ZYX").pixel_size
    assert size == PixelSize("nm", 30, 4, 4)


def test_a_palette_of_colours_is_rgb_and_one_of_greys_is_grey(tmp_path):
    indices = values((20, 35)) % 4
    greys = np.zeros((3, 256), np.uint16)
    greys[:, :4] = np.array([0, 7, 100, 255]) * 257
    colours = greys.copy()
    colours[0] = 0
    narrow = ("grey8.tif", greys >> 8), ("colour8.tif", colours >> 8)
    for name, palette in (("grey.tif", greys), ("colour.tif", colours), *narrow):
        tifffile.imwrite(tmp_path / name, indices, photometric="palette", colormap=palette)
    picture = Image.fromarray(indices).convert("P")
    for name, palette in (("grey.png", greys), ("colour.png", colours)):
        picture.putpalette((palette.T >> 8).astype(np.uint8).tobytes())
        picture.save(tmp_path / name)
    for suffix in (".tif", "8.tif", ".png"):
        assert_same(
            read_image(tmp_path / f"grey{suffix}"), (greys[0] >> 8).astype("u1")[indices], "YX"
        )
        assert_same(
            read_image(tmp_path / f"colour{suffix}"),
            (colours.T >> 8).astype("u1")[indices],
            "YXS",
        )


def test_a_tiff_with_several_images_needs_a_choice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(values((20, 35)))
        tiff.write(values((10, 17)))
    with pytest.raises(ImageError, match=r"0 \(20, 35\), 1 \(10, 17\)"):
        read_image(tmp_path / "a.tif")
    assert_same(read_image(tmp_path / "a.tif", dataset="1"), values((10, 17)), "YX")
    assert_same(read_image(tmp_path / "a.tif", dataset=1), values((10, 17)), "YX")
    for other in (2, 1.0, ["1"]):
        with pytest.raises(ImageError, match=r"holds no .*; choose a dataset .* 0 \(20, 35\)"):
            read_image(tmp_path / "a.tif", dataset=other)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize(
    ("samples", "axes"), [(1, "YX"), (2, "YX"), (3, "YXS"), (4, "YXS")], ids=["L", "LA", "RGB", "A"]
)
def test_png_keeps_its_bits(tmp_path, dtype, samples, axes):
    array = values((20, 35, samples), dtype) * np.array(3, dtype)
    write_png(tmp_path / "a.png", array.squeeze())
    expected = array[..., :3] if axes == "YXS" else array[..., 0]
    assert_same(read_image(tmp_path / "a.png"), expected, axes)


def test_png_of_one_bit_is_bool(tmp_path):
    Image.fromarray(values((20, 35), "?")).save(tmp_path / "a.png")
    assert_same(read_image(tmp_path / "a.png"), values((20, 35), "?"), "YX")


@pytest.mark.parametrize(("shape", "value"), [((20, 35), 90), ((20, 35, 3), (90, 120, 60))])
def test_jpeg_is_grey_or_rgb(tmp_path, shape, value):
    array = np.full(shape, value, np.uint8)
    Image.fromarray(array).save(tmp_path / "a.JPG", format="jpeg", quality=95)
    micrograph = read_image(tmp_path / "a.JPG")
    assert micrograph.axes == "YXS"[: len(shape)]
    np.testing.assert_allclose(micrograph.data, array, atol=2)


@pytest.mark.parametrize("shape", [(20, 35), (20, 35, 3)])
def test_bmp_is_grey_or_rgb(tmp_path, shape):
    array = values(shape)
    Image.fromarray(array).save(tmp_path / "a.bmp")
    assert_same(read_image(tmp_path / "a.bmp"), array, "YXS"[: len(shape)])


def test_an_array_is_given_its_pixel_size():
    size = PixelSize("nm", 8.0, 4.0, 4.0)
    stack = as_micrograph(values((3, 20, 35)), "ZYX", pixel_size=size)
    assert as_micrograph(values((3, 20, 35)), "ZYX", pixel_size=size, spacing=4).anisotropy == 4
    assert (stack.pixel_size, stack.anisotropy) == (size, 2.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hdf5_keeps_every_type(tmp_path, dtype):
    array = values((20, 35), dtype)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/slice"] = array
        file["scan/voltage"] = 20.0
    micrograph = read_image(tmp_path / "a.h5")
    assert isinstance(micrograph.data, da.Array)
    assert_same(micrograph, array, "YX")


def test_hdf5_with_several_arrays_needs_a_choice(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["raw/a"], file["raw/b"], file["names"] = np.ones((4, 5)), np.zeros((6, 7)), ["x"]
    with pytest.raises(ImageError, match=r"raw/a \(4, 5\), raw/b \(6, 7\)\."):
        read_image(tmp_path / "a.hdf5")
    with pytest.raises(ImageError, match="holds no 'raw'"):
        read_image(tmp_path / "a.hdf5", dataset="raw")
    assert read_image(tmp_path / "a.hdf5", dataset="/raw/b").shape_yx == (6, 7)


def test_hdf5_names_are_used(tmp_path):
    array = values((4, 5, 3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("none", "labels", "ilastik"):
            file.create_dataset(name, data=array, chunks=(2, 2, 3))
        for dimension, label in zip(file["labels"].dims, "xyz", strict=True):
            dimension.label = label
        file["ilastik"].attrs["axistags"] = '{"axes": [{"key": "y"}, {"key": "x"}, {"key": "z"}]}'
    with pytest.raises(ImageError, match="--axes YXS"):
        read_image(tmp_path / "a.h5", dataset="none")
    assert_same(read_image(tmp_path / "a.h5", dataset="labels"), array.T, "ZYX")
    ilastik = read_image(tmp_path / "a.h5", dataset="ilastik")
    assert_same(ilastik, np.moveaxis(array, -1, 0), "ZYX")


def test_a_plane_is_read_by_the_names_of_its_axes(tmp_path):
    array = values((4, 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"], file["none"] = array, array
        for dimension, label in zip(file["a"].dims, "xy", strict=True):
            dimension.label = label
    write_ome_zarr(tmp_path / "a.zarr", array, "xy", dict.fromkeys("xy", "nm"), [1.0, 2.0])
    assert_same(read_image(tmp_path / "a.h5", dataset="a"), array.T, "YX")
    assert_same(read_image(tmp_path / "a.h5", dataset="none"), array, "YX")
    assert_same(read_image(tmp_path / "a.zarr"), array.T, "YX")
    assert read_image(tmp_path / "a.zarr").pixel_size == PixelSize("nm", None, 4, 2)
    assert read_image(tmp_path / "a.zarr", axes="YX").pixel_size == PixelSize("nm", None, 2, 4)


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["0.4", "0.5"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<f4"])
def test_ome_zarr_is_lazy_and_keeps_names_and_scale(tmp_path, zarr_format, dtype):
    array = values((2, 3, 20, 35), dtype)
    units = {"t": "second", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
    write_ome_zarr(
        tmp_path / "a.zarr", array, "tzyx", units, [9.0, 25.0, 0.25, 0.5], zarr_format=zarr_format
    )
    micrograph = read_image(tmp_path / "a.zarr")
    assert isinstance(micrograph.data, da.Array)
    assert_same(micrograph, array, "TZYX")
    assert astuple(micrograph.pixel_size) == ("µm", pytest.approx(0.05), 0.5, 1.0)


@pytest.mark.parametrize("names", [{}, {"axes": list("zyx")}], ids=["0.1 and 0.2", "0.3"])
def test_ome_zarr_of_earlier_versions_is_read_and_may_name_its_axes(tmp_path, names):
    array = values((3, 20, 35))
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    group.create_array("0", data=array)
    group.attrs["multiscales"] = [{"datasets": [{"path": "0"}]} | names]
    axes = None if names else "ZYX"
    assert_same(read_image(tmp_path / "a.zarr", axes=axes), array, "ZYX")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr_channels_need_a_choice(tmp_path, zarr_format):
    array = values((1, 3, 1, 20, 35))
    write_ome_zarr(tmp_path / "a.zarr", array, "tczyx", zarr_format=zarr_format)
    with pytest.raises(ImageError, match="3 channels"):
        read_image(tmp_path / "a.zarr")
    micrograph = read_image(tmp_path / "a.zarr", channels=[2, 1, 0])
    assert_same(micrograph, np.moveaxis(array[0, ::-1, 0], 0, -1), "YXC")
    assert micrograph.pixel_size is None


def test_a_zarr_group_with_several_images_needs_a_choice(tmp_path):
    root = tmp_path / "plate.zarr"
    zarr.create_group(root)
    write_ome_zarr(root / "A", values((20, 35)), "yx", zarr_format=3)
    zarr.create_array(root / "B", data=values((4, 5, 6)), dimension_names=["z", "y", "x"])
    (root / "notes.xml").write_text("<a/>")
    with pytest.raises(ImageError, match=r"A \(20, 35\), B \(4, 5, 6\)"):
        read_image(root)
    assert_same(read_image(root, dataset="A"), values((20, 35)), "YX")
    assert_same(read_image(root / "A"), values((20, 35)), "YX")
    assert_same(read_image(root, dataset="B"), values((4, 5, 6)), "ZYX")


def test_a_zarr_array_without_names_asks_for_them(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=values((4, 5, 6)))
    with pytest.raises(ImageError, match="--axes ZYX"):
        read_image(tmp_path / "a.zarr")


def test_a_damaged_zarr_chunk_is_named_when_it_is_read(tmp_path):
    data, names = values((6, 20, 35), "u2"), ["z", "y", "x"]
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(4, 8, 8), dimension_names=names)
    chunk = tmp_path / "a.zarr/c/1/2/4"
    chunk.write_bytes(chunk.read_bytes()[:9])
    micrograph = read_image(tmp_path / "a.zarr")
    assert np.array_equal(np.asarray(micrograph.plane((3,))), data[3])
    with pytest.raises(ImageError, match=r"a\.zarr .* \[4:6, 16:20, 32:35\], .* chunk 1/2/4,"):
        np.asarray(micrograph.plane((5,)))


# Larger than memory


def test_a_lack_of_memory_is_no_damage_of_a_file_whose_shape_is_known(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", (2**24, 2**24), "u1", chunks=(64, 64))
    with pytest.raises(MemoryError):
        open_stored(tmp_path / "a.h5").data[:, :]


def test_a_lack_of_memory_for_a_file_read_whole_is_told(tmp_path):
    whole = pytest.raises(ImageError, match="needs more memory than is free")
    with whole, stored.reading(tmp_path / "a.png"):
        np.empty((2**24, 2**24))


def traced_peak(task):
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["mapped", "big-endian", "tiled", "hdf5", "zarr"])
def test_a_stack_is_read_plane_by_plane(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(stored, "COPIED_BYTES", 0)
    monkeypatch.setattr(tiff, "COPIED_BYTES", 0)
    array = values((12, 512, 512), "u2")
    path = tmp_path / {"hdf5": "a.h5", "zarr": "a.zarr"}.get(kind, "a.tif")
    if kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["a"] = array
    elif kind == "zarr":
        zarr.create_array(path, data=array, chunks=(1, 256, 256))
    else:
        options = {"tiled": {"tile": (256, 256), "compression": "zlib"}}.get(kind, {})
        order = ">" if kind == "big-endian" else "<"
        tifffile.imwrite(path, array, byteorder=order, **options)
    micrograph = read_image(path, axes="ZYX")

    def read_planes():
        for index in micrograph.plane_indices():
            np.testing.assert_array_equal(np.asarray(micrograph.plane(index)), array[index])

    read_planes()  # what is imported at first use does not count
    assert traced_peak(read_planes) < array.nbytes / 2


@pytest.mark.parametrize(
    ("axes", "channels", "chunks"),
    [
        ("ZYXC", [4], (1, 16, 16, 1)),
        ("ZYXC", [4], (2, 16, 16, 6)),
        ("ZYXC", [4, 0, 2], (1, 16, 16, 1)),
        ("YXZC", [4], (16, 16, 1, 1)),
        ("CZYX", [4], (1, 1, 16, 16)),
    ],
)
def test_a_plane_reads_the_chunks_it_needs_and_each_once(
    tmp_path, monkeypatch, axes, channels, chunks
):
    lengths = {"Z": 4, "Y": 40, "X": 50, "C": 6}
    array = values(tuple(lengths[axis] for axis in axes))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("a", data=array, chunks=chunks)
    image = read_image(tmp_path / "a.h5", axes=axes, channels=channels)
    reads, read = np.zeros(array.shape, int), h5py.Dataset.__getitem__

    def counted(dataset, key):
        reads[key] += 1
        return read(dataset, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    plane = np.asarray(image.plane((1,)))

    ordered = np.moveaxis(array, [axes.index(axis) for axis in "ZYXC"], range(4))
    assert np.array_equal(plane, np.squeeze(ordered[1][..., channels]))
    told = np.moveaxis(reads, [axes.index(axis) for axis in "ZYXC"], range(4))
    shares = dict(zip(axes, chunks, strict=True))
    wanted = np.zeros_like(told)
    for channel in channels:
        z, c = 1 // shares["Z"] * shares["Z"], channel // shares["C"] * shares["C"]
        wanted[z : z + shares["Z"], ..., c : c + shares["C"]] = 1
    assert np.array_equal(told, wanted)


# Pixel size


def resolution_tags(per_unit, unit):
    return {"resolution": (per_unit, per_unit), "resolutionunit": unit}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "ZYX",
                    "PhysicalSizeX": 0.1,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.2,
                    "PhysicalSizeYUnit": "nm",
                    "PhysicalSizeZ": 3.0,
                    "PhysicalSizeZUnit": "nm",
                },
            },
            PixelSize("nm", 3.0, 0.2, 0.1),
        ),
        (
            {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 2, "PhysicalSizeY": 3}},
            PixelSize("µm", None, 3.0, 2.0),
        ),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "ZYX",
                    "PhysicalSizeX": 1,
                    "PhysicalSizeXUnit": "pixel",
                    "PhysicalSizeY": 1,
                    "PhysicalSizeYUnit": "pixel",
                },
            },
            None,
        ),
        (
            {
                "imagej": True,
                "metadata": {"axes": "ZYX", "unit": "um", "spacing": 1.5},
                "resolution": (4.0, 2.0),
            },
            PixelSize("µm", 1.5, 0.5, 0.25),
        ),
        (
            {"imagej": True, "metadata": {"axes": "ZYX", "unit": "\\u00B5m"}, "resolution": (4, 4)},
            PixelSize("µm", None, 0.25, 0.25),
        ),
        (
            {"imagej": True, "metadata": {"axes": "ZYX", "unit": "pixel"}, "resolution": (4, 4)},
            None,
        ),
        (
            {"imagej": True, "metadata": {"axes": "ZYX", "unit": "inch"}, "resolution": (72, 72)},
            None,
        ),
        (
            {"imagej": True, "metadata": {"axes": "ZYX", "unit": "cm"}, "resolution": (118, 118)},
            None,
        ),
        (
            {
                "imagej": True,
                "metadata": {"axes": "ZYX", "unit": "cm", "spacing": 2e-5},
                "resolution": (1e5, 1e5),
            },
            PixelSize("cm", 2e-5, 1e-5, 1e-5),
        ),
        (resolution_tags(4, "MILLIMETER"), PixelSize("mm", None, 0.25, 0.25)),
        (resolution_tags(5001, "INCH"), PixelSize("µm", None, 25400 / 5001, 25400 / 5001)),
        (resolution_tags(1e6, "CENTIMETER"), PixelSize("µm", None, 0.01, 0.01)),
        (resolution_tags(25400.0, "INCH"), PixelSize("µm", None, 1.0, 1.0)),
        (resolution_tags(25400.0, "NONE"), None),
        ({}, None),
        *((resolution_tags(dots, "INCH"), None) for dots in (1, 72, 96, 300, 2400, 5000)),
        *((resolution_tags(dots, "CENTIMETER"), None) for dots in (1, 37.795, 118.11, 1968)),
    ],
    ids=lambda value: None if isinstance(value, PixelSize) else "",
)
def test_tiff_pixel_size(tmp_path, options, expected):
    options = {"metadata": {"axes": "ZYX"}} | options
    tifffile.imwrite(tmp_path / "a.tif", values((2, 20, 35)), **options)
    found = read_image(tmp_path / "a.tif").pixel_size
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.unit, found.z) == (expected.unit, expected.z)
        assert (found.y, found.x) == pytest.approx((expected.y, expected.x), rel=1e-6)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"unit": "um", "spacing": -1.5}, PixelSize("µm", 1.5, 0.5, 0.25)),
        ({"unit": r"\u00C5"}, PixelSize("Å", None, 0.5, 0.25)),
        ({"unit": r"\u03BCm", "yunit": "nm"}, PixelSize("µm", None, 0.0005, 0.25)),
        ({"unit": "um", "spacing": 40, "zunit": "nm"}, PixelSize("µm", 0.04, 0.5, 0.25)),
        ({"unit": "um", "spacing": 40, "zunit": "pixel"}, PixelSize("µm", None, 0.5, 0.25)),
        ({"unit": "um", "spacing": "wide"}, PixelSize("µm", None, 0.5, 0.25)),
    ],
)
def test_imagej_may_name_a_unit_per_axis_and_escape_it(tmp_path, told, expected):
    array, metadata = values((2, 20, 35)), {"axes": "ZYX", **told}
    tifffile.imwrite(
        tmp_path / "a.tif", array, imagej=True, metadata=metadata, resolution=(4.0, 2.0)
    )
    found = read_image(tmp_path / "a.tif").pixel_size
    assert found.unit == expected.unit
    assert astuple(found)[1:] == pytest.approx(astuple(expected)[1:])


def write_described_twice(path, array, imagej, **options):
    """Write an OME-TIFF with a second description, that of ImageJ, as Micro-Manager does."""
    described = [(271, "s", 0, imagej, True)]
    metadata = {"axes": "ZYX"}
    tifffile.imwrite(path, array, ome=True, metadata=metadata, extratags=described, **options)
    with tifffile.TiffFile(path) as tiff, path.open("r+b") as file:
        file.seek(tiff.pages.first.tags[271].offset)
        file.write((270).to_bytes(2, "little"))


@pytest.mark.parametrize("unit", ["um", r"\u00B5m", "nm"])
def test_a_tiff_described_by_ome_and_imagej_is_read(tmp_path, unit):
    array = values((3, 20, 35))
    described = f"ImageJ=1.53\nimages=3\nslices=3\nunit={unit}\nspacing=2.0\n"
    per_cm = resolution_tags(40000, "CENTIMETER")
    write_described_twice(tmp_path / "a.tif", array, described, **per_cm)
    micrograph = read_image(tmp_path / "a.tif")
    assert_same(micrograph, array, "ZYX")
    side, symbol = (1 / 40000, "nm") if unit == "nm" else (0.25, "µm")
    assert astuple(micrograph.pixel_size) == (symbol, 2, *[pytest.approx(side)] * 2)


def write_fei(path, length, section="Scan"):
    header = f"[{section}]\r\nPixelWidth={length}\r\nPixelHeight={length}\r\n"
    tifffile.imwrite(path, values((20, 35)), extratags=[(34682, "s", 0, header, True)])


def write_zeiss(path, length, name="AP_IMAGE_PIXEL_SIZE"):
    header = "\r\n" * 3 + f"{name}\r\nPixel Size = {length}\r\n"
    tifffile.imwrite(path, values((20, 35)), extratags=[(34118, "s", 0, header, True)])


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (write_fei, ("2.5e-09",)),
        (write_fei, ("2,5e-009",)),
        (write_fei, ("2.5e-09", "EScan")),
        (write_zeiss, ("2.5 nm",)),
        (write_zeiss, ("2,5 nm",)),
        (write_zeiss, ("2.5nm",)),
        (write_zeiss, ("2.5 nm", "AP_PIXEL_SIZE")),
    ],
)
def test_pixel_size_of_an_electron_microscope(tmp_path, write, told):
    write(tmp_path / "a.tif", *told)
    found = read_image(tmp_path / "a.tif").pixel_size
    assert astuple(found) == ("nm", None, pytest.approx(2.5), pytest.approx(2.5))


@pytest.mark.parametrize("write", [write_fei, write_zeiss])
@pytest.mark.parametrize("told", ["", "x", "No", "1,234.5 nm", "0 nm", "-1"])
def test_an_odd_header_of_a_microscope_tells_no_pixel_size(tmp_path, write, told):
    write(tmp_path / "a.tif", told)
    assert_same(read_image(tmp_path / "a.tif"), values((20, 35)), "YX")
    assert read_image(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(("dpi", "expected"), [(25400, 1.0), (72, None), (96, None), (4800, None)])
def test_picture_pixel_size(tmp_path, suffix, dpi, expected):
    Image.fromarray(values((20, 35))).save(tmp_path / f"a{suffix}", dpi=(dpi, dpi))
    found = read_image(tmp_path / f"a{suffix}").pixel_size
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.unit, found.x, found.y) == ("µm", pytest.approx(1), pytest.approx(1))


def test_metres_per_unit():
    assert PixelSize("nm", None, 5.0, 5.0).metres_per_unit == 1e-9


# Files that are no images


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.tif", "does not exist"),
        ("notes.txt", "unknown kind"),
        ("text.tif", "cannot be read"),
        ("text.png", "cannot be read"),
        ("text.h5", "cannot be read"),
        ("folder", "not an OME-Zarr"),
        ("folder.zarr", "not an OME-Zarr"),
        ("group.zarr", "holds no array"),
        ("line.zarr", "holds no array"),
        ("empty.h5", "holds no array"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, name, reason):
    for text in ("notes.txt", "text.tif", "text.png", "text.h5"):
        (tmp_path / text).write_text("not an image")
    for folder in ("folder", "folder.zarr"):
        (tmp_path / folder).mkdir()
    zarr.create_group(tmp_path / "group.zarr")
    zarr.create_array(tmp_path / "line.zarr", data=np.zeros(7))
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mapped.tif", {"metadata": {"axes": "ZYX"}}),
        ("zlib.tif", {"metadata": {"axes": "ZYX"}, "compression": "zlib"}),
        ("tiled.tif", {"metadata": {"axes": "ZYX"}, "tile": (16, 16)}),
        ("imagej.tif", {"imagej": True, "metadata": {"axes": "ZYX"}}),
        ("ome.tif", {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"}),
        ("a.png", None),
        ("a.jpg", None),
        ("a.h5", None),
    ],
)
def test_half_a_file_is_refused(tmp_path, name, options, share):
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (4, 100, 90), np.uint8)
    if options is not None:
        tifffile.imwrite(path, noise, photometric="minisblack", **options)
    elif name == "a.h5":
        with h5py.File(path, "w") as file:
            file["a"] = noise[0]
    else:
        Image.fromarray(noise[0]).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(path)


def test_a_plane_missing_from_an_ome_tiff_is_noticed(tmp_path):
    xml_of_two = tmp_path / "two.tif"
    tifffile.imwrite(xml_of_two, values((2, 20, 35)), ome=True, metadata={"axes": "ZYX"})
    with tifffile.TiffFile(xml_of_two) as tiff:
        xml = tiff.ome_metadata
    tifffile.imwrite(tmp_path / "one.tif", values((20, 35)), description=xml, metadata=None)
    with pytest.raises(ImageError, match="planes are missing"):
        read_image(tmp_path / "one.tif")


def test_a_folder_is_zarr_by_what_it_holds(tmp_path):
    write_ome_zarr(tmp_path / "a.zarr", values((20, 35)), "yx")
    shutil.move(tmp_path / "a.zarr", tmp_path / "renamed")
    assert read_image(tmp_path / "renamed").shape_yx == (20, 35)
