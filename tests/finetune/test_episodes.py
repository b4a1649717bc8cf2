"""Strokes lie where they should, and features that tell classes apart are told from others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from napari_alibi_seg.finetune.episodes import (
    Episodes,
    _ridge,
    episodes,
    fresh_episodes,
    paint,
    score,
)
from napari_alibi_seg.finetune.synthetic import MOST_CLASSES, make_up

PENALTY, SHARPNESS = torch.tensor(0.05), torch.tensor(5.0)


@pytest.fixture(scope="module")
def shown() -> Episodes:
    return episodes([(0, number) for number in range(4)])


def noise_like(labels: torch.Tensor) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(len(labels), 6, *labels.shape[1:], generator=random)


def truth_of(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels.long(), MOST_CLASSES).movedim(-1, 1).float()


def test_every_class_is_painted_by_few_strokes() -> None:
    for seed in range(20):
        labels = make_up((seed,)).labels
        strokes = paint(labels, np.random.default_rng(seed))
        assert set(np.unique(labels[strokes])) == set(np.unique(labels))
        assert strokes.mean() < 0.2


def test_strokes_are_spread_or_kept_to_a_band() -> None:
    labels = np.indices((96, 96)).sum(axis=0).astype(np.uint8) % 2
    extents = []
    for seed in range(60):
        places = np.argwhere(paint(labels, np.random.default_rng(seed)))
        extents.append(np.ptp(places, axis=0).min())
    assert 0.3 < np.mean(np.array(extents) < 32) < 0.9


def test_a_class_outside_the_band_is_painted_where_it_is() -> None:
    labels = np.zeros((96, 96), np.uint8)
    labels[:4, :4] = 1
    for seed in range(20):
        assert paint(labels, np.random.default_rng(seed))[labels == 1].any()


def test_features_that_tell_classes_apart_score_better_than_noise(shown: Episodes) -> None:
    noise = noise_like(shown.labels)
    chance = score(noise, shown, PENALTY, SHARPNESS)
    telling = score(torch.cat([noise, truth_of(shown.labels)], dim=1), shown, PENALTY, SHARPNESS)
    assert (telling.cross_entropy < 0.7 * chance.cross_entropy).all()
    assert (telling.accuracy > 0.98).all()
    assert (chance.accuracy < 0.6).all()


def test_what_is_painted_is_not_scored(shown: Episodes) -> None:
    noise = noise_like(shown.labels)
    for_strokes_alone = truth_of(shown.labels) * shown.strokes[:, None]
    told = score(torch.cat([noise, for_strokes_alone], 1), shown, PENALTY, SHARPNESS)
    assert (told.accuracy < 0.6).all()


def test_the_loss_reaches_the_features_and_what_judges_them(shown: Episodes) -> None:
    leaves = [noise_like(shown.labels), PENALTY.clone(), SHARPNESS.clone()]
    for leaf in leaves:
        leaf.requires_grad_(True)
    score(leaves[0], shown, leaves[1], leaves[2]).cross_entropy.mean().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() > 0


def test_the_regression_is_the_weighted_ridge_of_the_strokes(shown: Episodes) -> None:
    labels, strokes = shown.labels.long().flatten(1), shown.strokes.flatten(1)
    truth = torch.nn.functional.one_hot(labels, MOST_CLASSES).float()
    values = noise_like(shown.labels).flatten(2).transpose(1, 2)
    made = _ridge(values, truth, strokes, PENALTY)[0].numpy()

    painted = labels[0][strokes[0]].numpy()
    weights = 1 / np.bincount(painted)[painted] / len(np.unique(painted))
    rows = values[0].numpy().astype(float)
    rows -= (weights[:, None] * rows[strokes[0].numpy()]).sum(axis=0)
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    ridge = Ridge(alpha=float(PENALTY), fit_intercept=False)
    ridge.fit(rows[strokes[0].numpy()], truth[0][strokes[0]].numpy(), sample_weight=weights)
    np.testing.assert_allclose(made, ridge.predict(rows), atol=1e-4)


def test_steps_never_see_a_micrograph_twice_and_do_not_depend_on_who_makes_it() -> None:
    here = list(fresh_episodes(7, 2, range(3), workers=0))
    [aside] = fresh_episodes(7, 2, range(2, 3), workers=1)
    torch.testing.assert_close(aside.images, here[2].images)
    torch.testing.assert_close(aside.strokes, here[2].strokes)
    assert len({image.numpy().tobytes() for made in here for image in made.images}) == 6
