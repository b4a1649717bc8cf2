from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import skops.io
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.core.channels.classical import classical_channels, describe_classical
from napari_alibi_seg.core.channels.filters_3d import filters_3d, planes_reached
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import CLASSICAL, SIGMAS_3D
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.forest.classifier_files import load_classifier, save_classifier
from napari_alibi_seg.core.forest.variation import Response
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.micrograph import as_micrograph, planes_of
from napari_alibi_seg.core.images.planes import Depth, Plane
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live.engine import LiveEngine
from napari_alibi_seg.core.live.records import LiveRequest, ResultBlock
from napari_alibi_seg.core.segmentation import Segmenter, segment

FLAT = SegmentationConfig(CLASSICAL, trees=20, smoothing=1)
THROUGH = replace(FLAT, channels=ChannelConfig(sigmas_3d=SIGMAS_3D))
SIGMAS = (1.0, 2.0)


def smooth_noise(shape, sigma, seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return (noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="module")
def noise():
    return 0.5 + 0.1 * smooth_noise((9, 40, 50), 1.0)


def plane_of(volume, position, spacing=1.0):
    return Plane(volume[position], Levels(0, 1), Depth(volume, position, spacing))


def filtered(volume, position, spacing=1.0, window=None, sigmas=SIGMAS):
    window = window or Window(0, 0, *volume.shape[1:3])
    return np.stack(list(filters_3d(plane_of(volume, position, spacing), window, sigmas)))


@pytest.fixture(scope="module")
def puzzle():
    """A volume of two textures that look alike in every plane: one lasts through the planes."""
    planes = 12
    lasting = np.broadcast_to(smooth_noise((72, 96), 1.2), (planes, 72, 96))
    flickering = smooth_noise((planes, 72, 96), (0, 1.2, 1.2), seed=1)
    rows, columns = np.mgrid[:72, :96]
    truth = np.where((rows // 24 + columns // 32) % 2, 1, 2).astype(np.uint8)
    pixels = np.where(truth == 1, flickering, lasting)
    pixels += 0.2 * smooth_noise(pixels.shape, 0, seed=2)
    scribbles = np.zeros(pixels.shape, np.uint8)
    for plane, row in ((4, 10), (8, 34)):
        for columns in (slice(4, 28), slice(36, 60)):
            scribbles[plane, row : row + 4, columns] = truth[row, columns]
    image = as_micrograph((30 * pixels + 128).clip(0, 255).astype(np.uint8), "ZYX")
    return image, scribbles, np.broadcast_to(truth, pixels.shape)


def right(puzzle, config, spacing=None):
    image, scribbles, truth = puzzle
    labels = segment(replace(image, spacing=spacing), scribbles, config, "cpu").labels
    return (labels == truth).mean()


# The filters


@pytest.mark.parametrize("spacing", [0.6, 1.0, 2.5])
@pytest.mark.parametrize("position", [0, 4, 8])
def test_the_gaussian_and_its_gradient_are_those_of_the_volume(noise, position, spacing):
    smooth = gaussian_filter(noise, (2.0 / spacing, 2.0, 2.0), truncate=3.0, mode="mirror")
    gaussian, gradient, *_ = filtered(noise, position, spacing, sigmas=(2.0,))
    assert np.allclose(gaussian, smooth[position], atol=1e-5)
    around = np.pad(smooth, 1, mode="reflect")
    slopes = np.gradient(around, spacing, 1, 1)
    expected = np.sqrt(sum(slope**2 for slope in slopes))[1:-1, 1:-1, 1:-1]
    assert np.allclose(gradient, expected[position], atol=1e-5)


def test_the_eigenvalues_are_those_of_known_curvatures():
    z, y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in (41, 41, 41)), indexing="ij")
    spacing, curvatures = 2.0, np.array([0.003, -0.001, 0.002])
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    hessian = turn @ np.diag(curvatures) @ turn.T
    places = np.stack([spacing * z, y, x], axis=-1)
    volume = 0.5 + 0.5 * np.einsum("...i,ij,...j", places, hessian, places)
    middle = filtered(volume, 20, spacing, Window(20, 20, 1, 1), (1.4,))[2:, 0, 0]
    assert np.allclose(middle, np.sort(curvatures)[::-1], atol=1e-5)


def test_where_nothing_changes_the_filters_are_zero_and_finite():
    flat = np.full((5, 9, 9), 0.25)
    gaussian, *others = filtered(flat, 2, sigmas=(1.4,))
    assert np.allclose(gaussian, 0.25)
    assert np.allclose(others, 0, atol=1e-6)


def test_turning_a_volume_of_cubes_turns_the_filters():
    cube = 0.5 + 0.1 * smooth_noise((21, 21, 21), 1.0)
    turned = cube.transpose(2, 1, 0)
    ours = np.stack([filtered(cube, n) for n in range(21)], axis=1)
    theirs = np.stack([filtered(turned, n) for n in range(21)], axis=1)
    assert np.allclose(ours, theirs.transpose(0, 3, 2, 1), atol=2e-5)


def test_planes_that_lie_further_apart_are_the_same_to_the_filters():
    z, y, x = np.meshgrid(np.arange(61), np.arange(40), np.arange(40), indexing="ij")
    fine = 0.5 + 0.2 * np.sin(z / 8 + y / 9) + 0.2 * np.cos(x / 7 - z / 10)
    near = filtered(fine, 30, 1.0, sigmas=(2.8,))
    apart = filtered(fine[::2], 15, 2.0, sigmas=(2.8,))
    untold = filtered(fine[::2], 15, 1.0, sigmas=(2.8,))
    error, error_untold = (np.abs(some - near).max(axis=(1, 2)) for some in (apart, untold))
    assert np.all(error < 0.1 * near.std(axis=(1, 2)))
    assert np.all(error_untold > 5 * error)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_window_equals_its_part_of_the_whole_to_the_bit(noise, colours):
    volume = noise if colours == 1 else np.stack([noise, noise[::-1], noise**2], axis=-1)
    part = filtered(volume, 3, 1.7, Window(11, 6, 17, 31))
    assert part.shape[0] == 5 * len(SIGMAS) * colours
    assert np.array_equal(part, filtered(volume, 3, 1.7)[:, 11:28, 6:37])


@pytest.mark.parametrize("colours", [1, 3])
def test_channels_follow_the_light_as_they_say(noise, colours):
    contrast, brightness = 0.8, 0.07
    grey = (noise - noise.min()) / np.ptp(noise)
    grey = grey if colours == 1 else np.stack([grey, grey[::-1], grey**2], axis=-1)
    window = Window(0, 0, 40, 50)
    bright, dimmed = (
        classical_channels(plane_of(volume, 4), window, SIGMAS, SIGMAS_3D)
        for volume in (grey, contrast * (grey - 0.5) + 0.5 + brightness)
    )
    seen = bright.reshape(-1, bright.shape[-1])
    ones = np.ones(len(seen), np.float32)
    response = Response.of(describe_classical(colours, SIGMAS, SIGMAS_3D))
    lit = response(seen, contrast * ones, brightness * ones)
    assert np.allclose(lit, dimmed.reshape(lit.shape), atol=1e-4)


@pytest.mark.parametrize(("position", "spacing"), [(15, 1.0), (15, 4.0), (1, 1.0)])
def test_no_plane_is_read_that_the_filters_do_not_reach(position, spacing):
    read = set()

    def noted(block, block_info=None):
        read.add(block_info[0]["chunk-location"][0])
        return block

    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 20), np.uint8)
    lazy = da.from_array(pixels, chunks=(1, 20, 20)).map_blocks(noted, dtype=np.uint8)
    image = replace(as_micrograph(lazy, "ZYX"), spacing=spacing)
    channels = PixelChannels(planes_of(image)[(position,)], THROUGH.channels)
    read.clear()
    channels.block(Window(0, 0, 20, 20))
    reach = planes_reached(SIGMAS_3D, spacing)
    assert reach == {1.0: 9, 4.0: 3}[spacing]
    assert read == set(range(max(position - reach, 0), position + reach + 1))


