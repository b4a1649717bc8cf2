import numpy as np
import pytest

from napari_alibi_seg.core.forest.stroke_margins import in_margin
from napari_alibi_seg.core.forest.strokes import painted_pixels, stroke_numbers


def without_margins(scribbles):
    rows, columns = painted_pixels(scribbles)
    margin = in_margin(rows, columns, scribbles)
    kept = scribbles.copy()
    kept[rows[margin], columns[margin]] = 0
    return kept


@pytest.mark.parametrize(("wide", "left"), [(1, 1), (5, 5), (8, 8), (9, 5), (10, 6), (20, 16)])
def test_wide_strokes_lose_their_margins_on_all_sides(wide, left):
    scribbles = np.zeros((40, 60), np.uint8)
    scribbles[5 : 5 + wide, 10:50] = 3
    kept = without_margins(scribbles)
    assert set(np.unique(kept)) == {0, 3}
    assert (kept[:, 30] > 0).sum() == left
    np.testing.assert_array_equal(kept[:, 10:50], kept[:, 10:50][:, ::-1])
    trimmed = (wide - left) // 2
    assert kept[5 + trimmed, 30] == kept[4 + wide - trimmed, 30] == 3
    assert (kept[5 + wide // 2] > 0).sum() == 40 - 2 * trimmed


def test_a_thin_part_of_a_wide_stroke_stays():
    scribbles = np.zeros((30, 60), np.uint8)
    scribbles[10:19, 5:20] = 2
    scribbles[14, 20:55] = 2
    kept = without_margins(scribbles)
    assert (kept[14, 30:55] == 2).all()
    assert not kept[10].any()


def test_the_border_of_the_plane_is_no_margin():
    scribbles = np.ones((8, 13), np.uint8)
    assert (without_margins(scribbles) == 1).all()
    scribbles[:, 6:] = 2
    kept = without_margins(scribbles)
    np.testing.assert_array_equal(kept, [[1] * 4 + [0] * 4 + [2] * 5] * 8)


def test_of_any_scribbles_every_stroke_keeps_some_pixels():
    rng = np.random.default_rng(0)
    for sigma in range(1, 6):
        blurred = np.kron(rng.integers(0, 4, (40 // sigma, 50 // sigma)), np.ones((sigma,) * 2))
        scribbles = blurred.astype(np.uint16)
        numbers = np.zeros(scribbles.shape, int)
        numbers[painted_pixels(scribbles)] = stroke_numbers(scribbles)
        kept = without_margins(scribbles)
        assert ((kept == scribbles) | (kept == 0)).all()
        assert set(numbers[kept > 0]) == set(numbers[scribbles > 0])
