import errno
import json
import shutil
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import tifffile

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import ProjectError, ScribbleError
from napari_alibi_seg.core.images.micrograph import ImageFile, as_micrograph, read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.runs.project import (
    Project,
    SparseScribbles,
    content_hash,
    keep_image,
    open_image,
)
from napari_alibi_seg.core.runs.project_files import load_project, save_project
from napari_alibi_seg.core.segmentation import Segmenter

CONFIG = SegmentationConfig(CLASSICAL, channels=ChannelConfig(8, sigmas=(0.7, 2.8)), trees=10)
CLASSES = (ClassInfo(3, "dark", (1, 2, 3)), ClassInfo(1, "bright", (4, 5, 6)))


@pytest.fixture
def folder(tmp_path, micrograph_pixels):
    (tmp_path / "images").mkdir()
    (tmp_path / "projects").mkdir()
    tifffile.imwrite(tmp_path / "images/alloy.tif", micrograph_pixels)
    return tmp_path


@pytest.fixture
def project_on(folder):
    def made(scribbles, ignored=frozenset()):
        file = ImageFile(folder / "images/alloy.tif")
        image = file.read()
        strokes = SparseScribbles.of(image, scribbles)
        return Project(strokes, CLASSES, ignored, CONFIG, file, content_hash(image))

    return made


def test_a_project_comes_back_as_it_was_saved(folder, project_on, scribbles):
    saved = project_on(scribbles, frozenset({7}))
    save_project(saved, str(folder / "projects/p.alibi"))

    loaded = load_project(str(folder / "projects/p.alibi"))

    np.testing.assert_array_equal(loaded.scribbles.array(), scribbles)
    assert (loaded.classes, loaded.ignored, loaded.config) == (CLASSES, {7}, CONFIG)
    assert (loaded.image, loaded.content) == (saved.image, saved.content)


def test_a_pixel_size_that_the_image_does_not_tell_comes_with_the_project(
    folder, project_on, scribbles
):
    path, size = folder / "projects/p.alibi", PixelSize("nm", None, 4.0, 5.0)
    save_project(project_on(scribbles), path)
    assert open_image(load_project(path), path).pixel_size is None

    save_project(replace(project_on(scribbles), pixel_size=size), path)

    assert open_image(load_project(path), path).pixel_size == size


def test_3d_filters_and_the_spacing_seen_come_with_the_project_and_the_oldest_have_none(
    folder, project_on, scribbles
):
    path = folder / "projects/p.alibi"
    config = replace(CONFIG, channels=replace(CONFIG.channels, sigmas_3d=(1.4, 2.8)))
    save_project(replace(project_on(scribbles), config=config, spacing=2.5), path)
    assert load_project(path).config == config
    assert open_image(load_project(path), path).spacing == 2.5

    def older(content):
        header = json.loads(content)
        channels = header["config"]["channels"]
        del channels["sigmas_3d"], channels["flatten"], header["spacing"]
        return json.dumps(header)

    replaced(path, "project.json", older)
    plain = replace(CONFIG, channels=replace(CONFIG.channels, flatten=False))
    assert load_project(path).config == plain
    assert open_image(load_project(path), path).spacing is None


def test_the_image_is_named_relative_to_the_project(folder, project_on, scribbles, tmp_path):
    save_project(project_on(scribbles), folder / "projects/p.alibi")
    with zipfile.ZipFile(folder / "projects/p.alibi") as archive:
        told = json.loads(archive.read("project.json"))
    assert told["image"]["path"] == "../images/alloy.tif"
    assert str(tmp_path) not in json.dumps(told)

    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("images", "projects"):
        shutil.move(folder / name, moved / name)
    project = load_project(moved / "projects/p.alibi")
    image = open_image(project, moved / "projects/p.alibi")
    assert image.path == moved / "images/alloy.tif"


