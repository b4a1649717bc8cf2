from threading import Event

import numpy as np
import pandas
import pytest
import tifffile
from napari.layers import Image, Labels

from napari_alibi_seg.cli import main
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.images.micrograph import read_image
from napari_alibi_seg.core.runs.project import content_hash, open_image
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.gui import projects
from napari_alibi_seg.gui.projects import write_layers


@pytest.fixture
def saved(make_desk, pixels, tmp_path):
    """Save what was painted on a file as a project; return what the window showed."""

    def made(quick=True, **settings):
        desk = make_desk()
        if quick:
            desk.hurry()
        tifffile.imwrite(tmp_path / "alloy.tif", pixels)
        desk.viewer.open(tmp_path / "alloy.tif", plugin="napari")
        desk.until(lambda: desk.work is not None)
        desk.two_strokes()
        desk.panels.classes.add_class()
        desk.stroke((120, 20), (120, 150))
        desk.rename(1, "matrix")
        desk.panels.classes.rows[2].ignore.setChecked(True)
        desk.until(lambda: desk.segmented is not None)
        desk.rest()
        desk.dock.exports.save_project(tmp_path / "p.alibi")
        done(desk, "Written")
        return desk

    return made


def done(desk, words):
    desk.until(lambda: words in desk.panels.strip.words)
    desk.until(lambda: not desk.dock.background.busy)


def idle(desk):
    desk.until(lambda: not desk.dock.background.busy)
    desk.rest()


def applied(desk, tmp_path):
    """Apply the project, whose results are those of the window; return its classifier column."""
    assert main(["apply", str(tmp_path / "p.alibi"), "--output", str(tmp_path / "out")]) == 0

    table = pandas.read_csv(tmp_path / "out/p_fractions.csv")
    assert table["class_name"].tolist() == ["matrix", "class 2"]
    assert table["pixels"].sum() == np.count_nonzero(desk.segmented)
    told = "pixels right" in desk.panels.result.facts.text()
    assert table["fraction_low"].notna().tolist() == [told, told]
    labels = tifffile.imread(tmp_path / "out/p_labels.tif")
    assert labels.dtype == desk.segmented.dtype
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels, desk.segmented)
    return table["classifier"]


def test_apply_gives_bit_for_bit_what_the_window_shows_with_its_features(saved, tmp_path):
    applied(saved(quick=False), tmp_path)
    assert load_project(tmp_path / "p.alibi").features


def test_a_project_saved_while_the_features_are_stopped_gives_what_is_shown(desk, pixels, tmp_path):
    tifffile.imwrite(tmp_path / "alloy.tif", pixels)
    desk.viewer.open(tmp_path / "alloy.tif", plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.rest()
    desk.controller.toggle_features()
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    desk.dock.exports.save_project(tmp_path / "dock.alibi")
    done(desk, "Written")
    desk.viewer.layers.selection = {desk.work.source.layer, desk.work.scribbles.layer}
    desk.viewer.layers.save(str(tmp_path / "menu.alibi"), selected=True)

    for way in ("dock", "menu"):
        assert main(["apply", str(tmp_path / f"{way}.alibi")]) == 0
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / f"{way}_labels.tif"), desk.segmented
        )


def test_what_is_painted_while_a_project_is_saved_is_not_in_it(
    segmented_desk, tmp_path, monkeypatch
):
    desk, painted = segmented_desk, Event()
    path = tmp_path / "p.alibi"

    def content_hash_later(image):
        assert painted.wait(60)
        return content_hash(image)

    monkeypatch.setattr(projects, "content_hash", content_hash_later)
    before = desk.painted.copy()
    desk.dock.exports.save_project(path)
    desk.panels.classes.add_class()
    desk.bar(3, 100)
    painted.set()
    done(desk, "Written")

    project = load_project(path)
    np.testing.assert_array_equal(project.scribbles.array(), before)
    assert [info.value for info in project.classes] == [1, 2]
    desk.rest()


