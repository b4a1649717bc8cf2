import math

import numpy as np
import pytest

from napari_alibi_seg.core.features.tiling import (
    HALO,
    PATCH,
    TILE,
    add_tile,
    spans,
    tiles,
    usual_tiles,
)

LENGTHS = [1, 7, 28, 29, 31, 52, 53, 147, 586]
TILINGS = [(28, 2), (28, 0), (40, 6), (8, 3)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("tile", "halo"), TILINGS)
def test_the_shares_of_a_token_have_sum_1(length, tile, halo):
    shares = np.zeros(length)
    for span in spans(length, tile, halo):
        assert span.stop - span.start == min(tile, length)
        shares[span.slice] += span.shares

    np.testing.assert_allclose(shares, 1)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("tile", "halo"), TILINGS[:3])
def test_a_tile_fades_in_and_out_inside_the_grid(length, tile, halo):
    for span in spans(length, tile, halo):
        steps = np.abs(np.diff([0.0, *span.shares, 0.0]))
        inside = steps[(span.start == 0) : len(steps) - (span.stop == length)]
        assert inside.max(initial=0) <= 1 / max(2 * halo, 1) + 1e-9


def test_tiles_that_agree_are_put_together_to_what_they_agree_on():
    whole = np.random.default_rng(0).normal(size=(53, 31, 3)).astype(np.float16)
    grid = np.zeros_like(whole)
    for tile in tiles((53, 31), 28, 2):
        add_tile(grid, tile, whole[tile.rows.slice, tile.columns.slice])

    np.testing.assert_allclose(grid, whole, rtol=2e-3, atol=1e-3)


def test_tiles_are_anchored_to_the_origin_except_the_last():
    starts = [span.start for span in spans(100, 28, 2)]
    assert starts == [0, 24, 48, 72]
    assert [span.start for span in spans(103, 28, 2)] == [0, 24, 48, 72, 75]


def test_a_small_grid_needs_one_tile():
    [tile] = tiles((5, 28), 28, 2)
    assert (tile.rows.start, tile.rows.stop, tile.columns.stop) == (0, 5, 28)
    assert set(tile.rows.shares) == {1.0}


@pytest.mark.parametrize("side", [1000, 3360, 5000])
@pytest.mark.parametrize("scale", [1, 3])
def test_how_many_tiles_there_will_be_is_known_about(side, scale):
    rows = math.ceil(side * scale / PATCH)
    there = len(tiles((rows, rows), TILE, HALO))
    assert usual_tiles(side**2, scale) == pytest.approx(there, rel=0.1)
