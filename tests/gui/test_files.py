import gc
import shlex
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pandas
import pytest
import tifffile
import zarr
from napari.layers import Image
from qtpy.QtWidgets import QApplication, QFileDialog
from skimage.io import imsave

from napari_alibi_seg import load_classifier
from napari_alibi_seg.cli import _parser, main
from napari_alibi_seg.cli.options import training_config
from napari_alibi_seg.core.choices import CLASSICAL, COMPONENT_COUNTS, DEFAULT_MODEL, TREE_COUNTS
from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.images.pixel_size import PixelSize
from napari_alibi_seg.core.judging.fractions import COLUMNS, read_fractions
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.gui.bias import BiasReport
from napari_alibi_seg.gui.folded_panels import TrainingPanel
from napari_alibi_seg.gui.records import Settings
from napari_alibi_seg.gui.scripts import command
from napari_alibi_seg.gui.sessions import session_path
from napari_alibi_seg.gui.source import ImageSource, readings


@pytest.fixture
def painted_desk(desk, pixels, tmp_path):
    desk.hurry()
    path = tmp_path / "alloy.tif"
    tifffile.imwrite(path, pixels)
    desk.viewer.open(path, plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    return desk


def done(desk, words):
    desk.until(lambda: words in desk.panels.strip.words)
    desk.until(lambda: not desk.dock.background.busy)


def save_and_load(desk, path, other=None):
    """Apply the present classifier as one from a file, maybe to another image."""
    desk.dock.exports.save(path)
    done(desk, "Written")
    if other is not None:
        desk.choose_image(other)
    desk.dock.reuse.load(path)
    desk.until(lambda: desk.work.loaded is not None)
    desk.rest()


def named(desk):
    return [info.name for info in desk.panels.classes.classes]


def reopen_and_restore(desk, pixels):
    """Close the image, open it again, and take up what was painted."""
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy())
    desk.until(lambda: "before" in desk.panels.strip.words)
    assert not desk.painted.any()
    desk.panels.strip.buttons[0].click()
    desk.rest()


def test_every_stroke_is_kept_and_can_be_restored_also_of_more_than_eight_bits(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    own = np.zeros(pixels.shape, int)
    own[18:22, 60:100], own[58:62, 60:100] = 1, 300
    desk.choose_scribbles(desk.viewer.add_labels(own.copy()))
    desk.until(lambda: desk.segmented is not None)
    desk.stroke((100, 60), (100, 90))
    desk.rename(1, "matrix")
    desk.rest()
    painted = desk.painted.copy()
    assert (painted != own).any()

    reopen_and_restore(desk, pixels)

    np.testing.assert_array_equal(desk.painted, painted)
    assert desk.panels.classes.classes[0].name == "matrix"
    assert set(np.unique(desk.segmented)) == {1, 300}

    desk.work.scribbles.layer.undo()
    assert not desk.painted.any()


def test_pixel_size_and_spacing_set_by_hand_after_the_last_stroke_are_restored(desk, pixels):
    desk.hurry()
    stack = np.stack([pixels, pixels[::-1]])
    desk.open(stack)
    desk.bar(1, 18, (0,))
    desk.rest()
    layer = desk.work.source.layer
    layer.scale, layer.units = (4, 0.5, 0.5), ("um", "um", "um")
    desk.rest()

    reopen_and_restore(desk, stack)

    assert desk.work.source.layer.scale.tolist() == [4, 0.5, 0.5]
    assert desk.work.source.measured.pixel_size == PixelSize("µm", 4, 0.5, 0.5)
    assert desk.work.scribbles.layer.scale.tolist() == [4, 0.5, 0.5]


def test_strokes_that_cannot_be_kept_are_told_of_though_earlier_ones_were_offered(
    painted_desk, pixels
):
    desk, strip = painted_desk, painted_desk.panels.strip
    folder = session_path(desk.work.source.micrograph).parent
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy())
    desk.until(lambda: "before" in strip.words)
    shutil.rmtree(folder)
    folder.write_text("a file in the way")
    desk.bar(1, 100)
    desk.until(lambda: "is not kept" in strip.words)
    desk.rest()

    strip.put_away()
    desk.bar(1, 110)
    desk.choose_image(desk.viewer.add_image(pixels[::-1].copy(), name="other"))
    desk.until(lambda: "not kept for the next time" in strip.words)


