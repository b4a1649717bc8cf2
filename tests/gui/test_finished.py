"""What is shown is not always what is final, and only what is final leaves the window."""

import numpy as np
import pytest
import tifffile
from napari.layers._layer_actions import _duplicate_layer
from qtpy.QtCore import Qt

from napari_alibi_seg.core.live.records import FeatureProgress, ResultBlock
from napari_alibi_seg.gui.parts import ChipState


def test_planes_that_are_not_final_are_not_exported_and_what_all_hold_is_told(stacked, tmp_path):
    desk, path, told = stacked, tmp_path / "labels.tif", []
    desk.dock.exports.export(path)
    assert "2 of 3 planes" in desk.panels.strip.words

    desk.apply_to_stack()
    share = 100 * np.mean(desk.segmented == 2)
    assert f"Overall: class 1 {100 - share:.1f} %, class 2 {share:.1f} %." in (
        desk.panels.strip.words
    )
    desk.dock.exports.export(path)
    desk.until(lambda: "Written" in desk.panels.strip.words)
    np.testing.assert_array_equal(tifffile.imread(path), desk.segmented)
    desk.rest()
    path.unlink()

    desk.controller.bridge.reported.connect(told.append)
    desk.panels.strip.put_away()
    desk.controller.stack.stop()
    desk.rest()
    desk.apply_to_stack()  # goes on where it was
    assert not any(isinstance(event, ResultBlock) for event in told)

    desk.bar(1, 100, (1,))
    desk.dock.exports.export(path)
    assert "being updated" in desk.panels.strip.words
    desk.rest()
    desk.dock.exports.export(path)
    assert "2 of 3 planes" in desk.panels.strip.words
    assert not path.exists()


def test_looking_through_a_stack_leaves_time_to_segment_it(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels] * 8))
    desk.bar(1, 18, (0,))
    desk.bar(2, 58, (0,))
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    desk.controller.apply_to_stack()
    assert desk.panels.strip.words == "Segmented 0 of 8 planes."
    assert [button.text() for button in desk.panels.strip.buttons] == ["Stop", "Dismiss"]
    order = desk.work.order

    desk.viewer.dims.set_current_step(0, 7)
    desk.until(lambda: not desk.controller.watch.pending)
    assert desk.controller.stack.planes
    assert desk.work.order is order
    desk.until(lambda: desk.work.order is not order)
    assert desk.work.order.request.planes[0] == (7,)
    desk.until(lambda: "All 8 planes" in desk.panels.strip.words)


def test_a_removed_result_comes_back_whole_on_the_plane_shown_alone(stacked, tmp_path):
    desk, removed = stacked, stacked.work.result.labels

    def remove(event):
        if isinstance(event, ResultBlock) and removed in desk.viewer.layers:
            desk.viewer.layers.remove(removed)

    desk.controller.bridge.reported.connect(remove)
    desk.bar(1, 100, (1,))
    desk.until(lambda: removed not in desk.viewer.layers)  # while it is drawn
    desk.rest()
    [plane] = desk.work.result.finished
    assert desk.work.result.labels is not removed
    assert desk.segmented[plane].all()

    desk.apply_to_stack()
    desk.viewer.layers.remove(desk.work.result.labels)
    desk.viewer.dims.set_current_step(0, 0)
    desk.rest()
    assert desk.segmented.any(axis=(1, 2)).tolist() == [True, False, False]
    desk.dock.exports.export(tmp_path / "labels.tif")
    assert "2 of 3 planes" in desk.panels.strip.words
    desk.apply_to_stack()
    assert desk.segmented.all()


def test_a_result_is_corrected_in_a_copy_that_stays(stacked):
    desk = stacked
    result = desk.work.result.labels
    assert not result.editable
    desk.viewer.dims.ndisplay = 3
    desk.viewer.dims.ndisplay = 2
    assert not result.editable

    desk.viewer.layers.selection.active = result
    _duplicate_layer(desk.viewer.layers)
    copy = desk.viewer.layers[result.name + " copy"]
    assert copy.editable
    copy.data_setitem(tuple(np.transpose([(0, 3, 3), (0, 3, 4)])), 7)
    corrected = copy.data.copy()
    desk.choose_image(desk.work.source.layer)
    desk.bar(1, 100, (1,))
    desk.rest()

    assert desk.work.result.labels is result
    np.testing.assert_array_equal(copy.data, corrected)


