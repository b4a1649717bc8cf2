import ast
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import BytesIO, TextIOWrapper
from pathlib import Path

import h5py
import numpy as np
import pandas
import pytest
import tifffile
import zarr
from PIL import Image
from scipy.ndimage import label
from skimage.io import imread, imsave

from napari_alibi_seg import ChannelConfig, SegmentationConfig, Segmenter, read_image
from napari_alibi_seg.cli import main
from napari_alibi_seg.cli.overlay import overlay_picture
from napari_alibi_seg.core.choices import DEFAULT_MODEL, SIGMAS_3D
from napari_alibi_seg.core.classes import ClassInfo
from napari_alibi_seg.core.errors import OutputError, shortage
from napari_alibi_seg.core.forest.classifier_files import load_classifier
from napari_alibi_seg.core.forest.result import Segmentation
from napari_alibi_seg.core.images.levels import Levels
from napari_alibi_seg.core.images.micrograph import ImageFile, as_micrograph
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.planes import Plane
from napari_alibi_seg.core.judging.expectation import Expectation
from napari_alibi_seg.core.judging.fractions import add_fractions, class_fractions
from napari_alibi_seg.core.runs.batch import label_targets, segment_images
from napari_alibi_seg.core.runs.project import Project, SparseScribbles, content_hash
from napari_alibi_seg.core.runs.project_files import save_project

SAMPLES = Path(__file__).parents[1] / "src/napari_alibi_seg/samples"
FAST = ("--model", "classical")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    """A small real micrograph, and scribbles of classes 1 and 3 on it."""
    return painted(tmp_path)


def painted(folder):
    pixels = imread(SAMPLES / "superalloy.png")[100:200, :120]
    scribbles = np.zeros_like(pixels)
    scribbles[::9, ::4] = np.where(pixels > 110, 1, 0)[::9, ::4]
    scribbles[4::9, ::4] = np.where(pixels < 60, 3, 0)[4::9, ::4]
    imsave(folder / "image.png", pixels, check_contrast=False)
    imsave(folder / "scribbles.png", scribbles, check_contrast=False)
    return folder