def test_strokes_of_a_class_that_cannot_be_are_told_of_and_the_next_image_is_worked_on(
    desk, pixels
):
    desk.hurry()
    desk.open(pixels)
    painted = np.zeros(pixels.shape, np.int32)
    painted[20, 20:60] = 70_000
    desk.work.scribbles.layer.data = painted
    desk.until(lambda: "not kept for the next time" in desk.panels.strip.words)

    desk.choose_image(desk.viewer.add_image(255 - pixels, name="other"))
    desk.two_strokes()

    desk.until(lambda: desk.segmented is not None)


def test_an_earlier_or_damaged_session_is_set_aside_not_overwritten(painted_desk, pixels):
    desk = painted_desk
    path = session_path(desk.work.source.micrograph)
    path.write_bytes(b"PK\x03\x04 and nothing more")
    desk.stroke((120, 20), (130, 20))
    desk.rest()
    assert desk.panels.strip.words == ""
    first = load_project(path)
    np.testing.assert_array_equal(first.scribbles.array(), desk.painted)
    assert path.with_suffix(".1.alibi").read_bytes() == b"PK\x03\x04 and nothing more"

    desk.viewer.layers.clear()
    desk.rest()
    desk.open(pixels.copy())
    desk.until(lambda: "before" in desk.panels.strip.words)
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    kept = load_project(path.with_suffix(".2.alibi"))
    np.testing.assert_array_equal(kept.scribbles.positions, first.scribbles.positions)
    assert len(load_project(path).scribbles.values) != len(first.scribbles.values)


def test_a_classifier_is_saved_and_applied_again(painted_desk, tmp_path, pixels):
    desk = painted_desk
    before = desk.segmented.copy()
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    desk.viewer.layers.clear()
    desk.rest()

    desk.open(pixels[:, ::-1][:, ::-1])
    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    np.testing.assert_array_equal(desk.segmented, before)
    facts, buttons = desk.panels.result.facts, desk.panels.reuse.buttons
    assert "From the loaded classifier" in facts.text()
    assert "class 1" in facts.text()
    assert buttons["export"].isEnabled()
    assert not buttons["python"].isEnabled()  # strokes do not give this result


def test_an_ignored_class_stays_when_a_classifier_is_loaded(painted_desk, tmp_path):
    desk = painted_desk
    desk.panels.classes.add_class()
    desk.rename(3, "databar")
    desk.panels.classes.rows[2].ignore.setChecked(True)
    desk.bar(3, 120)
    desk.rest()
    classes, before = desk.panels.classes.classes, desk.segmented.copy()
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")

    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.work.loaded is not None)
    desk.rest()

    assert desk.panels.classes.classes == classes
    assert classes[2].ignored
    np.testing.assert_array_equal(desk.segmented, before)


def test_ones_own_classes_are_back_and_were_kept_all_along_once_a_loaded_classifier_is_put_aside(
    painted_desk, tmp_path
):
    desk = painted_desk
    desk.rename(1, "matrix")
    desk.panels.classes.add_class()
    desk.bar(3, 100)
    desk.rest()
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    desk.panels.classes.rows[2].delete.trigger()
    desk.panels.strip.buttons[0].click()
    for value, name in ((1, "gp"), (2, "pore")):
        desk.rename(value, name)
    desk.key("2")
    desk.rest()
    before = desk.panels.classes.classes

    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.work.loaded is not None)
    desk.rest()
    assert named(desk) == ["matrix", "class 2", "class 3"]
    desk.dock.exports.save_project(tmp_path / "p.alibi")
    done(desk, "Written")
    for path in (tmp_path / "p.alibi", session_path(desk.work.source.micrograph)):
        assert [info.name for info in load_project(path).classes] == ["gp", "pore"]
    desk.dock.reuse.copy_command()
    assert "1=gp,2=pore" in QApplication.clipboard().text()

    desk.stroke((110, 60), (110, 100))
    assert desk.panels.classes.classes == before
    desk.rest()
    desk.panels.strip.buttons[0].click()
    assert named(desk) == ["matrix", "class 2", "class 3"]
    desk.panels.training.trees.setValue(11)
    assert desk.panels.classes.classes == before
    desk.rest()
    desk.dock.exports.export_fractions(tmp_path / "f.csv")
    done(desk, "Written")
    assert pandas.read_csv(tmp_path / "f.csv")["class_name"].tolist() == ["gp", "pore"]