def test_a_stroke_that_is_undone_at_once_leaves_the_other_planes_finished(stacked):
    desk = stacked
    desk.apply_to_stack()
    for live in (True, False):
        desk.panels.result.live.setChecked(live)
        desk.rest()
        desk.bar(1, 100, (1,))
        assert desk.work.result.unfinished
        desk.work.scribbles.layer.undo()
        desk.rest()
        if not live:
            desk.panels.result.update_button.click()
            desk.rest()
        assert not desk.work.result.unfinished

    desk.panels.classes.add_class()
    desk.panels.classes.rows[2].ignore.setChecked(True)
    desk.rest()
    for live, unfinished, row in ((False, 3, 100), (True, 2, 110)):
        desk.panels.result.live.setChecked(live)
        desk.apply_to_stack()
        desk.bar(3, row, (1,))
        desk.rest()
        assert len(desk.work.result.unfinished) == unfinished


def test_undo_and_redo_make_the_other_planes_unfinished(stacked, tmp_path):
    desk = stacked
    desk.bar(1, 100, (1,))
    desk.rest()

    for change in ("undo", "redo"):
        desk.apply_to_stack()
        assert not desk.work.result.unfinished
        getattr(desk.work.scribbles.layer, change)()
        desk.rest()
        desk.dock.exports.export(tmp_path / "labels.tif")
        assert "2 of 3 planes" in desk.panels.strip.words
    assert list(tmp_path.glob("*.tif")) == []


def test_an_old_result_is_told_from_that_of_the_strokes(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    buttons, facts = desk.panels.reuse.buttons, desk.panels.result.facts
    assert not buttons["command"].isEnabled()
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: "strokes" in facts.text())
    desk.rest()
    assert buttons["command"].isEnabled()
    assert facts.toolTip()

    desk.work.scribbles.layer.undo()
    desk.rest()
    assert "an old result" in facts.text()
    assert not facts.toolTip()
    for name in ("apply_files", "save", "export", "fractions", "python", "command"):
        assert not buttons[name].isEnabled()

    desk.work.scribbles.layer.redo()
    desk.rest()
    assert "2 strokes" in facts.text()
    assert buttons["export"].isEnabled()
    assert not desk.work.result.unfinished


def test_a_coarse_result_is_not_exported(desk, pixels, tmp_path):
    """Stop at the first coarse piece, as when the features are stopped without live."""
    desk.hurry()
    desk.open(pixels)
    desk.bar(1, 18)
    desk.bar(2, 58)
    seen = []

    def stop(event):
        if isinstance(event, ResultBlock) and not event.final and not seen:
            seen.append(event)
            desk.panels.result.live.setChecked(False)
            desk.controller.bridge.stop()

    desk.controller.bridge.reported.connect(stop)
    desk.until(lambda: bool(seen))
    desk.rest()

    desk.dock.exports.export(tmp_path / "labels.tif")

    assert "not the final one" in desk.panels.strip.words
    desk.panels.result.update_button.click()
    desk.rest()
    desk.dock.exports.export(tmp_path / "labels.tif")
    desk.until(lambda: (tmp_path / "labels.tif").exists())
    desk.rest()


def test_what_is_said_to_lead_to_a_final_result_does(segmented_desk, tmp_path):
    desk = segmented_desk

    def fail():
        desk.work.outdate()
        desk.controller.fail("The file could not be read.")

    for outdate, to_paint in ((fail, False), (lambda: desk.work.scribbles.remove(2), True)):
        outdate()
        if to_paint:
            desk.rest()
        desk.dock.exports.export(tmp_path / "labels.tif")
        told = "paint a stroke in each of two classes" in desk.panels.strip.words
        assert told == to_paint
        assert "not the final one" in desk.panels.strip.words

        desk.bar(2, 100)
        desk.rest()
        assert not desk.work.result.unfinished


