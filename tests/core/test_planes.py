from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from dask.callbacks import Callback
from skimage.io import imread

from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.levels import Levels, robust_levels
from napari_alibi_seg.core.images.micrograph import as_micrograph, planes_of
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.images.shading import estimated_light
from napari_alibi_seg.core.images.windows import Window, mirrored

SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"
MICROGRAPHS = ["nanocomposite.png", "sandstone.png", "steel.png", "superalloy.png"]
RAMP = np.arange(12).reshape(3, 4)


def whole(plane):
    return plane.read(Window(0, 0, *plane.shape))


def plane_of(pixels):
    [plane] = planes_of(as_micrograph(pixels)).values()
    return plane


def test_reading_beyond_the_border_mirrors_like_numpy():
    plane = Plane(RAMP, Levels(0, 11))
    expected = np.pad(RAMP / 11, ((5, 7), (6, 2)), mode="reflect")
    assert np.allclose(plane.read(Window(-5, -6, 15, 12))[..., 0], expected)


def test_windows_are_cut_from_the_same_endless_plane():
    plane = Plane(RAMP, Levels(0, 11))
    large = plane.read(Window(-8, -8, 20, 20))
    assert np.array_equal(plane.read(Window(5, -3, 4, 6)), large[13:17, 5:11])


def test_napari_keeps_nothing_of_what_is_read_in_other_threads(micrograph_pixels):
    seen = []
    pixels = da.from_array(micrograph_pixels, 64)
    with Callback(posttask=lambda key, *_: seen.append(key)):
        plane = plane_of(pixels)
        read = whole(plane)
        plane.content_hash()
    assert np.array_equal(read, whole(plane_of(micrograph_pixels)))
    assert seen == []


def test_a_single_pixel_is_endless_too():
    assert mirrored(-3, 7, 1).tolist() == [0] * 7


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", "i8", "f4", ">f8"])
def test_normalised_pixels_do_not_depend_on_the_type(micrograph_pixels, dtype):
    expected = whole(Plane(micrograph_pixels, robust_levels([micrograph_pixels])))
    other = micrograph_pixels.astype(dtype)
    assert np.array_equal(whole(Plane(other, robust_levels([other]))), expected)


def test_gain_and_offset_do_not_matter(micrograph_pixels):
    other = micrograph_pixels.astype(np.uint16) * 200 + 9000
    one = whole(Plane(micrograph_pixels, robust_levels([micrograph_pixels])))
    assert np.allclose(whole(Plane(other, robust_levels([other]))), one, atol=1e-6)


def test_bool_becomes_zero_and_one():
    data = np.eye(5, dtype=bool)
    assert set(np.unique(whole(Plane(data, robust_levels([data]))))) == {0.0, 1.0}


def test_a_constant_image_is_zero_everywhere():
    data = np.full((4, 5), 7, np.uint8)
    assert not whole(Plane(data, robust_levels([data]))).any()


def test_outliers_do_not_squeeze_the_rest_and_stay_bounded(micrograph_pixels):
    data = micrograph_pixels.astype(np.float32)
    data[0, :3] = np.nan, np.inf, -np.inf
    data[1, 1] = 1e9
    pixels = whole(Plane(data, robust_levels([data])))[..., 0]
    assert pixels[0, :3].tolist() == [0.5, 2, -1]
    assert np.isfinite(pixels).all()
    assert np.ptp(pixels[2:]) > 0.9


def test_padding_a_databar_and_hot_pixels_leave_the_specimen_its_contrast(micrograph_pixels):
    specimen = micrograph_pixels.astype(np.uint16) * 10 + 30000
    framed = np.pad(specimen, 30)
    framed[-40:] = np.where(np.eye(40, framed.shape[1], dtype=bool), 65535, 0)
    framed[30:-40:9, 30:-30:9] = 65535
    low, high = (getattr(robust_levels([specimen]), end) for end in ("low", "high"))
    levels = robust_levels([framed])
    assert (levels.low, levels.high) == pytest.approx((low, high), abs=0.02 * (high - low))


def test_phases_far_apart_are_all_of_the_specimen():
    three = np.repeat(np.array([0, 200, 210], np.uint8), 100)
    assert robust_levels([three]) == Levels(0, 210)


def test_a_few_bright_pixels_among_zeros_are_seen():
    data = np.zeros((100, 100), np.uint8)
    data[50, 50] = 200
    assert whole(Plane(data, robust_levels([data]))).max() == 1


def test_an_image_without_a_finite_pixel_is_refused():
    with pytest.raises(ImageError, match="no finite pixel"):
        robust_levels([np.full((3, 3), np.nan)])


def test_values_too_far_apart_are_refused():
    with pytest.raises(ImageError, match="too far apart"):
        robust_levels([np.array([[-1e308, 1e308]])])


def test_levels_are_those_of_all_planes_together():
    dark, bright = np.full((9, 9), 10), np.full((9, 9), 30)
    assert robust_levels([dark, bright]) == Levels(10, 30)


