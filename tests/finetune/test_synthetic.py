"""Made-up micrographs: the same from the same key, and what they claim to hold is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from napari_alibi_seg.finetune.synthetic import (
    FEWEST_PIXELS,
    MOST_CLASSES,
    SIDE,
    cuboids,
    field,
    grains,
    lamellae,
    large_particles,
    make_up,
    patches,
    small_particles,
)

KINDS = (grains, patches, large_particles, small_particles, lamellae, cuboids)
IN_A_MATRIX = (large_particles, small_particles, cuboids)


def test_a_micrograph_follows_from_its_key_alone() -> None:
    first, again, other = make_up((3, 1)), make_up((3, 1)), make_up((3, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.image != other.image).mean() > 0.5


def test_every_class_there_is_has_pixels_enough() -> None:
    numbers = set()
    for seed in range(60):
        made = make_up((seed,))
        assert made.image.shape == made.labels.shape == (SIDE, SIDE)
        counts = np.bincount(made.labels.ravel())
        assert counts.min() >= FEWEST_PIXELS
        numbers.add(len(counts))
    assert numbers == set(range(2, MOST_CLASSES + 1))


def test_no_micrograph_is_flat() -> None:
    assert min(make_up((seed,)).image.std() for seed in range(60)) > 5


def test_classes_mostly_differ_in_grey() -> None:
    apart = []
    for seed in range(40):
        made = make_up((seed,))
        values = made.image.astype(float)
        between = [values[made.labels == number].mean() for number in np.unique(made.labels)]
        apart.append(np.ptp(between) / values.std())
    assert np.median(apart) > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_regions_has_the_classes_asked_for(kind) -> None:
    for classes in (2, 3, 4):
        found = {
            int(number)
            for seed in range(5)
            for number in np.unique(kind(np.random.default_rng(seed), classes).labels)
        }
        assert found == set(range(classes))


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_is_of_one_class(kind) -> None:
    regions = kind(np.random.default_rng(1), 3)
    pairs = np.unique(np.stack([regions.pieces.ravel(), regions.labels.ravel()]), axis=1)
    if regions.pieces.any():
        assert len(np.unique(pairs[0])) == pairs.shape[1]


@pytest.mark.parametrize("kind", IN_A_MATRIX)
def test_particles_lie_in_a_matrix_of_the_first_class(kind) -> None:
    regions = kind(np.random.default_rng(2), 3)
    np.testing.assert_array_equal(regions.labels == 0, regions.pieces == 0)


def test_grains_hang_together() -> None:
    regions = grains(np.random.default_rng(4), 2)
    for piece in np.unique(regions.pieces):
        sizes = np.bincount(label(regions.pieces == piece)[0].ravel())[1:]
        assert sizes.max() > 0.8 * sizes.sum()


def test_a_field_is_as_smooth_as_asked_for() -> None:
    for sigma in (2.0, 6.0):
        values = field(np.random.default_rng(0), sigma)
        assert values.mean() == pytest.approx(0, abs=1e-3)
        assert values.std() == pytest.approx(1, abs=1e-3)
        # white noise smoothed by a Gaussian correlates by exp(-distance^2 / (4 sigma^2))
        next_to = (values * np.roll(values, int(sigma), axis=0)).mean()
        assert next_to == pytest.approx(np.exp(-0.25), abs=0.05)