def test_the_classes_of_a_classifier_stay_where_nothing_was_painted_but_ones_own_names_outlive_it(
    painted_desk, tmp_path, pixels
):
    desk = painted_desk
    desk.rename(1, "matrix")
    save_and_load(desk, tmp_path / "c.skops", desk.viewer.add_image(255 - pixels))
    desk.bar(1, 18)
    desk.rest()
    assert desk.work.loaded is None
    assert named(desk) == ["matrix", "class 2"]

    desk.rename(1, "gamma")
    desk.rest()
    desk.bar(0, 18)
    desk.until(lambda: desk.work.loaded is not None)
    desk.rest()
    desk.bar(1, 58)
    assert named(desk)[0] == "gamma"


def test_a_loaded_classifier_goes_on_when_nothing_is_painted_and_then_lets_go_of_the_image(
    painted_desk, tmp_path, pixels
):
    desk, panels = painted_desk, painted_desk.panels
    save_and_load(desk, tmp_path / "c.skops")
    loaded, order, before = desk.work.loaded, desk.work.order, desk.segmented.copy()
    panels.classes.rows[1].delete.trigger()
    assert "loaded classifier finds this class" in panels.strip.words
    assert [info.value for info in panels.classes.classes] == [1, 2]

    training = panels.training
    for box in (training.scale, training.forest, training.device, panels.image.models):
        box.activated.emit(box.currentIndex())  # as it is
        desk.rest()
        assert desk.work.loaded is loaded
        assert desk.work.order is order
        assert not desk.work.result.unfinished

    training.device.setCurrentText("cpu")
    desk.rest()
    assert desk.work.order.device == "cpu"
    assert desk.work.loaded is loaded
    assert "From the loaded classifier" in panels.result.facts.text()

    desk.work.source.layer.data = pixels[::-1].copy()
    desk.rest()
    assert desk.work.loaded is loaded
    assert desk.work.result.finished
    assert (desk.segmented != before).any()

    gone = weakref.ref(desk.work)
    desk.viewer.layers.clear()
    desk.rest()
    gc.unfreeze()
    gc.collect()
    assert gone() is None


def test_what_is_ignored_stays_left_out_when_a_classifier_has_a_class_of_its_number(
    painted_desk, tmp_path
):
    desk = painted_desk
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    desk.panels.classes.rows[1].ignore.setChecked(True)
    desk.bar(2, 100)
    desk.work.scribbles.layer.undo()
    desk.bar(1, 100)
    desk.rest()
    covered = desk.painted == 2

    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.work.loaded is not None)
    desk.rest()

    known = [(info.value, info.name, info.ignored) for info in desk.panels.classes.classes]
    assert known == [(1, "class 1", False), (2, "class 2", False), (3, "class 3", True)]
    assert len({info.colour for info in desk.panels.classes.classes}) == 3
    assert "'class 2', which you ignore, has the number 3 now" in desk.panels.strip.words
    np.testing.assert_array_equal(desk.segmented == 0, covered)
    painted = desk.painted.copy()
    for _ in range(2):
        desk.work.scribbles.layer.undo()
    np.testing.assert_array_equal(desk.painted, painted)
    desk.bar(2, 100)
    desk.rest()
    np.testing.assert_array_equal(desk.segmented == 0, covered)
    assert set(np.unique(desk.segmented)) == {0, 1, 2}