def test_a_result_that_lacks_features_is_said_to_lack_them(desk, pixels, tmp_path):
    desk.panels.training.trees.setValue(10)
    desk.open(pixels)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    classifier, device = desk.controller.classifier, desk.panels.training.device
    desk.bar(1, 100)
    desk.rest()
    device.addItem("cuda:77")
    device.setCurrentText("cuda:77")
    desk.controller.apply(classifier)
    desk.rest()
    desk.dock.exports.export(tmp_path / "labels.tif")
    assert "no features; press Try again next to Features" in desk.panels.strip.words

    device.setCurrentText("auto")
    desk.rest()
    assert desk.panels.strip.words == ""
    assert not desk.work.result.unfinished


def preliminary(desk):
    return "Preliminary" in desk.panels.result.facts.text()


@pytest.fixture
def waiting(desk, pixels):
    """A desk with a first result by pixel filters, while many tiles of features are to come."""
    desk.panels.training.trees.setValue(10)
    desk.open(np.tile(pixels, (4, 4)), name="large")
    desk.until(lambda: desk.panels.image.chip.state is ChipState.WORKING)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: preliminary(desk))
    return desk


def test_preliminary_ends_when_the_features_are_stopped(waiting):
    waiting.panels.image.chip.button.click()
    assert not preliminary(waiting)
    waiting.rest()
    assert not preliminary(waiting)
    assert "%" in waiting.panels.result.facts.text()
    assert not waiting.work.result.unfinished


def test_preliminary_ends_when_the_features_fail(waiting):
    waiting.controller.fail("The model broke.")
    waiting.rest()
    assert not preliminary(waiting)
    assert waiting.panels.image.chip.words == "Not available"
    assert not waiting.work.result.unfinished


def test_preliminary_ends_with_the_final_result_and_does_not_come_back(desk, pixels):
    desk.panels.training.trees.setValue(10)
    desk.open(np.stack([pixels, 255 - pixels]), name="alloy")
    said = []
    desk.controller.bridge.reported.connect(lambda event: said.append((event, preliminary(desk))))
    desk.bar(1, 18, (0,))
    desk.bar(2, 58, (0,))
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert not preliminary(desk)
    said.clear()

    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: "All 2 planes" in desk.panels.strip.words)

    assert any(isinstance(event, FeatureProgress) and event.plane == (1,) for event, _ in said)
    assert not any(word for _, word in said)


def test_a_stack_is_not_told_to_be_whole_before_it_is(stacked):
    desk, counts = stacked, []
    tell = desk.controller.stack.tell

    def change_in_between(work, plane, classes):
        tell(work, plane, classes)
        counts.append((desk.panels.strip.words, len(work.result.unfinished)))
        if len(counts) == 2:
            desk.panels.training.trees.setValue(11)

    desk.controller.stack.tell = change_in_between
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: len(counts) > 2)
    desk.rest()

    assert not any(left for words, left in counts if words.startswith("All 3 planes"))
    assert desk.controller.stack.planes == ()


def test_a_stack_that_is_whole_is_segmented_again_with_a_map_of_every_plane(stacked):
    desk, told = stacked, []
    desk.apply_to_stack()
    tell = desk.controller.stack.tell

    def turn_after_the_first(work, plane, classes):
        tell(work, plane, classes)
        told.append(desk.panels.strip.words)
        if len(told) == 1:
            desk.controller.ask(new=False)

    desk.controller.stack.tell = turn_after_the_first
    desk.panels.result.uncertainty.setChecked(True)
    desk.rest()
    told.clear()
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: bool(told) and told[-1].startswith("All 3 planes"))
    desk.rest()

    assert told[0] == "Segmented 1 of 3 planes."
    assert not desk.work.result.unmapped("uncertainty")


@pytest.fixture
def painted(desk, pixels):
    desk.hurry()
    desk.open(pixels, name="alloy")
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.panels.classes.add_class()
    desk.bar(3, 100)
    desk.rest()
    return desk


def delete(desk, place):
    desk.panels.classes.rows[place].delete.trigger()


def values(desk):
    return [known.value for known in desk.panels.classes.classes]