# What they are for


def test_they_tell_textures_apart_that_a_plane_does_not(puzzle):
    assert right(puzzle, FLAT) < 0.6
    assert right(puzzle, THROUGH) > 0.75
    assert right(puzzle, THROUGH, spacing=3.0) < right(puzzle, THROUGH) - 0.05


@pytest.mark.parametrize("block", [17, 512])
def test_blocks_and_the_order_of_planes_do_not_matter(puzzle, block, monkeypatch):
    image, scribbles, _ = puzzle
    classifier = Segmenter(THROUGH, "cpu").fit(image, scribbles)
    together = dict(Segmenter(THROUGH, "cpu").apply(classifier, image, probabilities=True))
    alone = Segmenter(THROUGH, "cpu")
    monkeypatch.setattr("napari_alibi_seg.core.segmentation.BLOCK", block)
    for index in ((7,), (0,), (11,)):
        plane = planes_of(image)[index]
        result = alone.apply_to_plane(classifier, plane, probabilities=True)
        np.testing.assert_array_equal(result.probabilities, together[index].probabilities)


def test_the_live_engine_gives_what_segment_gives(puzzle):
    image, scribbles, _ = puzzle
    image = replace(image, spacing=1.5)
    window = Window(0, 0, *image.shape_yx)
    request = LiveRequest(image, scribbles, THROUGH, ((5,), (0,)), window, advise=True)
    labels = np.zeros(image.label_shape, np.uint8)
    for event in LiveEngine("cpu").update(request):
        if isinstance(event, ResultBlock):
            labels[(*event.plane, *event.window.slices)] = event.result.labels
    expected = segment(image, scribbles, THROUGH, "cpu").labels
    np.testing.assert_array_equal(labels[[0, 5]], expected[[0, 5]])


