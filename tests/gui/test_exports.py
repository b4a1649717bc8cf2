import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtWidgets import QFileDialog
from skimage.io import imread

from napari_alibi_seg.core.forest.classifier_files import load_classifier
from napari_alibi_seg.core.forest.result import Segmentation
from napari_alibi_seg.core.images.micrograph import as_micrograph, read_image
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live.records import PlaneDone, ResultBlock
from napari_alibi_seg.gui.files import write_maps
from napari_alibi_seg.gui.records import PaintClass, Settings
from napari_alibi_seg.gui.scripts import command, quoted_for_windows
from napari_alibi_seg.gui.source import ImageSource, readings
from napari_alibi_seg.gui.words import area_words

SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"

NANOMETRES = {
    f"PhysicalSize{axis}{key}": value
    for axis, length in (("Y", 4.0), ("X", 5.0))
    for key, value in (("", length), ("Unit", "nm"))
}


def paint(desk, planes=...):
    """Paint two strokes of two classes and wait for all that follows."""
    for row, left, value in ((18, 60, 1), (40, 20, 1), (58, 60, 2), (80, 20, 2)):
        desk.painted[planes, row : row + 2, left : left + 40] = value
    desk.controller.ask()
    desk.until(lambda: "right" in desk.panels.result.facts.text())
    desk.rest()


def written(desk, act, *arguments):
    desk.panels.strip.put_away()
    act(*arguments)
    desk.until(lambda: "Written" in desk.panels.strip.words)
    desk.until(lambda: not desk.dock.background.busy)


def exported_size(desk, tmp_path):
    written(desk, desk.dock.exports.export, tmp_path / "out.tif")
    written(desk, desk.dock.exports.export_scribbles, tmp_path / "scribbles.tif")
    size = read_image(tmp_path / "out.tif").pixel_size
    assert read_image(tmp_path / "scribbles.tif").pixel_size == size
    return size


@pytest.fixture
def quick(desk):
    desk.hurry()
    return desk


def test_the_pixel_size_of_a_file_reaches_exports_that_are_proposed_beside_it_and_never_replace_it(
    quick, pixels, tmp_path, monkeypatch
):
    path, proposed = tmp_path / "alloy.ome.tif", []
    monkeypatch.setattr(QFileDialog, "exec", lambda dialog: proposed.extend(dialog.selectedFiles()))
    tifffile.imwrite(path, pixels, metadata={"axes": "YX", **NANOMETRES})
    before = path.read_bytes()
    quick.viewer.open(path, plugin="napari")
    quick.until(lambda: quick.work is not None)
    paint(quick)
    assert exported_size(quick, tmp_path) == PixelSize("nm", None, 4.0, 5.0)

    quick.panels.result.uncertainty.setChecked(True)
    quick.rest()
    for button in ("project_save", "save", "export", "map", "fractions", "scribbles"):
        quick.panels.reuse.buttons[button].click()
    assert proposed == [
        str(tmp_path / f"alloy{name}")
        for name in (
            ".alibi",
            "_classifier.skops",
            "_labels.tif",
            "_uncertainty.tif",
            "_fractions.csv",
            "_scribbles.tif",
        )
    ]

    quick.dock.exports.export(path)
    quick.until(lambda: "choose another name" in quick.panels.strip.words)
    assert path.read_bytes() == before


def test_scale_and_units_of_a_layer_reach_exports_unless_they_are_pixels(quick, pixels, tmp_path):
    quick.open(pixels, scale=(-4, 5))
    layer = quick.work.source.layer
    paint(quick)
    assert exported_size(quick, tmp_path) is None
    for unit, known in (
        ("um", "µm"),
        ("micrometer", "µm"),
        ("nm", "nm"),
        ("mm", "mm"),
        ("inch",) * 2,
    ):
        layer.units = (unit, unit)
        quick.rest()
        assert exported_size(quick, tmp_path) == PixelSize(known, None, 4.0, 5.0)
    layer.units, layer.scale = ("pixel", "pixel"), (4, 5)
    quick.rest()
    assert exported_size(quick, tmp_path) is None