def test_a_class_goes_with_its_strokes_once_that_is_confirmed_and_ctrl_z_brings_it_back(painted):
    desk, strip, before = painted, painted.panels.strip, painted.painted.copy()
    desk.key("2")
    assert set(np.unique(desk.segmented)) == {1, 2, 3}
    desk.viewer.layers.selection.active = desk.work.source.layer

    for again in (False, True):
        delete(desk, 1)
        assert "class 2" in strip.words
        assert "160 pixels" in strip.words
        assert strip.words.endswith("Ctrl-Z brings both back.")
        assert values(desk) == [1, 2, 3]
        strip.buttons[0].click()
        desk.rest()
        assert values(desk) == [1, 3]
        if not again:
            desk.qtbot.keyClick(desk.canvas.native, "Z", Qt.KeyboardModifier.ControlModifier)
            desk.rest()
            np.testing.assert_array_equal(desk.painted, before)
            assert values(desk) == [1, 2, 3]
            desk.key("2")

    assert set(np.unique(desk.painted)) == {0, 1, 3}
    assert set(np.unique(desk.segmented)) == {1, 3}
    assert desk.work.scribbles.layer.selected_label == 1
    desk.key("3")
    assert desk.work.scribbles.layer.selected_label == 3
    assert [row.key.text() for row in desk.panels.classes.rows] == ["1", "3"]


def test_a_class_is_offered_to_be_deleted_as_long_as_it_has_strokes(painted):
    desk, strip = painted, painted.panels.strip
    delete(desk, 1)
    desk.bar(1, 110)
    desk.rest()
    assert strip.words.startswith("Delete 'class 2'")
    desk.bar(0, 58)
    desk.until(lambda: strip.words == "")
    desk.rest()
    assert values(desk) == [1, 2, 3]


def test_a_value_that_is_no_class_is_deleted_like_one_and_a_blank_class_is_no_stroke(painted):
    desk, own = painted, painted.painted.astype(np.int32)
    own[110, 20:40] = -3
    desk.choose_scribbles(desk.viewer.add_labels(own))
    desk.until(lambda: "negative value -3" in desk.panels.strip.words)
    desk.rest()

    delete(desk, values(desk).index(-3))
    assert "20 pixels" in desk.panels.strip.words
    desk.panels.strip.buttons[0].click()
    desk.rest()
    assert desk.panels.strip.words == ""
    assert set(np.unique(desk.segmented)) == {1, 2, 3}

    desk.controller.apply(desk.controller.classifier)
    desk.panels.classes.add_class()
    desk.rest()
    assert desk.work.loaded is not None
    delete(desk, 3)
    desk.rest()
    assert values(desk) == [1, 2, 3]
    assert desk.work.loaded is not None


def test_undo_brings_a_deleted_class_back_with_its_name_and_redo_deletes_it_again(painted):
    desk, layer, before = painted, painted.work.scribbles.layer, painted.painted.copy()
    desk.rename(2, "carbide")
    desk.rest()
    delete(desk, 1)
    desk.panels.strip.buttons[0].click()
    desk.panels.classes.add_class()
    desk.rest()
    assert values(desk) == [1, 3, 4]

    layer.undo()
    desk.rest()
    np.testing.assert_array_equal(desk.painted, before)
    assert values(desk) == [1, 2, 3, 4]
    assert desk.panels.classes.classes[1].name == "carbide"
    assert set(np.unique(desk.segmented)) == {1, 2, 3}

    layer.redo()
    desk.rest()
    assert values(desk) == [1, 3, 4]
    desk.bar(4, 80)
    desk.rest()
    for act, known in ((layer.undo, [1, 2, 3, 4]), (layer.redo, [1, 3, 4])):
        act()
        act()
        desk.rest()
        assert values(desk) == known

    layer.undo()
    layer.undo()
    desk.rest()
    desk.bar(0, 58)  # erasing its strokes does not
    desk.rest()
    assert not (desk.painted == 2).any()
    assert values(desk) == [1, 2, 3, 4]


def test_a_deleted_class_keeps_its_number_only_while_undo_may_bring_it_back(painted, pixels):
    desk = painted
    desk.panels.classes.add_class()
    delete(desk, 3)
    desk.panels.classes.add_class()
    assert values(desk) == [1, 2, 3, 4]

    delete(desk, 2)
    desk.panels.strip.buttons[0].click()
    desk.rest()
    desk.choose_image(desk.viewer.add_image(pixels[::-1]))
    desk.panels.classes.add_class()
    assert values(desk) == [1, 2, 3]


