import weakref
from importlib.resources import files

import numpy as np
import pytest
import torch

from napari_alibi_seg.core.devices import memory_shortage_explained
from napari_alibi_seg.core.errors import DeviceError
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.features.extraction import FeatureExtractor
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.micrograph import read_image
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.model.checkpoints import load_backbone

PATCH = 14


def cosine(one, other):
    one, other = one.astype(np.float64), other.astype(np.float64)
    norms = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return (one * other).sum(axis=-1) / norms


@pytest.fixture(scope="module")
def small_tiles():
    """Tiles of 8 tokens, so that a small image has many."""
    return FeatureExtractor(*load_backbone(), device="cpu", tile=8)


@pytest.fixture(scope="module")
def plane(micrograph_pixels):
    return Plane(micrograph_pixels, Levels(0, 255))


@pytest.mark.parametrize("shape", [(1, 1), (13, 15), (14, 14), (50, 130)])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_grid_covers_images_of_any_size(small_tiles, shape, scale):
    plane = Plane(np.random.default_rng(0).integers(0, 256, shape), Levels(0, 255))
    tokens = small_tiles.extract(plane, scale).tokens
    assert tokens.shape == (-(-shape[0] * scale // 14), -(-shape[1] * scale // 14), 384)
    assert tokens.dtype == np.float16
    assert np.isfinite(tokens).all()


def test_a_tile_is_the_backbones_answer_for_its_pixels(extractor, micrograph_pixels):
    side = 28 * PATCH
    padded = np.pad(micrograph_pixels, ((0, side - 150), (0, side - 170)), mode="reflect")
    plane = Plane(padded, Levels(0, 255))
    image = torch.from_numpy(padded / np.float32(255)).expand(1, 3, side, side)
    with torch.no_grad():
        expected = extractor.backbone(image, layer=10)[0].numpy()
    assert np.allclose(extractor.extract(plane, 1).tokens, expected, atol=0.02)


def test_the_model_sees_the_mean_of_channels_unless_they_are_three(small_tiles, plane):
    bands = np.dstack([plane.data, np.full_like(plane.data, 200), plane.data[::-1]]).astype(float)

    def tokens(pixels):
        return small_tiles.extract(Plane(pixels, plane.levels), 1).tokens

    two, three = tokens(bands[..., :2]), tokens(bands)
    assert cosine(two, tokens(bands[..., :2].mean(axis=-1))).min() > 0.999
    assert cosine(three, tokens(bands.mean(axis=-1))).min() < 0.99


def test_an_image_smaller_than_a_tile_is_what_its_mirrored_padding_is(extractor, plane):
    padded = np.pad(plane.data, ((0, 392 - 150), (0, 392 - 170)), mode="reflect")
    small = extractor.extract(plane, 1).tokens
    large = extractor.extract(Plane(padded, plane.levels), 1).tokens
    assert np.array_equal(small, large[: small.shape[0], : small.shape[1]])


def test_a_crop_by_whole_tiles_keeps_the_tokens_inside(small_tiles, plane):
    step = 4 * PATCH
    large = np.pad(plane.data, ((0, 130), (0, 110)), mode="reflect")
    inside = small_tiles.extract(Plane(large, plane.levels), 1).tokens[8:14, 8:14]
    crop = Plane(large[step:, step:], plane.levels)
    assert np.array_equal(small_tiles.extract(crop, 1).tokens[4:10, 4:10], inside)


def test_two_tilings_agree(small_tiles, extractor, plane):
    one, other = small_tiles.extract(plane, 1).tokens, extractor.extract(plane, 1).tokens
    assert cosine(one, other).mean() > 0.9


@pytest.mark.parametrize("dtype", [">u2", "i4", "f4", "f8"])
def test_features_do_not_depend_on_the_type_of_the_pixels(small_tiles, plane, dtype):
    other = Plane(plane.data.astype(dtype), plane.levels)
    assert np.array_equal(
        small_tiles.extract(other, 1).tokens, small_tiles.extract(plane, 1).tokens
    )


def test_grey_is_the_colour_with_three_equal_parts(small_tiles, plane):
    colour = Plane(np.dstack([plane.data] * 3), plane.levels)
    assert np.array_equal(
        small_tiles.extract(colour, 1).tokens, small_tiles.extract(plane, 1).tokens
    )


def test_magnified_tokens_look_at_the_same_places(extractor):
    """A dark and a bright half: the border between them lies at the same pixel at any scale."""
    texture = np.random.default_rng(0).integers(0, 60, (112, 224))
    texture[:, 112:] += 190
    plane = Plane(texture.astype(np.uint8), Levels(0, 255))
    for scale in (1, 2):
        features = extractor.extract(plane, scale)
        row = features.tokens[features.tokens.shape[0] // 2].astype(np.float64)
        left, right = row[0] / np.linalg.norm(row[0]), row[-1] / np.linalg.norm(row[-1])
        side = row @ (right - left)
        crossing = np.flatnonzero(np.diff(np.sign(side)))[0] + 0.5
        assert abs(features.stride * (crossing + 0.5) - 112) <= features.stride


def test_tiles_may_be_computed_in_any_order_and_left_out(small_tiles, plane):
    tiles = small_tiles.tiles(plane.shape, 1)
    expected = dict(small_tiles.compute(plane, tiles, 1))
    for tile, tokens in small_tiles.compute(plane, tiles[::-2], 1):
        assert np.array_equal(tokens, expected[tile])


def test_nothing_jumps_where_a_tile_ends(extractor):
    sandstone = files("napari_alibi_seg") / "samples/sandstone.png"
    plane = Plane(read_image(sandstone).data[:196, :336], Levels(0, 255))
    tokens = extractor.extract(plane, 2).tokens.astype(np.float64)
    change = np.linalg.norm(np.diff(tokens, axis=1), axis=-1).mean(axis=0)

    [_, tile] = extractor.tiles(plane.shape, 2)
    first = tile.columns.start + int(np.argmax(np.array(tile.columns.shares) > 0.5))
    assert change[first - 1] < 1.5 * change.mean()


def test_identity_follows_what_changes_features_but_not_the_models_name(small_tiles, extractor):
    keys = {extractor.identity(1).key, extractor.identity(2).key, small_tiles.identity(1).key}
    assert len(keys) == 3
    backbone, identity = load_backbone()
    renamed = type(identity)("another name", *[*vars(identity).values()][1:])
    assert FeatureExtractor(backbone, renamed, "cpu").identity(1).key == extractor.identity(1).key


@pytest.mark.parametrize("scale", [0, 5, -1])
def test_a_scale_out_of_range_is_refused(extractor, scale):
    with pytest.raises(ValueError, match="scale must be one of"):
        extractor.identity(scale)


def test_a_tile_that_is_no_larger_than_what_tiles_share_is_refused():
    with pytest.raises(ValueError, match="more than 4 tokens"):
        FeatureExtractor(*load_backbone(), device="cpu", tile=4)


class Crowded(torch.nn.Module):
    """A backbone whose memory holds so many tiles, and where nothing else may be left."""

    patch_size, channels, depth = 14, 3, 12

    def __init__(self, room):
        super().__init__()
        self.room, self.tried, self.left = room, [], []

    def forward(self, images, layer):
        assert not any(tensor() is not None for tensor in self.left)
        self.tried.append(len(images))
        hidden = images + 1
        self.left.append(weakref.ref(hidden))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("too many")
        return hidden[..., ::14, ::14].permute(0, 2, 3, 1)  # (B, 3, H, W) -> (B, h, w, 3)


def test_tiles_that_memory_does_not_hold_are_halved_once_the_failed_attempt_is_gone(
    plane, monkeypatch
):
    identity = load_backbone()[1]
    monkeypatch.setattr(FeatureExtractor, "_batch_size", lambda _: 8)
    crowded, roomy = Crowded(room=2), Crowded(room=8)
    few, many = (FeatureExtractor(one, identity, "cpu", 8) for one in (crowded, roomy))
    assert np.array_equal(few.extract(plane, 1).tokens, many.extract(plane, 1).tokens)
    assert max(roomy.tried) > 4
    assert crowded.tried[:3] == [roomy.tried[0], roomy.tried[0] // 2, 2]


def test_memory_for_not_even_one_tile_is_explained(plane):
    extractor = FeatureExtractor(Crowded(room=0), load_backbone()[1], "cpu", 8)
    with pytest.raises(DeviceError, match="does not suffice for the model and a tile"):
        extractor.extract(plane, 1)


def test_a_lack_of_memory_on_the_cpu_is_a_memory_error():
    with pytest.raises(MemoryError), memory_shortage_explained(torch.device("cpu")):
        torch.empty(2**60)


class Counting(FeatureExtractor):
    extracted = 0

    def extract(self, *args):
        self.extracted += 1
        return super().extract(*args)


@pytest.fixture
def counting():
    return Counting(*load_backbone(), device="cpu", tile=8)


def test_features_are_computed_once_per_content(counting, cache, plane):
    first = cache.get(plane, counting, 1)
    again = cache.get(Plane(plane.data.copy(), plane.levels), counting, 1)
    assert again is first
    cache.get(Plane(plane.data + 1, plane.levels), counting, 1)
    assert counting.extracted == 2


def test_the_memory_limit_forgets_the_longest_unused(counting, tmp_path, plane):
    cache = FeatureCache(memory_limit=1.5 * 11 * 13 * 384 * 2, folder=tmp_path)
    cache.get(plane, counting, 1)
    cache.get(Plane(plane.data + 1, plane.levels), counting, 1)
    cache.get(plane, counting, 1)
    assert counting.extracted == 3


def test_features_of_large_planes_outlive_the_program(counting, tmp_path, monkeypatch, plane):
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._LARGE_BYTES", 1000)
    first = FeatureCache(folder=tmp_path).get(plane, counting, 1)
    again = FeatureCache(folder=tmp_path).get(plane, counting, 1)
    assert counting.extracted == 1
    assert np.array_equal(first.tokens, again.tokens)
    assert again.stride == first.stride


@pytest.mark.parametrize("left", [0, 200])
def test_a_damaged_file_in_the_cache_is_made_again(counting, tmp_path, monkeypatch, plane, left):
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._LARGE_BYTES", 1000)
    FeatureCache(folder=tmp_path).get(plane, counting, 1)
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    FeatureCache(folder=tmp_path).get(plane, counting, 1)
    assert counting.extracted == 2
    assert np.load(path).any()


def test_the_disk_limit_removes_the_oldest(counting, tmp_path, monkeypatch, plane):
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._LARGE_BYTES", 1000)
    cache = FeatureCache(disk_limit=1, folder=tmp_path)
    cache.get(plane, counting, 1)
    cache.get(Plane(plane.data + 1, plane.levels), counting, 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_disk_cache_leaves_space_on_the_disk(counting, tmp_path, monkeypatch, plane):
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._LARGE_BYTES", 1000)
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._SPARED_BYTES", 1e18)
    FeatureCache(folder=tmp_path).get(plane, counting, 1)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_disk_cache_does_not_stop_the_work(counting, tmp_path, monkeypatch, plane):
    monkeypatch.setattr("napari_alibi_seg.core.features.cache._LARGE_BYTES", 1000)
    (tmp_path / "occupied").write_text("a file where the folder should be")
    assert FeatureCache(folder=tmp_path / "occupied").get(plane, counting, 1).tokens.any()
