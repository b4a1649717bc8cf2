import numpy as np
import pytest

from napari_alibi_seg.core.features.upsampling import upsampled_block, upsampled_points
from napari_alibi_seg.core.images.windows import Window


@pytest.fixture
def tokens():
    return np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)


def test_pixels_at_token_centres_are_the_tokens(tokens):
    odd = upsampled_block(tokens, 5.0, Window(0, 0, 25, 30))
    assert np.allclose(odd[2::5, 2::5], tokens, atol=1e-6)


def test_at_an_even_stride_four_pixels_share_a_centre(tokens):
    block = upsampled_block(tokens, 14.0, Window(0, 0, 70, 84))
    around = [block[i::14, j::14] for i in (6, 7) for j in (6, 7)]
    assert np.allclose(np.mean(around, axis=0)[1:-1, 1:-1], tokens[1:-1, 1:-1], atol=0.15)


def test_a_ramp_stays_a_ramp_between_the_outermost_centres():
    ramp = np.arange(6, dtype=np.float32)[None, :, None].repeat(5, axis=0)
    line = upsampled_block(ramp, 14.0, Window(0, 0, 70, 84))[30, :, 0]
    inside = slice(7, 77)
    assert np.allclose(line[inside], (np.arange(84)[inside] + 0.5) / 14 - 0.5, atol=1e-5)
    assert line[0] == 0
    assert line[-1] == 5


def test_interpolation_commutes_with_projection(tokens):
    matrix = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)
    window = Window(3, 4, 40, 50)
    first = upsampled_block(tokens @ matrix, 14.0, window)
    last = upsampled_block(tokens, 14.0, window) @ matrix
    assert np.allclose(first, last, atol=1e-5)


@pytest.mark.parametrize("stride", [14.0, 7.0, 14 / 3])
def test_points_and_blocks_agree_to_the_bit(tokens, stride):
    rows, columns = np.array([0, 3, 9, 22]), np.array([27, 5, 0, 13])
    block = upsampled_block(tokens, stride, Window(0, 0, 23, 28))
    points = upsampled_points(tokens, stride, rows, columns)
    assert np.array_equal(points, block[rows, columns])
