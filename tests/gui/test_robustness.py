import errno
import os
import subprocess
import sys
import threading
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
import torch
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QFileDialog

from napari_alibi_seg.core.choices import CLASSICAL, DEFAULT_MODEL, LARGEST_SEED
from napari_alibi_seg.core.judging.fractions import read_fractions
from napari_alibi_seg.core.live.records import ResultBlock
from napari_alibi_seg.core.runs.project_files import load_project
from napari_alibi_seg.gui.bridge import Bridge, _use_threads
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.projects import RECIPE
from napari_alibi_seg.gui.sessions import session_path


def test_one_result_layer_follows_strokes_undo_and_redo(segmented_desk):
    desk = segmented_desk
    layer, before = desk.work.result.labels, desk.segmented.copy()
    layer.name, layer.opacity, layer.contour = "phases", 0.9, 2
    desk.key("1")
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    after = desk.segmented.copy()
    assert (before != after).any()
    assert desk.work.result.labels is layer
    assert (layer.name, layer.opacity, layer.contour) == ("phases", 0.9, 2)
    assert sum(isinstance(one, Labels) for one in desk.viewer.layers) == 2

    desk.work.scribbles.layer.undo()
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, before)

    desk.work.scribbles.layer.redo()
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, after)


def test_work_goes_on_with_renamed_layers_and_a_hidden_dock_until_the_window_closes(segmented_desk):
    desk = segmented_desk
    desk.work.source.layer.name = "other"
    desk.work.scribbles.layer.name = "strokes"
    desk.rest()
    before = desk.segmented.copy()
    desk.key("1")
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    assert desk.panels.image.layers.currentText() == "other"
    assert (desk.segmented != before).any()

    before = desk.segmented.copy()
    desk.dock.parent().hide()
    desk.controller.brush.choose(2)
    desk.stroke((100, 40), (130, 40))
    desk.rest()
    assert (desk.segmented != before).any()

    desk.dock.eventFilter(desk.window, QCloseEvent())  # which the window may yet refuse
    assert desk.work is not None


def test_the_result_follows_erasing_filling_and_new_data(segmented_desk):
    desk = segmented_desk
    before = desk.segmented.copy()
    desk.key("E")
    desk.stroke((18, 85), (18, 110))
    desk.rest()
    assert (desk.segmented != before).any()

    desk.work.scribbles.layer.fill((58, 80), 3)
    desk.rest()
    assert set(np.unique(desk.segmented)) == {1, 3}
    assert [known.value for known in desk.panels.classes.classes] == [1, 2, 3]

    painted = np.zeros_like(desk.painted)
    painted[10, 10:20], painted[60, 60:80] = 4, 1
    desk.work.scribbles.layer.data = painted
    desk.rest()
    assert set(np.unique(desk.segmented)) == {1, 4}


def test_an_old_result_stays_and_is_said_to_be_old_until_it_is_removed(segmented_desk):
    desk, facts = segmented_desk, segmented_desk.panels.result.facts
    before, ignore = desk.segmented.copy(), desk.panels.classes.rows[1].ignore
    ignore.setChecked(True)
    desk.until(lambda: "another class that is not ignored" in facts.text())
    ignore.setChecked(False)
    desk.rest()

    desk.work.scribbles.remove(2)
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, before)
    assert "another class" in facts.text()
    assert "old result" in facts.text()

    desk.viewer.layers.remove(desk.work.result.labels)
    desk.until(lambda: "old result" not in facts.text())
    desk.rest()


def test_a_removed_result_layer_comes_back_by_itself_or_with_the_next_stroke(segmented_desk):
    desk, facts = segmented_desk, segmented_desk.panels.result.facts
    layer, before, numbers = desk.work.result.labels, desk.segmented.copy(), facts.text()
    desk.viewer.layers.remove(layer)
    desk.until(lambda: desk.work.result.labels not in (None, layer))
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, before)
    assert desk.work.result.labels in desk.viewer.layers
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer
    assert facts.text() == numbers

    desk.viewer.layers.remove(desk.work.result.labels)
    desk.key("1")
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    assert desk.work.result.labels in desk.viewer.layers

    desk.panels.result.live.setChecked(False)
    desk.rest()
    assert "%" in facts.text()
    desk.viewer.layers.remove(desk.work.result.labels)
    desk.rest()
    assert desk.work.result.labels is None
    assert "Press Update once" in facts.text()
    assert "%" not in facts.text()

    desk.panels.result.update_button.click()
    desk.rest()
    assert desk.work.result.labels in desk.viewer.layers
    assert "%" in facts.text()