def test_a_scale_set_later_moves_strokes_and_results_and_reaches_exports(quick, pixels, tmp_path):
    quick.open(np.stack([pixels] * 2))
    paint(quick)
    layer = quick.work.source.layer
    layer.scale, layer.units = (3, 4, 5), ("nm", "nm", "nm")
    for other in (quick.work.scribbles.layer, quick.work.result.labels):
        assert other.scale.tolist() == [3, 4, 5]
        assert other.units == layer.units
    quick.controller.apply_to_stack()
    quick.until(lambda: not quick.work.result.unfinished)
    quick.rest()
    assert exported_size(quick, tmp_path) == PixelSize("nm", 3.0, 4.0, 5.0)


def test_a_pixel_size_comes_back_with_a_project_on_an_image_that_has_none(quick, pixels, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    layer = quick.viewer.open(tmp_path / "a.tif", plugin="napari")[0]
    quick.until(lambda: quick.work is not None)
    layer.scale, layer.units = (4, 5), ("nm", "nm")
    paint(quick)
    written(quick, quick.dock.exports.save_project, tmp_path / "p.alibi")
    layer.scale, layer.units = (1, 1), ("pixel", "pixel")
    painted = quick.painted.copy()

    quick.dock.reuse.open_project(tmp_path / "p.alibi")
    quick.until(lambda: not quick.dock.background.busy)
    quick.rest()

    np.testing.assert_array_equal(quick.painted, painted)
    assert quick.work.scribbles.layer.scale.tolist() == [4, 5]
    assert exported_size(quick, tmp_path) == PixelSize("nm", None, 4.0, 5.0)


def test_the_map_that_is_shown_is_exported_when_every_plane_has_one(quick, pixels, tmp_path):
    quick.open(np.stack([pixels, np.roll(pixels, 1, axis=0)]), name="alloy")
    paint(quick)
    button = quick.panels.reuse.buttons["map"]
    button.click()
    assert quick.panels.strip.words.startswith("Tick Uncertainty or Probabilities")

    quick.controller.apply_to_stack()
    quick.until(lambda: not quick.work.result.unfinished)
    quick.rest()
    quick.panels.result.probabilities.setChecked(True)
    quick.rest()
    button.click()
    assert "press Apply to stack" in quick.panels.strip.words
    names = [known.name for known in quick.panels.classes.classes]
    quick.controller.apply_to_stack()
    quick.until(lambda: not quick.work.result.unmapped("probabilities"))
    quick.rest()
    written(quick, quick.dock.exports.export_map, tmp_path / "p.tif", "probabilities")

    shares = tifffile.imread(tmp_path / "p.tif")  # (planes, classes, Y, X)
    assert shares.shape == (2, 2, *pixels.shape)
    with tifffile.TiffFile(tmp_path / "p.tif") as tiff:
        assert re.findall('Channel ID="[^"]*" Name="([^"]*)"', tiff.ome_metadata) == names
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(shares.argmax(axis=1) + 1, quick.segmented)

    quick.panels.result.uncertainty.setChecked(True)
    quick.controller.apply_to_stack()
    quick.until(lambda: not quick.work.result.unmapped("uncertainty"))
    quick.rest()
    written(quick, quick.dock.exports.export_map, tmp_path / "u.tif", "uncertainty")
    leading = np.sort(shares, axis=1)
    expected = 1 - (leading[:, -1] - leading[:, -2])
    np.testing.assert_allclose(tifffile.imread(tmp_path / "u.tif"), expected, atol=1e-5)


def test_without_live_it_is_told_how_a_map_and_a_table_come_before_a_name_is_asked(
    quick, pixels, tmp_path, monkeypatch
):
    monkeypatch.setattr(QFileDialog, "exec", lambda dialog: pytest.fail("asked"))
    quick.open(pixels)
    paint(quick)
    panels, buttons = quick.panels, quick.panels.reuse.buttons
    panels.result.live.setChecked(False)
    panels.result.uncertainty.setChecked(True)
    quick.rest()
    buttons["map"].click()
    assert panels.strip.words.endswith("press Update once, then export.")
    quick.viewer.layers.remove(quick.work.result.labels)
    quick.rest()
    for button in ("fractions", "export", "map"):
        panels.strip.put_away()
        buttons[button].click()
        assert panels.strip.words.endswith("press Update once, then export.")

    panels.result.update_button.click()
    quick.rest()
    assert panels.strip.words == ""
    assert not quick.work.result.unmapped("uncertainty")
    quick.bar(1, 110)
    quick.rest()
    quick.dock.exports.export_fractions(tmp_path / "f.csv")
    assert panels.strip.words.endswith("press Update once, then export.")


def test_tables_and_classifiers_are_not_written_to_names_of_images(quick, pixels, tmp_path):
    picture = tmp_path / "other.tif"
    tifffile.imwrite(picture, pixels)
    before = picture.read_bytes()
    quick.open(pixels)
    paint(quick)
    exports = quick.dock.exports
    for act in (exports.export_fractions, exports.save):
        act(picture)
        quick.until(lambda: "is a name for an image" in quick.panels.strip.words)
        quick.until(lambda: not quick.dock.background.busy)
        quick.panels.strip.put_away()
    assert picture.read_bytes() == before


def test_scribbles_of_any_type_are_exported_in_few_bytes(quick, pixels, tmp_path):
    quick.open(pixels)
    own = np.zeros(pixels.shape, int)
    own[18:20, 60:100], own[58:60, 60:100], own[0, 0] = 1, 300, -1
    quick.choose_scribbles(quick.viewer.add_labels(own))
    written(quick, quick.dock.exports.export_scribbles, tmp_path / "scribbles.tif")
    exported = tifffile.imread(tmp_path / "scribbles.tif")
    assert exported.dtype == np.uint16
    np.testing.assert_array_equal(exported, own.clip(0))


def exported_table(desk, path):
    written(desk, desk.dock.exports.export_fractions, path)
    return pandas.read_csv(path)


def test_the_table_tells_what_the_dock_shows(quick, pixels, tmp_path):
    quick.open(pixels, name="alloy", scale=(4, 5), units=("nm", "nm"))
    quick.panels.classes.add_class()
    quick.panels.classes.rows[2].ignore.setChecked(True)
    quick.painted[100:120] = 3
    paint(quick)
    quick.rename(1, "matrix, bright")
    quick.rest()

    table = exported_table(quick, tmp_path / "f.csv")

    assert table["image"].tolist() == ["alloy"] * 2
    assert table["class_name"].tolist() == ["matrix, bright", "class 2"]
    counts = [np.count_nonzero(quick.segmented == value) for value in (1, 2)]
    assert table["pixels"].tolist() == counts
    assert sum(counts) == pixels.size - 20 * pixels.shape[1]
    assert table["area"].tolist() == [20 * count for count in counts]
    text, tip = (words.replace("&nbsp;", " ") for words in shown_and_tip(quick))
    assert "4 by 5 nm/px" in text
    for row in table.itertuples():
        assert f"{100 * row.fraction:.1f} %" in text
        assert f"({100 * row.fraction_low:.0f} to {100 * row.fraction_high:.0f} %)" in text
        assert area_words(row.area, PixelSize("nm", None, 4.0, 5.0)) in tip


def shown_and_tip(desk):
    return desk.panels.result.facts.text(), desk.panels.result.facts.toolTip()


def test_planes_that_teach_nothing_have_intervals_from_their_votes(quick, pixels, tmp_path):
    quick.open(np.stack([pixels, pixels[::-1], pixels]))
    quick.panels.classes.add_class()
    quick.panels.classes.rows[2].ignore.setChecked(True)
    quick.painted[2, 100:110] = 3
    quick.viewer.dims.set_point(0, 0)
    paint(quick, 0)
    for plane in (1, 2):
        quick.viewer.dims.set_point(0, plane)
        quick.until(lambda plane=plane: (plane,) in quick.work.result.finished)
    quick.rest()
    words, tip = shown_and_tip(quick)
    assert "right" not in words
    assert words.count("&nbsp;to&nbsp;") == 2
    assert "as far as this plane is like those painted" in tip

    table = exported_table(quick, tmp_path / "f.csv")

    assert table["plane"].tolist() == [0, 0, 1, 1, 2, 2]
    assert (table["fraction_low"] < table["fraction_high"]).all()
    for index in ((1,), (2,)):
        told = table["expected_accuracy"][table["plane"] == index[0]]
        assert told.tolist() == pytest.approx([quick.work.done[index].voted.accuracy] * 2)


def test_every_painted_plane_has_intervals_whichever_was_looked_at(quick, pixels, tmp_path):
    quick.open(np.stack([pixels, pixels[::-1], pixels]))
    quick.viewer.dims.set_point(0, 2)
    paint(quick, [0, 2])
    quick.controller.apply_to_stack()
    quick.until(lambda: not quick.work.result.unfinished)
    quick.dock.exports.export_fractions(tmp_path / "early.csv")
    assert "intervals are being estimated" in quick.panels.strip.words
    quick.rest()

    table = exported_table(quick, tmp_path / "f.csv")

    assert table["plane"].tolist() == [0, 0, 1, 1, 2, 2]
    known = quick.work.assessments
    assert sorted(known) == [(0,), (2,)]
    for index, one in known.items():
        told = table["expected_accuracy"][table["plane"] == index[0]]
        assert told.tolist() == pytest.approx([one.accuracy.value] * 2)


def test_other_images_have_intervals_if_the_strokes_are_assessed(quick, pixels, tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", pixels[::-1])
    apply = partial(quick.dock.reuse.apply_to_files, [tmp_path / "other.tif"], tmp_path / "out")
    early = []

    def apply_early(event):
        if isinstance(event, PlaneDone):
            apply()
            early.append(quick.panels.strip.words)

    quick.open(pixels)
    quick.controller.bridge.reported.connect(apply_early)
    paint(quick)
    assert early[0].startswith("The intervals are being estimated")
    assert quick.panels.strip.words == ""
    quick.controller.bridge.reported.disconnect(apply_early)

    apply()
    quick.until(lambda: "Segmented 1 of 1" in quick.panels.strip.words)
    table = pandas.read_csv(tmp_path / "out/fractions.csv")
    assert (table["fraction_low"] < table["fraction_high"]).all()


def test_other_images_have_no_intervals_if_the_strokes_cannot_be_assessed(quick, pixels, tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", pixels)
    quick.open(np.full_like(pixels, 7))
    quick.bar(1, 18)
    quick.bar(2, 58)
    quick.until(lambda: bool(quick.work.result.finished))
    quick.rest()
    assert "The image is constant" in quick.panels.result.facts.text()

    quick.dock.reuse.apply_to_files([tmp_path / "other.tif"], tmp_path / "out")
    quick.until(lambda: "Segmented 1 of 1" in quick.panels.strip.words)

    assert pandas.read_csv(tmp_path / "out/fractions.csv")["fraction_low"].isna().all()


def test_a_table_holds_the_planes_the_present_strokes_segmented_and_no_coarse_one(
    quick, pixels, tmp_path
):
    quick.open(np.stack([pixels, pixels[::-1], pixels]))
    quick.viewer.dims.set_point(0, 0)
    paint(quick)
    quick.viewer.dims.set_point(0, 1)
    quick.until(lambda: {(0,), (1,)} <= quick.work.result.finished)
    quick.rest()
    assert exported_table(quick, tmp_path / "two.csv")["plane"].tolist() == [0, 0, 1, 1]

    quick.painted[1, 100:102, 20:60] = 1
    quick.controller.ask()
    quick.until(lambda: quick.work.result.finished == {(1,)})
    quick.rest()
    assert exported_table(quick, tmp_path / "one.csv")["plane"].tolist() == [1, 1]

    coarse = Segmentation(np.ones((1, 1), np.uint8), None, ())
    quick.controller.hear(ResultBlock((1,), Window(0, 0, 1, 1), coarse, False))
    quick.dock.exports.export_fractions(tmp_path / "f.csv")
    assert "wait" in quick.panels.strip.words
    assert not (tmp_path / "f.csv").exists()


def test_a_classifier_from_a_file_gives_intervals_from_its_votes(quick, pixels, tmp_path):
    quick.open(pixels)
    paint(quick)
    written(quick, quick.dock.exports.save, tmp_path / "c.skops")
    assert load_classifier(tmp_path / "c.skops").recognised is True
    quick.viewer.layers.clear()
    quick.rest()
    quick.open(pixels[::-1].copy())
    quick.dock.reuse.load(tmp_path / "c.skops")
    quick.until(lambda: bool(quick.work.result.finished))
    quick.rest()

    table = exported_table(quick, tmp_path / "f.csv")

    assert table["fraction"].sum() == pytest.approx(1)
    assert (table["fraction_low"] < table["fraction_high"]).all()
    assert table["area"].isna().all()
    assert "No pixel size is known" in quick.panels.result.facts.toolTip()


def test_a_classifier_that_recognises_nothing_is_believed_nowhere(quick, pixels, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, *pixels.shape), np.uint8)
    quick.open(noise[0])
    quick.bar(1, 18)
    quick.bar(2, 58)
    quick.until(lambda: "not recognised" in quick.panels.result.facts.text())
    quick.rest()
    written(quick, quick.dock.exports.save, tmp_path / "c.skops")
    assert load_classifier(tmp_path / "c.skops").recognised is False
    quick.viewer.layers.clear()
    quick.rest()
    quick.open(noise[1])
    quick.dock.reuse.load(tmp_path / "c.skops")
    quick.until(lambda: bool(quick.work.result.finished))
    quick.rest()

    table = exported_table(quick, tmp_path / "f.csv")

    assert table["fraction_low"].isna().all()
    assert "are not recognised" in quick.panels.result.facts.text()
    assert "nine times" not in quick.panels.result.facts.toolTip()


def test_an_image_unlike_those_painted_has_no_ranges(desk, pixels, tmp_path):
    desk.open(pixels)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    written(desk, desk.dock.exports.save, tmp_path / "c.skops")
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(imread(SAMPLES / "steel.png")[:100, :120])
    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: bool(desk.work.result.finished))
    desk.rest()

    table = exported_table(desk, tmp_path / "f.csv")

    assert table["fraction_low"].isna().all()
    assert (table["novelty"] > 2.5).all()
    assert "unlike what was painted" in desk.panels.result.facts.text()


def test_areas_beside_each_other_are_in_one_unit():
    size = PixelSize("nm", None, 1.0, 1.0)
    assert area_words(3e11, size, beside=4e10) == "300000 µm²"
    assert area_words(4e10, size, beside=4e10) == "40000 µm²"


@pytest.mark.parametrize(
    ("area", "unit", "words"),
    [
        (1.9e6, "nm", "1.9 µm²"),
        (2000, "nm", "2000 nm²"),
        (3e12, "µm", "3 m²"),
        (0.01, "nm", "0.01 nm²"),
        (0, "µm", "0 µm²"),
        (0.5, "inch", "0.5 inch²"),
    ],
)
def test_areas_are_told_in_the_unit_that_reads_best(area, unit, words):
    assert area_words(area, PixelSize(unit, None, 1.0, 1.0)) == words


@pytest.mark.parametrize("shape", [(1, 6), (5, 1), (2, 1, 6)])
@pytest.mark.parametrize("count", [1, 2])
def test_maps_keep_their_shape_and_what_is_no_number(tmp_path, shape, count):
    maps = [np.full(shape, 0.5, np.float32) for _ in range(count)]
    maps[0][..., 0, 0] = np.nan
    image = as_micrograph(np.zeros(shape, np.uint8), "ZYX"[-len(shape) :])

    list(write_maps(tmp_path / "map.tif", image, list(zip("ab", maps, strict=False))))

    expected = maps[0] if count == 1 else np.stack(maps, axis=-3)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "map.tif"), expected)


@pytest.mark.parametrize(
    ("part", "quoted"),
    [
        (r"C:\data\a-1.tif", r"C:\data\a-1.tif"),
        ("--names", "--names"),
        ("1=matrix", "1=matrix"),
        ("1,2", '"1,2"'),
        ("1=a&b", '"1=a&b"'),
        ("my image.tif", '"my image.tif"'),
    ],
)
def test_what_windows_would_take_apart_is_quoted(part, quoted):
    assert quoted_for_windows(part) == quoted


def test_a_command_names_the_device_that_was_chosen(pixels):
    layer = Image(pixels)
    source, classes = ImageSource.of(layer, readings(layer)[0], None), (PaintClass.default(1),)
    assert "--device" not in command(source, Settings(), classes)
    assert "--device cpu" in command(source, Settings(device="cpu"), classes)
