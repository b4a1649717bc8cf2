import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel, QSizePolicy
from superqt import QCollapsible

from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.live.records import FeatureProgress
from napari_alibi_seg.core.segmentation import segment
from napari_alibi_seg.gui.parts import ChipState
from napari_alibi_seg.gui.words import features_words


def test_two_strokes_give_the_segmentation_of_the_command_line_without_another_click(desk, pixels):
    desk.window.resize(1280, 720)
    desk.open(pixels, name="alloy")

    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert set(np.unique(desk.painted)) == {0, 1, 2}
    assert set(np.unique(desk.segmented)) == {1, 2}
    assert desk.panels.image.chip.state is ChipState.READY
    assert desk.panels.image.chip.words == "Ready · scale 1 · CPU"
    assert "2 classes" in desk.panels.result.facts.text()
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer
    config = desk.controller.effective_settings.config
    expected = segment(as_micrograph(pixels), desk.painted, config, "cpu")
    np.testing.assert_array_equal(desk.segmented, expected.labels)

    assert not desk.dock.area.verticalScrollBar().isVisible()
    content = desk.dock.area.widget()
    assert content.width() >= content.minimumSizeHint().width()


def test_keys_choose_the_class_and_the_eraser_whatever_layer_is_selected(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.panels.classes.add_class()
    layer, panel = desk.work.scribbles.layer, desk.panels.classes

    desk.viewer.layers.selection.active = desk.work.source.layer
    desk.key("2")
    assert (layer.selected_label, layer.mode) == (2, "paint")
    assert desk.viewer.layers.selection.active == layer
    desk.key("E")
    assert layer.mode == "erase"
    assert panel.eraser.isChecked()
    desk.key("3")
    assert (layer.selected_label, layer.mode) == (3, "paint")
    desk.key("9")
    assert layer.selected_label == 3

    for key, mode in ("1", "paint"), ("E", "erase"):
        layer.visible = False
        desk.key(key)
        assert layer.visible
        assert layer.mode == mode


def test_the_panel_follows_naparis_own_controls_and_classes_have_the_keys_of_their_values(
    desk, pixels
):
    desk.hurry()
    desk.open(pixels)
    layer, panel = desk.work.scribbles.layer, desk.panels.classes
    layer.selected_label = 2
    assert [row.key.isChecked() for row in panel.rows] == [False, True]
    layer.mode = "erase"
    assert panel.eraser.isChecked()
    assert not any(row.key.isChecked() for row in panel.rows)

    desk.painted[:5, :5], desk.painted[5:9, :5] = 7, 12
    desk.controller.ask()
    desk.rest()
    panel.add_class()
    assert [row.info.name for row in panel.rows] == [f"class {n}" for n in (1, 2, 7, 12, 3)]
    assert [row.key.text() for row in panel.rows] == ["1", "2", "7", "12", "3"]
    for number in (7, 3):
        desk.key(str(number))
        assert layer.selected_label == number
    panel.rows[3].key.click()
    assert layer.selected_label == 12

    desk.rename(1, "small precipitates of the gamma prime phase")
    assert panel.rows[0].name.cursorPosition() == 0


def test_nothing_is_marked_and_counted_without_an_image(desk, pixels):
    panel = desk.panels.classes

    def marked():
        return panel.eraser.isChecked() or any(row.key.isChecked() for row in panel.rows)

    assert not marked()
    panel.eraser.click()
    panel.rows[1].key.click()
    assert not marked()

    desk.hurry()
    desk.open(pixels)
    desk.two_strokes()
    desk.until(lambda: panel.rows[1].count.text() != "0 px")
    desk.until(desk.panels.result.spot_button.isEnabled)
    desk.viewer.layers.clear()
    desk.rest()
    assert not marked()
    assert [row.count.text() for row in panel.rows] == ["0 px", "0 px"]
    assert not desk.panels.result.spot_button.isEnabled()
    assert desk.panels.result.facts.toolTip() == ""


def test_nothing_is_cut_off_where_the_dock_is_as_narrow_as_can_be(desk):
    window = desk.window
    window.resize(1280, 500)
    window.resizeDocks([desk.dock.parent()], [1], Qt.Orientation.Horizontal)
    desk.until(desk.dock.area.verticalScrollBar().isVisible)
    desk.until(lambda: desk.dock.width() == desk.dock.minimumWidth())
    assert desk.dock.area.widget().width() == desk.dock.area.viewport().width()


def test_no_label_is_cut_off_at_1280_by_720(desk, pixels):
    desk.window.resize(1280, 720)
    desk.hurry()
    desk.open(np.stack([pixels] * 2))
    desk.rest()
    training = desk.panels.training
    for fold in desk.dock.findChildren(QCollapsible):
        fold.toggleButton().click()
    desk.until(desk.dock.area.verticalScrollBar().isVisible)  # which leaves less room

    chip = desk.panels.image.chip
    progress = FeatureProgress((0,), 54, 108, 5300.0, 24.0, 2)
    chip.show_state(ChipState.WORKING, features_words(progress, "cpu")[0], "Stop")
    labels = [label for label in training.findChildren(QLabel) if label.isVisible()]
    assert len(labels) == 10
    labels += [label for label in chip.findChildren(QLabel) if label.text() == chip.words]
    desk.until(lambda: all(one.width() >= one.sizeHint().width() for one in labels), 5000)


@pytest.fixture
def large_font(monkeypatch):
    """Ask napari for a large font, until the test is over."""
    appearance = get_settings().appearance
    yield lambda: monkeypatch.setattr(appearance, "font_size", 14)
    monkeypatch.undo()


def cut_off(desk):
    """Return what is narrower than it asks for, of what is seen of the dock."""
    seen = [
        widget
        for kind in (QAbstractButton, QLabel)
        for widget in desk.dock.findChildren(kind)
        if widget.isVisible()
        and widget.sizePolicy().horizontalPolicy() != QSizePolicy.Policy.Ignored
    ]
    narrow = [one for one in seen if one.width() < one.sizeHint().width()]
    content, area = desk.dock.area.widget(), desk.dock.area.viewport()
    return [*narrow, *([content] if content.width() > area.width() else [])]


def test_nothing_is_cut_off_when_the_font_becomes_larger(segmented_desk, large_font):
    desk = segmented_desk
    desk.panels.classes.show_counts({1: 1_310_720, 2: 9})
    before, height = desk.dock.width(), desk.panels.image.chip.height()

    large_font()

    desk.until(lambda: desk.dock.width() > before, 5000)
    desk.until(lambda: not cut_off(desk), 5000)
    row = desk.panels.classes.rows[0]
    assert row.name.font().pointSizeF() == row.count.font().pointSizeF()
    assert desk.panels.image.chip.height() > height
    labels = desk.panels.image.findChildren(QLabel)
    assert len({label.font().pointSizeF() for label in labels}) == 1


def test_nothing_is_cut_off_where_the_font_is_large_from_the_start(make_desk, large_font, pixels):
    large_font()
    desk = make_desk()
    desk.hurry()
    desk.open(pixels)
    desk.panels.classes.show_counts({1: 121, 2: 1_310_720})

    desk.until(lambda: not cut_off(desk), 5000)
    for row in desk.panels.classes.rows:
        assert row.name.font().pointSizeF() == row.count.font().pointSizeF()
    desk.rest()


def test_one_tile_is_no_tiles():
    for total, words in (1, "1 tile at"), (2, "2 tiles at"):
        progress = FeatureProgress((), 0, total, 1.0, 0.1, 1)
        assert features_words(progress, "cpu")[1].startswith(words)


def test_what_is_unfolded_and_said_is_seen(desk, pixels):
    desk.window.resize(1280, 720)
    desk.hurry()
    desk.open(pixels)
    desk.rest()
    strip, folds = desk.panels.strip, desk.dock.findChildren(QCollapsible)
    strip.say("something that takes two lines, " * 2, ("Do", lambda: None))
    desk.qtbot.wait(100)
    folds[0].toggleButton().click()
    desk.until(lambda: not desk.panels.training.device.visibleRegion().isEmpty(), 5000)
    folds[0].toggleButton().click()
    strip.put_away()

    last = desk.panels.reuse.buttons["command"]
    folds[1].toggleButton().click()
    desk.until(lambda: not last.visibleRegion().isEmpty())
    strip.say("something " * 20)

    def seen_whole():
        bar = desk.dock.area.verticalScrollBar()
        bar.setValue(bar.maximum())
        return strip.visibleRegion().boundingRect().height() == strip.height() > 0

    desk.until(seen_whole)