def test_the_table_of_a_project_of_a_stack_is_that_of_the_window(make_desk, pixels, tmp_path):
    desk = make_desk()
    desk.hurry()
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([pixels, pixels[::-1]] * 2), photometric="minisblack"
    )
    desk.viewer.open(tmp_path / "stack.tif", plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.two_strokes()
    desk.controller.apply_to_stack()
    desk.until(lambda: len(desk.work.result.finished) == 4)
    desk.rest()
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    done(desk, "Written")
    desk.dock.exports.export_fractions(tmp_path / "f.csv")
    done(desk, "f.csv")

    assert main(["apply", str(tmp_path / "p.alibi")]) == 0

    ours, theirs = (pandas.read_csv(tmp_path / name) for name in ("f.csv", "p_fractions.csv"))
    pandas.testing.assert_frame_equal(ours, theirs)
    assert ours["plane"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert ours["expected_accuracy"].notna().all()


def test_a_project_applies_and_opens_as_it_was_saved(saved, tmp_path):
    first = saved()
    painted, shown = first.painted.copy(), first.segmented.copy()
    classes = first.panels.classes.classes
    made = applied(first, tmp_path)
    assert not load_project(tmp_path / "p.alibi").features
    first.dock.exports.export_fractions(tmp_path / "shown.csv")
    first.until(lambda: (tmp_path / "shown.csv").exists())
    assert pandas.read_csv(tmp_path / "shown.csv")["classifier"].equals(made)
    first.viewer.layers.clear()
    first.rest()

    first.dock.reuse.open_project(tmp_path / "p.alibi")
    first.until(lambda: first.segmented is not None)
    idle(first)

    np.testing.assert_array_equal(first.painted, painted)
    np.testing.assert_array_equal(first.segmented, shown)
    assert first.panels.classes.classes == classes
    assert first.panels.settings.config.model == CLASSICAL
    assert first.panels.settings.config.trees == 10
    assert [layer.name for layer in first.viewer.layers] == [
        "alloy",
        "segmentation of alloy",
        "scribbles on alloy",
    ]
    first.dock.exports.save_project(tmp_path / "again.alibi")
    done(first, "Written")
    assert "beside" not in first.panels.strip.words  # the image is still known by its file
    assert load_project(tmp_path / "again.alibi").image.path == tmp_path / "alloy.tif"


def test_a_project_opens_at_the_pixel_size_of_its_image_and_results_keep_it(
    make_desk, pixels, tmp_path
):
    desk, path = make_desk(), tmp_path / "alloy.ome.tif"
    desk.hurry()
    size = {f"PhysicalSize{axis}": length for axis, length in (("Y", 4.0), ("X", 5.0))}
    units = {f"PhysicalSize{axis}Unit": "nm" for axis in "YX"}
    tifffile.imwrite(path, pixels, metadata={"axes": "YX", **size, **units})
    desk.viewer.open(path, plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.two_strokes()
    desk.rest()
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    done(desk, "Written")
    desk.viewer.layers.clear()
    desk.rest()

    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.segmented is not None)
    idle(desk)

    for layer in desk.viewer.layers:
        assert layer.scale.tolist() == [4, 5]
        assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    before = np.count_nonzero(desk.painted)
    desk.stroke((100, 60), (100, 110))
    desk.rest()
    assert np.count_nonzero(desk.painted) > before
    assert desk.painted[100, 60:110].all()
    desk.dock.exports.export(tmp_path / "labels.tif")
    done(desk, "Written")
    assert read_image(tmp_path / "labels.tif").pixel_size == read_image(path).pixel_size


def test_opening_on_the_open_image_keeps_the_layers_of_the_person_painted_or_blank(saved, tmp_path):
    desk = saved()
    project = load_project(tmp_path / "p.alibi").scribbles.array()
    desk.key("1")
    desk.stroke((100, 20), (100, 60))
    desk.rest()
    before, layer = desk.painted.copy(), desk.work.scribbles.layer

    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.work.scribbles.layer != layer)
    idle(desk)
    np.testing.assert_array_equal(desk.painted, project)
    np.testing.assert_array_equal(layer.data, before)
    assert layer in desk.viewer.layers

    own = desk.viewer.add_labels(np.zeros_like(desk.painted), name="my own")
    desk.choose_scribbles(own)
    idle(desk)
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.work.scribbles.layer is not own)
    idle(desk)
    assert own in desk.viewer.layers
    assert desk.painted.any()