def test_the_content_hash_follows_pixels_type_and_levels():
    plane = Plane(RAMP, Levels(0, 11))
    changed = RAMP.copy()
    changed[2, 3] += 1
    assert plane.content_hash() == Plane(RAMP.copy(), Levels(0, 11)).content_hash()
    others = [
        Plane(changed, Levels(0, 11)),
        Plane(RAMP.astype("f8"), Levels(0, 11)),
        Plane(RAMP, Levels(0, 10)),
        Plane(RAMP.reshape(4, 3), Levels(0, 11)),
    ]
    assert len({plane.content_hash(), *(other.content_hash() for other in others)}) == 5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_pixels_are_known_where_the_type_has_them(value):
    data = RAMP.astype(np.float32)
    data[1, 2] = value
    assert np.argwhere(Plane(data, Levels(0, 11)).missing(Window(1, 1, 2, 3))).tolist() == [[0, 1]]
    colour = np.stack([RAMP, data, RAMP], axis=-1)
    assert np.argwhere(Plane(colour, Levels(0, 11)).missing(Window(0, 0, 3, 4))).tolist() == [
        [1, 2]
    ]
    assert Plane(RAMP, Levels(0, 11)).missing(Window(0, 0, 3, 4)) is None


def shaded(shape, databar):
    """Noise with a shadow on one side and, perhaps, a black bar; and the noise by itself."""
    rows, columns = np.indices(shape) / np.reshape(shape, (2, 1, 1))
    even = np.random.default_rng(0).random(shape)
    pixels = even + 2 * (columns - 0.3) ** 2 + rows
    pixels[shape[0] - databar :] = 0
    return pixels, even


@pytest.mark.parametrize("databar", [0, 14])
def test_uneven_illumination_is_corrected(databar):
    pixels, even = shaded((200, 300), databar)
    plane = plane_of(pixels)
    shadows = [
        (whole(seen)[..., 0] - even / (plane.levels.high - plane.levels.low))[: 200 - databar]
        for seen in (plane, plane.flattened)
    ]
    assert shadows[1].std() < 0.02 < 0.1 < shadows[0].std()


@pytest.mark.parametrize("name", MICROGRAPHS)
@pytest.mark.parametrize("darkest", [0.5, 0.3])
def test_a_micrograph_that_darkens_to_one_side_is_evened_out(name, darkest):
    pixels = imread(SAMPLES / name)
    dark = pixels * np.linspace(1, darkest, pixels.shape[1])
    plane = plane_of(dark)

    def difference(seen):
        return 1 - np.corrcoef(whole(seen).ravel(), pixels.ravel())[0, 1] ** 2

    assert difference(plane.flattened) < difference(plane) / 3


@pytest.mark.parametrize("name", MICROGRAPHS)
def test_even_light_is_left_as_it_is(name):
    assert plane_of(imread(SAMPLES / name)).light == ()


def test_phases_that_fill_a_side_are_not_taken_for_light():
    rows, columns = np.indices((200, 300))
    noise = np.random.default_rng(0).normal(0, 0.1, rows.shape)
    for pixels in (
        noise,
        (columns > 150) + noise,  # two phases side by side
        (rows > 40) + (rows > 130) + noise,
        (np.hypot(rows - 100, columns - 150) < 70) + noise,
    ):
        assert plane_of(pixels).light == ()


@pytest.mark.parametrize("greys", [(60, 100, 115, 150, 200), tuple(range(60, 220, 20))])
def test_layers_of_rising_grey_are_not_taken_for_light(greys):
    rows, columns = np.mgrid[:300, :300]
    layer = ((columns + 8 * np.sin(rows / 25)) * len(greys) / 300).astype(int)
    noise = np.random.default_rng(0).normal(0, 5, rows.shape)
    pixels = np.array(greys)[layer.clip(0, len(greys) - 1)] + noise
    assert plane_of(pixels).light == ()


@pytest.mark.parametrize("shape", [(1, 60), (4, 4), (20, 20), (40, 60)])
def test_chance_in_a_few_pixels_is_not_taken_for_light(shape):
    for seed in range(10):
        random = np.random.default_rng(seed)
        phases = np.where(random.random(shape) > 0.5, 100, 150)
        assert plane_of(phases + random.normal(0, 5, shape)).light == ()


def test_a_window_of_a_flattened_plane_is_a_part_of_it_and_all_planes_share_the_light():
    pixels, _ = shaded((60, 90), 0)
    volume = np.stack([pixels, pixels, pixels])
    plane = planes_of(as_micrograph(volume, "ZYX"))[1,].flattened
    assert plane.light
    whole = plane.read(Window(0, 0, 60, 90))
    np.testing.assert_allclose(plane.read(Window(7, 11, 20, 30)), whole[7:27, 11:41], atol=1e-6)
    for other in plane.read_through(Window(0, 0, 60, 90), 1):
        np.testing.assert_allclose(other, whole, atol=1e-6)


def test_pixels_without_data_tell_nothing_of_the_light():
    pixels, _ = shaded((200, 300), 0)
    rows, columns = np.indices(pixels.shape)
    outside = np.hypot(rows - 100, columns - 150) > 120
    masked = np.where(outside, np.nan, pixels)
    seen = plane_of(masked)

    whole_light, light = (one.light[0].coefficients for one in (plane_of(pixels), seen))
    np.testing.assert_allclose(light, whole_light, atol=0.05)
    assert plane_of(np.where(rows + columns, np.nan, pixels)).light == ()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 500), (30, 40, 4)])
def test_a_plane_of_any_size_can_be_flattened(shape):
    ramp = np.indices(shape).sum(axis=0) ** 2
    light = estimated_light([ramp], Levels(0, int(ramp.max()) or 1))
    plane = Plane(ramp, Levels(0, 1), light=light)
    assert np.isfinite(whole(plane.flattened)).all()