def segment(folder, *options, image="image.png", output="out.tif"):
    return main(
        [
            "segment",
            str(folder / image),
            "--scribbles",
            str(folder / "scribbles.png"),
            "--output",
            str(folder / output),
            *options,
        ]
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = painted(tmp_path_factory.mktemp("trained"))
    assert segment(folder, *FAST, "--save-classifier", str(folder / "c.skops")) == 0
    return folder


@pytest.fixture
def classifier(folder, trained):
    for name in ("c.skops", "out.tif"):
        shutil.copy(trained / name, folder)
    return folder / "c.skops"


def test_segment_writes_labels_as_painted_probabilities_and_a_classifier(folder):
    votes, saved = folder / "votes.tif", folder / "c.skops"
    options = ("--probabilities", str(votes), "--save-classifier", str(saved), "--scale", "1")
    assert segment(folder, *options, "--names", "1=matrix") == 0
    labels = tifffile.imread(folder / "out.tif")
    assert set(np.unique(labels)) == {1, 3}
    with tifffile.TiffFile(votes) as tiff:
        assert tiff.asarray().shape == (2, *labels.shape)
        assert all(f'Name="{name}"' in tiff.ome_metadata for name in ("matrix", "class 3"))
    assert main(["apply", str(saved), str(folder / "image.png"), "--output", str(folder)]) == 0
    assert np.array_equal(tifffile.imread(folder / "image_labels.tif"), labels)


def test_equal_inputs_and_seed_give_equal_bytes(folder):
    for name in ("one.tif", "other.tif"):
        assert (
            segment(folder, *FAST, "--probabilities", str(folder / f"p-{name}"), output=name) == 0
        )
    for prefix in ("", "p-"):
        one, other = folder / f"{prefix}one.tif", folder / f"{prefix}other.tif"
        assert one.read_bytes() == other.read_bytes()


def test_the_result_keeps_the_pixel_size(folder):
    pixels = imread(folder / "image.png")
    tifffile.imwrite(
        folder / "image.ome.tif",
        pixels,
        metadata={"axes": "YX", "PhysicalSizeX": 5.0, "PhysicalSizeXUnit": "nm",
                  "PhysicalSizeY": 5.0, "PhysicalSizeYUnit": "nm"},
    )  # fmt: skip
    assert segment(folder, *FAST, image="image.ome.tif") == 0
    from napari_alibi_seg import read_image

    assert (
        read_image(folder / "out.tif").pixel_size == read_image(folder / "image.ome.tif").pixel_size
    )


def test_one_classifier_is_trained_on_the_scribbles_of_several_images(folder):
    dark = np.where(imread(folder / "scribbles.png") == 3, 3, 0).astype(np.uint8)
    imsave(folder / "smaller.png", imread(folder / "image.png")[:80], check_contrast=False)
    imsave(folder / "dark.png", dark[:80], check_contrast=False)
    bright = imread(folder / "scribbles.png") * (imread(folder / "scribbles.png") == 1)
    imsave(folder / "bright.png", bright, check_contrast=False)
    paths = [folder / name for name in ("smaller.png", "dark.png", "image.png", "bright.png")]
    pairs = ("--painted", *map(str, paths[:2]), "--painted", *map(str, paths[2:]))
    assert main(["train", *pairs, "--output", str(folder / "c.skops"), *FAST]) == 0
    images = [read_image(path) for path in paths[::2]]
    fitted = Segmenter(SegmentationConfig("classical")).fit(
        images, [imread(path) for path in paths[1::2]]
    )
    saved = load_classifier(folder / "c.skops")
    values = np.random.default_rng(0).random((50, 28), np.float32)
    assert np.array_equal(*(c.forest.predict_proba(values) for c in (saved, fitted)))


@pytest.fixture
def stack(folder):
    """The micrograph and its scribbles as the third of five planes that drift."""
    pixels, scribbles = imread(folder / "image.png"), imread(folder / "scribbles.png")
    drifting = np.stack([np.roll(pixels, 2 * n - 4, axis=0) for n in range(5)])
    tifffile.imwrite(folder / "stack.tif", drifting, photometric="minisblack")
    painted = np.zeros_like(drifting)
    painted[2] = scribbles
    tifffile.imwrite(folder / "scribbles.tif", painted, photometric="minisblack")
    return folder


def test_3d_filters_are_asked_for_and_told_the_distance_between_planes(stack, capsys):
    named = ["--axes", "ZYX", "--scribbles", str(stack / "scribbles.tif")]
    filters = ["--filters-3d", "--spacing", "2.5"]
    saved = ["--save-classifier", str(stack / "c.skops")]
    assert segment(stack, *FAST, *named, *filters, *saved, image="stack.tif") == 0

    image = read_image(stack / "stack.tif", axes="ZYX", spacing=2.5)
    config = SegmentationConfig("classical", channels=ChannelConfig(sigmas_3d=SIGMAS_3D))
    segmenter = Segmenter(config, "cpu")
    classifier = segmenter.fit(image, tifffile.imread(stack / "scribbles.tif"))
    expected = np.stack([result.labels for _, result in segmenter.apply(classifier, image)])
    assert np.array_equal(tifffile.imread(stack / "out.tif"), expected)

    for name, spacing, same in (("same", "2.5", True), ("cubes", "1", False)):
        out = stack / f"{name}.ome.zarr"
        reading = ["--axes", "ZYX", "--spacing", spacing, "--output", str(out)]
        assert main(["apply", str(stack / "c.skops"), str(stack / "stack.tif"), *reading]) == 0
        assert np.array_equal(np.asarray(zarr.open_group(out)["0"]), expected) is same

    assert segment(stack, *FAST, "--filters-3d") == 3
    assert "no axis Z" in capsys.readouterr().err


def test_the_pixel_size_that_a_volume_has_already_changes_nothing_of_its_result(stack):
    sizes = {"PhysicalSizeZ": 50.0, "PhysicalSizeY": 5.0, "PhysicalSizeX": 5.0}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"}
    pixels = tifffile.imread(stack / "stack.tif")
    tifffile.imwrite(stack / "v.ome.tif", pixels, metadata={"axes": "ZYX"} | sizes | units)
    options = (*FAST, "--filters-3d", "--scribbles", str(stack / "scribbles.tif"))
    told = {
        "out.tif": [],
        "same.tif": ["--pixel-size", "5nm"],
        "twice.tif": ["--pixel-size", "10nm"],
    }
    for name, size in told.items():
        assert segment(stack, *options, *size, image="v.ome.tif", output=name) == 0
    assert (stack / "same.tif").read_bytes() == (stack / "out.tif").read_bytes()
    assert read_image(stack / "twice.tif").pixel_size == PixelSize("nm", 50, 10, 10)


def test_training_never_writes_over_what_is_painted(folder):
    pair = [str(folder / "image.png"), str(folder / "scribbles.png")]
    assert main(["train", "--painted", *pair, "--output", pair[1], *FAST]) == 7


def test_segment_writes_fractions_with_intervals_and_areas(folder, capsys):
    nanometres = {f"PhysicalSize{axis}Unit": "nm" for axis in "YX"}
    sizes = {"PhysicalSizeY": 4.0, "PhysicalSizeX": 5.0}
    pixels = imread(folder / "image.png")
    tifffile.imwrite(folder / "a.ome.tif", pixels, metadata={"axes": "YX", **sizes, **nanometres})
    path = folder / "f.csv"

    assert segment(folder, *FAST, "--fractions", str(path), image="a.ome.tif") == 0

    labels, table = tifffile.imread(folder / "out.tif"), pandas.read_csv(path)
    assert table["image"].tolist() == ["a.ome.tif"] * 2
    assert table["class_value"].tolist() == [1, 3]
    assert table["pixels"].tolist() == [np.count_nonzero(labels == value) for value in (1, 3)]
    assert table["fraction"].sum() == 1
    assert (table["fraction_low"] <= table["fraction"]).all()
    assert (table["fraction"] <= table["fraction_high"]).all()
    assert (table["fraction_low"] < table["fraction_high"]).all()
    assert table["length_unit"].tolist() == ["nm"] * 2
    assert table["area"].tolist() == (20 * table["pixels"]).tolist()
    scribbles = imread(folder / "scribbles.png")
    strokes = sum(label(scribbles == value, np.ones((3, 3)))[1] for value in (1, 3))
    assert f"({strokes} strokes in 2 classes)" in capsys.readouterr().out


def test_uneven_light_is_told_if_it_is_corrected(folder, capsys):
    rows, columns = np.indices((100, 120))
    bright = 40 * ((rows // 20 + columns // 20) % 2)
    imsave(folder / "even.png", (bright + 60).astype(np.uint8), check_contrast=False)
    imsave(folder / "image.png", (bright + columns).astype(np.uint8), check_contrast=False)

    assert segment(folder, *FAST) == 0
    assert "light: uneven, corrected" in capsys.readouterr().out
    assert segment(folder, *FAST, "--no-flatten") == 0
    assert segment(folder, *FAST, image="even.png") == 0
    assert "light:" not in capsys.readouterr().out


def test_why_fractions_have_no_intervals_is_told(folder, capsys):
    def told(*options, image="image.png"):
        path = folder / "f.csv"
        assert segment(folder, *FAST, "--fractions", str(path), *options, image=image) == 0
        assert pandas.read_csv(path)["fraction_low"].isna().all()
        return capsys.readouterr().err

    imsave(folder / "flat.png", np.full((100, 120), 7, np.uint8), check_contrast=False)
    assert "no intervals, because the image is constant" in told(image="flat.png")
    noise = np.random.default_rng(0).integers(0, 256, (100, 120), np.uint8)
    imsave(folder / "noise.png", noise, check_contrast=False)
    assert "are not recognised; paint more" in told(image="noise.png")
    scribbles = np.zeros((100, 120), np.uint8)
    scribbles[4, 4], scribbles[50, :50] = 1, 3
    imsave(folder / "scribbles.png", scribbles, check_contrast=False)
    assert "too few pixels are painted" in told()


def test_a_classifier_that_recognises_nothing_says_so_of_other_images(folder, capsys):
    saved, images = folder / "c.skops", [str(folder / f"{name}.png") for name in "ab"]
    for seed, image in enumerate([folder / "image.png", *images]):
        noise = np.random.default_rng(seed).integers(0, 256, (100, 120), np.uint8)
        imsave(image, noise, check_contrast=False)
    apply = ["apply", str(saved), *images, "--replace", "--output", str(folder / "r")]

    def told(*assessing):
        assert segment(folder, *FAST, "--save-classifier", str(saved), *assessing) == 0
        assert main(["describe", str(saved)]) == 0
        capsys.readouterr()
        assert main(apply) == 0
        said = capsys.readouterr()
        empty = pandas.read_csv(folder / "r/fractions.csv").isna()
        return "".join(said), empty[["fraction_low", "fraction_high", "expected_accuracy"]].all()

    said, empty = told("--fractions", str(folder / "f.csv"))
    assert empty.all()
    assert "no intervals, because strokes left out of training are not recognised" in said
    assert "least certain" not in said
    said, empty = told()  # not assessed
    assert not empty.any()
    assert "not recognised" not in said


def test_an_image_unlike_the_one_painted_is_told_and_has_no_intervals(folder, capsys):
    saved, other = folder / "c.skops", folder / "steel.png"
    imsave(other, imread(SAMPLES / "steel.png")[:100, :120])
    assert segment(folder, "--trees", "10", "--save-classifier", str(saved)) == 0
    images = [str(folder / "image.png"), str(other)]
    assert main(["apply", str(saved), *images, "--output", str(folder / "r")]) == 0
    assert "steel.png: It looks unlike what the classifier" in capsys.readouterr().err
    table = pandas.read_csv(folder / "r/fractions.csv").set_index("image")
    assert table.loc["steel.png", "fraction_low"].isna().all()
    assert (table.loc["image.png", "novelty"] < 1.5).all()
    assert table.loc["image.png", "fraction_low"].notna().all()


def test_a_constant_image_is_told_and_teaches_nothing(folder, classifier, capsys):
    flat, output = str(folder / "flat.png"), folder / "c2.skops"
    imsave(flat, np.full((100, 120), 7, np.uint8), check_contrast=False)
    said = "flat.png is constant, so no phases can be distinguished"
    assert segment(folder, *FAST, image="flat.png") == 0
    assert said in capsys.readouterr().err

    pairs = [str(folder / name) for name in ("image.png", "scribbles.png", "scribbles.png")]
    painted = ["--painted", *pairs[:2], "--painted", flat, pairs[2]]
    assert main(["train", *FAST, *painted, "--output", str(output)]) == 3
    assert said in capsys.readouterr().err
    assert not output.exists()

    volume = folder / "labels.ome.zarr"
    assert main(["apply", str(classifier), flat, "--output", str(volume)]) == 3
    assert said in capsys.readouterr().err
    assert not volume.exists()


def test_classes_are_named_and_pixels_measured_from_the_command_line(folder):
    path, saved = folder / "f.csv", folder / "c.skops"
    told = ("--names", "1=matrix, 3=gamma prime", "--pixel-size", "0.25um")
    files = ("--fractions", str(path), "--save-classifier", str(saved))
    assert segment(folder, *FAST, *told, *files) == 0
    command = ["apply", str(saved), str(folder / "image.png"), "--output", str(folder / "r")]
    assert main([*command, "--pixel-size", "250 nm"]) == 0
    for table in map(pandas.read_csv, (path, folder / "r/fractions.csv")):
        assert table["class_name"].tolist() == ["matrix", "gamma prime"]
        unit, in_micrometres = {"µm": ("µm", 1), "nm": ("nm", 1e-6)}[table["length_unit"][0]]
        assert table["length_unit"].tolist() == [unit] * 2
        assert np.allclose(in_micrometres * table["area"], 0.0625 * table["pixels"])
    assert read_image(folder / "r/image_labels.tif").pixel_size == PixelSize("nm", None, 250, 250)


def test_a_classifier_tells_its_pixel_size_and_of_images_of_another_one(folder, capsys):
    saved = folder / "c.skops"
    assert segment(folder, *FAST, "--pixel-size", "4nm", "--save-classifier", str(saved)) == 0
    command = ["apply", str(saved), str(folder / "image.png"), "--output", str(folder / "r")]
    assert main([*command, "--pixel-size", "4.2nm"]) == 0
    assert "doubtful" not in capsys.readouterr().err
    assert main([*command, "--pixel-size", "4um", "--replace"]) == 0
    assert "The pixels are 4 µm wide, not 4 nm wide" in capsys.readouterr().err
    assert main(["describe", str(saved)]) == 0
    assert "pixel size 4 nm" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--names", "matrix,pores"),
        ("--names", "1="),
        ("--names", "0=matrix"),
        ("--names", "1=a,01=b"),
        ("--names", "1=a,2=a"),
        ("--pixel-size", "4"),
        ("--pixel-size", "nm"),
        ("--pixel-size", "-4nm"),
        ("--pixel-size", "4 parsec"),
    ],
)
def test_names_and_sizes_that_say_nothing_are_refused(folder, capsys, option, text):
    with pytest.raises(SystemExit, match="2"):
        segment(folder, *FAST, f"{option}={text}")
    assert option in capsys.readouterr().err


def test_tables_and_classifiers_never_replace_an_image(folder, capsys):
    shutil.copy(folder / "image.png", folder / "other.PNG")
    other, pair = str(folder / "other.PNG"), ("image.png", "scribbles.png")
    train = ["train", "--painted", *(str(folder / name) for name in pair), "--output", other]
    for option in ("--fractions", "--save-classifier"):
        assert segment(folder, *FAST, option, other) == 7
        assert "other.PNG is a name for an image; let" in capsys.readouterr().err
    assert main([*train, *FAST]) == 7
    assert np.array_equal(imread(folder / "other.PNG"), imread(folder / "image.png"))


def test_what_is_ignored_teaches_nothing_and_has_no_class(folder, monkeypatch):
    monkeypatch.chdir(folder)
    votes, table = ("--probabilities", "p.tif"), ("--fractions", "f.csv")
    scribbles = imread("scribbles.png")
    scribbles[80:] = 44
    imsave("scribbles.png", scribbles, check_contrast=False)
    assert segment(folder, *FAST, "--ignore", "44,45", *votes, *table) == 0

    labels, shares = tifffile.imread("out.tif"), tifffile.imread("p.tif")
    assert set(np.unique(labels[:80])) == {1, 3}
    assert not labels[80:].any()
    assert shares.shape == (2, *labels.shape)
    assert not shares[:, 80:].any()
    assert pandas.read_csv("f.csv")["pixels"].sum() == 80 * labels.shape[1]


def test_classical_channels_alone_leave_nothing_without_filters(folder, capsys):
    for options in ((*FAST, "--no-filters"), ("--no-filters", "--filters-3d")):
        with pytest.raises(SystemExit) as caught:
            segment(folder, *options)
        assert caught.value.code == 2
        assert "--no-filters" in capsys.readouterr().err


def test_apply_reports_a_bad_file_finishes_the_rest_and_returns_1(folder, classifier, capsys):
    batch = folder / "batch"
    batch.mkdir()
    for name in ("a.png", "c.png"):
        shutil.copy(folder / "image.png", batch / name)
    (batch / "b.png").write_text("no image")
    imsave(batch / "d.png", np.full((40, 50), 7, np.uint8), check_contrast=False)
    code = main(["apply", str(classifier), str(batch), "--output", str(folder / "results")])
    assert code == 1
    assert sorted(p.name for p in (folder / "results").iterdir()) == [
        "a_labels.tif",
        "c_labels.tif",
        "fractions.csv",
        "fractions_mean.csv",
    ]
    table = pandas.read_csv(folder / "results/fractions.csv")
    assert table["image"].tolist() == ["a.png", "a.png", "c.png", "c.png"]
    assert table["class_value"].tolist() == [1, 3, 1, 3]
    labels = tifffile.imread(folder / "results/c_labels.tif")
    assert table["pixels"][3] == np.count_nonzero(labels == 3)
    assert (table["fraction_low"] < table["fraction"]).all()
    assert (table["fraction"] < table["fraction_high"]).all()
    known = load_classifier(classifier)
    [(_, result)] = Segmenter.of(known).apply(known, read_image(folder / "image.png"))
    expected = Expectation.of(result.confusion, result.classes)
    assert table["expected_accuracy"].tolist() == pytest.approx([expected.accuracy] * 4)
    out, said = capsys.readouterr()
    assert "least certain: " in out
    assert "d.png failed: The image is constant" in said
    assert said.rstrip().endswith("2 of 4 images failed: b.png, d.png.")
    assert "Traceback" not in said


def test_images_that_store_white_as_0_are_told_once_each(folder, classifier, capsys):
    pixels = imread(folder / "image.png")
    for name, stored in (("white.tif", "miniswhite"), ("black.tif", "minisblack")):
        tifffile.imwrite(folder / name, pixels, photometric=stored)
    images = [str(folder / name) for name in ("white.tif", "black.tif", "image.png")]
    capsys.readouterr()
    assert main(["apply", str(classifier), *images, "--output", str(folder / "r")]) == 0
    said = capsys.readouterr().err
    assert said.count("white is stored as 0") == 1
    assert f"in {images[0]} white is stored as 0" in said
    stored, usual = (folder / f"r/{name}_labels.tif" for name in ("white", "black"))
    assert np.array_equal(tifffile.imread(stored), tifffile.imread(usual))
    volume = ["--output", str(folder / "labels.ome.zarr")]
    assert main(["apply", str(classifier), images[0], *volume]) == 0
    assert capsys.readouterr().err.count("white is stored as 0") == 1


def test_images_that_failed_are_done_again_and_added_to_the_table(folder, classifier, capsys):
    results = folder / "results"

    def apply(*names):
        images = [str(folder / name) for name in names]
        return main(["apply", str(classifier), *images, "--output", str(results)])

    def told():
        return pandas.read_csv(results / "fractions.csv")["image"].tolist()

    for name in ("a.png", "c.png"):
        shutil.copy(folder / "image.png", folder / name)
    (folder / "b.png").write_text("no image")
    assert apply("a.png", "b.png") == 1
    shutil.copy(folder / "image.png", folder / "b.png")
    assert apply("b.png") == 0
    assert told() == ["a.png", "a.png", "b.png", "b.png"]

    (results / "a_labels.tif").unlink()
    assert apply("a.png") == 0
    assert told() == ["b.png", "b.png", "a.png", "a.png"]

    (results / "fractions.csv").write_text("notes of mine")
    assert apply("c.png") == 7
    assert "fractions.csv is no table" in capsys.readouterr().err
    assert (results / "fractions.csv").read_text() == "notes of mine"
    assert not (results / "c_labels.tif").exists()


def test_a_batch_that_was_left_is_completed_and_corrected_labels_stay(folder, classifier, capsys):
    results = folder / "results"
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(folder / "image.png", folder / name)

    def apply(*names_and_options):
        images = [str(folder / one) if "." in one else one for one in names_and_options]
        return main(["apply", str(classifier), *images, "--output", str(results)])

    every = ("a.png", "b.png", "c.png", "--skip-existing")
    assert apply("a.png") == 0
    (results / "a_labels.tif").write_text("corrected by hand")
    capsys.readouterr()
    assert apply(*every) == 0
    assert "1 of 3 images were done before" in capsys.readouterr().out
    assert (results / "a_labels.tif").read_text() == "corrected by hand"
    table = pandas.read_csv(results / "fractions.csv")
    assert table["image"].unique().tolist() == ["a.png", "b.png", "c.png"]

    kept = table[table["image"] != "c.png"]  # as if c_labels.tif came from elsewhere
    kept.to_csv(results / "fractions.csv", index=False)
    assert apply(*every) == 7
    told = capsys.readouterr().err
    assert "c_labels.tif; the table lacks its fractions, so move it away" in told
    assert "--replace" not in told


@pytest.mark.parametrize(
    ("trouble", "code"), [(OutputError("the table is open"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_batch_is_completed_after_its_table_could_not_be_written(
    folder, classifier, monkeypatch, trouble, code
):
    batch, results = folder / "batch", folder / "results"
    batch.mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(folder / "image.png", batch / name)
    command = ["apply", str(classifier), str(batch), "--output", str(results)]

    def broken(path, rows):
        if rows[0].image == "b.png":
            raise trouble
        add_fractions(path, rows)

    with monkeypatch.context() as patched:
        patched.setattr("napari_alibi_seg.core.runs.batch.add_fractions", broken)
        assert main(command) == code
    assert sorted(path.name for path in results.iterdir()) == ["a_labels.tif", "fractions.csv"]
    assert main([*command, "--skip-existing"]) == 0
    assert (results / "b_labels.tif").exists()
    table = pandas.read_csv(results / "fractions.csv")
    assert table["image"].unique().tolist() == ["a.png", "b.png"]


@pytest.mark.parametrize("added", [False, True])
def test_an_image_whose_replacement_is_interrupted_is_done_again(
    folder, classifier, monkeypatch, capsys, added
):
    results, other = folder / "results", folder / "other.skops"
    assert segment(folder, *FAST, "--seed", "1", "--save-classifier", str(other)) == 0
    places = [str(folder / "image.png"), "--output", str(results)]
    assert main(["apply", str(classifier), *places]) == 0
    by_first = (results / "image_labels.tif").read_bytes()

    def interrupted(path, rows):
        if added:
            add_fractions(path, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("napari_alibi_seg.core.runs.batch.add_fractions", interrupted)
        assert main(["apply", str(other), *places, "--replace"]) == 130
    capsys.readouterr()
    assert main(["apply", str(other), *places, "--replace", "--skip-existing"]) == 0
    assert "0 of 1 images were done before" in capsys.readouterr().out
    assert (results / "image_labels.tif").read_bytes() != by_first
    makers = pandas.read_csv(results / "fractions.csv")["classifier"].unique().tolist()
    assert makers == [load_classifier(other).fingerprint]


def test_images_of_a_batch_may_follow_options_and_their_fractions_have_means(
    folder, classifier, capsys
):
    imsave(folder / "other.png", imread(folder / "image.png")[:60], check_contrast=False)
    results, images = folder / "r", [str(folder / name) for name in ("image.png", "other.png")]
    assert main(["apply", str(classifier), "--output", str(results), images[0]]) == 0
    assert not (results / "fractions_mean.csv").exists()
    assert main(["apply", str(classifier), "--output", str(results), images[1]]) == 0

    fractions = pandas.read_csv(results / "fractions.csv").groupby("class_value")["fraction"]
    means = pandas.read_csv(results / "fractions_mean.csv").set_index("class_value")
    assert means["mean_fraction"].to_dict() == pytest.approx(fractions.mean().to_dict())
    assert means["standard_deviation"].to_dict() == pytest.approx(fractions.std().to_dict())
    assert means["images"].tolist() == [2, 2]
    assert f"class 1: {100 * means['mean_fraction'][1]:.2f} ± " in capsys.readouterr().out

    (results / "fractions_mean.csv").write_text("notes of mine")
    assert main(["apply", str(classifier), images[0], "--replace", "--output", str(results)]) == 7
    assert (results / "fractions_mean.csv").read_text() == "notes of mine"
    with pytest.raises(SystemExit):
        main(["apply", str(classifier), "--output", str(results), images[0], "--all"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_results_of_classifiers_of_other_classes_are_not_mixed(folder, classifier, capsys):
    shutil.copy(folder / "image.png", folder / "other.png")
    named = ("--names", "1=matrix", "--save-classifier", str(folder / "named.skops"))
    assert segment(folder, *FAST, *named) == 0

    def apply(recipe, image, *options):
        names = [str(folder / name) for name in (recipe, image)]
        return main(["apply", *names, "--output", str(folder / "r"), *options])

    assert apply("c.skops", "image.png") == 0
    before = (folder / "r/fractions.csv").read_bytes()
    assert apply("named.skops", "other.png") == 7
    told = capsys.readouterr().err
    assert "in the classes 1=class 1, 3=class 3, and those of the classifier are 1=matrix" in told
    assert (folder / "r/fractions.csv").read_bytes() == before
    assert apply("named.skops", "image.png", "--replace") == 0
    assert apply("named.skops", "other.png") == 0


def test_results_of_another_classifier_of_the_same_classes_are_not_mixed(
    folder, classifier, capsys
):
    shutil.copy(folder / "image.png", folder / "other.png")
    assert segment(folder, *FAST, "--seed", "1", "--save-classifier", str(folder / "d.skops")) == 0
    names = [load_classifier(folder / one).fingerprint for one in ("c.skops", "d.skops")]

    def apply(recipe, *images):
        names = [str(folder / name) for name in (recipe, *images)]
        return main(["apply", *names, "--output", str(folder / "r"), "--replace"])

    assert apply("c.skops", "image.png") == 0
    before = (folder / "r/fractions.csv").read_bytes()
    capsys.readouterr()
    assert apply("d.skops", "other.png") == 7
    told = capsys.readouterr().err
    assert f"other images by the classifier {names[0]}, and this one is {names[1]}; choose" in told
    assert (folder / "r/fractions.csv").read_bytes() == before
    assert not (folder / "r/other_labels.tif").exists()

    assert apply("d.skops", "other.png", "image.png") == 0
    for table in ("fractions.csv", "fractions_mean.csv"):
        assert set(pandas.read_csv(folder / "r" / table)["classifier"]) == {names[1]}
    capsys.readouterr()
    assert main(["describe", str(folder / "d.skops")]) == 0
    assert f"classifier {names[1]}\n" in capsys.readouterr().out


def test_images_that_differ_in_their_extensions_never_get_each_others_labels(
    folder, classifier, capsys
):
    image, results = folder / "image.png", folder / "r"
    tifffile.imwrite(folder / "image.tif", imread(image)[:60])

    def apply(*names_and_options):
        places = [str(folder / one) if "." in one else one for one in names_and_options]
        return main(["apply", str(classifier), *places, "--output", str(results)])

    known = load_classifier(classifier)
    segmenter, late = Segmenter.of(known), label_targets([folder / "image.tif"], results)
    assert apply("image.png") == 0
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    for options in ([], ["--replace"], ["--skip-existing"]):
        assert apply("image.tif", *options) == 7
        assert "image.png, whose labels would be in image_labels.tif" in capsys.readouterr().err
    [outcome] = segment_images(segmenter, known, late)  # begun before the other one was done
    assert "choose another folder, or segment both" in outcome.failure
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before

    assert apply("image.png", "image.tif") == 0
    assert apply("image.png", "image.tif", "--skip-existing") == 0
    assert apply("image.png", "--replace") == 7
    assert {"image.png_labels.tif", "image.tif_labels.tif"} < {p.name for p in results.iterdir()}


def test_an_image_whose_name_goes_on_after_that_of_another_is_segmented_beside_it(
    folder, classifier
):
    tifffile.imwrite(folder / "image.png.tif", imread(folder / "image.png")[:60])
    images = [str(folder / name) for name in ("image.png", "image.png.tif")]
    apply = ["apply", str(classifier), *images, "--output", str(folder / "r")]
    assert main(apply) == 0
    assert main([*apply, "--replace"]) == 0
    assert main([*apply[:2], images[1], *apply[4:], "--replace"]) == 0
    assert len(pandas.read_csv(folder / "r/fractions.csv")) == 4


def test_what_another_classifier_made_is_not_taken_for_done(folder, classifier, capsys):
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(folder / "image.png", folder / name)
    assert segment(folder, *FAST, "--seed", "1", "--save-classifier", str(folder / "d.skops")) == 0

    def apply(recipe, images, *options):
        names = [str(folder / name) for name in (recipe, *images)]
        return main(["apply", *names, "--output", str(folder / "r"), *options])

    assert apply("c.skops", ["a.png", "b.png"]) == 0
    assert apply("d.skops", ["a.png", "b.png"], "--replace") == 0
    assert apply("c.skops", ["b.png"], "--replace", "--skip-existing") == 7  # a.png is of d
    before = (folder / "r/a_labels.tif").read_bytes()
    capsys.readouterr()
    assert apply("c.skops", ["a.png", "b.png", "c.png"], "--skip-existing") == 7
    assert "a_labels.tif, b_labels.tif; another classifier made" in capsys.readouterr().err
    assert (folder / "r/a_labels.tif").read_bytes() == before

    again = ("--replace", "--skip-existing")
    assert apply("c.skops", ["a.png", "b.png", "c.png"], *again) == 0
    told = capsys.readouterr().out
    assert "0 of 3 images were done before" in told
    assert "another classifier made their results: a.png, b.png" in told
    corrected = folder / "r/a_labels.tif"
    corrected.write_text("corrected by hand")
    assert apply("c.skops", ["a.png", "b.png", "c.png"], *again) == 0
    assert "3 of 3 images were done before" in capsys.readouterr().out
    assert corrected.read_text() == "corrected by hand"
    made = {load_classifier(classifier).fingerprint}
    assert set(pandas.read_csv(folder / "r/fractions.csv")["classifier"]) == made


def test_what_was_read_with_other_options_is_not_taken_for_done(folder, classifier, rows, capsys):
    def apply(*options):
        places = [str(folder / "image.png"), "--output", str(folder / "r")]
        return main(["apply", str(classifier), *places, *options])

    def readings():
        return {row["reading"] for row in rows(folder / "r/fractions.csv")}

    assert apply() == 0
    assert readings() == {""}
    whole = (folder / "r/image_labels.tif").read_bytes()
    region = ("--region=:-40,10:", "--skip-existing")
    capsys.readouterr()
    assert apply(*region) == 7
    told = capsys.readouterr().err
    assert "image_labels.tif; the images were read with no options, not region=:-40,10:," in told
    assert (folder / "r/image_labels.tif").read_bytes() == whole
    assert apply(*region, "--replace") == 0
    assert "the images were read with no options" in capsys.readouterr().out
    assert readings() == {"region=:-40,10:"}
    assert (folder / "r/image_labels.tif").read_bytes() != whole
    assert apply(*region) == 0
    assert "1 of 1 images were done before" in capsys.readouterr().out

    measured = ("--pixel-size=4 nm", "--spacing", "2.50", "--axes", "YX", "--dataset", "0")
    assert apply(*measured, "--replace") == 0
    assert readings() == {"axes=YX dataset=0 spacing=2.5 pixel-size=4nm"}


def test_outside_a_region_nothing_is_segmented_counted_or_learnt(folder, classifier, capsys):
    apply = ["apply", str(classifier), str(folder / "image.png"), "--output"]
    assert main([*apply, str(folder / "all")]) == 0
    assert main([*apply, str(folder / "r"), "--region", ":-40,10:"]) == 0
    every, some = (tifffile.imread(folder / name / "image_labels.tif") for name in ("all", "r"))
    assert np.array_equal(some[:60, 10:], every[:60, 10:])
    assert not some[60:].any()
    assert not some[:, :10].any()
    assert main([*apply, str(folder / "r.ome.zarr"), "--region", ":-40,10:"]) == 0
    assert np.array_equal(np.asarray(read_image(folder / "r.ome.zarr").data), some)
    for table in ("r/fractions.csv", "r_fractions.csv"):
        assert pandas.read_csv(folder / table)["pixels"].sum() == 60 * 110

    drawn = imread(folder / "scribbles.png")
    drawn[60:] = 0
    imsave(folder / "scribbles.png", drawn, check_contrast=False)
    assert segment(folder, *FAST, output="above.tif") == 0
    drawn[60::3, ::3] = 1
    imsave(folder / "scribbles.png", drawn, check_contrast=False)
    assert segment(folder, *FAST, "--region", ":60") == 0
    expected = tifffile.imread(folder / "above.tif")[:60]
    assert np.array_equal(tifffile.imread(folder / "out.tif")[:60], expected)

    assert main([*apply, str(folder / "none"), "--region", "200:"]) == 1
    assert "no pixel of an image of 100 rows and 120 columns" in capsys.readouterr().err
    for text in ("5", "a:b", "1:2:3", "1:2,3:4,5:6"):
        with pytest.raises(SystemExit):
            main([*apply, str(folder / "r"), f"--region={text}"])
        assert "is not like :-64" in capsys.readouterr().err


def test_a_region_that_begins_with_a_minus_is_told_to_need_an_equals_sign(folder, capsys):
    assert segment(folder, *FAST, "--region=-64:") == 0
    labels = tifffile.imread(folder / "out.tif")
    assert not labels[:-64].any()
    assert labels[-64:].all()
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    assert "--region=-64:" in capsys.readouterr().out


def test_apply_takes_patterns_and_files_and_keeps_equal_stems_apart(folder, classifier):
    imsave(folder / "image.tif", imread(folder / "image.png"), check_contrast=False)
    pattern = str(folder / "image.*")
    assert main(["apply", str(classifier), pattern, "--output", str(folder / "r")]) == 0
    names = {p.name for p in (folder / "r").iterdir() if p.suffix == ".tif"}
    assert names == {"image.png_labels.tif", "image.tif_labels.tif"}


@pytest.mark.parametrize(
    ("spoil", "options", "code", "said"),
    [
        ("image.png", FAST, 3, "image.png"),
        ("scribbles.png", FAST, 3, "scribbles.png"),
        (None, ("--model", "nonsense"), 5, "nonsense"),
        (None, (*FAST, "--output", "out.jpg"), 7, "out.jpg"),
    ],
)
def test_errors_are_one_sentence_with_their_own_code(folder, capsys, spoil, options, code, said):
    if spoil:
        (folder / spoil).unlink()
    assert segment(folder, *options) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (folder / "out.tif").exists()


@pytest.mark.parametrize(
    ("output", "more"),
    [("image.png", ()), ("scribbles.png", ()), ("o.tif", ("--probabilities", "o.tif"))],
)
def test_an_output_never_replaces_an_input_or_another_output(folder, monkeypatch, output, more):
    monkeypatch.chdir(folder)
    for name in ("image", "scribbles"):
        imsave(f"{name}.tif", imread(f"{name}.png"), check_contrast=False)
    output = output.replace("png", "tif")
    arguments = ["segment", "image.tif", "--scribbles", "scribbles.tif", "--output", output, *more]
    assert main([*arguments, *FAST]) == 7
    assert np.array_equal(imread("image.tif"), imread("image.png"))


def test_an_output_that_cannot_be_written_is_known_before_the_work(folder, capsys):
    (folder / "taken").mkdir()
    (folder / "taken/notes.txt").touch()
    assert segment(folder, *FAST, "--save-classifier", str(folder / "taken")) == 7
    assert not (folder / "out.tif").exists()
    assert (folder / "taken/notes.txt").exists()


def test_scribbles_may_lie_in_one_hdf5_file_with_the_image(folder):
    with h5py.File(folder / "both.h5", "w") as file:
        file["raw"] = imread(folder / "image.png")
        file["strokes"] = imread(folder / "scribbles.png")
    both, out = str(folder / "both.h5"), str(folder / "out.tif")
    arguments = ["segment", both, "--dataset", "raw", "--scribbles", both, "--output", out]
    assert main([*arguments, "--scribbles-dataset", "strokes", *FAST]) == 0


@pytest.mark.parametrize(
    "option",
    [
        ("--seed", "-1"),
        ("--seed", "1e3"),
        ("--seed", str(2**32)),
        ("--trees", "0"),
        ("--components", "0"),
        ("--components", "many"),
        ("--ignore", "0"),
        ("--ignore", "3,"),
        ("--channels", "red"),
        ("--spacing", "0"),
        ("--spacing", "wide"),
        ("--smoothing", "-1"),
        ("--smoothing", "33"),
    ],
)
def test_rubbish_in_an_option_is_wrong_usage(folder, capsys, option):
    with pytest.raises(SystemExit) as caught:
        segment(folder, *option)
    assert caught.value.code == 2
    assert option[1] in capsys.readouterr().err


def test_apply_passes_over_earlier_results_but_over_no_empty_folder(folder, classifier):
    batch = folder / "batch"
    batch.mkdir()
    command = ["apply", str(classifier), str(batch), "--output", str(batch)]
    assert main(command) == 3
    shutil.copy(folder / "image.png", batch / "a.png")
    assert main(command) == main([*command, "--replace"]) == 0
    names = sorted(path.name for path in batch.iterdir())
    assert names == ["a.png", "a_labels.tif", "fractions.csv"]


def test_apply_replaces_nothing_unless_told_to(folder, classifier, capsys):
    command = ["apply", str(classifier), str(folder / "image.png"), "--output", str(folder / "r")]
    (folder / "r").mkdir()
    (folder / "r/image_labels.tif").write_text("corrected by hand")
    assert main(command) == 7
    assert (folder / "r/image_labels.tif").read_text() == "corrected by hand"
    said = capsys.readouterr().err
    assert "image_labels.tif" in said
    assert "add --replace to write over results that are there, or --skip-existing" in said

    assert main([*command, "--replace"]) == 0
    assert set(np.unique(tifffile.imread(folder / "r/image_labels.tif"))) == {1, 3}


def test_what_fails_to_be_replaced_is_not_counted_with_results_of_the_new_classifier(
    folder, classifier, capsys
):
    batch, results = folder / "batch", folder / "results"
    batch.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        shutil.copy(folder / "image.png", batch / name)
    command = ["apply", str(classifier), str(batch), "--output", str(results)]
    assert main(command) == 0
    labels = (results / "b_labels.tif").read_bytes()
    (batch / "b.png").write_text("no image")
    capsys.readouterr()
    assert main([*command, "--replace"]) == 1
    said = capsys.readouterr().err
    assert "taken out of fractions.csv; its earlier labels b_labels.tif were left" in said
    assert (results / "b_labels.tif").read_bytes() == labels
    table = pandas.read_csv(results / "fractions.csv")
    assert table["image"].unique().tolist() == ["a.png", "c.png"]
    assert set(pandas.read_csv(results / "fractions_mean.csv")["images"]) == {2}

    (batch / "c.png").write_text("no image")
    assert main([*command, "--replace"]) == 1
    assert pandas.read_csv(results / "fractions_mean.csv").empty


def test_apply_passes_over_results_of_any_name_scribbles_and_hidden_files(folder, classifier):
    batch = folder / "batch"
    batch.mkdir()
    for name in ("a.png", "a_scribbles.png", "a_labels.PNG", "a_labels.ome.tif"):
        shutil.copy(folder / "image.png", batch / name)
    (batch / "._a.png").write_bytes(b"what macOS knows of a.png")
    votes = ("--probabilities", str(batch / "votes.tif"))
    assert segment(folder, *FAST, *votes, output="batch/phases.tif") == 0
    command = ["apply", str(classifier), str(batch / "a.png"), "--output"]
    assert main([*command, str(batch / "phases.ome.zarr")]) == 0
    features = ["features", str(batch / "a.png"), "--output", str(batch / "f.zarr")]
    assert main([*features, "--scale", "1"]) == 0
    tifffile.imwrite(batch / "b.tif", imread(folder / "image.png"))
    for again in ([], ["--replace"]):
        command = ["apply", str(classifier), str(batch), "--output", str(folder / "r"), *again]
        assert main(command) == 0
        names = {path.name for path in (folder / "r").iterdir() if path.suffix != ".csv"}
        assert names == {"a_labels.tif", "b_labels.tif"}


def test_a_classifier_is_kept_if_a_later_output_fails(folder, monkeypatch):
    saved = folder / "c.skops"

    def full(*_):
        assert saved.exists()
        raise OutputError("the disk is full")

    monkeypatch.setattr("napari_alibi_seg.core.runs.batch.write_segmentation", full)
    assert segment(folder, *FAST, "--save-classifier", str(saved)) == 7
    monkeypatch.undo()
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", str(folder / "cache"))
    command = ["apply", str(saved), str(folder / "image.png"), "--output", str(folder / "r")]
    assert main(command) == 0


def test_apply_writes_one_image_as_a_zarr_that_is_finished_by_the_same_command(
    folder, classifier, rows, capsys
):
    command = ["apply", str(classifier), str(folder / "image.png"), "--output"]
    assert main([*command, str(folder / "labels.ome.zarr")]) == 0
    capsys.readouterr()
    assert main([*command, str(folder / "labels.ome.zarr")]) == 0
    told = capsys.readouterr().out
    assert "0 of 1 planes" in told
    assert main([*command, str(folder)]) == 0
    labels = np.asarray(zarr.open_group(folder / "labels.ome.zarr", mode="r")["0"])
    assert np.array_equal(labels, tifffile.imread(folder / "image_labels.tif"))

    sized = folder / "sized.ome.zarr"
    assert main([*command, str(sized), "--pixel-size", "4nm"]) == 0
    assert read_image(sized).pixel_size == PixelSize("nm", None, 4, 4)
    assert {one["length_unit"] for one in rows(folder / "sized_fractions.csv")} == {"nm"}

    measured = rows(folder / "labels_fractions.csv")
    assert {int(one["class_value"]): int(one["pixels"]) for one in measured} == {
        value: np.count_nonzero(labels == value) for value in (1, 3)
    }
    for one in measured:
        assert one["classifier"] == load_classifier(classifier).fingerprint
        assert f"{one['class_name']}: {100 * float(one['fraction']):.2f} %" in told

    shutil.rmtree(folder / "labels.ome.zarr")
    shutil.copy(folder / "image.png", folder / "other.png")
    command[2] = str(folder / "other.png")
    assert main([*command, str(folder / "labels.ome.zarr")]) == 0
    assert set(pandas.read_csv(folder / "labels_fractions.csv")["image"]) == {"other.png"}


@pytest.mark.parametrize(
    "wrong",
    [
        ("b.png", "--output", "o.zarr"),
        ("--output", "results", "--cluster", "tcp://127.0.0.1:9"),
        ("--output", "o.zarr", "--replace"),
    ],
)
def test_a_volume_is_one_image_and_only_a_volume_needs_a_cluster(folder, classifier, wrong):
    with pytest.raises(SystemExit) as caught:
        main(["apply", str(classifier), str(folder / "image.png"), *wrong])
    assert caught.value.code == 2


def test_apply_without_the_classifiers_model_stops_at_once(folder, capsys):
    saved = ("--scale", "1", "--save-classifier", str(folder / "c.skops"))
    assert segment(folder, *saved) == 0
    arguments = ["apply", str(folder / "c.skops"), str(folder / "image.png")]
    assert main([*arguments, "--output", str(folder / "r"), "--model", "nowhere"]) == 5
    assert "nowhere" in capsys.readouterr().err


def test_apply_with_a_model_of_other_features_stops_at_once(folder, capsys):
    saved = ("--scale", "1", "--save-classifier", str(folder / "c.skops"))
    assert segment(folder, *saved) == 0
    images = [str(folder / "image.png"), str(folder / "missing.png")]
    arguments = ["apply", str(folder / "c.skops"), *images, "--output", str(folder / "r")]
    assert main([*arguments, *FAST]) == 6
    said = capsys.readouterr().err
    assert "trained on features of alibi-dinov2-s14" in said
    assert "missing.png" not in said


def test_images_of_one_name_are_refused_by_that_name(folder, classifier, capsys):
    (folder / "sub").mkdir()
    shutil.copy(folder / "image.png", folder / "sub/image.png")
    images = [str(folder / "scribbles.png"), str(folder / "image.png"), str(folder / "sub")]
    assert main(["apply", str(classifier), *images, "--output", str(folder / "r")]) == 7
    assert "the same name, image.png," in capsys.readouterr().err


def test_an_image_given_in_two_ways_is_segmented_once(folder, classifier, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    images = ["image.png", str(folder / "image.png"), "./image.p*"]
    assert main(["apply", str(classifier), *images, "--output", "r"]) == 0
    assert capsys.readouterr().out.count("segmentation: ") == 1


def test_that_two_images_of_a_batch_show_the_same_pixels_is_told(folder, classifier, capsys):
    pixels = imread(folder / "image.png")
    tifffile.imwrite(folder / "copy.tif", pixels)
    imsave(folder / "other.png", pixels[::-1], check_contrast=False)
    images = [str(folder / name) for name in ("image.png", "copy.tif", "other.png")]
    capsys.readouterr()
    assert main(["apply", str(classifier), *images, "--output", str(folder / "r")]) == 0
    told = capsys.readouterr().err
    assert f"{images[1]}: It shows the same pixels as image.png; both are counted in" in told
    assert told.count("the same pixels") == 1


def test_classes_that_teach_nothing_are_told(folder, capsys):
    named = ("--ignore", "2,45", "--names", "1=matrix,9=pores")
    assert segment(folder, *FAST, *named, "--trees", "2") == 0
    told = capsys.readouterr().err
    assert "--ignore names class 2, 45; painted are only 1, 3." in told
    assert "--names names class 9; painted are only 1, 3." in told

    scribbles, pixels = imread(folder / "scribbles.png"), imread(folder / "image.png")
    scribbles[90:] = np.arange(4, 10)[np.arange(120) // 20]
    imsave(folder / "scribbles.png", scribbles, check_contrast=False)
    tifffile.imwrite(folder / "holes.tif", np.where(scribbles > 3, np.nan, pixels))
    assert segment(folder, *FAST, "--ignore", "4", "--trees", "2", image="holes.tif") == 0
    told = capsys.readouterr().err
    assert "class 5, 6, 7 and 2 more lies where the image has no data" in told
    assert "--ignore" not in told


def test_that_all_but_one_class_is_ignored_is_told(folder, capsys):
    assert segment(folder, *FAST, "--ignore", "1") == 4
    assert "only class 3 is painted that is not ignored" in capsys.readouterr().err


def test_strokes_where_there_is_no_data_are_told_so(folder, capsys):
    scribbles = imread(folder / "scribbles.png")
    pixels = np.where(scribbles > 0, np.nan, imread(folder / "image.png")).astype(np.float32)
    tifffile.imwrite(folder / "holes.tif", pixels)
    assert segment(folder, *FAST, image="holes.tif") == 4
    assert "no data (NaN or infinite)" in capsys.readouterr().err


def test_scribbles_of_one_class_have_their_own_code_too(folder, capsys):
    scribbles = imread(folder / "scribbles.png")
    imsave(folder / "scribbles.png", scribbles // 3, check_contrast=False)
    assert segment(folder, *FAST) == 4
    assert "only class 1" in capsys.readouterr().err


def test_a_damaged_classifier_has_code_6(folder, capsys):
    (folder / "c.skops").write_text("no classifier")
    arguments = ["apply", str(folder / "c.skops"), str(folder / "image.png"), "--output", "x"]
    assert main(arguments) == 6
    assert "c.skops" in capsys.readouterr().err


def test_verbose_shows_the_traceback(folder):
    from napari_alibi_seg import AlibiSegError

    with pytest.raises(AlibiSegError):
        segment(folder, "--model", "nonsense", "--verbose")


def test_features_are_a_zarr_array_that_says_what_it_is(folder):
    path = folder / "f.zarr"
    assert main(["features", str(folder / "image.png"), "--output", str(path), "--scale", "1"]) == 0
    array = zarr.open_array(path, mode="r")
    assert array.shape == (8, 9, 384)
    assert array.dtype == np.float16
    assert array.attrs["stride"] == 14
    assert array.attrs["identity"]["backbone"]["geometry"]["wrap"] is False


def test_features_are_finished_by_the_same_command_and_replace_no_other_zarr(
    folder, classifier, capsys
):
    image, labels, raw = (folder / name for name in ("image.png", "labels.ome.zarr", "raw.zarr"))
    assert main(["apply", str(classifier), str(image), "--output", str(labels)]) == 0
    zarr.create_array(raw, data=imread(image))
    (raw / "notes.txt").write_text("mine")
    for taken, said in ((labels, "differs in"), (raw, "no record beside it")):
        before = {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()}
        assert main(["features", str(image), "--output", str(taken), "--scale", "1"]) == 7
        assert said in capsys.readouterr().err
        assert before == {path: path.read_bytes() for path in taken.rglob("*") if path.is_file()}

    command = ["features", str(image), "--output", str(folder / "f.zarr"), "--scale"]
    assert main([*command, "1"]) == main([*command, "1"]) == 0
    assert "0 of 1 planes" in capsys.readouterr().out
    assert main([*command, "2"]) == 7
    assert "differs in features" in capsys.readouterr().err


@pytest.fixture
def student(folder, monkeypatch):
    """The bundled model as a file, which is asked for by a relative path."""
    (folder / "r1").mkdir()
    bundled = SAMPLES.parent / "weights/alibi-dinov2-s14.safetensors"
    shutil.copy(bundled, folder / "r1/student.safetensors")
    monkeypatch.chdir(folder)
    return "r1/student.safetensors"


def test_a_classifier_finds_its_model_from_any_folder_and_asks_for_one_that_has_gone(
    folder, student, monkeypatch, capsys
):
    saved = ("--scale", "1", "--save-classifier", str(folder / "c.skops"), "--model", student)
    assert segment(folder, *saved) == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    command = ["apply", str(folder / "c.skops"), str(folder / "image.png"), "--output", "r"]
    assert main(command) == 0
    (folder / student).rename(folder / "moved.safetensors")
    assert main([*command, "--replace"]) == 5
    assert "say where with --model" in capsys.readouterr().err
    assert main([*command, "--replace", "--model", "../moved.safetensors"]) == 0


def test_workers_are_sent_paths_that_hold_in_their_folders(
    folder, student, classifier, monkeypatch
):
    jobs = []

    def note(stage, job, *_, **more):
        jobs.append(job)
        return 0, 0

    for module in ("volumes", "feature_files"):
        monkeypatch.setattr(f"napari_alibi_seg.core.runs.{module}.make_planes", note)
    monkeypatch.setattr("napari_alibi_seg.core.runs.volumes.volume_fractions", lambda *_: [])
    more = ["--output", "o.zarr", "--model", student, "--cluster", "tcp://h:1"]
    assert main(["apply", classifier.name, "image.png", *more]) == 0
    assert main(["features", "image.png", *more]) == 0
    for job in jobs:
        paths = job.source.path, job.output, Path(job.work.model)
        assert paths == (folder / "image.png", folder / "o.zarr", folder / student)
    assert jobs[0].work.classifier == classifier


def test_a_remedy_of_bias_makes_other_features_which_a_classifier_remembers(folder, capsys):
    def segmented(model, *more, output="out.tif"):
        return segment(folder, "--scale", "1", "--model", model, *more, output=output)

    saved = folder / "c.skops"
    assert segmented("alibi-dinov2-s14+flips", "--save-classifier", str(saved)) == 0
    apply = ["apply", str(saved), str(folder / "image.png"), "--output", str(folder / "r")]
    assert main(apply) == 0
    labels = tifffile.imread(folder / "out.tif")
    assert np.array_equal(tifffile.imread(folder / "r/image_labels.tif"), labels)
    assert main([*apply, "--replace", "--model", "alibi-dinov2-s14"]) == 6
    assert "trained on features of alibi-dinov2-s14+flips" in capsys.readouterr().err


def test_progress_is_shown_to_nobody_where_standard_error_is_closed(folder, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.core.terminal._DELAY", 0)
    monkeypatch.setattr("sys.stderr", None)
    assert segment(folder, *FAST) == 0
    assert (folder / "out.tif").exists()


@pytest.mark.parametrize(
    ("command", "work"),
    [("apply", "volumes.segment_volume"), ("features", "feature_files.write_features")],
)
def test_an_interrupted_run_plane_by_plane_tells_how_to_go_on(
    folder, classifier, monkeypatch, capsys, command, work
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"napari_alibi_seg.core.runs.{work}", interrupted)
    recipe = [str(classifier)] if command == "apply" else []
    output = ["--output", str(folder / "o.zarr")]
    assert main([command, *recipe, str(folder / "image.png"), *output]) == 130
    said = capsys.readouterr().err
    assert "interrupted; finished planes were kept; go on by the same command." in said


def test_a_name_that_does_not_do_for_features_is_told_before_the_work(folder, capsys):
    (folder / "notes.txt").write_text("mine")
    arguments = ["features", str(folder / "image.png"), "--model", "no such model"]
    assert main([*arguments, "--output", str(folder / "notes.txt")]) == 7
    assert "notes.txt is a file" in capsys.readouterr().err
    assert (folder / "notes.txt").read_text() == "mine"
    assert main([*arguments, "--output", str(folder / "f.tif")]) == 7
    assert "f.tif is no name for a Zarr; let it end in .zarr." in capsys.readouterr().err


def test_a_file_where_the_folder_of_results_should_be_is_told(folder, classifier, capsys):
    image = str(folder / "image.png")
    for command in (["apply", str(classifier), image], ["demo", "--device", "no device"]):
        assert main([*command, "--output", image]) == 7
        assert "a file lies where a folder is needed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["labels.tif", "fractions.csv", "c2.skops", "p.alibi"])
def test_a_file_name_for_the_folder_of_results_is_wrong_usage(folder, classifier, capsys, name):
    output = folder / name
    with pytest.raises(SystemExit) as caught:
        main(["apply", str(classifier), str(folder / "image.png"), "--output", str(output)])
    assert caught.value.code == 2
    assert f"{name} looks like a file; name a folder" in capsys.readouterr().err
    assert not output.exists()


def test_a_project_is_written_to_a_folder_and_to_no_zarr(folder, capsys):
    output = folder / "labels.ome.zarr"
    with pytest.raises(SystemExit) as caught:
        main(["apply", str(folder / "p.alibi"), "--output", str(output)])
    assert caught.value.code == 2
    assert "are written as TIFF; name a folder" in capsys.readouterr().err
    assert not output.exists()


def test_advice_on_short_memory_names_only_options_that_help(
    folder, classifier, monkeypatch, capsys
):
    def too_large(_):
        raise MemoryError

    monkeypatch.setattr(ImageFile, "read", too_large)
    ways = "close other programs, or cut the image into smaller ones."
    assert segment(folder, "--scale", "2") == 8
    assert f"too little memory; use --scale 1, or {ways}" in capsys.readouterr().err
    assert segment(folder) == 8
    assert f"too little memory; {ways}" in capsys.readouterr().err
    command = ["apply", str(classifier), str(folder / "image.png")]
    assert main([*command, "--output", str(folder / "o.zarr")]) == 8
    assert f"too little memory; {ways}" in capsys.readouterr().err


def test_filters_alone_are_no_features(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["features", str(folder / "image.png"), "--output", "f.zarr", "--model", "classical"])
    assert caught.value.code == 2
    assert "classical stands for no features; name a model" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["classical+flips", "+blank", "alibi-dinov2-s14+blank+flips"])
def test_a_remedy_is_one_and_of_a_model(folder, capsys, model):
    assert segment(folder, "--model", model) == 5
    told = capsys.readouterr().err
    assert f"{model!r} is not one model with one remedy" in told
    assert "use a name like alibi-dinov2-s14+flips, or classical alone" in told


def test_what_an_output_would_replace_is_told(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for output in ("image.png", "."):
        assert main(["features", "image.png", "--output", output]) == 7
        assert f"{output} is an input, or a folder with one" in capsys.readouterr().err
    assert segment(folder, *FAST, "--probabilities", str(folder / "out.tif")) == 7
    assert "out.tif is the name of two results" in capsys.readouterr().err


def test_classifiers_and_projects_are_described(folder, capsys):
    saved, opened = folder / "c.skops", folder / "p.alibi"
    assert segment(folder, "--save-classifier", str(saved), "--names", "1=matrix") == 0
    scribbles = SparseScribbles.of(
        read_image(folder / "image.png"), imread(folder / "scribbles.png")
    )
    classes = (ClassInfo.default(1, "matrix"), ClassInfo.default(3, "holder"))
    config = SegmentationConfig("classical", smoothing=0)
    image = ImageFile(folder / "image.png")
    save_project(Project(scribbles, classes, frozenset({3}), config, image), opened)
    capsys.readouterr()
    assert main(["describe", str(saved), str(opened)]) == 0
    classifier, project = capsys.readouterr().out.split(str(opened))
    assert "1 matrix, 3 class 3" in classifier
    assert DEFAULT_MODEL in classifier
    assert "learned filters" in classifier
    assert f"1 matrix, {np.count_nonzero(scribbles.values == 1)} pixels painted" in project
    assert "3 holder (ignored)" in project
    assert "learned filters" not in project
    assert str(folder / "image.png") in project


def test_a_file_of_another_kind_is_not_described(folder, capsys):
    assert main(["describe", str(folder / "image.png")]) == 6
    told = capsys.readouterr()
    assert "no classifier" in told.err
    assert told.out == ""


def test_models_lists_every_name_without_a_network(capsys):
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert "alibi-dinov2-s14" in listed
    assert "dino-saw" in listed
    assert "bundled" in listed


def test_models_are_listed_though_the_cache_cannot_be_looked_into(monkeypatch, capsys):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", "y" * 300)
    assert main(["models"]) == 0
    assert "to be fetched" in capsys.readouterr().out


def test_the_demo_shows_its_three_classes(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 0
    labels = tifffile.imread(tmp_path / "demo/segmentation.tif")
    assert set(np.unique(labels)) == {1, 2, 3}
    with Image.open(tmp_path / "demo/overlay.png") as picture:
        assert picture.width > 2 * labels.shape[1]
    assert "overlay.png" in capsys.readouterr().out


def test_the_picture_shows_scribbles_on_the_left_and_classes_on_the_right():
    image = as_micrograph(np.full((60, 80), 90, np.uint8))
    labels = np.full((60, 80), 1, np.uint8)
    labels[:, 40:] = 4
    scribbles = np.zeros_like(labels)
    scribbles[30, 10] = 4
    plane = Plane(image.data, Levels(0, 255))
    classes = ClassInfo(1, "matrix", (250, 0, 0)), ClassInfo(4, "pore", (0, 0, 250))
    measured = class_fractions("a.tif", image, (), labels, classes)
    found = Segmentation(labels, None, classes)
    page = np.asarray(overlay_picture(plane, scribbles, found, measured))
    left, right = page[12:72, 12:92], page[12:72, 104:184]
    assert left[30, 10].tolist() == [0, 0, 250]
    assert left[20, 20].tolist() == [90, 90, 90]
    assert right[20, 20, 0] > right[20, 20, 2]
    assert right[20, 70, 2] > right[20, 70, 0]
    assert right[20, 40].tolist() == [0, 0, 250]


def started(*arguments, **options):
    command = [sys.executable, "-m", "napari_alibi_seg", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def big(folder):
    """An image that takes long, with scribbles of its size."""
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 3000), np.uint8)
    painted = np.zeros_like(pixels)
    painted[0, :50], painted[9, :50] = 1, 2
    imsave(folder / "scribbles.png", painted, check_contrast=False)
    imsave(folder / "image.tif", pixels, check_contrast=False)
    return folder / "image.tif"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("ending", ["SIGINT", "SIGHUP"])  # SIGTERM: the next test
def test_being_stopped_leaves_nothing_half_written(folder, big, ending, heed_signals):
    (folder / "out").mkdir()
    paths = ["--scribbles", folder / "scribbles.png", "--output", folder / "out/o.tif"]
    process = started("segment", big, *FAST, *paths, preexec_fn=heed_signals)
    while process.poll() is None and not any((folder / "out").iterdir()):
        time.sleep(0.05)
    process.send_signal(getattr(signal, ending))
    _, said = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in said
    assert not any((folder / "out").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_batch_that_is_stopped_tells_what_is_done(folder, classifier, big, heed_signals):
    images, results = [folder / "image.png", big], folder / "results"
    process = started("apply", classifier, *images, "--output", results, preexec_fn=heed_signals)
    while process.poll() is None and not (results / "image.png_labels.tif").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "finished images were kept; go on by the same command with --skip-existing." in said
    table = pandas.read_csv(results / "fractions.csv")
    assert [*table["image"].unique()] == ["image.png"]
    assert {path.name for path in results.iterdir()} == {"image.png_labels.tif", "fractions.csv"}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_results_are_made_though_nobody_listens_any_more(folder, classifier, stream):
    shutil.copy(folder / "image.png", folder / "other.png")
    (folder / "none.png").touch()
    names = ("image.png", "none.png", "other.png")
    images, results = [folder / name for name in names], folder / "results"
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    command = [sys.executable, "-m", "napari_alibi_seg", "apply", classifier, *images]
    run = subprocess.run([*command, "--output", results], text=True, **streams)
    os.close(writer)
    assert run.returncode == 1
    assert "Traceback" not in f"{run.stdout}{run.stderr}"
    table = pandas.read_csv(results / "fractions.csv")
    assert [*table["image"].unique()] == ["image.png", "other.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="a stack no address space holds")
def test_too_few_threads_are_told_in_one_sentence_with_what_to_do(folder):
    paths = [str(folder / name) for name in ("image.png", "scribbles.png", "out.tif")]
    command = ["segment", paths[0], "--scribbles", paths[1], "--output", paths[2], *FAST]
    code = (
        "import sys, threading; from napari_alibi_seg.cli import main; "
        f"threading.stack_size(2**47); sys.exit(main({command!r}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 8
    assert "no more threads" in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert not (folder / "out.tif").exists()


@pytest.mark.parametrize(
    ("system", "ways"),
    [("linux", {"ulimit", "taskset"}), ("darwin", {"ulimit"}), ("win32", set())],
)
def test_the_ways_to_more_threads_are_those_of_the_system(system, ways, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    told = str(shortage(RuntimeError("can't start new thread")))
    assert {way for way in ("ulimit", "taskset") if way in told} == ways


def test_a_torch_that_windows_cannot_load_is_told_with_the_remedy():
    error = OSError(r'[WinError 1114] Error loading "C:\alibi\torch\lib\c10.dll"')
    assert shortage(error) is None
    error.winerror = 1114
    assert "pip install -U PyQt6 PyQt6-Qt6" in str(shortage(error))


def imported_by(code):
    run = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys, json; print(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NAPARI_ALIBI_SEG_CACHE": "unused"},
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


QT = {"napari", "qtpy", "PyQt6", "PySide6", "superqt"}


def test_importing_the_package_imports_neither_qt_nor_torch():
    light = "import napari_alibi_seg.core.runs.batch"
    assert not imported_by(light) & {*QT, "torch", "timm", "sklearn"}


def test_the_command_line_is_known_before_anything_heavy_is_imported():
    light = "import napari_alibi_seg.cli as cli; cli._parser().format_help()"
    assert not imported_by(light) & {*QT, "numpy", "torch", "tifffile", "tqdm", "zarr"}


def test_a_missing_image_is_told_before_anything_slow_is_imported():
    segment = ["segment", "nowhere.tif", "--scribbles", "s.tif", "--output", "out.tif"]
    train = ["train", "--painted", "nowhere.tif", "s.tif", "--output", "c.skops"]
    told = "from napari_alibi_seg.cli import main; "
    told += f"assert main({segment!r}) == main({train!r}) == 3"
    assert not imported_by(told) & {*QT, "torch", "sklearn", "numba"}


def test_settings_and_classes_import_nothing_heavy():
    light = "from napari_alibi_seg import ChannelConfig, ClassInfo, SegmentationConfig"
    heavy = {"torch", "sklearn", "scipy", "skimage", "numba", "tifffile"}
    assert not imported_by(light) & {*QT, *heavy}


def test_the_core_and_the_command_line_import_no_qt_and_timm_for_a_model_only():
    core = "import napari_alibi_seg.cli, napari_alibi_seg.core.segmentation"
    assert not imported_by(core) & {*QT, "timm", "torchvision"}


def test_opening_a_picture_loads_nothing_for_other_kinds_of_files(tmp_path):
    opening = "from napari_alibi_seg import read_image"
    for name in ("image.tif", "image.png"):
        imsave(tmp_path / name, np.zeros((20, 30), np.uint8), check_contrast=False)
        opening += f"; read_image({str(tmp_path / name)!r})"
    assert not imported_by(opening) & {*QT, "dask", "h5py", "torch", "zarr"}


def test_every_public_name_is_there_and_known_to_type_checkers():
    import napari_alibi_seg

    imports = ast.walk(ast.parse(Path(napari_alibi_seg.__file__).read_text(encoding="utf-8")))
    told = {part.asname for one in imports if isinstance(one, ast.ImportFrom) for part in one.names}
    assert set(napari_alibi_seg.__all__) == (told - {None}) | {"__version__"}
    for name in napari_alibi_seg.__all__:
        assert getattr(napari_alibi_seg, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = napari_alibi_seg.nonsense


TOO_LONG = "y" * 300


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["segment", TOO_LONG, "--scribbles", "scribbles.png", "--output", "o.tif"], 3),
        (["segment", "image.png", "--scribbles", TOO_LONG, "--output", "o.tif"], 3),
        (["segment", "image.png", "--scribbles", "scribbles.png", "--output", TOO_LONG], 7),
        (["train", "--painted", TOO_LONG, "scribbles.png", "--output", "c.skops"], 3),
        (["apply", TOO_LONG, "image.png", "--output", "results"], 6),
        (["apply", f"{TOO_LONG}.alibi"], 9),
        (["features", "image.png", "--output", "f.zarr", "--model", TOO_LONG], 5),
    ],
)
def test_a_name_no_system_takes_is_an_error_of_one_sentence(
    folder, monkeypatch, capsys, arguments, code
):
    monkeypatch.chdir(folder)
    assert main(arguments) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("before", [False, True])
def test_a_disk_that_fails_under_one_image_does_not_end_the_batch(
    folder, classifier, capsys, monkeypatch, before
):
    results = folder / "results"
    images = [folder / "a.png", folder / "b.png"]
    for image in images:
        shutil.copy(folder / "image.png", image)
    arguments = ["apply", classifier, *images, "--output", results, "--replace"]
    if before:
        assert main([*map(str, arguments)]) == 0
    write, failures = tifffile.TiffWriter.write, iter([OSError(errno.EIO, "Input/output error")])

    def failing_once(*given, **options):
        for failure in failures:
            raise failure
        return write(*given, **options)

    monkeypatch.setattr(tifffile.TiffWriter, "write", failing_once)
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 1
    said = capsys.readouterr().err
    assert f"{images[0]} failed: " in said
    assert "Input/output error" in said
    assert "1 of 2 images failed: a.png." in said
    assert (results / "b_labels.tif").exists()
    assert pandas.read_csv(results / "fractions.csv")["image"].unique().tolist() == ["b.png"]


def test_a_disk_that_fails_under_a_result_is_told_in_a_sentence(folder, capsys, monkeypatch):
    def failing(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(tifffile.TiffWriter, "write", failing)
    before = sorted(folder.iterdir())
    assert segment(folder, *FAST) == 7
    [said] = capsys.readouterr().err.splitlines()
    assert "Input/output error); see that its disk is there" in said
    assert sorted(folder.iterdir()) == before
    with pytest.raises(OSError, match="Input/output error"):
        segment(folder, *FAST, "--verbose")


def test_images_of_names_that_no_system_takes_or_no_folder_has_fail_alone(
    folder, classifier, capsys
):
    results = folder / "results"
    names = [folder / "image.png", folder / TOO_LONG, folder / "missing.tif"]
    arguments = ["apply", classifier, *names, "--output", results]
    assert main([*map(str, arguments)]) == 1
    *each, last = capsys.readouterr().err.splitlines()
    assert [" failed: " in line for line in each] == [True, True]
    assert "2 of 3 images failed" in last
    assert (results / "image_labels.tif").exists()


def test_long_names_that_differ_at_their_ends_get_results_of_their_own(folder, classifier):
    names = [folder / f"{'x' * 120}{number}.png" for number in range(2)]
    for name in names:
        shutil.copy(folder / "image.png", name)
    arguments = ["apply", classifier, *names, "--output", folder / "results"]
    assert main([*map(str, arguments)]) == 0
    assert len([*(folder / "results").glob("*_labels.tif")]) == 2


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_a_name_that_is_no_text_costs_no_result(folder, classifier):
    name = os.fsencode(folder) + b"/Gef\xfcge.png"
    shutil.copy(folder / "image.png", name)
    arguments = ["apply", str(classifier), os.fsdecode(name), "--output", str(folder / "results")]
    assert main(arguments) == 0
    table = (folder / "results/fractions.csv").read_text(encoding="utf-8-sig")
    assert "Gef?ge.png" in table


def test_output_that_lacks_letters_shows_others(folder, monkeypatch):
    """Windows sends what is redirected through a code page."""
    redirected = TextIOWrapper(BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", redirected)
    assert segment(folder, *FAST, output="\u0394.tif") == 0
    redirected.flush()
    assert b"\\u0394.tif" in redirected.buffer.getvalue()


def test_features_never_replace_a_folder_that_holds_the_image(folder, monkeypatch, capsys):
    plate = zarr.create_group(folder / "plate.zarr")
    plate.create_array("well", data=imread(folder / "image.png"))
    monkeypatch.chdir(folder)
    assert main(["features", "plate.zarr/well", "--output", "plate.zarr"]) == 7
    assert "a folder with one" in capsys.readouterr().err
    assert (folder / "plate.zarr/well/zarr.json").exists()


def test_labels_never_replace_a_folder_that_holds_the_image(folder, classifier, capsys):
    plate = zarr.create_group(folder / "plate.zarr")
    plate.create_array("well", data=imread(folder / "image.png"))
    well, output = str(folder / "plate.zarr/well"), str(folder / "plate.zarr")
    assert main(["apply", str(classifier), well, "--output", output]) == 7
    assert "a folder with one" in capsys.readouterr().err
    assert (folder / "plate.zarr/well/zarr.json").exists()


@pytest.mark.parametrize(
    "option",
    [("--axes", "ZYX"), ("--channels", "0"), ("--cluster", "tcp://x:1"), ("--spacing", "2")],
)
def test_options_that_mean_nothing_to_a_project_are_wrong_usage(capsys, option):
    with pytest.raises(SystemExit) as stopped:
        main(["apply", "p.alibi", *option])
    assert stopped.value.code == 2
    assert "knows how its image is read" in capsys.readouterr().err


def test_a_project_whose_model_has_gone_asks_for_it_and_takes_it(folder, capsys):
    file = ImageFile(folder / "image.png")
    image = file.read()
    strokes = SparseScribbles.of(image, imread(folder / "scribbles.png"))
    config = SegmentationConfig(str(folder / "gone.safetensors"), scale=1, trees=5)
    project = Project(strokes, (), frozenset(), config, file, content_hash(image))
    save_project(project, folder / "p.alibi")
    assert main(["apply", str(folder / "p.alibi")]) == 5
    assert "if it lies elsewhere now, say where with --model" in capsys.readouterr().err
    assert main(["apply", str(folder / "p.alibi"), "--model", DEFAULT_MODEL]) == 0
    assert set(np.unique(tifffile.imread(folder / "p_labels.tif"))) == {1, 3}


@pytest.mark.parametrize(
    ("saved", "other"), [("classical", DEFAULT_MODEL), (DEFAULT_MODEL, "classical")]
)
def test_a_project_is_segmented_with_no_other_model_than_its_own(folder, capsys, saved, other):
    file = ImageFile(folder / "image.png")
    image = file.read()
    strokes = SparseScribbles.of(image, imread(folder / "scribbles.png"))
    config = SegmentationConfig(saved, scale=1, trees=5)
    project = Project(strokes, (), frozenset(), config, file, content_hash(image))
    save_project(project, folder / "p.alibi")
    assert main(["apply", str(folder / "p.alibi"), "--model", other]) == 9
    assert f"painted with the model {saved}" in capsys.readouterr().err
    assert not (folder / "p_labels.tif").exists()