def test_each_stack_of_a_series_is_a_volume_of_its_own(puzzle):
    image, scribbles, _ = puzzle
    other = as_micrograph(np.stack([image.data, image.data[::-1] // 2]), "TZYX")
    painted = np.stack([scribbles, 0 * scribbles])
    first = segment(other, painted, THROUGH, "cpu").labels[0]
    planes, alone = planes_of(other), planes_of(image)
    window = Window(0, 0, *image.shape_yx)
    for index in ((0,), (6,)):
        ours, levels = alone[index], planes[(0, *index)].levels
        expected = classical_channels(replace(ours, levels=levels), window, SIGMAS, SIGMAS_3D)
        found = classical_channels(planes[(0, *index)], window, SIGMAS, SIGMAS_3D)
        np.testing.assert_array_equal(found, expected)
    assert first.shape == image.data.shape


# Where there is no volume


@pytest.mark.parametrize("axes", ["YX", "TYX"])
def test_an_image_without_planes_is_refused_in_words(puzzle, axes):
    image, scribbles, _ = puzzle
    flat = as_micrograph(image.data[4] if axes == "YX" else image.data, axes)
    with pytest.raises(ImageError, match=r"3-D filters .* no axis Z"):
        Segmenter(THROUGH, "cpu").fit(flat, scribbles[4] if axes == "YX" else scribbles)
    classifier = Segmenter(THROUGH, "cpu").fit(image, scribbles)
    with pytest.raises(ImageError, match=r"3-D filters .* no axis Z"):
        list(Segmenter(THROUGH, "cpu").apply(classifier, flat))


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_a_spacing_that_is_no_distance_is_refused(puzzle, spacing):
    with pytest.raises(ImageError, match="positive number of pixels"):
        replace(puzzle[0], spacing=spacing)


def test_planes_much_closer_than_pixels_are_taken_for_a_wrong_voxel_size(puzzle):
    image, scribbles, _ = puzzle
    with pytest.raises(ImageError, match=r"0\.001 pixels apart .*--spacing"):
        Segmenter(THROUGH, "cpu").fit(replace(image, spacing=0.001), scribbles)


# Files


def test_a_classifier_file_keeps_them_and_an_older_one_has_none(puzzle, tmp_path):
    image, scribbles, _ = puzzle
    classifier = Segmenter(THROUGH, "cpu").fit(image, scribbles)
    save_classifier(classifier, tmp_path / "new.skops")
    loaded = load_classifier(tmp_path / "new.skops")
    assert loaded.channels == THROUGH.channels
    for (_, saved), (_, result) in zip(
        Segmenter.of(classifier).apply(classifier, image),
        Segmenter.of(loaded).apply(loaded, image),
        strict=True,
    ):
        np.testing.assert_array_equal(result.labels, saved.labels)

    save_classifier(Segmenter(FLAT, "cpu").fit(image, scribbles), tmp_path / "old.skops")
    state = skops.io.load(tmp_path / "old.skops", trusted=["sklearn.tree._tree.Tree"])
    assert ', "sigmas_3d": []' in state["header"]
    state["header"] = state["header"].replace(', "sigmas_3d": []', "")
    skops.io.dump(state, tmp_path / "old.skops")
    assert load_classifier(tmp_path / "old.skops").channels == FLAT.channels
