import threading

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from napari_alibi_seg.core.forest.voting import votes


def samples(count, classes=3, seed=0):
    """Overlapping classes, so that trees grow deep."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([1, 4, 7][:classes]), count)
    values = rng.normal(labels[:, None], 3, (count, 6)).astype(np.float32)
    return values.round(1), labels


def tied(count, seed=0):
    """Equal pixels of different classes: leaves that are not pure."""
    values, labels = samples(count, seed=seed)
    return values.round(), labels


@pytest.mark.parametrize("kind", [RandomForestClassifier, ExtraTreesClassifier])
@pytest.mark.parametrize("options", [{}, {"max_depth": 3}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("made", [samples, tied])
def test_votes_are_scikit_learns_to_the_last_bit(kind, options, made):
    forest = kind(13, random_state=0, **options).fit(*made(400))
    pixels, _ = made(1000, seed=1)

    np.testing.assert_array_equal(votes(forest, pixels), forest.predict_proba(pixels))


@pytest.mark.parametrize("made", [samples, tied])
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2100), (300, 1), (16, 16), (17, 33), (5, 100), (64, 32), (67, 70)]
)
def test_squares_of_pixels_get_the_votes_of_lists(shape, made):
    forest = ExtraTreesClassifier(5, random_state=0).fit(*made(200))
    values = samples(shape[0] * shape[1], seed=2)[0].reshape(*shape, -1)

    squares = votes(forest, values)

    expected = forest.predict_proba(values.reshape(-1, values.shape[-1]))
    np.testing.assert_array_equal(squares, expected.reshape(*shape, -1))


def test_values_next_to_a_threshold_go_where_scikit_learn_sends_them():
    forest = RandomForestClassifier(20, random_state=0).fit(*samples(300))
    trees = [estimator.tree_ for estimator in forest.estimators_]
    at = np.concatenate([tree.threshold[tree.feature >= 0] for tree in trees]).astype(np.float32)
    near = np.concatenate([at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)])
    pixels = np.repeat(near.astype(np.float32)[:, None], 6, axis=1)

    np.testing.assert_array_equal(votes(forest, pixels), forest.predict_proba(pixels))


def test_a_tree_of_one_leaf_votes_for_everyone():
    values, labels = samples(50, classes=2)
    forest = ExtraTreesClassifier(3, min_samples_leaf=50, random_state=0).fit(values, labels)

    np.testing.assert_array_equal(votes(forest, values), forest.predict_proba(values))


def test_a_forest_fitted_again_votes_anew():
    forest = RandomForestClassifier(4, random_state=0).fit(*samples(200))
    pixels, _ = samples(100, seed=3)
    votes(forest, pixels)

    forest.fit(*samples(200, seed=5))

    np.testing.assert_array_equal(votes(forest, pixels), forest.predict_proba(pixels))


def test_threads_do_not_disturb_each_other():
    forest = ExtraTreesClassifier(30, random_state=0).fit(*samples(400))
    parts = [samples(3000, seed=seed)[0] for seed in range(4)]
    found = [None] * len(parts)

    def work(number):
        found[number] = votes(forest, parts[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for pixels, made in zip(parts, found, strict=True):
        np.testing.assert_array_equal(made, forest.predict_proba(pixels))