def test_the_options_to_read_the_image_with_come_with_the_project(folder, project_on, scribbles):
    path, size = folder / "projects/p.alibi", PixelSize("nm", 8.0, 4.0, 4.0)
    measured = {"spacing": 2.0, "pixel_size": size}
    image = ImageFile(folder / "images/alloy.tif", "YX", "0", **measured)
    save_project(replace(project_on(scribbles), image=image), path)
    assert load_project(path).image == image
    opened = open_image(load_project(path), path)
    assert {name: getattr(opened, name) for name in measured} == measured


def test_a_project_of_a_region_is_refused(folder, project_on, scribbles):
    image = ImageFile(folder / "images/alloy.tif", region=np.s_[:-40, :])
    with pytest.raises(ProjectError, match="leave the region out"):
        replace(project_on(scribbles), image=image)


def test_a_project_is_segmented_as_its_image_and_scribbles_are(folder, project_on, scribbles):
    ignoring = scribbles.copy()
    ignoring[:10] = 7
    project = project_on(ignoring, frozenset({7}))
    image = open_image(project, folder / "p.alibi")

    segmenter = Segmenter(CONFIG, "cpu")
    [(index, found)] = project.segment(segmenter, project.fit(segmenter, image), image)

    classifier = segmenter.fit(image, np.where(ignoring == 7, 0, ignoring))
    [(_, expected)] = segmenter.apply(classifier, image)
    assert index == ()
    np.testing.assert_array_equal(found.labels, np.where(ignoring == 7, 0, expected.labels))


def test_other_features_than_those_seen_are_refused(folder, project_on, scribbles):
    project = replace(project_on(scribbles), features="0" * 64)
    image = open_image(project, folder / "p.alibi")
    with pytest.raises(ProjectError, match="other features"):
        project.fit(Segmenter(CONFIG, "cpu"), image)


def test_strokes_on_many_planes_and_large_class_numbers_are_kept(micrograph_pixels):
    image = as_micrograph(np.stack([micrograph_pixels] * 3), "ZYX")
    scribbles = np.zeros(image.label_shape, np.int32)
    scribbles[0, 5, 5:9], scribbles[2, 149, 169] = 1, 300

    np.testing.assert_array_equal(SparseScribbles.of(image, scribbles).array(), scribbles)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, ">u2", np.int64, np.uint64])
def test_a_project_keeps_scribbles_of_any_type(micrograph, scribbles, tmp_path, dtype):
    drawn = scribbles.astype(dtype)
    drawn[0, :5] = min(2**16 - 1, np.iinfo(drawn.dtype).max)
    project = Project(SparseScribbles.of(micrograph, drawn), CLASSES, frozenset(), CONFIG)

    save_project(project, tmp_path / "p.alibi")

    np.testing.assert_array_equal(load_project(tmp_path / "p.alibi").scribbles.array(), drawn)


@pytest.mark.parametrize("value", [-1, 2**16])
def test_values_that_are_no_classes_are_refused(micrograph, scribbles, value):
    drawn = scribbles.astype(np.int64)
    drawn[0, 0] = value
    with pytest.raises(ScribbleError, match=str(value)):
        SparseScribbles.of(micrograph, drawn)


def test_strokes_are_gathered_while_the_person_paints_on(painting_on):
    image = as_micrograph(np.ones((600, 600), np.uint8))
    with painting_on(np.zeros((600, 600), np.uint8)) as scribbles:
        for _ in range(100):
            strokes = SparseScribbles.of(image, scribbles)
            assert len(strokes.positions) == len(strokes.values)
            assert strokes.values.min(initial=1) == 1


def test_a_missing_image_is_told_with_both_paths_and_what_to_do(folder, project_on, scribbles):
    project, path = project_on(scribbles), folder / "projects/p.alibi"
    (folder / "images/alloy.tif").unlink()
    with pytest.raises(ProjectError) as caught:
        open_image(project, path)
    told = str(caught.value)
    assert all(part in told for part in (str(project.image.path), str(path), "put it back"))


