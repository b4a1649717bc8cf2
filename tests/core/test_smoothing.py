import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, grey_dilation, uniform_filter

from napari_alibi_seg.core.forest.smoothing import smoothed, support
from napari_alibi_seg.core.images.windows import Window


@pytest.fixture
def guide():
    return np.random.default_rng(0).random((70, 90), np.float32)


@pytest.fixture
def shares():
    drawn = np.random.default_rng(1).random((70, 90, 3))
    return drawn / drawn.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("radius", [1, 4])
@pytest.mark.parametrize("window", [Window(0, 0, 20, 30), Window(25, 31, 9, 17)])
def test_a_window_is_what_the_whole_plane_has_there_to_the_last_bit(guide, shares, radius, window):
    around = support(window, radius, guide.shape)

    part = smoothed(shares[around.slices], guide[around.slices], radius)

    whole = smoothed(shares, guide, radius)
    np.testing.assert_array_equal(part[window.seen_from(around).slices], whole[window.slices])


@pytest.mark.parametrize("radius", [1, 8, 32])
def test_shares_stay_shares(guide, shares, radius):
    result = smoothed(shares, guide, radius)

    np.testing.assert_allclose(result.sum(axis=-1), 1)
    assert result.min() >= 0


def test_a_pixel_that_differs_from_its_surroundings_in_votes_alone_is_outvoted():
    shares = np.zeros((20, 20, 2))
    shares[..., 0] = 1
    shares[10, 10] = 0, 1

    result = smoothed(shares, np.full((20, 20), 0.5, np.float32), 4)

    assert (result.argmax(axis=-1) == 0).all()


def test_votes_that_follow_an_edge_of_the_image_keep_it():
    left = np.arange(40) < 20
    guide = np.tile(np.where(left, 0.2, 0.8).astype(np.float32), (30, 1))
    shares = np.stack([guide > 0.5, guide < 0.5], axis=-1).astype(float)

    result = smoothed(shares, guide, 4)

    np.testing.assert_array_equal(result.argmax(axis=-1), shares.argmax(axis=-1))
    away = [x for x in range(40) if x not in (19, 20)]
    np.testing.assert_allclose(result[:, away], shares[:, away], atol=0.01)


def test_trees_that_mostly_agree_are_believed_more_than_their_share():
    shares = np.tile([0.8, 0.2], (20, 20, 1))

    result = smoothed(shares, np.full((20, 20), 0.5, np.float32), 4)

    np.testing.assert_allclose(result, np.tile([16 / 17, 1 / 17], (20, 20, 1)))


def test_votes_that_are_mostly_noise_are_averaged_over_wider_squares():
    noisy = np.random.default_rng(0).uniform(0.2, 1, (80, 80))
    shares = np.stack([noisy, 1 - noisy], axis=-1)

    result = smoothed(shares, np.full((80, 80), 0.5, np.float32), 4)

    once = uniform_filter(noisy**2 / (noisy**2 + (1 - noisy) ** 2), 9)
    assert result[..., 0].std() < 0.5 * once.std()


def test_small_things_are_not_taken_for_noise():
    dots = np.zeros((96, 96))
    dots[8::12, 8::12] = 1
    dots = grey_dilation(dots, footprint=np.hypot(*np.mgrid[-2:3, -2:3]) < 2.5)
    seen = gaussian_filter(dots, 1)
    random = np.random.default_rng(0)
    share = np.clip(0.05 + 0.75 * seen + random.normal(0, 0.03, seen.shape), 0, 1)
    guide = (0.5 + 0.1 * seen + random.normal(0, 0.005, seen.shape)).astype(np.float32)

    result = smoothed(np.stack([1 - share, share], axis=-1), guide, 4)

    found = (result[..., 1] > 0.5)[dots > 0].mean()
    assert found > 0.9 * (share > 0.5)[dots > 0].mean()


def test_a_radius_of_nought_changes_nothing(guide, shares):
    np.testing.assert_array_equal(smoothed(shares, guide, 0), shares)