def test_removed_scribbles_can_be_brought_back(segmented_desk):
    desk = segmented_desk
    painted = desk.painted.copy()
    desk.work.scribbles.layer.name = "mine"

    desk.viewer.layers.remove(desk.work.scribbles.layer)
    desk.rest()
    assert desk.work.scribbles.layer in desk.viewer.layers
    assert not desk.painted.any()
    desk.painted[70, 20:60] = painted[70, 20:60] = 2  # what is painted meanwhile stays

    desk.panels.strip.buttons[0].click()
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)
    assert desk.work.scribbles.layer.name == "mine"
    assert desk.panels.strip.words == ""


def test_removing_the_image_mid_run_leaves_a_usable_window(desk, pixels):
    desk.open(pixels)
    desk.two_strokes()

    desk.viewer.layers.remove(desk.work.source.layer)
    desk.rest()

    assert desk.work is None
    assert desk.panels.image.chip.state is ChipState.NONE
    desk.open(pixels[:100])
    desk.until(lambda: desk.work is not None)
    desk.until(lambda: desk.panels.image.chip.state is ChipState.READY)


def computing_threads():
    return {thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name}


def test_closing_the_dock_mid_run_stops_everything(desk, pixels, qtbot):
    before = computing_threads()
    desk.open(pixels)
    layer = desk.work.scribbles.layer
    desk.two_strokes()
    holder = desk.dock.parent()

    desk.viewer.window.remove_dock_widget(holder)
    desk.until(lambda: not desk.controller.bridge.busy)
    qtbot.wait(500)

    assert desk.work is None
    assert len(desk.viewer.layers) == 2
    assert not layer.keymap
    assert len(layer.events.paint.callbacks) == 1  # napari's own
    assert computing_threads() <= before


def test_a_model_that_is_not_there_is_told_in_words_and_the_result_stays(
    segmented_desk, tmp_path, monkeypatch
):
    desk, models = segmented_desk, segmented_desk.panels.image.models
    before, chosen = desk.segmented.copy(), [""]
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen[0], ""))

    def choose_a_file():
        models.setCurrentIndex(models.findText("a file…"))
        models.activated.emit(models.currentIndex())

    choose_a_file()
    assert models.currentData() == desk.panels.image.model == CLASSICAL

    chosen[0] = str(tmp_path / "mine.safetensors")
    choose_a_file()
    assert models.currentText() == "mine.safetensors"
    desk.until(lambda: chosen[0] in desk.panels.strip.words)
    desk.rest()

    desk.panels.image.choose_model("no-such-model")
    desk.controller.change_settings()
    desk.until(lambda: "no-such-model" in desk.panels.strip.words)
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, before)

    desk.panels.image.choose_model(CLASSICAL)
    desk.controller.change_settings()
    desk.rest()
    assert desk.panels.image.chip.state is ChipState.READY


