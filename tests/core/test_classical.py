import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.core.channels.classical import (
    classical_channels,
    describe_classical,
)
from napari_alibi_seg.core.choices import SIGMAS
from napari_alibi_seg.core.forest.variation import Response
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.images.windows import Window


@pytest.fixture
def plane(micrograph_pixels):
    return Plane(micrograph_pixels, Levels(0, 255))


def whole(plane, sigmas=SIGMAS):
    return classical_channels(plane, Window(0, 0, *plane.shape), sigmas)


def test_a_window_equals_its_part_of_the_whole_to_the_bit(plane):
    part = classical_channels(plane, Window(11, 60, 90, 110))
    assert np.array_equal(part, whole(plane)[11:101, 60:170])


def test_channels_are_counted_right_for_grey_and_colour(plane):
    colour = Plane(np.dstack([plane.data] * 3), plane.levels)
    assert whole(plane).shape[-1] == len(describe_classical(1))
    assert whole(colour).shape[-1] == len(describe_classical(3)) == 3 * len(describe_classical(1))


def test_sigmas_are_not_rounded(plane):
    gaussian = whole(plane, (0.7,))[..., 1]
    expected = gaussian_filter(plane.data / np.float32(255), 0.7, mode="mirror", truncate=3.0)
    assert np.allclose(gaussian, expected, atol=1e-5)
    assert not np.allclose(gaussian, whole(plane, (1.0,))[..., 1], atol=1e-3)


def test_no_two_channels_are_the_same(plane):
    channels = whole(plane).reshape(-1, len(describe_classical(1))).T
    correlation = np.abs(np.corrcoef(channels)) - np.eye(len(channels))
    assert correlation.max() < 0.9999


def test_turning_the_image_turns_the_channels(plane):
    turned = Plane(np.rot90(plane.data), plane.levels)
    assert np.allclose(whole(turned), np.rot90(whole(plane)), atol=1e-5)


@pytest.mark.parametrize("bands", [1, 3])
def test_channels_follow_the_light_as_they_say(plane, bands):
    contrast, brightness = 0.8, 0.07
    grey = plane.data if bands == 1 else np.dstack([plane.data, plane.data[::-1], plane.data])
    bright = Plane(grey, plane.levels)
    dimmed = Plane(contrast * (grey / 255 - 0.5) + 0.5 + brightness, Levels(0, 1))
    seen = whole(bright).reshape(-1, len(describe_classical(bands)))
    ones = np.ones(len(seen), np.float32)
    lit = Response.of(describe_classical(bands))(seen, contrast * ones, brightness * ones)
    assert np.allclose(lit, whole(dimmed).reshape(lit.shape), atol=1e-4)
