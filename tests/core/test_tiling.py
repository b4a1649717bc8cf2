import pytest

from napari_alibi_seg.core.tiling import spans, tiles


@pytest.mark.parametrize("length", [1, 7, 28, 29, 31, 52, 53, 147, 586])
@pytest.mark.parametrize(("tile", "halo"), [(28, 2), (28, 0), (40, 6)])
def test_every_token_is_kept_once_with_its_context(length, tile, halo):
    covered = []
    for span in spans(length, tile, halo):
        assert span.start <= span.keep < span.stop <= span.start + tile
        assert span.keep == 0 or span.keep - span.start >= halo
        assert span.stop == length or span.start + tile - span.stop >= halo
        covered += range(span.keep, span.stop)
    assert covered == list(range(length))


def test_tiles_are_anchored_to_the_origin_except_the_last():
    starts = [span.start for span in spans(100, 28, 2)]
    assert starts == [0, 24, 48, 72]
    assert [span.start for span in spans(103, 28, 2)] == [0, 24, 48, 72, 75]


def test_a_small_grid_needs_one_tile():
    [tile] = tiles((5, 28), 28, 2)
    assert (tile.rows.start, tile.rows.stop, tile.columns.stop) == (0, 5, 28)
