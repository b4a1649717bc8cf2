"""The probe sees position that carries over to other images, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import r2_score

from napari_alibi_seg.core.model.channel_position import ChannelMoments, left_out_channel_r2
from napari_alibi_seg.core.model.position import (
    leave_one_image_out_predictions,
    leave_one_image_out_r2,
    ramps,
)

GRID = (12, 14)


def stationary(images, channels, smoothness=0.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(images, *GRID, channels))
    return list(gaussian_filter(noise, (0, smoothness, smoothness, 0)))


def test_ramps_lie_between_0_and_1_and_follow_their_names():
    targets = ramps(GRID)
    for ramp in targets.values():
        assert ramp.shape[:2] == GRID
        assert ramp.min() >= 0
        assert ramp.max() <= 1
    assert (np.diff(targets["lr"][..., 0], axis=1) > 0).all()
    assert (np.diff(targets["ud"][..., 0], axis=0) > 0).all()
    np.testing.assert_array_equal(targets["lr+ud"][..., 1], targets["ud"][..., 0])
    np.testing.assert_allclose(targets["radial"], targets["radial"][::-1, ::-1])


@pytest.mark.parametrize("smoothness", [0.0, 2.0])
def test_stationary_features_hold_no_position(smoothness):
    assert leave_one_image_out_r2(stationary(8, 6, smoothness)) < 0.05


@pytest.mark.parametrize("target", ["lr", "ud", "diag", "radial", "lr+ud"])
def test_a_planted_ramp_is_found_in_its_channel_alone(target):
    features = stationary(8, 6)
    ramp = ramps(GRID)[target]
    for image in features:
        image[..., 2 : 2 + ramp.shape[-1]] += 12 * ramp

    predicted = leave_one_image_out_predictions(features, target=target)
    truth = ramp.reshape(-1, ramp.shape[-1])
    assert np.mean([r2_score(truth, seen.reshape(truth.shape)) for seen in predicted]) > 0.8
    single = left_out_channel_r2([ChannelMoments.of([x], ramp) for x in features])[0].mean(axis=1)
    planted = list(range(2, 2 + ramp.shape[-1]))
    assert set(np.argsort(single)[-len(planted) :]) == set(planted)
    assert np.delete(single, planted).max() < 0.05


def test_one_channel_alone_of_any_layer_is_the_probe_of_that_channel():
    layers = [stationary(5, 3, smoothness) for smoothness in (0.0, 1.0)]
    for image in layers[1]:
        image[..., 1] += 3 * ramps(GRID)["lr"][..., 0]
    target = ramps(GRID)["lr+ud"]
    scores = left_out_channel_r2([ChannelMoments.of(x, target) for x in zip(*layers, strict=True)])
    for layer, channel in np.ndindex(2, 3):
        alone = [image[..., [channel]] for image in layers[layer]]
        assert scores[layer, channel].mean() == pytest.approx(leave_one_image_out_r2(alone))


def test_positional_channels_score_highest_whatever_their_scale():
    features = stationary(4, 32)
    for image in features:
        image[..., [3, 7]] += 4 * ramps(GRID)["lr+ud"] * [1, -1]
        image *= 10.0 ** np.arange(32)[::-1]
    moments = [ChannelMoments.of([image], ramps(GRID)["lr+ud"]) for image in features]
    best = left_out_channel_r2(moments)[0].max(axis=1)
    assert {*np.argsort(best)[-2:]} == {3, 7}
    assert best[[3, 7]].min() > 0.3 > 0.1 > np.delete(best, [3, 7]).max()


def test_scale_and_offset_of_a_channel_do_not_matter():
    features = stationary(4, 5, smoothness=1.0)
    scaled = [1e-3 * image + 7 for image in features]
    assert leave_one_image_out_r2(scaled) == pytest.approx(leave_one_image_out_r2(features))


def test_constant_channels_are_harmless():
    features = stationary(4, 5)
    with_constant = [np.concatenate([image, np.ones((*GRID, 1))], axis=-1) for image in features]
    assert leave_one_image_out_r2(with_constant) == pytest.approx(leave_one_image_out_r2(features))


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="at least two images, not 1"):
        leave_one_image_out_r2(stationary(1, 2))