def test_a_changed_or_missing_image_is_told_and_the_strokes_can_be_taken_over(
    saved, tmp_path, pixels, capsys
):
    desk = saved()
    project = load_project(tmp_path / "p.alibi")
    desk.viewer.layers.clear()
    desk.rest()
    tifffile.imwrite(tmp_path / "alloy.tif", pixels[::-1])
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    done(desk, "changed")
    assert main(["apply", str(tmp_path / "p.alibi")]) == 9
    said = capsys.readouterr().err
    assert "changed" in said
    assert str(tmp_path / "alloy.tif") in said
    assert not (tmp_path / "p_labels.tif").exists()

    (tmp_path / "alloy.tif").unlink()
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    done(desk, "missing")
    for part in (str(tmp_path / "alloy.tif"), str(tmp_path / "p.alibi"), "put it back"):
        assert part in desk.panels.strip.words
    assert desk.work is None

    desk.open(255 - pixels, name="other")
    desk.rest()
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    done(desk, "missing")
    assert not desk.painted.any()
    desk.panels.strip.buttons[0].click()
    desk.rest()
    np.testing.assert_array_equal(desk.painted, project.scribbles.array())


def test_a_damaged_project_is_refused_in_words(desk, tmp_path, capsys):
    (tmp_path / "p.alibi").write_bytes(b"nothing")
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    done(desk, "damaged")
    assert main(["apply", str(tmp_path / "p.alibi")]) == 9
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["p.alibi", "image.tif"], ["c.skops"], ["c.skops", "a.tif"]])
def test_apply_says_what_a_project_and_a_classifier_need(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["apply", *arguments])
    assert caught.value.code == 2
    assert "classifier" in capsys.readouterr().err


def test_an_image_of_no_file_is_kept_beside_the_project(desk, pixels, tmp_path):
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="alloy")
    desk.two_strokes()
    desk.viewer.dims.set_current_step(0, 1)
    desk.rest()
    desk.key("2")
    desk.stroke((100, 20), (130, 20))
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "All 2 planes" in desk.panels.strip.words)
    desk.rest()
    shown = desk.segmented.copy()

    desk.dock.exports.save_project(tmp_path / "p")
    done(desk, "beside it the image")

    assert main(["apply", str(tmp_path / "p.alibi")]) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "p_labels.tif"), shown)

    desk.viewer.layers.clear()
    desk.rest()
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.work is not None)
    assert desk.work.source.name == "alloy"


def test_napari_opens_and_saves_projects_from_its_own_menus(saved, tmp_path):
    desk = saved()
    image, scribbles = desk.work.source, desk.work.scribbles.layer
    shown, painted = desk.segmented.copy(), desk.painted.copy()
    desk.viewer.layers.selection = {image.layer, scribbles}

    written = desk.viewer.layers.save(str(tmp_path / "menu.alibi"), selected=True)

    assert written == [str(tmp_path / "menu.alibi")]
    project = load_project(tmp_path / "menu.alibi")
    assert project.content == content_hash(image.micrograph)
    assert project.image.path == tmp_path / "alloy.tif"
    assert project.ignored == {3}
    desk.viewer.layers.clear()
    desk.rest()
    desk.viewer.open(tmp_path / "menu.alibi", plugin="napari-alibi-seg")
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)
    np.testing.assert_array_equal(desk.segmented, shown)
    assert desk.panels.classes.classes[0].name == "matrix"


