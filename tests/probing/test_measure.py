import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import r2_score

from napari_alibi_seg.core.model.position import (
    leave_one_image_out_predictions,
    leave_one_image_out_r2,
    ramps,
)
from napari_alibi_seg.core.progress import silent
from napari_alibi_seg.probing.inputs import Square
from napari_alibi_seg.probing.measure import Measurement
from napari_alibi_seg.probing.records import RAMPS, ProbingConfig
from napari_alibi_seg.probing.session import _measured

GRID = 12
CONFIG = ProbingConfig(grid=GRID, device="cpu")


def grains(seed):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(GRID * 16,) * 2), 5)
    pixels = np.clip(0.5 + 0.3 * noise / noise.std(), 0, 1)
    return Square(pixels[..., None].astype(np.float32), pixels.shape)


def measured(model, images):
    measurement = Measurement(model, CONFIG)
    for seed in range(images):
        measurement.add(grains(seed))
    return measurement.result()


@pytest.fixture(scope="module")
def biased(place_bound):
    return measured(place_bound, 4)


def test_a_model_with_strong_positions_is_found_out_and_its_null_is_not(biased):
    assert biased.left_out.r2.shape == (4, len(RAMPS))
    assert biased.left_out.r2[:, 0].mean() > 0.5
    assert biased.left_out.rolled[:, 0].mean() < 0
    assert biased.left_out.shuffled[:, 0].mean() <= 0.05


def test_what_is_seen_in_the_first_image_is_what_is_scored(biased):
    truth = ramps((GRID, GRID))["lr"][..., 0]
    scored = biased.left_out.r2[0, RAMPS.index("lr")]
    assert r2_score(truth.ravel(), biased.left_out.seen.ravel()) == pytest.approx(scored)


def test_a_model_without_positions_is_not_accused(placeless):
    probe = measured(placeless, 8)
    assert probe.left_out.r2.mean(axis=0).max() < 0.02
    assert probe.left_out_fingerprint.max() < 0.1


def test_one_image_leaves_nothing_to_leave_out(placeless):
    probe = measured(placeless, 1)
    assert probe.left_out is None
    assert probe.segmentation_r2 is None
    assert probe.left_out_fingerprint is None
    assert probe.authors.shape == (1, 6, 5)
    assert np.array_equal(probe.channel_r2, probe.fingerprint[-1])


class Recorder:
    """Takes the place of a measurement and notes what it is given."""

    def __init__(self):
        self.tested = []

    def add(self, square):
        pass

    def add_stability(self, name, square):
        self.tested.append(name)

    def result(self):
        return self


@pytest.mark.parametrize(
    ("count", "tested"), [(1, "b"), (2, "be"), (3, "bce"), (9, "bcde"), (0, "")]
)
def test_as_many_usable_images_as_asked_for_are_tested_the_first_among_them(
    tmp_path, count, tested
):
    for number, name in enumerate("abcdefg"):
        pixels = np.random.default_rng(number).integers(0, 255, (60, 60), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "a.png").write_bytes(b"no image")
    (tmp_path / "f.png").write_bytes(b"no image")
    shutil.copy(tmp_path / "c.png", tmp_path / "g.png")
    config = ProbingConfig(stability_images=count)
    probing = _measured(sorted(tmp_path.iterdir()), {}, [Recorder()], config, silent)
    assert probing.models[0].tested == [f"{name}.png" for name in tested]
    assert probing.failed.keys() == {"a.png", "f.png", "g.png"}


def test_every_model_is_probed_with_the_same_random_numbers(placeless):
    first, second = measured(placeless, 2), measured(placeless, 2)
    assert np.array_equal(first.authors, second.authors)
    assert np.array_equal(first.left_out.rolled, second.left_out.rolled)


def test_the_features_that_segmentations_use_are_probed_too(four_blocks):
    probe = measured(four_blocks, 3)
    views = [grains(seed).view(GRID * 16) for seed in range(3)]
    third = [four_blocks.backbone(view, layer=3)[0].numpy() for view in views]
    r2 = leave_one_image_out_r2([tokens.astype(np.float16) for tokens in third])
    assert probe.segmentation_r2 == pytest.approx(r2)
    assert probe.segmentation_r2 != pytest.approx(probe.left_out.r2[:, :2].mean(), abs=1e-3)


def test_predictions_of_images_left_out_give_their_r2():
    features = [*np.random.default_rng(0).normal(size=(3, 9, 11, 5))]
    truth = ramps((9, 11))["lr+ud"].reshape(-1, 2)
    features[0][..., 2] += truth[:, 0].reshape(9, 11)
    scores = [
        r2_score(truth, seen.reshape(truth.shape))
        for seen in leave_one_image_out_predictions(features)
    ]
    assert np.mean(scores) == pytest.approx(leave_one_image_out_r2(features))


def test_the_diagonal_is_half_of_both_axes():
    """What the measurement relies on to save a fit."""
    features = [*np.random.default_rng(0).normal(size=(3, 9, 9, 5))]
    both = leave_one_image_out_predictions(features, target="lr+ud")
    diagonal = leave_one_image_out_predictions(features, target="diag")
    for plane, seen in zip(both, diagonal, strict=True):
        assert plane.mean(axis=-1) == pytest.approx(seen[..., 0])
