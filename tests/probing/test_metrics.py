import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_alibi_seg.core.model.position import (
    authors_r2,
    leave_one_image_out_r2,
    ramps,
    rolled,
)
from napari_alibi_seg.probing.metrics import (
    authors_channel_r2,
    shuffled,
)

GRID = (32, 32)
LR_UD = ramps(GRID)["lr+ud"]


def random_fields(images, channels, smoothing=0.0):
    """Stationary fields: no position in them, whatever they look like."""
    rng = np.random.default_rng(0)
    fields = rng.normal(size=(images, *GRID, channels))
    if smoothing:
        fields = gaussian_filter(fields, (0, smoothing, smoothing, 0), mode="wrap")
    return [*(fields / fields.std())]


def with_ramps(fields):
    """Two channels that know where they are, among many that do not."""
    fields = [field.copy() for field in fields]
    for field in fields:
        field[..., 3] += 4 * LR_UD[..., 0]
        field[..., 7] -= 4 * LR_UD[..., 1]
    return fields


def authors(fields):
    rng = np.random.default_rng(1)
    return np.mean([authors_r2(field, LR_UD, rng) for field in fields])


def null(fields, destroy):
    rng = np.random.default_rng(2)
    return leave_one_image_out_r2([destroy(field, rng) for field in fields])


def test_the_authors_probe_sees_position_in_smooth_fields_that_have_none():
    smooth, rough = random_fields(6, 384, smoothing=2.0), random_fields(6, 48)
    assert authors(smooth) > 0.3
    assert authors(rough) < -0.5
    assert leave_one_image_out_r2(smooth) <= 0
    assert leave_one_image_out_r2(rough) <= 0


def test_leaving_an_image_out_finds_two_positional_channels_of_many():
    fields = with_ramps(random_fields(8, 384))
    found = leave_one_image_out_r2(fields)
    assert found > 0.5
    assert found > authors(fields)
    assert null(fields, rolled) <= 0
    assert null(fields, shuffled) <= 0


@pytest.mark.parametrize("output", [0, 1])
def test_each_channel_alone_scores_as_the_probe_of_just_that_channel(output):
    field = with_ramps(random_fields(1, 12, smoothing=1.0))[0]
    target = LR_UD[..., [output]]
    at_once = authors_channel_r2(field, target, np.random.default_rng(5))
    for channel in range(12):
        alone = authors_r2(field[..., [channel]], target, np.random.default_rng(5))
        assert at_once[channel] == pytest.approx(alone.mean(axis=0))


def test_a_constant_channel_tells_nothing():
    field = random_fields(1, 4)[0]
    field[..., 2] = 5.0
    scores = authors_channel_r2(field, LR_UD, np.random.default_rng(0))
    assert np.isfinite(scores).all()
    assert (scores[2] <= 0).all()


@pytest.mark.parametrize("destroy", [rolled, shuffled])
def test_a_null_has_the_same_tokens_elsewhere(destroy):
    field = random_fields(1, 3)[0]
    moved = destroy(field, np.random.default_rng(0))
    assert not np.array_equal(moved, field)
    assert np.array_equal(np.sort(moved.reshape(-1, 3), 0), np.sort(field.reshape(-1, 3), 0))


def test_rolling_keeps_neighbours_together():
    field = random_fields(1, 3, smoothing=2.0)[0]
    moved = rolled(field, np.random.default_rng(0))
    assert np.diff(moved, axis=0).std() < 0.5 * field.std()
    assert np.diff(shuffled(field, np.random.default_rng(0)), axis=0).std() > field.std()