@pytest.mark.parametrize("place", [None, 0, 1])
def test_an_image_of_channels_is_saved_by_its_first_with_strokes_of_any_layer(
    pixels, tmp_path, place
):
    grey = np.stack([pixels, pixels // 2, pixels // 3])
    data = grey if place is None else np.stack([grey, 255 - grey], place)
    painted = np.zeros(grey.shape, np.uint8)
    painted[:, 20, 20:90], painted[:, 60, 20:90] = 1, 2
    layers = [Image(data).as_layer_data_tuple(), Labels(painted).as_layer_data_tuple()]

    write_layers(str(tmp_path / "p.alibi"), layers)

    project = load_project(tmp_path / "p.alibi")
    np.testing.assert_array_equal(open_image(project, tmp_path / "p.alibi").data, grey)
    np.testing.assert_array_equal(project.scribbles.array(), painted)


def test_channels_used_together_come_back_with_their_project(make_desk, pixels, tmp_path):
    desk = make_desk()
    desk.hurry()
    desk.open(np.stack([pixels, pixels[::-1], 255 - pixels]))
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    desk.choose_channels((0, 1, 2))
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    shown, painted = desk.segmented.copy(), desk.painted.copy()
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    done(desk, "Written")
    assert main(["apply", str(tmp_path / "p.alibi"), "--output", str(tmp_path / "out")]) == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out/p_labels.tif"), shown)

    desk.viewer.layers.clear()
    desk.rest()
    desk.dock.reuse.open_project(tmp_path / "p.alibi")
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert desk.work.source.channels == (0, 1, 2)
    np.testing.assert_array_equal(desk.painted, painted)
    np.testing.assert_array_equal(desk.segmented, shown)


def test_a_project_of_a_time_series_opens_as_one_until_the_person_reads_it_otherwise(
    make_desk, pixels, tmp_path
):
    desk, path = make_desk(), tmp_path / "p.alibi"
    desk.hurry()
    desk.open(np.stack([pixels, 255 - pixels]), name="series")
    desk.choose_reading(desk.panels.image.readings.itemData(2))
    desk.two_strokes()
    desk.rest()
    desk.dock.exports.save_project(path)
    done(desk, "Written")

    for open_project in (
        desk.dock.reuse.open_project,
        lambda path: desk.viewer.open(path, plugin="napari-alibi-seg"),
    ):
        desk.viewer.layers.clear()
        desk.rest()
        open_project(path)
        desk.until(lambda: desk.segmented is not None)
        idle(desk)
        assert desk.work.source.reading.axes == "TYX"
        desk.choose_reading(desk.panels.image.readings.itemData(1))
        assert desk.work.source.reading.axes == "ZYX"
        idle(desk)

    desk.dock.exports.save_project(tmp_path / "q.alibi")
    done(desk, "q.alibi")
    axes = [open_image(load_project(one), one).axes for one in (path, tmp_path / "q.alibi")]
    assert axes == ["TYX", "ZYX"]


def test_a_colour_image_comes_back_from_napari_s_menus_and_is_saved_there_again(
    desk, pixels, tmp_path
):
    grey = pixels[:70, :100]
    colour = np.stack([grey, grey[::-1], grey], axis=-1)
    for strokes in range(3):
        painted = np.zeros(grey.shape, np.uint8)
        for value in range(1, strokes + 1):
            painted[20 * value, 20:90] = value
        layers = [Image(colour, rgb=True), Labels(painted)]
        path, again = tmp_path / f"p{strokes}.alibi", tmp_path / f"q{strokes}.alibi"
        write_layers(str(path), [layer.as_layer_data_tuple() for layer in layers])
        desk.viewer.layers.clear()
        desk.rest()
        desk.viewer.open(path, plugin="napari-alibi-seg")
        desk.until(lambda: desk.work is not None)
        desk.rest()
        opened = {desk.work.source.layer, desk.work.scribbles.layer}

        write_layers(str(again), [layer.as_layer_data_tuple() for layer in opened])

        assert [one.value for one in desk.panels.classes.classes[:strokes]] == [1, 2][:strokes]
        np.testing.assert_array_equal(desk.painted, painted)
        project = load_project(again)
        np.testing.assert_array_equal(project.scribbles.array(), painted)
        assert open_image(project, again).colour
