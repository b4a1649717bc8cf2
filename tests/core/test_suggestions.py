import numpy as np

from napari_alibi_seg.core.judging.suggestions import grid_step, next_spots


def spots_of(doubt, painted, step):
    """Return the spots of a plane with data everywhere."""
    return next_spots(votes_of(doubt), painted, step, np.zeros(doubt.shape, bool))


def votes_of(doubt):
    """Return votes of two classes with the margin 1 - doubt."""
    return np.stack([1 - doubt / 2, doubt / 2], axis=-1).astype(np.float32)


def test_the_first_spot_lies_in_the_doubtful_region_and_not_on_a_boundary():
    doubt = np.zeros((64, 64))
    doubt[:, 30] = 1
    doubt[10:20, 44:56] = 0.8

    first = spots_of(doubt, np.zeros((256, 256), bool), 4)[0]

    assert 40 <= first.row < 80
    assert 176 <= first.column < 224
    assert first.worth == 1


def test_spots_keep_away_from_strokes_and_from_each_other():
    painted = np.zeros((256, 256), bool)
    painted[:, :100] = True

    spots = spots_of(np.full((64, 64), 0.5), painted, 4)

    places = np.array([(spot.row, spot.column) for spot in spots])
    assert len(spots) == 8
    assert places[:, 1].min() > 120
    gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + np.eye(8) * 1e9
    assert gaps.min() > 40
    assert [spot.worth for spot in spots] == sorted((s.worth for s in spots), reverse=True)


def test_nothing_is_suggested_where_all_is_clear():
    assert spots_of(np.zeros((8, 8)), np.zeros((32, 32), bool), 4) == ()


def test_a_grid_has_few_points_and_fits_blocks():
    for shape in ((64, 64), (512, 512), (4096, 4096), (900, 30_000)):
        step = grid_step(shape)
        assert 64 % step == 0
        assert shape[0] * shape[1] / step**2 <= 20_000


def test_no_spot_lies_at_the_border_however_doubtful_it_is_there():
    doubt = np.full((64, 64), 0.9)
    doubt[3:-3, 3:-3] = 0.2

    spots = spots_of(doubt, np.zeros((256, 256), bool), 4)

    places = np.array([(spot.row, spot.column) for spot in spots])
    assert len(spots) == 8
    assert places.min() >= 16
    assert places.max() < 240


def test_a_plane_of_few_pixels_has_spots_too():
    for shape in ((24, 24), (7, 300), (1, 1)):
        h, w = (-(-length // 2) for length in shape)

        assert spots_of(np.full((h, w), 0.5), np.zeros(shape, bool), 2)