def test_an_outdated_classifier_is_neither_saved_nor_applied(painted_desk, tmp_path, pixels):
    desk, target = painted_desk, tmp_path / "c.skops"
    strip, apply = desk.panels.strip, desk.dock.reuse.apply_to_files
    tifffile.imwrite(tmp_path / "other.tif", pixels)
    desk.panels.classes.add_class()
    desk.bar(3, 100)
    desk.dock.exports.save(target)
    assert strip.words == "The classifier is being updated; save it when that is done."
    apply([tmp_path / "other.tif"], tmp_path / "out")
    assert strip.words == "The classifier is being updated; apply it to files when that is done."
    desk.rest()
    assert strip.words == ""

    desk.panels.result.live.setChecked(False)
    desk.rest()
    moved = desk.viewer.add_labels(np.roll(desk.painted, 5, axis=1))
    desk.choose_scribbles(moved)
    desk.rest()
    desk.dock.exports.save(target)
    assert strip.words.endswith("press Update once, then save it.")
    desk.bar(3, 110)
    desk.rest()
    desk.dock.exports.save(target)
    assert strip.words.endswith("press Update once, then save it.")
    apply([tmp_path / "other.tif"], tmp_path / "out")
    assert strip.words.endswith("press Update once, then apply it to files.")
    assert not desk.dock.background.busy

    desk.panels.result.update_button.click()
    desk.rest()
    assert strip.words == ""
    desk.dock.exports.save(target)
    done(desk, "Written")
    assert [info.value for info in load_classifier(target).classes] == [1, 2, 3]


def test_a_loaded_classifier_is_saved_and_applied_whatever_is_painted(
    painted_desk, tmp_path, pixels
):
    desk = painted_desk
    tifffile.imwrite(tmp_path / "other.tif", pixels)
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    desk.panels.result.live.setChecked(False)
    desk.panels.classes.add_class()
    desk.bar(3, 100)
    desk.rest()

    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.work.loaded is not None)
    assert "The loaded classifier is used now, not your strokes" in desk.panels.strip.words
    desk.dock.exports.save(tmp_path / "again.skops")
    done(desk, "Written")
    desk.dock.reuse.apply_to_files([tmp_path / "other.tif"], tmp_path / "out")
    done(desk, "Segmented 1 of 1")
    assert [info.value for info in load_classifier(tmp_path / "again.skops").classes] == [1, 2]


def test_a_classifier_tells_of_an_image_of_another_pixel_size(desk, pixels, tmp_path):
    desk.hurry()
    fine = desk.open(pixels, name="fine", scale=(2, 2), units=("nm", "nm"))
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    assert load_classifier(tmp_path / "c.skops").pixel_size == PixelSize("nm", None, 2, 2)
    desk.viewer.layers.remove(fine)
    desk.open(pixels, name="coarse", scale=(1, 1), units=("µm", "µm"))
    desk.until(lambda: desk.work is not None and desk.work.source.layer.name == "coarse")

    desk.dock.reuse.load(tmp_path / "c.skops")

    words = "The pixels are 1 µm wide, not 2 nm wide"
    desk.until(lambda: desk.panels.strip.words.startswith(words))


def test_other_devices_are_offered_without_choosing_one(qapp):
    panel, told = TrainingPanel(), []
    panel.device_changed.connect(lambda: told.append(panel.device.currentText()))
    panel.device.setCurrentText("cpu")
    panel.offer_devices(["auto", "cpu"])
    assert told == ["cpu"]


def test_a_stroke_puts_a_loaded_classifier_aside_and_undo_or_the_strip_brings_it_back(
    painted_desk, tmp_path, pixels
):
    desk = painted_desk
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")
    desk.viewer.layers.clear()
    desk.rest()
    desk.open(255 - pixels)
    desk.dock.reuse.load(tmp_path / "c.skops")
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    before = desk.segmented.copy()
    loaded, strip = desk.work.loaded, desk.panels.strip

    def is_back():
        np.testing.assert_array_equal(desk.segmented, before)
        assert desk.work.loaded is loaded
        assert desk.panels.reuse.buttons["save"].isEnabled()
        assert "put aside" not in strip.words

    desk.stroke((100, 20), (130, 20))
    desk.rest()
    assert desk.work.loaded is None
    assert "put aside" in strip.words
    desk.work.scribbles.layer.undo()
    desk.rest()
    is_back()

    desk.stroke((100, 20), (130, 20))
    desk.rest()
    strip.buttons[0].click()
    desk.rest()
    assert desk.painted.any()
    is_back()