def test_the_list_of_models_tells_which_are_to_be_fetched(desk, pixels, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_CACHE", str(tmp_path))
    name, models = "dino-saw-dinov2-s14", desk.panels.image.models
    place = tmp_path / "weights" / "rmdocherty--dino-saw" / "alibi_dv2_vits14_reg4.pth"

    def tip():
        return models.itemData(models.findData(name), Qt.ItemDataRole.ToolTipRole) or ""

    desk.open(pixels)
    desk.until(lambda: "needs internet" in tip())
    desk.rest()
    place.parent.mkdir(parents=True)
    place.touch()
    desk.hurry()
    desk.panels.image.choose_model(DEFAULT_MODEL)
    desk.controller.change_settings()
    desk.until(lambda: "already on this computer" in tip())
    desk.rest()


def test_every_seed_can_be_set(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.panels.training.seed.setValue(LARGEST_SEED)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    assert desk.controller.effective_settings.config.seed == LARGEST_SEED
    assert desk.segmented is not None
    assert desk.panels.strip.words == ""


def test_stopped_features_leave_the_pixel_filters_until_they_are_started(desk, pixels):
    chip, strip = desk.panels.image.chip, desk.panels.strip
    desk.panels.training.trees.setValue(10)
    desk.open(pixels)
    desk.until(lambda: chip.button.text() == "Stop")
    chip.button.click()
    assert (chip.words, chip.button.text()) == ("Stopped", "Start")
    desk.rest()
    desk.controller.fail("The file could not be read.")
    desk.rest()
    assert strip.words == "The file could not be read."
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert strip.words == ""  # something works
    assert desk.work.fitted.features is None

    desk.panels.training.trees.setValue(11)
    desk.rest()
    assert chip.words == "Stopped"
    assert desk.work.fitted.features is None

    chip.button.click()
    desk.until(lambda: chip.state is ChipState.READY)
    desk.rest()
    assert desk.work.fitted.features is not None

    desk.controller.toggle_features()
    assert (chip.words, chip.button.text()) == ("Stopped", "Start")
    chip.button.click()
    assert (chip.state, chip.words, chip.button.text()) == (ChipState.WORKING, "Starting", "Stop")
    desk.rest()
    assert chip.state is ChipState.READY


def test_a_model_that_cannot_be_used_leaves_the_pixel_filters(segmented_desk, tmp_path):
    desk, chip = segmented_desk, segmented_desk.panels.image.chip
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_text("x")
    for row in (100, 110):
        if row == 100:
            desk.panels.image.choose_model(str(damaged))
            desk.controller.change_settings()
        else:
            chip.button.click()
        desk.rest()
        assert (chip.words, chip.button.text()) == ("Not available", "Try again")
        assert "damaged" in desk.panels.strip.words
        assert not desk.work.result.unfinished

        desk.bar(1, row)
        desk.rest()
        assert "damaged" in desk.panels.strip.words
        assert not desk.work.result.unfinished
        assert desk.work.fitted.features is None


def test_a_device_that_cannot_be_used_leaves_the_pixel_filters(desk, pixels):
    chip, device = desk.panels.image.chip, desk.panels.training.device
    desk.panels.training.trees.setValue(10)
    desk.open(pixels)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    assert chip.state is ChipState.READY
    device.addItem("cuda:77")
    device.setCurrentText("cuda:77")
    desk.rest()
    assert (chip.words, chip.button.text()) == ("Not available", "Try again")
    assert desk.work.fitted.features is not None
    assert not desk.work.result.unfinished

    desk.bar(1, 100)
    desk.rest()
    assert desk.work.fitted.features is None
    assert not desk.work.result.unfinished


def test_the_chosen_model_is_kept_while_its_features_are_stopped_or_not_available(desk, pixels):
    desk.panels.training.trees.setValue(10)
    desk.open(pixels)
    desk.rest()
    path = session_path(desk.work.source.micrograph)

    def fail():
        desk.panels.image.chip.show_state(ChipState.WORKING, "")
        desk.controller.fail("no connection")

    for stop, row in ((fail, 18), (desk.controller.toggle_features, 58)):
        stop()
        desk.bar(1, row)
        desk.bar(2, row + 20)
        desk.rest()
        assert desk.work.fitted.features is None
        assert load_project(path).config.model == DEFAULT_MODEL
        assert desk.work.scribbles.layer.metadata[RECIPE].config.model == DEFAULT_MODEL
        if stop is fail:
            desk.panels.image.chip.button.click()
            desk.rest()
            assert desk.work.fitted.features is not None

    desk.bar(1, 100)
    desk.viewer.window.remove_dock_widget(desk.dock.parent())
    desk.until(lambda: not desk.controller.bridge.busy)
    assert load_project(path).config.model == DEFAULT_MODEL


def test_without_live_only_the_button_updates(desk, pixels):
    panel = desk.panels.result
    desk.hurry()
    assert not panel.update_button.isEnabled()
    panel.live.setChecked(False)
    assert panel.update_button.isEnabled()
    desk.open(pixels)
    desk.two_strokes()
    desk.rest()
    assert desk.segmented is None
    assert "2 strokes" in panel.facts.text()
    assert "Press Update once" in panel.facts.text()

    panel.update_button.click()
    desk.rest()
    assert set(np.unique(desk.segmented)) == {1, 2}

    fitted = desk.work.fitted
    desk.panels.training.trees.setValue(11)
    desk.rest()
    assert desk.work.fitted is fitted


def test_whether_strokes_are_recognised_is_unknown_where_that_was_not_assessed(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.two_strokes()
    desk.until(lambda: desk.work.fitted is not None)
    desk.panels.result.live.setChecked(False)
    desk.rest()
    assert desk.work.unassessed
    assert desk.controller.classifier.recognised is None

    desk.panels.result.live.setChecked(True)
    desk.rest()
    assert desk.controller.classifier.recognised is not None


def test_without_live_an_old_result_is_told_and_not_exported(segmented_desk, tmp_path):
    desk, panels, target = segmented_desk, segmented_desk.panels, tmp_path / "labels.tif"
    desk.stroke((100, 20), (100, 150))
    desk.rest()
    panels.result.live.setChecked(False)
    desk.rest()
    for outdate in (
        desk.work.scribbles.layer.undo,
        lambda: desk.stroke((120, 20), (120, 150)),
        lambda: panels.training.trees.setValue(11),
    ):
        assert "%" in panels.result.facts.text()
        outdate()
        desk.rest()
        assert "%" not in panels.result.facts.text()
        assert "Press Update once" in panels.result.facts.text()
        desk.dock.exports.export(target)
        assert "not the final one" in panels.strip.words
        assert not target.exists()
        panels.result.update_button.click()
        desk.rest()
        assert "%" in panels.result.facts.text()
    desk.dock.exports.export(target)
    desk.until(target.exists)
    desk.rest()


def test_ignored_classes_count_nowhere_and_their_undone_strokes_are_segmented(segmented_desk):
    desk = segmented_desk
    desk.panels.classes.add_class()
    desk.stroke((120, 20), (120, 150))
    desk.rest()
    assert 3 in desk.segmented

    desk.panels.classes.rows[2].ignore.setChecked(True)
    desk.rest()
    before = desk.segmented.copy()
    assert set(np.unique(before)) == {0, 1, 2}
    np.testing.assert_array_equal(before == 0, desk.painted == 3)
    assert "class 3" not in desk.panels.result.facts.text()
    assert desk.panels.classes.rows[2].count.text() == "ignored"

    desk.bar(3, 100)
    desk.rest()
    assert (desk.segmented == 0).sum() == (desk.painted == 3).sum() > (before == 0).sum()

    desk.work.scribbles.layer.undo()
    desk.rest()
    np.testing.assert_array_equal(desk.segmented == 0, before == 0)


def test_the_result_of_another_classifier_is_never_taken_for_that_of_a_loaded_one(segmented_desk):
    desk, first = segmented_desk, segmented_desk.controller.classifier
    desk.panels.training.trees.setValue(11)
    desk.rest()
    assert desk.work.result.finished

    desk.controller.apply(first)

    assert not desk.work.result.finished
    desk.rest()
    assert desk.work.result.finished


def test_uncertainty_and_probabilities_are_shown_and_hidden(segmented_desk):
    desk, box = segmented_desk, segmented_desk.panels.result
    box.uncertainty.setChecked(True)
    desk.rest()
    box.probabilities.setChecked(True)
    desk.rest()

    result = desk.work.result
    total = sum(np.asarray(layer.data) for layer in result.probabilities.values())
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert 0 <= result.uncertainty.data.min() <= result.uncertainty.data.max() <= 1
    shares = np.stack([layer.data for layer in result.probabilities.values()])
    values = np.array(list(result.probabilities))
    np.testing.assert_array_equal(values[shares.argmax(axis=0)], desk.segmented)
    assert not result.labels.visible
    blending = [layer.blending for layer in result.probabilities.values()]
    assert blending == ["translucent_no_depth", "additive"]
    names = [layer.name for layer in result.probabilities.values()]
    assert names == ["class 1 probability in alloy", "class 2 probability in alloy"]

    box.uncertainty.setChecked(True)
    desk.rest()
    assert result.uncertainty.visible
    assert not any(layer.visible for layer in result.probabilities.values())
    assert result.labels.visible

    box.uncertainty.setChecked(False)
    assert not desk.controller.bridge.busy  # nothing is lacking
    assert not result.uncertainty.visible
    desk.rest()

    for asked in (box.uncertainty, box.probabilities):  # until the maps are removed
        asked.setChecked(True)
        desk.rest()
        for layer in result.layers[1:]:
            desk.viewer.layers.remove(layer)
        desk.until(lambda asked=asked: not asked.isChecked())
        desk.rest()
        assert result.layers == [result.labels]
        assert result.labels.visible


def test_layers_are_called_after_the_image_unless_the_person_has_named_them(segmented_desk):
    desk = segmented_desk
    desk.panels.result.probabilities.setChecked(True)
    desk.rest()
    labels, scribbles = desk.work.result.labels, desk.work.scribbles.layer
    scribbles.name = "my strokes"
    desk.work.source.layer.name = "steel"
    desk.until(lambda: labels.name == "segmentation of steel")
    assert scribbles.name == "my strokes"
    names = [layer.name for layer in desk.work.result.probabilities.values()]
    assert names == ["class 1 probability in steel", "class 2 probability in steel"]

    desk.work.result.probabilities[1].name = "my map"
    for value, name in enumerate(("matrix", "precipitates"), start=1):
        desk.rename(value, name)
    names = [layer.name for layer in desk.work.result.probabilities.values()]
    assert names == ["my map", "precipitates probability in steel"]
    desk.rest()


def test_names_colours_and_opacity_reach_the_layers_and_opacity_comes_back(segmented_desk, pixels):
    desk, slider = segmented_desk, segmented_desk.panels.result.opacity
    for name in ("", "  ", "class 2"):
        desk.rename(1, name)
        assert [known.name for known in desk.panels.classes.classes] == ["class 1", "class 2"]
        assert desk.panels.classes.rows[0].name.text() == "class 1"
    desk.rename(1, "matrix")
    desk.panels.classes.rows[0].recolour((10, 200, 30))
    desk.rest()
    labels = desk.work.result.labels
    colour = labels.colormap.map(1)
    np.testing.assert_allclose(colour[:3], np.array([10, 200, 30]) / 255, atol=0.01)
    assert "matrix" in desk.panels.result.facts.text()
    assert list(labels.features["class"])[1] == "matrix"

    labels.opacity = 0.905
    assert slider.value() == 90
    assert labels.opacity == 0.905
    slider.setValue(30)
    assert labels.opacity == 0.3
    desk.choose_image(desk.viewer.add_image(pixels[::-1]))
    labels.opacity = 0.7
    assert slider.value() == 30


def test_a_new_name_reaches_what_is_written_and_the_result_is_not_computed_again(
    segmented_desk, pixels, tmp_path
):
    desk, told = segmented_desk, []
    tifffile.imwrite(tmp_path / "other.tif", pixels[::-1])
    desk.controller.bridge.reported.connect(told.append)

    desk.rename(1, "matrix")
    desk.rest()

    assert not any(isinstance(event, ResultBlock) for event in told)
    assert desk.work.scribbles.layer.metadata[RECIPE].classes[0].name == "matrix"
    session = load_project(session_path(desk.work.source.micrograph))
    assert session.classes[0].name == "matrix"
    desk.rename(1, "bright")
    desk.dock.reuse.apply_to_files([tmp_path / "other.tif"], tmp_path / "out")
    desk.until(lambda: "Segmented 1 of 1" in desk.panels.strip.words)
    desk.rest()
    assert [row[3] for row in read_fractions(tmp_path / "out/fractions.csv")] == [
        "bright",
        "class 2",
    ]


class BrokenOrder:
    """An order whose work ends as torch ends when something is wrong inside."""

    def __init__(self, order):
        self._order = order

    def __getattr__(self, name):
        return getattr(self._order, name)

    @property
    def device(self):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def taken(desk):
    """Return the order the window asks for, which is not carried out."""
    orders = []
    ask, desk.controller.bridge.ask = desk.controller.bridge.ask, orders.append
    desk.controller.ask()
    desk.controller.bridge.ask = ask
    return orders[0]


def test_what_is_stale_never_arrives_and_a_failure_is_told_and_the_next_order_runs(
    segmented_desk, qtbot
):
    desk = segmented_desk
    order = taken(desk)
    bridge, told = Bridge(desk.controller), []
    bridge.reported.connect(told.append)
    bridge.ask(replace(order, request=replace(order.request, generation=7)))
    bridge.outdate(8)
    desk.until(lambda: not bridge.busy)
    qtbot.wait(50)
    assert told == []

    with qtbot.waitSignal(desk.controller.bridge.failed, timeout=20_000) as failed:
        desk.controller.bridge.ask(BrokenOrder(taken(desk)))
    assert "illegal memory access" in failed.args[0]
    desk.rest()
    desk.key("1")
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    assert desk.work.fitted is not None


def test_no_number_of_threads_is_the_number_torch_chose_at_first():
    _use_threads(0)  # whatever other tests in this process have set
    usual = torch.get_num_threads()
    _use_threads(usual + 1)
    assert torch.get_num_threads() == usual + 1
    _use_threads(0)
    assert torch.get_num_threads() == usual


@pytest.fixture
def remote(pixels):
    """A lazy stack of three planes, and the event that says when the engine cannot read it."""
    gone = threading.Event()

    def plane(block_info=None):
        if gone.is_set() and threading.current_thread() is not threading.main_thread():
            raise OSError(errno.EHOSTDOWN, "Host is down")
        return pixels[None]

    chunks = ((1,) * 3, *((size,) for size in pixels.shape))
    with dask.config.set(scheduler="synchronous"):
        yield da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=pixels), gone


def test_an_image_whose_disk_is_gone_is_told_and_read_again_when_asked_for(desk, remote):
    lazy, gone = remote
    strip, live = desk.panels.strip, desk.panels.result.live
    desk.hurry()
    desk.open(lazy)
    desk.bar(1, 18, (1,))
    desk.bar(2, 58, (1,))
    desk.rest()
    for plane, lively in ((0, True), (2, False)):
        live.setChecked(lively)
        desk.rest()
        gone.set()
        desk.viewer.dims.set_point(0, plane)
        if not lively:
            desk.panels.result.update_button.click()
        desk.until(lambda: "could not be read or written" in strip.words)
        desk.rest()
        assert "Host is down" in strip.words
        assert "report" not in strip.words
        assert [button.text() for button in strip.buttons] == ["Try again", "Dismiss"]
        strip.buttons[0].click()
        desk.rest()
        assert "Host is down" in strip.words

        gone.clear()
        strip.buttons[0].click()
        desk.rest()
        assert strip.words == ""
        assert desk.segmented[plane].all()


def test_features_that_failed_with_the_disk_are_computed_when_tried_again(desk, remote):
    lazy, gone = remote
    chip, strip = desk.panels.image.chip, desk.panels.strip
    desk.panels.training.trees.setValue(10)
    gone.set()
    desk.open(lazy)
    desk.until(lambda: strip.asks)
    desk.rest()
    assert "Host is down" in strip.words
    assert (chip.words, chip.button.text()) == ("Not available", "Try again")

    gone.clear()
    strip.buttons[0].click()
    desk.rest()
    assert chip.state is ChipState.READY
    assert strip.words == ""


def test_a_lack_of_memory_is_told_nothing_is_lost_and_work_goes_on(desk, pixels):
    scarce = threading.Event()

    def plane(block_info=None):
        if scarce.is_set():
            np.empty(2**60, np.uint8)  # more than there is anywhere
        return pixels[None]

    desk.hurry()
    lazy = da.map_blocks(plane, chunks=((1,) * 3, (140,), (180,)), dtype=np.uint8, meta=pixels)
    desk.open(lazy)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    painted, shown = desk.painted.copy(), desk.segmented.copy()
    scarce.set()

    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "not enough memory" in desk.panels.strip.words)
    desk.rest()
    np.testing.assert_array_equal(desk.painted, painted)
    np.testing.assert_array_equal(desk.segmented, shown)

    scarce.clear()
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "All 3 planes" in desk.panels.strip.words)
    assert desk.segmented.all()


