from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from napari_alibi_seg import (
    ChannelConfig,
    SegmentationConfig,
    Segmenter,
    read_image,
    read_scribbles,
)
from napari_alibi_seg.core.channels.kinds import LEARNED_CHANNELS
from napari_alibi_seg.core.channels.learned_filters import learned_channels
from napari_alibi_seg.core.channels.pixel_channels import PixelChannels
from napari_alibi_seg.core.choices import CLASSICAL, LEARNED_FILTERS
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.images.windows import Window

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture
def plane(micrograph_pixels):
    return Plane(micrograph_pixels, Levels(0, 255))


@pytest.mark.parametrize("window", [Window(11, 60, 90, 110), Window(63, 0, 2, 170)])
def test_a_window_equals_its_part_of_the_whole_to_the_bit(plane, window, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.core.channels.learned_filters._TILE", 64)
    whole = learned_channels(plane, Window(0, 0, *plane.shape))
    assert whole.shape == (*plane.shape, LEARNED_CHANNELS)
    assert np.array_equal(learned_channels(plane, window), whole[window.slices])


@pytest.mark.parametrize("tile", [32, 64])
def test_tiles_leave_no_trace(plane, tile, monkeypatch):
    window = Window(0, 0, *plane.shape)
    whole = learned_channels(plane, window)
    monkeypatch.setattr("napari_alibi_seg.core.channels.learned_filters._TILE", tile)
    np.testing.assert_allclose(learned_channels(plane, window), whole, atol=1e-5)


def test_points_equal_blocks_to_the_bit(plane):
    channels = PixelChannels(plane, ChannelConfig())
    rows, columns = np.array([3, 90, 149]), np.array([169, 20, 61])
    block = channels.block(Window(0, 0, *plane.shape))
    assert np.array_equal(channels.points(rows, columns), block[rows, columns])


def test_every_colour_is_filtered_as_a_grey_image_is(plane):
    colour = Plane(np.dstack([plane.data, plane.data[::-1], plane.data]), plane.levels)
    window = Window(20, 30, 40, 50)
    seen = learned_channels(colour, window)
    assert seen.shape[-1] == 3 * LEARNED_CHANNELS
    assert np.allclose(seen[..., :LEARNED_CHANNELS], learned_channels(plane, window), atol=1e-4)


def test_a_small_image_is_filtered_as_if_mirrored():
    tiny = Plane(np.arange(6, dtype=np.uint8).reshape(2, 3), Levels(0, 5))
    assert np.isfinite(learned_channels(tiny, Window(0, 0, 2, 3))).all()


def test_phases_of_a_noisy_micrograph_are_told_apart_better():
    folder, name = SHARED / "data/nasa_superalloy", "spot3_0d_3.png"
    image = read_image(folder / "images" / name)
    scribbles = read_scribbles(folder / "scribbles/biased-1" / name, image)
    truth = read_scribbles(folder / "labels" / name, image)
    known = truth > 0

    def accuracy(learned):
        segmenter = Segmenter(SegmentationConfig(channels=ChannelConfig(learned=learned), scale=1))
        ((_, result),) = segmenter.apply(segmenter.fit(image, scribbles), image)
        return balanced_accuracy_score(truth[known], result.labels[known])

    assert accuracy(LEARNED_FILTERS) > accuracy(0) + 0.02


def test_without_a_backbone_there_are_none():
    assert SegmentationConfig(CLASSICAL).channels.learned == 0
    assert ChannelConfig(sigmas=(), sigmas_3d=(1.0,)) == ChannelConfig(sigmas=(), learned=0)
    assert SegmentationConfig().channels.learned == LEARNED_FILTERS


def test_filters_of_another_version_are_refused():
    with pytest.raises(AlibiSegError, match="trained anew"):
        ChannelConfig(learned=99)
