from dataclasses import replace

import pytest

from napari_alibi_seg.probing.summary import Level, ModelSummary, judge

BLIND = ModelSummary(
    authors_r2=0.4,
    authors_r2_std=0.1,
    loio_r2=-0.5,
    segmentation_layer=10,
    segmentation_loio_r2=-0.5,
    null_r2=-0.5,
    null_shuffled_r2=-0.1,
    best_channel_r2=0.0,
    tile_cosine=0.99,
    tile_cosine_halo_2=0.99,
    tile_cosine_halo_4=0.99,
    flip_disagreement=0.1,
    shift_disagreement=0.1,
    flip_disagreement_one_sided=0.1,
    shift_disagreement_one_sided=0.1,
    authors_r2_by_target=dict.fromkeys(("lr", "ud", "diag", "radial", "random"), 0.4),
    loio_r2_by_target=dict.fromkeys(("lr", "ud", "diag", "radial"), -0.5),
    null_r2_by_target=dict.fromkeys(("lr", "ud", "diag", "radial"), -0.5),
    positional_channels=[],
)


def seeing(target, r2):
    return replace(BLIND, loio_r2_by_target={**BLIND.loio_r2_by_target, target: r2})


@pytest.mark.parametrize(
    ("r2", "level"),
    [(0.01, Level.NONE), (0.05, Level.SLIGHT), (0.3, Level.CLEAR), (0.9, Level.STRONG)],
)
def test_the_level_grows_with_what_is_found(r2, level):
    assert judge(seeing("ud", r2), images=10).level is level


def test_the_worst_direction_decides_and_is_named():
    verdict = judge(seeing("radial", 0.8), images=10)
    assert verdict.level is Level.STRONG
    assert "centre" in verdict.sentence


def test_what_the_null_shows_too_is_no_position():
    summary = replace(seeing("lr", 0.3), null_r2_by_target={**BLIND.null_r2_by_target, "lr": 0.4})
    assert judge(summary, images=10).level is Level.NONE


def test_finding_nothing_in_few_images_settles_nothing_but_finding_something_does():
    assert judge(BLIND, images=3).level is Level.OPEN
    assert judge(BLIND, images=8).level is Level.NONE
    assert judge(seeing("lr", 0.7), images=3).level is Level.STRONG


def test_one_image_settles_nothing_and_says_so():
    verdict = judge(BLIND, images=1)
    assert verdict.level is Level.OPEN
    assert "One image" in verdict.sentence