def test_a_class_can_be_deleted_while_a_result_is_computed(painted):
    desk = painted
    desk.panels.result.probabilities.setChecked(True)
    desk.rest()
    assert set(desk.work.result.probabilities) == {1, 2, 3}

    desk.bar(2, 80)
    desk.until(lambda: desk.controller.bridge.busy)
    delete(desk, 1)
    desk.panels.strip.buttons[0].click()
    desk.rest()

    assert set(np.unique(desk.segmented)) == {1, 3}
    assert set(desk.work.result.probabilities) == {1, 3}
    blending = [layer.blending for layer in desk.work.result.layers[1:]]
    assert blending == ["translucent_no_depth", "additive"]
    assert not any("class 2" in layer.name for layer in desk.viewer.layers)


def test_the_last_class_stays_and_is_not_offered_to_be_deleted(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.bar(1, 18)
    desk.rest()
    delete(desk, 0)
    assert desk.panels.strip.words.startswith("Delete 'class 1'")

    delete(desk, 1)
    assert desk.panels.strip.words == ""
    assert values(desk) == [1]
    assert not desk.panels.classes.rows[0].delete.isEnabled()
    assert desk.work.scribbles.layer.selected_label == 1
    desk.rest()


def test_the_old_result_stays_until_the_features_of_another_scale_are_there(desk, pixels):
    desk.panels.training.trees.setValue(10)
    desk.open(np.tile(pixels, (2, 2)), name="large")
    desk.panels.training.scale.setCurrentText("1")
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    before, seen = desk.segmented.copy(), []

    def look(event):
        if isinstance(event, FeatureProgress) and event.done < event.total:
            seen.append((desk.segmented == before).all())
            seen.append("previous result" in desk.panels.result.facts.text())

    desk.controller.bridge.reported.connect(look)
    desk.panels.training.scale.setCurrentText("2")
    desk.rest()

    assert seen
    assert all(seen)
    assert (desk.segmented != before).any()
    assert "%" in desk.panels.result.facts.text()


def map_whole(desk, kind):
    """Show a map, and wait until every plane of the stack has it."""
    box = getattr(desk.panels.result, kind)
    box.setChecked(True)
    desk.rest()
    desk.apply_to_stack()
    assert not desk.work.result.unmapped(kind)
    return box


def test_a_map_that_was_removed_is_of_no_plane_until_it_is_drawn_there_again(stacked, tmp_path):
    desk, result = stacked, stacked.work.result
    box = map_whole(desk, "uncertainty")
    desk.viewer.layers.remove(result.uncertainty)
    desk.until(lambda: not box.isChecked())
    assert len(result.unmapped("uncertainty")) == 3
    box.setChecked(True)
    desk.rest()
    assert len(result.unmapped("uncertainty")) == 2
    desk.dock.exports.export_map(tmp_path / "map.tif", "uncertainty")
    assert "2 planes" in desk.panels.strip.words
    assert not (tmp_path / "map.tif").exists()

    box = map_whole(desk, "probabilities")
    desk.viewer.layers.remove(result.probabilities[1])  # one of two comes back
    desk.until(lambda: desk.controller.bridge.busy)
    desk.rest()
    assert box.isChecked()
    assert len(result.unmapped("probabilities")) == 2
    shown = desk.work.source.index(desk.viewer.dims)
    total = sum(one[shown] for _, one in result.maps("probabilities"))
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_a_class_that_is_learnt_no_more_has_no_share(painted):
    desk = painted
    desk.panels.result.probabilities.setChecked(True)
    desk.until(lambda: len(desk.work.result.probabilities) == 3)
    desk.rest()
    ignore = desk.panels.classes.rows[2].ignore
    for act in (lambda: ignore.setChecked(True), lambda: desk.bar(0, 100)):
        ignore.setChecked(False)
        desk.rest()
        assert desk.work.result.probabilities[3].data.any()

        act()
        desk.rest()

        result = desk.work.result
        assert not result.probabilities[3].data.any()
        maps = result.maps("probabilities")
        assert len(maps) == 2
        np.testing.assert_allclose(sum(m for _, m in maps)[desk.segmented > 0], 1, atol=1e-5)
