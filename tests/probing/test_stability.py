import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.probing.inputs import Square
from napari_alibi_seg.probing.stability import Change, StrokeLayout, resegment, tile_cosines

CPU = torch.device("cpu")


def square(pixels):
    return Square(pixels[..., None].astype(np.float32), pixels.shape)


@pytest.fixture(scope="module")
def grains():
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(192, 192)), 6)
    return np.clip(0.5 + 0.3 * noise / noise.std(), 0, 1)


def test_patches_that_see_only_themselves_are_the_same_in_a_tile(placeless, grains):
    cosines = tile_cosines(placeless.backbone, square(grains), 16, CPU)
    assert cosines == pytest.approx({0: 1.0, 2: 1.0, 4: 1.0}, abs=1e-5)


def test_patches_that_know_their_place_change_in_a_tile(place_bound, grains):
    cosines = tile_cosines(place_bound.backbone, square(grains), 16, CPU)
    assert cosines[0] < 0.9
    assert cosines[4] == pytest.approx(1.0)  # four tokens more on each side are the whole


def test_a_halo_that_the_grid_has_no_room_for_is_not_tried(placeless, grains):
    assert tile_cosines(placeless.backbone, square(grains), 8, CPU).keys() == {0, 2}


def test_a_mirror_image_is_segmented_the_same_unless_places_count(placeless, place_bound):
    """Every patch is of one grey, so that it is its own mirror image too."""
    greys = np.random.default_rng(0).random((12, 6))
    mirrored = np.kron(np.hstack([greys, greys[:, ::-1]]), np.ones((16, 16)))
    symmetric = square(np.pad(mirrored, (0, 8)))  # half a patch more, for the shift
    unbiased = resegment(placeless, symmetric, 12, "cpu", seed=0)[StrokeLayout.ONE_SIDED][0]
    biased = resegment(place_bound, symmetric, 12, "cpu", seed=0)[StrokeLayout.ONE_SIDED][0]
    assert unbiased.disagreement[Change.FLIP_LR] < 0.02
    assert biased.disagreement[Change.FLIP_LR] > 0.2


def test_the_pixels_compared_lie_at_the_same_place_of_the_image(placeless):
    """Two flat halves: every view agrees on them but along the border between them."""
    halves = np.zeros((192, 192))
    halves[:, 96:] = 1
    found = resegment(placeless, square(halves), 12, "cpu", seed=0)[StrokeLayout.SPREAD][0]
    columns = np.arange(8, 192, 4)  # of the magnified view, whose halves meet at 100
    inside = np.abs(columns - 100) > 24  # away from the patches that hold both
    for labels in (found.original, *found.changed.values()):
        assert (labels[:, inside & (columns < 100)] == 1).all()
        assert (labels[:, inside & (columns > 100)] == 2).all()


def test_strokes_for_which_a_class_is_missing_are_left_out(placeless):
    blank = square(np.full((64, 64), 0.5))
    dark_right = np.ones((192, 192))
    dark_right[:, 150:] = 0
    assert resegment(placeless, blank, 12, "cpu", seed=0) == {}
    assert resegment(placeless, square(dark_right), 12, "cpu", seed=0).keys() == {
        StrokeLayout.SPREAD
    }


def test_strokes_are_drawn_three_times_and_one_sided_ones_stay_on_their_side(placeless, grains):
    found = resegment(placeless, square(grains), 12, "cpu", seed=0)
    for draws in found.values():
        assert len({draw.painted.tobytes() for draw in draws}) == 3
    for draw in found[StrokeLayout.ONE_SIDED]:
        middle = draw.painted.shape[1] // 2
        assert {*np.unique(draw.painted[:, :middle])} == {0, 1}
        assert {*np.unique(draw.painted[:, middle:])} == {0, 2}
