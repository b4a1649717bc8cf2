"""Which files become pictures, and what random crops of them look like."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import torch
import zarr
from PIL import Image

from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.runs.results import stack_writer
from napari_alibi_seg.finetune.config import FinetuneConfig
from napari_alibi_seg.finetune.crops import Crops, training_batches
from napari_alibi_seg.finetune.data import read_corpus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Texture = Callable[..., NDArray[np.uint8]]

CONFIG = FinetuneConfig(crop_sizes=(28, 56), crop_shares=(1.0, 3.0), held_out=0.3)
PLAIN = replace(CONFIG, grey=0.0, brightness=0.0, contrast=0.0, noise=0.0)


@pytest.fixture
def mixed(tmp_path: Path, texture: Texture) -> Path:
    """One file of each kind that is read, in folders, and six that are not."""
    deeper = tmp_path / "a" / "b"
    deeper.mkdir(parents=True)
    Image.fromarray(texture(0)).save(tmp_path / "grey.png")
    Image.fromarray(texture(1, (64, 64, 3))).save(deeper / "colour.jpg")
    tifffile.imwrite(deeper / "deep.tif", texture(2).astype(np.uint16) * 150 + 4000)
    pages = np.stack([texture(seed) for seed in range(10, 13)])
    tifffile.imwrite(tmp_path / "pages.tif", pages, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "written.tif") as written:
        for seed, shape in enumerate([(64, 64), (64, 64), (16, 16)]):
            written.write(texture(seed, shape), compression="deflate" if seed else None)
    channels = {"axes": "CYX"}
    tifffile.imwrite(tmp_path / "channels.tif", pages[:2, :40], metadata=channels, imagej=True)
    zarr.save_array(str(tmp_path / "a" / "lazy.zarr"), texture(5))
    (tmp_path / "truncated.png").write_bytes((tmp_path / "grey.png").read_bytes()[:200])
    (tmp_path / "notes.txt").write_text("no picture")
    Image.fromarray(texture(3, (20, 90))).save(tmp_path / "narrow.png")
    tifffile.imwrite(tmp_path / "many.tif", np.stack([pages, pages]), photometric="minisblack")
    tifffile.imwrite(tmp_path / "blank.tif", np.full((64, 64), np.nan, np.float32))
    Image.fromarray(np.full((64, 64), 7, np.uint8)).save(tmp_path / "constant.png")
    return tmp_path


def test_every_kind_is_read_and_the_rest_is_skipped_by_name(mixed: Path) -> None:
    corpus = read_corpus([mixed], CONFIG)
    pictures = corpus.training + corpus.validation

    planes = sorted((picture.name, picture.number, picture.index) for picture in pictures)
    assert planes == [
        ("a/b/colour.jpg", 0, ()),
        ("a/b/deep.tif", 0, ()),
        ("a/lazy.zarr", 0, ()),
        ("channels.tif", 0, (0,)),
        ("channels.tif", 0, (1,)),
        ("grey.png", 0, ()),
        ("pages.tif", 0, (0,)),
        ("pages.tif", 0, (1,)),
        ("pages.tif", 0, (2,)),
        ("written.tif", 0, ()),
        ("written.tif", 1, ()),
    ]
    unread = {"truncated.png", "narrow.png", "many.tif", "blank.tif", "constant.png"}
    assert set(corpus.skipped) == unread
    assert not any("--" in reason for reason in corpus.skipped.values())


def test_hidden_files_and_earlier_results_in_folders_are_no_pictures(
    images: Path, texture: Texture, tmp_path: Path
) -> None:
    below = tmp_path / "below"
    shutil.copytree(images, below)
    copies = below / ".checkpoints"
    copies.mkdir()
    for path in (copies / "a.png", below / "._0.png", below / "0_labels.tif"):
        tifffile.imwrite(path, texture(8))
    image = as_micrograph(texture(0))
    with stack_writer(below / "mine.tif", image, np.uint8) as write:
        write((), texture(9))

    corpus = read_corpus([tmp_path], CONFIG)
    assert len(corpus.training + corpus.validation) == len([*images.iterdir()])
    assert not corpus.skipped
    named = read_corpus([below / "mine.tif", below / "0_labels.tif"], CONFIG)
    assert len(named.training + named.validation) == 2


def test_a_zarr_is_one_picture_whatever_its_name(tmp_path: Path, texture: Texture) -> None:
    for seed, name in enumerate(("deeper/plain", "deeper/named.zarr")):
        array = zarr.create_array(str(tmp_path / name), data=texture(seed), chunks=(40, 40))
        assert array.shape == (96, 80)
    (tmp_path / "deeper" / "masks.npz").write_text("no picture")
    corpus = read_corpus([tmp_path], CONFIG)
    names = {picture.name for picture in corpus.training + corpus.validation}
    assert names == {"deeper/plain", "deeper/named.zarr"}
    assert not corpus.skipped


def test_copies_are_not_both_trained_on_and_held_out(tmp_path: Path, texture: Texture) -> None:
    (tmp_path / "more").mkdir()
    for number in range(20):
        Image.fromarray(texture(number % 4)).save(tmp_path / "more" / f"{number:02}.png")
    stack = np.stack([texture(4), texture(5), texture(5)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    corpus = read_corpus([tmp_path], CONFIG)
    pictures = corpus.training + corpus.validation
    assert [(p.name, p.index) for p in sorted(pictures, key=lambda p: (p.name, p.index))] == [
        *((f"more/{number:02}.png", ()) for number in range(4)),
        ("stack.tif", (0,)),
        ("stack.tif", (1,)),
    ]
    assert len({picture.content for picture in pictures}) == len(pictures)
    assert corpus.skipped["more/04.png"] == "more/04.png shows the same pixels as more/00.png."
    assert len(corpus.skipped) == 16
    assert corpus._bytes == 6 * texture(0).nbytes


def test_planes_beyond_memory_are_read_anew_from_where_they_were(mixed: Path) -> None:
    kept, anew = (read_corpus([mixed], replace(CONFIG, memory=m)) for m in (1.0, 1e-9))
    assert kept.digest() == anew.digest()
    for picture in kept.training + kept.validation:
        np.testing.assert_array_equal(kept.pixels(picture), anew.pixels(picture))


def test_sixteen_bits_are_stretched_like_eight(mixed: Path, texture: Texture) -> None:
    corpus = read_corpus([mixed], CONFIG)
    (deep,) = [p for p in corpus.training + corpus.validation if p.name == "a/b/deep.tif"]
    pixels = corpus.pixels(deep)[..., 0].astype(float)
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert np.corrcoef(pixels.ravel(), texture(2).ravel())[0, 1] > 0.999


def test_split_depends_on_names_alone(images: Path, tmp_path: Path) -> None:
    one = read_corpus([images], CONFIG)
    for path in images.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "3.png").unlink()
    other = read_corpus([tmp_path], CONFIG)

    def names(pictures):
        return {picture.name for picture in pictures}

    assert names(one.training) - {"3.png"} == names(other.training)
    assert names(one.validation) - {"3.png"} == names(other.validation)
    assert one.digest() != other.digest()


def test_pictures_decoded_twice_take_their_memory_once(mixed: Path) -> None:
    corpus = read_corpus([mixed], CONFIG)
    taken = corpus._bytes
    corpus.look_into(mixed / "grey.png", "grey.png")
    assert corpus._bytes == taken > 0


def test_pictures_beyond_memory_are_the_same_when_read_anew(images: Path) -> None:
    kept = read_corpus([images], CONFIG)
    anew = read_corpus([images], replace(CONFIG, memory=1e-9))
    for picture, other in zip(kept.training, anew.training, strict=True):
        np.testing.assert_array_equal(kept.pixels(picture), anew.pixels(other))
    assert kept.digest() == anew.digest()


def test_crops_are_functions_of_seed_and_key(images: Path) -> None:
    corpus = read_corpus([images], CONFIG)
    crops = Crops.of(CONFIG, corpus, corpus.training)
    keys = [(1, 0, 0, number) for number in range(8)]
    batch = crops.batch(56, keys)

    assert batch.shape == (8, 3, 56, 56)
    torch.testing.assert_close(crops.batch(56, keys[3:5]), batch[3:5], rtol=0, atol=0)
    assert len({crop.sum().item() for crop in batch}) == 8
    other = Crops.of(replace(CONFIG, seed=1), corpus, corpus.training).batch(56, keys)
    assert not torch.equal(other, batch)


def test_crops_without_changes_keep_the_range(images: Path) -> None:
    corpus = read_corpus([images], PLAIN)
    batch = Crops.of(PLAIN, corpus, corpus.training).batch(56, [(1, 0, 0, n) for n in range(16)])
    assert batch.min() >= 0
    assert batch.max() <= 1
    assert batch.std(dim=(1, 2, 3)).min() > 0.05


def test_grey_share_decides_which_crops_have_colour(images: Path) -> None:
    for grey, coloured in ((0.0, True), (1.0, False)):
        config = replace(PLAIN, grey=grey)
        corpus = read_corpus([images], config)
        batch = Crops.of(config, corpus, corpus.training).batch(
            28, [(1, 0, 0, n) for n in range(20)]
        )
        assert bool((batch.std(dim=1) > 1e-3).any()) is coloured


def test_batches_follow_shares_and_have_about_equal_tokens() -> None:
    config = replace(CONFIG, batch_tokens=64)
    batches = [training_batches(config, step, 14, 1)[0] for step in range(400)]

    assert {len(batch.keys) * (batch.size // 14) ** 2 for batch in batches} == {64}
    share = sum(batch.size == 56 for batch in batches) / len(batches)
    assert share == pytest.approx(0.75, abs=0.08)
    keys = [key for batch in batches for key in batch.keys]
    assert len(set(keys)) == len(keys)


def test_every_process_gets_a_crop() -> None:
    config = replace(CONFIG, crop_sizes=(56,), crop_shares=(1.0,), batch_tokens=16)
    assert len(training_batches(config, 0, 14, 4)[0].keys) == 4


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_is_as_good_as_any(tmp_path: Path, texture: Texture) -> None:
    for seed in range(2):
        picture = tmp_path / f"{seed}.png"
        Image.fromarray(texture(seed)).save(picture)
        os.rename(picture, os.fsencode(tmp_path) + b"/Gef\xfcge%d.png" % seed)
    corpus = read_corpus([tmp_path], CONFIG)
    assert len(corpus.training) == len(corpus.validation) == 1


def test_a_file_in_two_of_the_folders_is_taken_once(tmp_path: Path, texture: Texture) -> None:
    (tmp_path / "inner").mkdir()
    for seed in range(3):
        Image.fromarray(texture(seed)).save(tmp_path / "inner" / f"{seed}.png")
    corpus = read_corpus([tmp_path, tmp_path / "inner", tmp_path / "inner" / "0.png"], CONFIG)
    assert len(corpus.training) + len(corpus.validation) == 3
