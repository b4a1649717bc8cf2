import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from napari_alibi_seg.core.channels.classical import classical_channels, describe_classical
from napari_alibi_seg.core.channels.kinds import ChannelInfo, ChannelKind
from napari_alibi_seg.core.choices import SIGMAS
from napari_alibi_seg.core.forest.boundaries import across_a_step, boundary_pixels
from napari_alibi_seg.core.forest.samples import PixelSamples
from napari_alibi_seg.core.forest.training import growing_forest
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.planes import Depth, Plane
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.progress import run_to_end

SIDE, EDGE, BLUR = 80, 40, 0.8


def channels_of_a_step(bands, sigmas_3d=()):
    """Return channels along a row across a step from .2 to .7, blurred a little."""
    row = gaussian_filter1d(np.where(np.arange(SIDE) < EDGE, 0.2, 0.7), BLUR)
    grey = np.tile(row, (SIDE, 1))
    pixels = grey if bands == 1 else np.stack([grey, 1 - grey, 0.5 * grey], axis=-1)
    depth = Depth(np.stack([pixels] * 30), 15, 1.0) if sigmas_3d else None
    plane = Plane(pixels, Levels(0, 1), depth)
    return classical_channels(plane, Window(EDGE, 0, 1, SIDE), SIGMAS, sigmas_3d)[0]


@pytest.mark.parametrize(("bands", "sigmas_3d"), [(1, ()), (3, ()), (1, (1.0, 2.0))])
@pytest.mark.parametrize("side", [-1, 1])
def test_made_up_boundaries_are_what_the_filters_show_at_one(bands, sigmas_3d, side):
    row = channels_of_a_step(bands, sigmas_3d)
    channels = describe_classical(bands, SIGMAS, sigmas_3d)
    far, across = (row[3], row[-4]) if side < 0 else (row[-4], row[3])
    distance = np.array([0.5, 1.5, 2.5, 4.5])
    near = row[(EDGE - 0.5 + side * distance).astype(int)]

    made = across_a_step(
        *(np.tile(v, (4, 1)) for v in (far, across)), distance, np.full(4, BLUR), channels
    )

    scale = np.ptp(row, axis=0) + 1e-3
    assert np.abs((made - near) / scale).max() < 0.25
    assert np.abs((made - near) / scale).mean() < 0.05


def test_deep_channels_of_a_boundary_lie_between_those_of_the_phases():
    values = np.float32([[0.0], [1.0]])

    made = boundary_pixels(
        [ChannelInfo(ChannelKind.DEEP, 6.0)],
        values.repeat(50, axis=0),
        np.repeat([3, 8], 50),
        np.random.default_rng(0),
    )

    assert len(made.labels) == 30
    assert set(made.labels) == {3, 8}
    assert (made.labels + made.beyond == 11).all()
    own = values[(made.labels == 8).astype(int), 0]
    assert (np.abs(made.values[:, 0] - own) < 0.5).all()


def test_what_looks_like_a_third_phase_is_not_learnt_as_a_boundary_of_two_others():
    values = np.float32([[0.0], [0.5], [1.0]]).repeat(100, axis=0)
    labels = np.repeat([1, 2, 3], 100)
    seen, made = [], []

    def noted(values, random):
        seen.append(values[:, 0])
        return values

    def bound(values, labels, random):
        channels = [ChannelInfo(ChannelKind.GAUSSIAN, 0.0)]
        made.append(boundary_pixels(channels, values, labels, random))
        return made[-1]

    run_to_end(growing_forest([PixelSamples(values, labels)], 40, 0, vary=noted, bound=bound))

    assert (seen[0] == values[:, 0]).all()
    assert len(set(map(len, seen[1:]))) == 1
    [pixels] = made
    learnt = np.isin(pixels.values[:, 0], seen[-1][len(values) :])
    grey = np.abs(pixels.values[:, 0] - 0.5) < 0.2
    of_the_grey_phase = (pixels.labels == 2) | (pixels.beyond == 2)
    assert learnt[of_the_grey_phase].all()
    assert (grey & ~of_the_grey_phase).any()
    assert not learnt[grey & ~of_the_grey_phase].any()