def test_a_changed_image_is_told_and_never_segmented(folder, project_on, scribbles):
    project, path = project_on(scribbles), folder / "projects/p.alibi"
    pixels = tifffile.imread(project.image.path)
    pixels[0, 0] ^= 1
    tifffile.imwrite(project.image.path, pixels)
    with pytest.raises(ProjectError) as caught:
        open_image(project, path)
    told = str(caught.value)
    assert all(part in told for part in (str(project.image.path), str(path), "put the original"))


@pytest.mark.parametrize(
    ("shape", "axes", "dtype"),
    [
        ((20, 30), "YX", np.uint8),
        ((20, 30, 3), "YXS", np.uint8),
        ((4, 20, 30), "ZYX", np.float32),
        ((2, 4, 20, 30), "TZYX", np.int64),
        ((4, 20, 30, 3), "ZYXS", np.uint16),
        ((20, 30), "YX", bool),
        ((1, 30), "YX", np.float16),
        ((20, 30, 5), "YXC", np.uint8),
        ((4, 20, 30, 2), "ZYXC", np.uint16),
        ((2, 3, 20, 30, 3), "TZYXC", np.float32),
        ((3, 20, 30, 4), "TYXC", bool),
    ],
)
def test_pixels_without_a_file_are_kept_beside_the_project(tmp_path, shape, axes, dtype):
    pixels = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    image = as_micrograph(pixels, axes, range(shape[-1]) if axes.endswith("C") else None)

    file = keep_image(image, content_hash(image), None, tmp_path / "p.alibi")

    assert file.path.parent == tmp_path
    assert file.read().axes == axes
    assert file.read().data.dtype == image.data.dtype
    np.testing.assert_array_equal(file.read().data, image.data)
    with tifffile.TiffFile(file.path) as tiff:
        assert dtype is bool or len(tiff.pages) == len(image.plane_indices())


def test_a_copy_whose_pages_are_rows_is_read_as_before(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (4, 20, 30, 2), np.uint16)
    image = as_micrograph(pixels, "ZYXC", (0, 1))
    path = keep_image(image, content_hash(image), None, tmp_path / "p.alibi").path
    tifffile.imwrite(path, pixels, photometric="minisblack")
    before = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 4 * 20
    again = keep_image(image, content_hash(image), None, tmp_path / "p.alibi")
    assert path.read_bytes() == before
    np.testing.assert_array_equal(again.read().data, pixels)


def test_a_file_with_these_pixels_is_named_and_not_copied(folder, micrograph_pixels):
    known, path = ImageFile(folder / "images/alloy.tif", "YX"), folder / "projects/p.alibi"
    image = read_image(known.path)
    assert keep_image(image, content_hash(image), known, path) == known
    assert not any(path.parent.iterdir())

    changed = as_micrograph(255 - micrograph_pixels)
    assert keep_image(changed, content_hash(changed), known, path).path.parent == path.parent


def test_a_kept_copy_never_replaces_that_of_another_image(tmp_path, micrograph_pixels):
    first, second = as_micrograph(micrograph_pixels), as_micrograph(255 - micrograph_pixels)
    kept = [keep_image(i, content_hash(i), None, tmp_path / "p.alibi") for i in (first, second)]
    assert kept[0].path != kept[1].path
    np.testing.assert_array_equal(kept[0].read().data, micrograph_pixels)