def test_a_classifier_of_grey_images_changes_nothing_on_a_colour_one(
    painted_desk, tmp_path, pixels
):
    desk = painted_desk
    desk.rename(1, "matrix")
    desk.rest()
    desk.dock.exports.save(tmp_path / "c.skops")
    done(desk, "Written")

    colour = np.stack([pixels, pixels[::-1], pixels], axis=-1)
    desk.choose_image(desk.viewer.add_image(colour, rgb=True))
    desk.dock.reuse.load(tmp_path / "c.skops")
    done(desk, "trained on grey images")
    desk.rest()
    assert desk.panels.classes.classes[0].name == "class 1"
    assert "Paint a stroke" in desk.panels.result.facts.text()
    assert "Split RGB" in desk.panels.strip.words
    assert "--" not in desk.panels.strip.words  # no advice for the command line

    desk.two_strokes()
    desk.rest()
    assert desk.panels.strip.words == ""


def test_what_cannot_be_applied_is_refused_in_words_before_the_work(painted_desk, tmp_path, pixels):
    desk, images = painted_desk, tmp_path / "images"
    apply = desk.dock.reuse.apply_to_files
    for folder in ("empty", "out", "images"):
        (tmp_path / folder).mkdir()
    (tmp_path / "c.skops").write_bytes(b"nothing")
    desk.dock.reuse.load(tmp_path / "c.skops")
    done(desk, "no classifier")
    apply([tmp_path / "empty"], tmp_path / "new")
    done(desk, "There is no image in")

    for name in ("other.tif", "other_labels.tif"):
        tifffile.imwrite(images / name, pixels[::-1])
    apply([images / "other.tif", images / "other_labels.tif"], images)
    done(desk, "other_labels.tif is an input")
    np.testing.assert_array_equal(tifffile.imread(images / "other_labels.tif"), pixels[::-1])

    (tmp_path / "out" / "fractions.csv").write_text("notes of mine")
    apply([images / "other.tif"], tmp_path / "out")
    done(desk, "is no table of area fractions")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fractions.csv"]


def test_files_a_folder_of_images_or_an_ome_zarr_are_segmented_and_a_bad_one_is_named(
    painted_desk, tmp_path, pixels, monkeypatch
):
    desk, images, out = painted_desk, tmp_path / "images", tmp_path / "out"
    images.mkdir()
    tifffile.imwrite(images / "other.tif", pixels[::-1])
    (tmp_path / "bad.tif").write_bytes(b"no image")
    desk.dock.reuse.apply_to_files([tmp_path / "bad.tif", images / "other.tif"], out)
    done(desk, "1 of 2 images")
    assert "\nbad.tif" in desk.panels.strip.words
    desk.until(lambda: [one.text() for one in desk.panels.strip.buttons] == ["Dismiss"])
    labels = tifffile.imread(out / "other_labels.tif")
    assert set(np.unique(labels)) == {1, 2}

    tifffile.imwrite(images / "two.tif", pixels)
    (images / "notes.txt").write_text("no image")
    zarr.create_array(tmp_path / "one.zarr", data=pixels[::-1].copy())
    for chosen, names in (
        (images, ["other_labels.tif", "two_labels.tif"]),
        (tmp_path / "one.zarr", ["one_labels.tif"]),
    ):
        out = tmp_path / f"out of {chosen.name}"
        answers = iter([str(chosen), str(out)])
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, a=answers: next(a))
        desk.panels.reuse.buttons["apply_folder"].click()
        done(desk, f"Segmented {len(names)} of {len(names)}")
        assert sorted(path.name for path in out.glob("*.tif")) == names
        np.testing.assert_array_equal(tifffile.imread(out / names[0]), labels)


