import numpy as np
import pytest

from napari_alibi_seg.core.forest.strokes import (
    painted_pixels,
    stroke_numbers,
    stroke_pieces,
    training_pixels,
)

ROWS, COLUMNS = np.mgrid[:60, :60]


def trained(scribbles):
    """The scribbles without the pixels that do not train."""
    kept = np.zeros_like(scribbles)
    pixels = training_pixels(scribbles)
    kept[pixels] = scribbles[pixels]
    return kept


@pytest.mark.parametrize(("wide", "left"), [(1, 1), (5, 5), (8, 8), (9, 5), (10, 6), (20, 16)])
def test_wide_strokes_lose_two_pixels_on_each_side(wide, left):
    scribbles = np.zeros((60, 60), np.uint16)
    scribbles[5 : 5 + wide] = 300
    kept = trained(scribbles)
    trimmed = (wide - left) // 2
    expected = np.zeros_like(scribbles)
    expected[5 + trimmed : 5 + wide - trimmed] = 300
    np.testing.assert_array_equal(kept, expected)


def test_a_dot_of_a_wide_brush_keeps_its_middle():
    scribbles = (np.hypot(ROWS - 30, COLUMNS - 30) < 6).astype(np.uint8)
    kept = trained(scribbles)
    assert 0.3 * scribbles.sum() < kept.sum() < 0.6 * scribbles.sum()
    assert kept[30, 30]


def test_thin_parts_of_a_stroke_stay_unless_close_to_a_wide_one():
    scribbles = np.zeros((60, 60), np.uint8)
    scribbles[10:19, 5:20] = 2
    scribbles[14, 20:55] = 2
    kept = trained(scribbles)
    assert (kept[14, 7:18] == 2).all()
    assert not kept[14, 20:24].any()
    assert (kept[14, 25:55] == 2).all()
    assert not kept[10].any()


def test_another_class_is_an_edge_but_the_border_of_the_plane_is_none():
    scribbles = np.ones((8, 13), np.uint8)
    assert (trained(scribbles) == 1).all()
    scribbles[:, 6:] = 2
    np.testing.assert_array_equal(trained(scribbles), [[1] * 4 + [0] * 4 + [2] * 5] * 8)


def test_what_margins_separate_is_still_one_stroke_to_leave_out():
    scribbles = np.zeros((60, 60), np.uint8)
    scribbles[10:25, 5:20] = scribbles[10:25, 35:50] = scribbles[16:19, 20:35] = 1
    scribbles[40:44, 5:50:2] = 2
    assert stroke_numbers(trained(scribbles)).max() > stroke_numbers(scribbles).max()
    [pieces] = stroke_pieces({(): scribbles})
    assert len(pieces) == len(training_pixels(scribbles)[0])
    labels = scribbles[training_pixels(scribbles)]
    assert len(np.unique(pieces[labels == 1])) == 2  # halves of the only stroke of its class


def test_of_a_plane_painted_all_over_some_pixels_of_every_class_train():
    scribbles = np.ones((900, 800), np.uint8)
    scribbles[:, 400:] = 2
    scribbles[200:203, 100:140] = 3
    labels = scribbles[training_pixels(scribbles)]
    values, counts = np.unique(labels, return_counts=True)
    assert values.tolist() == [1, 2, 3]
    assert counts[2] == 120
    assert 30_000 < counts[:2].min() < counts[:2].max() < 35_000
    [pieces] = stroke_pieces({(): scribbles})
    assert len(pieces) == len(labels)


def test_every_stroke_keeps_pixels():
    rng = np.random.default_rng(0)
    for side in range(1, 12):
        drawn = rng.integers(0, 4, (100 // side, 120 // side))
        scribbles = np.kron(drawn, np.ones((side, side))).astype(np.uint8)
        numbers = np.zeros(scribbles.shape, int)
        numbers[painted_pixels(scribbles)] = stroke_numbers(scribbles)
        assert set(numbers[training_pixels(scribbles)]) == set(numbers[scribbles > 0])
