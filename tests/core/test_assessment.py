import numpy as np
import pytest
from scipy.ndimage import label

from napari_alibi_seg.core.forest.samples import PixelSamples
from napari_alibi_seg.core.forest.scribbles import count_scribbles
from napari_alibi_seg.core.forest.strokes import painted_pixels, stroke_numbers, stroke_pieces
from napari_alibi_seg.core.forest.vote_calibration import DEEP_PRIOR, calibrated
from napari_alibi_seg.core.judging.assessment import StrokeSamples, cross_validating
from napari_alibi_seg.core.judging.held_out import HeldOutVotes, fit_temperature


def nearest_means(samples):
    """Vote by the distances to the means of the classes."""
    classes = np.unique(samples.labels)
    means = np.stack([samples.values[samples.labels == value].mean(axis=0) for value in classes])

    def voter(values):
        distances = ((values[:, None] - means) ** 2).sum(axis=2)
        shares = np.exp(-distances + distances.min(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

    return voter


@pytest.fixture
def blobs():
    """Return four strokes of each of two classes that lie `apart`, and pixels of the image."""

    def made(apart):
        random = np.random.default_rng(0)
        labels = np.repeat([2, 7], 400)
        centres = (labels == 7)[:, None] * np.float32(apart)
        values = (random.normal(size=(800, 2)) + centres).astype(np.float32)
        strokes = StrokeSamples(PixelSamples(values, labels), np.repeat(np.arange(1, 9), 100))
        return strokes, values

    return made


def assessed(strokes, values):
    work = cross_validating(strokes, nearest_means, DEEP_PRIOR)
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as finished:
            votes = nearest_means(strokes.samples)(values)
            return finished.value.assessment(values, votes), steps


def test_plain_classes_are_told_from_confused_ones(blobs):
    plain, _ = assessed(*blobs(6.0))
    confused, _ = assessed(*blobs(0.5))

    assert plain.accuracy.value > 0.97 > confused.accuracy.value
    assert min(plain.recalls.values()) > 0.97 > max(confused.recalls.values())
    assert plain.recognises and not assessed(*blobs(0.0))[0].recognises
    assert plain.settled
    assert plain.unsettled < confused.unsettled


def test_intervals_hold_their_value_and_fractions_add_up(blobs):
    told, _ = assessed(*blobs(1.5))

    for estimate in (told.accuracy, *told.fractions.values()):
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert told.fractions.keys() == {2, 7}
    assert sum(part.value for part in told.fractions.values()) == pytest.approx(1)


def test_work_is_told_in_rising_steps_and_the_curve_in_rising_strokes(blobs):
    told, steps = assessed(*blobs(1.5))

    assert steps == sorted(steps)
    assert 0 < steps[0] < steps[-1] <= 1
    strokes = [point.strokes for point in told.curve]
    assert strokes == sorted(set(strokes))
    assert strokes[-1] == 8


def test_one_stroke_of_a_class_is_halved_along_its_length():
    scribbles = np.zeros((20, 40), np.uint8)
    scribbles[3:5, 2:32] = 1
    scribbles[10, 5:9] = scribbles[15, 5:9] = 2

    pieces = np.zeros(scribbles.shape, int)
    pieces[scribbles > 0] = stroke_pieces({(): scribbles})[0]

    left, right = np.unique(pieces[3:5, 2:17]), np.unique(pieces[3:5, 17:32])
    assert left.size == right.size == 1
    assert left != right
    assert len(np.unique(pieces)) == 5
    assert pieces[scribbles > 0].all()


def test_touching_strokes_of_two_classes_are_two():
    scribbles = np.zeros((6, 6), np.uint8)
    scribbles[1:3, 1:3], scribbles[3:5, 3:5] = 1, 2

    assert stroke_numbers(scribbles).max() == 2


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_strokes_are_the_connected_pieces_of_each_class(dtype):
    random = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.4, 0.8, 1.0):
        drawn = random.integers(1, 4, (60, 70)) * (random.uniform(size=(60, 70)) < share)
        scribbles = np.asfortranarray(drawn.astype(dtype))
        expected, strokes = np.zeros(scribbles.shape, int), 0
        for value in (1, 2, 3):
            pieces, count = label(scribbles == value, np.ones((3, 3)))
            expected[pieces > 0] = pieces[pieces > 0] + strokes
            strokes += count

        np.testing.assert_array_equal(stroke_numbers(scribbles), expected[scribbles > 0])
        np.testing.assert_array_equal(np.stack(painted_pixels(scribbles)), np.nonzero(scribbles))
        told = count_scribbles({(): scribbles})
        assert told.strokes == strokes
        assert sum(told.pixels.values()) == np.count_nonzero(scribbles)


def test_a_single_pixel_cannot_be_left_out():
    labels = np.array([1, 2, 2])
    samples = PixelSamples(np.zeros((3, 1), np.float32), labels)

    assert not StrokeSamples(samples, np.array([1, 2, 3])).assessable


@pytest.mark.parametrize("temperature", [0.3, 0.64, 1.0, 3.0])
def test_calibration_keeps_the_order_of_the_classes(temperature):
    votes = np.random.default_rng(0).dirichlet([0.5, 0.5, 0.5], 500).astype(np.float32)

    probabilities = calibrated(votes, temperature)

    np.testing.assert_array_equal(probabilities.argmax(axis=1), votes.argmax(axis=1))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_many_strokes_overrule_the_prior_and_few_do_not():
    random = np.random.default_rng(0)
    shares = random.uniform(0.5, 1, 4000).astype(np.float32)
    truth = (random.uniform(size=4000) > calibrated(np.c_[shares, 1 - shares], 2.0)[:, 0]) * 1
    votes = np.c_[shares, 1 - shares]

    many = fit_temperature(HeldOutVotes(votes, truth, np.arange(4000)), DEEP_PRIOR)
    few = fit_temperature(
        HeldOutVotes(votes, truth, np.arange(4000) // 2000 * 2 + truth), DEEP_PRIOR
    )

    assert many > 1.5
    assert few == pytest.approx(DEEP_PRIOR.typical, rel=0.2)