def replaced(path, name, change, compression=zipfile.ZIP_STORED):
    """Change one member of a project file."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.update(format="napari-alibi-seg project 99"),
        lambda header: header.update(shape=[5, 5]),
        lambda header: header.pop("classes"),
        lambda header: header.update(spacing="wide"),
        lambda header: header["config"].update(unheard_of=1),
        lambda header: header["config"].update(smoothing=-1),
        lambda header: header["config"].update(smoothing=2.5),
        lambda header: header["config"].update(trees=0),
        lambda header: header["config"].update(scale=5),
        lambda header: header["config"]["channels"].update(sigmas=[1e9]),
        lambda header: header["config"]["channels"].update(upsampler="magic"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(folder, project_on, scribbles, change):
    path = folder / "projects/p.alibi"
    save_project(project_on(scribbles), path)

    def changed(content):
        header = json.loads(content)
        change(header)
        return json.dumps(header)

    replaced(path, "project.json", changed)
    with pytest.raises(ProjectError, match="damaged"):
        load_project(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"no project"])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "p.alibi").write_bytes(content)
    with pytest.raises(ProjectError, match="damaged"):
        load_project(tmp_path / "p.alibi")


def test_a_project_damaged_anywhere_is_refused_or_still_whole(folder, project_on, scribbles):
    path, random = folder / "projects/p.alibi", np.random.default_rng(0)
    save_project(project_on(scribbles), path)
    whole = path.read_bytes()
    for _ in range(200):
        spoilt = bytearray(whole)
        for place in random.integers(len(whole), size=2):
            spoilt[place] = random.integers(256)
        path.write_bytes(spoilt)
        with suppress(ProjectError):
            loaded = load_project(path)
            np.testing.assert_array_equal(loaded.scribbles.array(), scribbles)
            assert (loaded.classes, loaded.config) == (CLASSES, CONFIG)


def test_nothing_in_a_project_is_unpickled(folder, project_on, scribbles):
    path = folder / "projects/p.alibi"
    save_project(project_on(scribbles), path)
    np.save(folder / "values.npy", np.array([print], dtype=object), allow_pickle=True)
    replaced(path, "values.npy", lambda _: (folder / "values.npy").read_bytes())
    with pytest.raises(ProjectError, match="damaged"):
        load_project(path)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 7, 5), (700, 500)])
def test_a_wholly_painted_image_is_a_project_too(shape, tmp_path):
    image = as_micrograph(np.zeros(shape, np.uint8), "TZYX"[-len(shape) :])
    drawn = np.full(shape, 2**16 - 1, np.uint16)
    project = Project(SparseScribbles.of(image, drawn), CLASSES, frozenset(), CONFIG)
    save_project(project, tmp_path / "p.alibi")
    np.testing.assert_array_equal(load_project(tmp_path / "p.alibi").scribbles.array(), drawn)


@pytest.mark.parametrize("name", ["project.json", "positions.npy", "values.npy"])
def test_a_small_file_that_unpacks_to_more_than_its_image_has_is_refused_before_it_takes_memory(
    folder, project_on, scribbles, name
):
    path, size = folder / "projects/p.alibi", 2**27
    save_project(project_on(scribbles), path)
    replaced(path, name, lambda content: content + bytes(size), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < size / 100
    tracemalloc.start()
    try:
        with pytest.raises(ProjectError, match=f"{name} is too large"):
            load_project(path)
        assert tracemalloc.get_traced_memory()[1] < size / 100
    finally:
        tracemalloc.stop()


def test_a_lack_of_memory_is_not_called_damage(folder, project_on, scribbles):
    path, large = folder / "projects/p.alibi", BytesIO()
    save_project(project_on(scribbles), path)
    claimed = {"descr": "|u1", "fortran_order": False, "shape": (2**50,)}
    np.lib.format.write_array_header_1_0(large, claimed)
    replaced(path, "values.npy", lambda _: large.getvalue())
    with pytest.raises(ProjectError, match="more memory than is free"):
        load_project(path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    folder, project_on, scribbles, monkeypatch
):
    path = folder / "projects/p.alibi"
    save_project(project_on(scribbles), path)

    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(zipfile, "ZipFile", forbidden)  # root may read whatever there is
    with pytest.raises(ProjectError, match=r"Permission denied.*whether you may read"):
        load_project(path)


def test_a_failed_save_leaves_the_earlier_project(folder, project_on, scribbles):
    path = folder / "projects/p.alibi"
    project = project_on(scribbles)
    save_project(project, path)
    before = path.read_bytes()
    unsavable = replace(project, owner=object())
    with pytest.raises(TypeError):
        save_project(unsavable, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["p.alibi"]
