from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_alibi_seg.core.errors import ImageError, ModelError
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.model.debiasing import BlankProjected, FlipAveraged
from napari_alibi_seg.core.runs.results import stack_writer
from napari_alibi_seg.probing.inputs import ProbedModel, find_images, read_square, unique_names


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def gradient():
    return np.arange(60 * 100, dtype=np.float64).reshape(60, 100)


def test_folders_give_their_images_and_files_are_taken_as_they_are(tmp_path, gradient):
    pixels = gradient.astype(np.uint8)
    inside = [save(tmp_path / name, pixels) for name in ("a.png", "b.PNG")]
    save(tmp_path / ".hidden.png", pixels)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "deeper").mkdir()
    save(tmp_path / "deeper" / "c.png", pixels)
    assert find_images([tmp_path, inside[0]]) == (inside, {})
    assert find_images([tmp_path / "*.png"]) == ([inside[0]], {})


def test_a_file_named_in_two_ways_is_one_image_and_a_link_of_another_name_another(
    tmp_path, gradient, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", gradient.astype(np.uint8))
    assert find_images([Path("a.png"), tmp_path, tmp_path / "a.png"])[0] == [Path("a.png")]
    (tmp_path / "b.png").symlink_to("a.png")
    assert len(find_images([tmp_path])[0]) == 2


def test_copies_have_one_content_in_every_format_and_other_images_another(tmp_path, gradient):
    pixels = gradient.astype(np.uint8)
    copies = [save(tmp_path / f"a.{ending}", pixels) for ending in ("png", "bmp", "tif")]
    tifffile.imwrite(tmp_path / "deep.tif", pixels.astype(np.uint16) * 257)
    copies += [save(tmp_path / "rgb.png", np.stack([pixels] * 3, -1)), tmp_path / "deep.tif"]
    assert len({read_square(path).content for path in copies}) == 1
    pixels[30, 50] ^= 8
    assert read_square(save(tmp_path / "b.png", pixels)).content != read_square(copies[0]).content


def test_a_folder_without_images_is_named(tmp_path, gradient):
    image = save(tmp_path / "a.png", gradient.astype(np.uint8))
    (tmp_path / "empty").mkdir()
    found, unreadable = find_images([tmp_path / "empty", image])
    assert found == [image]
    assert [*unreadable] == [str(tmp_path / "empty")]


def test_an_empty_folder_is_an_error_that_says_what_to_give(tmp_path):
    with pytest.raises(ImageError, match=r"No image was found in .*\.png"):
        find_images([tmp_path])


def test_the_square_is_the_middle_of_the_image_stretched_to_its_levels(tmp_path, gradient):
    tifffile.imwrite(tmp_path / "wide.tif", gradient.astype(np.uint16))
    square = read_square(tmp_path / "wide.tif")
    assert square.shape == (60, 100)
    expected = (gradient[:, 20:80] / gradient.max()).clip(0, 1)
    assert square.pixels[..., 0] == pytest.approx(expected, abs=0.01)


def test_of_a_stack_the_middle_plane_is_taken(tmp_path, gradient):
    stack = np.stack([gradient * (plane == 2) for plane in range(5)]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    assert np.ptp(read_square(tmp_path / "stack.tif").pixels) > 0.9


def test_pages_that_nothing_names_are_a_stack_however_they_were_written(tmp_path, gradient):
    stack = [Image.fromarray(np.uint8(gradient / 40 * (plane == 2))) for plane in range(5)]
    stack[0].save(tmp_path / "pages.tif", save_all=True, append_images=stack[1:])
    with tifffile.TiffWriter(tmp_path / "written.tif") as written:
        for plane in stack:
            written.write(np.asarray(plane))
        written.write(np.zeros((20, 20), np.uint8))
    for name in ("pages.tif", "written.tif"):
        assert np.ptp(read_square(tmp_path / name).pixels) > 0.9


def test_what_cannot_be_used_is_told_without_options_that_there_are_not(tmp_path, gradient):
    many = np.zeros((2, 2, *gradient.shape), np.uint8)
    tifffile.imwrite(tmp_path / "many.tif", many, photometric="minisblack")
    with pytest.raises(ImageError, match="images of their own") as refused:
        read_square(tmp_path / "many.tif")
    assert "--" not in str(refused.value)


def test_a_constant_image_shows_nothing_of_a_model(tmp_path):
    constant = save(tmp_path / "constant.png", np.full((60, 100), 7, np.uint8))
    with pytest.raises(ImageError, match=r"constant\.png is constant"):
        read_square(constant)


@pytest.mark.parametrize("shape", [(8, 8), (55, 200), (200, 55)])
def test_a_thumbnail_shows_nothing_of_a_model(tmp_path, shape):
    pixels = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    with pytest.raises(ImageError, match=rf"a\.png is {min(shape)} px at its shortest; .* 56 px"):
        read_square(save(tmp_path / "a.png", pixels))


def test_a_view_covers_any_side_in_three_channels(tmp_path, gradient):
    view = read_square(save(tmp_path / "a.png", gradient.astype(np.uint8))).view(84)
    assert view.shape == (1, 3, 84, 84)
    assert 0 <= view.min() <= view.max() <= 1


def test_a_remedy_is_part_of_a_models_name():
    with pytest.raises(ModelError, match="no architecture 'nonsense'"):
        ProbedModel.load("timm:nonsense:weights.safetensors+flips")
    flips, blank = (ProbedModel.load(f"alibi-dinov2-s14+{remedy}") for remedy in ("flips", "blank"))
    assert isinstance(flips.backbone, FlipAveraged)
    assert isinstance(blank.backbone, BlankProjected)
    assert flips.label == "alibi-dinov2-s14+flips"
    assert flips.identity != blank.identity


def test_files_of_the_same_name_are_told_apart():
    paths = [Path("x/a.png"), Path("y/a.png"), Path("y/b.png")]
    assert [*unique_names(paths).values()] == [str(Path("x/a.png")), str(Path("y/a.png")), "b.png"]


def test_students_of_two_runs_have_names_of_their_own(placeless):
    names = ["runs/a/student.safetensors", "runs/b/student.safetensors", "alibi-dinov2-s14"]
    labels = [replace(placeless, name=name).label for name in names]
    assert labels == ["a/student", "b/student", "alibi-dinov2-s14"]


def test_earlier_results_in_a_folder_are_no_images(tmp_path, gradient):
    image = as_micrograph(gradient)
    save(tmp_path / "a.png", gradient.astype(np.uint8))
    with stack_writer(tmp_path / "mine.tif", image, np.uint8) as write:
        write((), np.ones(gradient.shape, np.uint8))
    assert find_images([tmp_path]) == ([tmp_path / "a.png"], {})