CLOSING = """
import sys
import napari, numpy as np
from qtpy.QtCore import QTimer

viewer = napari.Viewer()
_, dock = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
viewer.add_image(np.random.default_rng(0).random((300, 300), np.float32))

def paint():
    dock.controller.work.scribbles.layer.paint((20, 20), 1)
    dock.controller.work.scribbles.layer.paint((90, 90), 2)

def close_mid_run():
    if "%" in dock.panels.image.chip.words:
        timer.stop()
        paint()
        print("running" if dock.controller.bridge.busy else "idle")
        if "quit" in sys.argv:
            dock.panels.image.layer_chosen.emit(viewer.add_image(np.eye(99)))
            paint()
            viewer.window._qt_window.close(quit_app=True)
        else:
            viewer.window._qt_window.close()  # as the person does

timer = QTimer()
timer.timeout.connect(close_mid_run)
timer.start(20)
napari.run()
print("closed")
"""


@pytest.mark.parametrize("way", ["close", "quit"])
def test_closing_the_viewer_mid_run_ends_the_process_and_keeps_the_last_strokes(tmp_path, way):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLOSING, way],
        env={**os.environ, "NAPARI_ALIBI_SEG_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["running", "closed"]
    assert "Traceback" not in done.stderr
    sessions = list(tmp_path.glob("sessions/*.alibi"))
    assert len(sessions) == {"close": 1, "quit": 2}[way]
    for session in sessions:
        assert set(load_project(session).scribbles.values) == {1, 2}