def test_files_of_several_channels_are_segmented_by_the_one_that_was_painted_on(
    desk, tmp_path, pixels
):
    desk.hurry()
    for name, image in (("one", pixels), ("two", pixels[::-1])):
        channels = np.stack([0 * image, image])
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", channels, metadata={"axes": "CYX"})
    desk.viewer.open(tmp_path / "one.ome.tif", plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.choose_channels((1,))
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    desk.dock.reuse.apply_to_files([tmp_path / "two.ome.tif"], tmp_path / "out")
    done(desk, "Segmented 1 of 1 image")

    assert set(np.unique(tifffile.imread(tmp_path / "out" / "two_labels.tif"))) == {1, 2}


def test_the_bias_report_opens_for_the_image_as_the_dock_reads_it_and_the_model_in_its_box(
    painted_desk, pixels
):
    desk = painted_desk
    desk.viewer.add_image(pixels, name="another")

    def opened():
        desk.panels.reuse.buttons["bias"].click()
        return desk.dock.window().findChildren(BiasReport)[-1]

    report = opened()
    assert report.layers.currentData() == desk.work.source.layer
    assert report.models[0] == DEFAULT_MODEL  # pixel filters alone go by no place
    report.release()

    desk.choose_image(desk.viewer.add_image(np.stack([pixels, pixels[::-1]])))
    desk.choose_reading(desk.panels.image.readings.itemData(1))
    desk.choose_channels((1,))
    model = f"{DEFAULT_MODEL}+blank"
    desk.panels.show_config(replace(desk.panels.settings.config, model=model))
    desk.controller.toggle_features()
    report = opened()
    assert report.models[0] == model
    report.start(report.layers.currentData(), ["classical"])
    assert "channel 1" in report.strip.words
    np.testing.assert_array_equal(
        tifffile.imread(report.process.report.with_name("image.tif")), pixels[::-1]
    )
    report.release()


def test_results_that_are_there_are_replaced_only_if_the_person_says_so(
    painted_desk, tmp_path, pixels
):
    desk, strip, out = painted_desk, painted_desk.panels.strip, tmp_path / "out"
    out.mkdir()
    tifffile.imwrite(tmp_path / "other.tif", pixels[::-1])
    (out / "other_labels.tif").write_text("corrected by hand")
    (out / "fractions.csv").write_text(",".join(COLUMNS))

    desk.dock.reuse.apply_to_files([tmp_path / "other.tif"], out)
    done(desk, "1 file in")
    assert "other_labels.tif" in strip.words
    assert (out / "other_labels.tif").read_text() == "corrected by hand"
    assert {path.name for path in out.iterdir()} == {"other_labels.tif", "fractions.csv"}

    strip.buttons[0].click()
    done(desk, "1 of 1 image in")
    assert set(np.unique(tifffile.imread(out / "other_labels.tif"))) == {1, 2}
    assert [row[0] for row in read_fractions(out / "fractions.csv")] == ["other.tif"] * 2

    desk.dock.reuse.apply_to_files([tmp_path / "other.tif"], out)
    done(desk, "would be replaced")
    desk.bar(1, 100)  # which outdates the classifier
    assert strip.words == ""
    desk.rest()


def test_a_databar_that_is_ignored_is_left_out_of_every_image_and_told(
    painted_desk, tmp_path, pixels
):
    desk, out = painted_desk, tmp_path / "out"
    tifffile.imwrite(tmp_path / "other.tif", pixels[:, :-9])
    desk.panels.classes.add_class()
    desk.panels.classes.rows[2].ignore.setChecked(True)
    desk.painted[-20:, 1:] = 3
    desk.controller.ask()
    desk.rest()

    desk.dock.reuse.apply_to_files([tmp_path / "other.tif"], out)
    done(desk, "The 20 rows at the foot that you ignore on this image")
    assert not out.exists()
    desk.panels.strip.buttons[0].click()
    done(desk, "1 of 1 image in")

    labels = tifffile.imread(out / "other_labels.tif")
    assert set(np.unique(labels[:-20])) == {1, 2}
    assert not labels[-20:].any()
    rows = read_fractions(out / "fractions.csv")
    counts = [int(row[COLUMNS.index("pixels")]) for row in rows]
    assert sum(counts) == labels[:-20].size
    assert {row[COLUMNS.index("reading")] for row in rows} == {"region=:-20,:"}


def run_copied_command(desk):
    desk.dock.reuse.copy_command()
    words = shlex.split(QApplication.clipboard().text())
    assert words[0] == "napari-alibi-seg"
    assert main(words[1:]) == 0


def run_copied_script(desk):
    desk.dock.reuse.copy_script()
    exec(QApplication.clipboard().text(), {})


def test_what_is_copied_gives_the_result_of_the_window(painted_desk, tmp_path, monkeypatch):
    desk = painted_desk
    desk.rename(1, "it's the matrix")
    desk.rest()
    desk.dock.exports.export(tmp_path / "shown.tif")
    done(desk, "shown.tif")
    desk.dock.exports.export_scribbles(tmp_path / "alloy_scribbles.tif")
    done(desk, "scribbles.tif")
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "alloy_labels.tif"

    for run in (run_copied_command, run_copied_script):
        made.unlink(missing_ok=True)
        run(desk)
        np.testing.assert_array_equal(tifffile.imread("shown.tif"), tifffile.imread(made))


def test_names_that_a_copied_command_leaves_out_are_told(segmented_desk):
    desk, strip = segmented_desk, segmented_desk.panels.strip
    desk.rename(2, "precipitate")
    desk.dock.reuse.copy_command()
    assert "with a comma" not in strip.words
    desk.rename(1, "matrix, gamma")
    desk.dock.reuse.copy_command()
    assert strip.words.endswith("names with a comma: 'matrix, gamma'.")
    words = shlex.split(QApplication.clipboard().text())
    assert words[words.index("--names") + 1] == "2=precipitate"
    desk.dock.reuse.copy_script()
    assert "with a comma" not in strip.words


def test_what_is_copied_leaves_out_of_every_plane_what_is_ignored(
    desk, pixels, tmp_path, monkeypatch
):
    desk.hurry()
    tifffile.imwrite(tmp_path / "alloy.tif", np.stack([pixels, pixels[::-1]]))
    desk.viewer.open(tmp_path / "alloy.tif", plugin="napari")
    desk.until(lambda: desk.work is not None)
    desk.panels.classes.add_class()
    desk.panels.classes.rows[2].ignore.setChecked(True)
    desk.painted[:, 120:] = 3
    desk.painted[0, 18:20, 60:110], desk.painted[0, 58:60, 60:110] = 1, 2
    desk.controller.ask()
    desk.rest()
    desk.controller.apply_to_stack()
    desk.until(lambda: not desk.work.result.unfinished)
    desk.rest()
    assert set(np.unique(desk.segmented[:, :120])) == {1, 2}
    assert not desk.segmented[:, 120:].any()
    desk.dock.exports.export_scribbles(tmp_path / "alloy_scribbles.tif")
    done(desk, "Written")
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "alloy_labels.tif"

    for run in (run_copied_command, run_copied_script):
        made.unlink(missing_ok=True)
        run(desk)
        np.testing.assert_array_equal(tifffile.imread(made), desk.segmented)


@pytest.mark.parametrize(
    "channels",
    [ChannelConfig(8, sigmas=(), flatten=False), ChannelConfig(8, learned=0, flatten=False)],
)
def test_a_command_says_all_that_can_be_set(qapp, pixels, channels):
    panel, layer = TrainingPanel(), Image(pixels)
    config = SegmentationConfig(scale=2, channels=channels, trees=20, seed=3, smoothing=0)
    panel.show_config(config)
    source = ImageSource.of(layer, readings(layer)[0], None)
    words = shlex.split(command(source, panel.settings(DEFAULT_MODEL), ()))
    assert training_config(_parser().parse_args(words[1:])) == config


@pytest.mark.parametrize("place", [0, -1])
def test_all_that_the_core_allows_can_be_set(qapp, place):
    panel = TrainingPanel()
    channels = ChannelConfig(COMPONENT_COUNTS[place])
    settings = Settings(SegmentationConfig(channels=channels, trees=TREE_COUNTS[place]))
    panel.show_settings(settings)
    assert panel.settings(settings.config.model) == settings


@pytest.mark.parametrize("filters", [True, False])
def test_choices_that_a_model_without_features_does_not_have_stay_as_they_were(qapp, filters):
    panel = TrainingPanel()
    panel.filters.setChecked(filters)
    panel.learned.setChecked(False)
    before = panel.settings(DEFAULT_MODEL)
    panel.show_config(panel.settings(CLASSICAL).config)
    assert panel.settings(DEFAULT_MODEL) == before
    assert not panel.learned.isChecked()


def test_settings_are_reset_to_those_of_the_core_at_once(qapp):
    panel, told = TrainingPanel(), []
    panel.offer_3d(1.0)
    channels = ChannelConfig.chosen(5, False, False, True, True)
    other = SegmentationConfig(scale=2, channels=channels, trees=7, seed=3, smoothing=0)
    panel.show_config(other)
    panel.filters_3d.setChecked(True)
    panel.changed.connect(lambda: told.append(panel.settings(DEFAULT_MODEL)))

    panel.reset.click()

    assert told == [Settings()]


def test_what_is_not_said_is_as_in_the_core_and_the_window():
    words = ["segment", "a.tif", "--scribbles", "s.tif", "--output", "o.tif"]
    config = training_config(_parser().parse_args(words))
    assert config == SegmentationConfig() == Settings().config


def test_a_copied_script_names_what_it_reads_that_may_lie_in_no_file_yet(painted_desk, pixels):
    desk = painted_desk
    desk.dock.reuse.copy_script()
    assert "alloy_scribbles.tif (Export scribbles)" in desk.panels.strip.words
    assert "Save Selected Layers" not in desk.panels.strip.words

    desk.choose_image(desk.viewer.add_image(pixels, name="fresh"))
    desk.dock.reuse.copy_script()
    assert "fresh_scribbles.tif (Export scribbles)" in desk.panels.strip.words
    assert "fresh.tif (File, Save Selected Layers)" in desk.panels.strip.words


def test_only_a_file_that_holds_the_image_as_it_is_is_named_in_a_copied_command(
    desk, pixels, tmp_path
):
    desk.hurry()
    planes = [tmp_path / f"{number}.tif" for number in range(3)]
    split, tif, png = tmp_path / "split.tif", tmp_path / "alloy.tif", tmp_path / "alloy.png"
    for path in (*planes, tif):
        tifffile.imwrite(path, pixels)
    tifffile.imwrite(split, np.stack([pixels, 255 - pixels]))
    imsave(png, np.dstack([pixels, pixels // 2, pixels, pixels]))

    for paths, options, replacement, named in (
        (planes, {"stack": True}, None, False),
        ([split], {"channel_axis": 0}, None, False),
        ([tif], {}, 255 - pixels, False),
        ([png], {}, None, True),
        ([tif], {}, None, True),
    ):
        desk.viewer.layers.clear()
        desk.rest()
        desk.viewer.open(list(map(str, paths)), plugin="napari", **options)
        desk.until(lambda: desk.work is not None)
        desk.rest()
        if replacement is not None:
            desk.work.source.layer.data = replacement
            desk.rest()

        desk.dock.reuse.copy_command()

        name = shlex.split(QApplication.clipboard().text())[2]
        saved = "Save Selected Layers" in desk.panels.strip.words
        assert saved is not named
        assert (name == str(paths[0])) is named
        desk.choose_image(desk.work.source.layer)
        assert (desk.work.source.exact_file == paths[0]) is named


def test_an_action_that_fails_unforeseen_is_told_and_the_next_one_runs(desk, tmp_path):
    for error in (RuntimeError, MemoryError, ValueError):

        def broken(error=error):
            yield "begun"
            raise error(f"the {error.__name__} is loose")

        desk.dock.background.start(broken)
        done(desk, f"the {error.__name__} is loose")
        desk.dock.reuse.load(tmp_path / "none.skops")
        done(desk, "none.skops")
