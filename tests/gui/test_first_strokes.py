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


def test_two_strokes_give_a_segmentation_without_another_click(desk, pixels):
    desk.open(pixels, name="alloy")

    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert set(np.unique(desk.painted)) == {0, 1, 2}
    assert set(np.unique(desk.segmented)) == {1, 2}
    assert desk.panels.image.chip.state is ChipState.READY
    assert "2 classes" in desk.panels.result.facts.text()
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer


@pytest.mark.parametrize(("added", "told"), [(0, False), (60, True)])
def test_the_window_tells_of_uneven_light(desk, pixels, added, told):
    rows, columns = np.indices(pixels.shape)
    desk.open(40 * ((rows // 20 + columns // 20) % 2) + added * columns / columns.max())
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert ("uneven here" in desk.panels.training.flatten.text()) == told


def test_the_window_shows_what_the_command_line_computes(desk, pixels):
    desk.open(pixels)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    expected = segment(
        as_micrograph(pixels), desk.painted, desk.controller.effective_settings.config, "cpu"
    )

    np.testing.assert_array_equal(desk.segmented, expected.labels)


def test_what_runs_is_stopped_as_soon_as_a_stroke_begins(segmented_desk, pixels):
    desk = segmented_desk
    where = desk.on_canvas((90, 60))
    desk.controller.ask()
    run = desk.controller.bridge._running
    assert not run.stopped.is_set()

    desk.mouse.mouse_press(pos=where, modifiers=(), button=1)

    assert run.stopped.is_set()
    desk.mouse.mouse_release(pos=where, modifiers=(), button=1)
    desk.rest()
    settings = desk.controller.effective_settings.config
    expected = segment(as_micrograph(pixels), desk.painted, settings, "cpu")
    np.testing.assert_array_equal(desk.segmented, expected.labels)


def test_keys_choose_the_class_and_the_eraser(desk, pixels):
    desk.open(pixels)
    desk.panels.classes.add_class()

    desk.key("2")
    assert desk.work.scribbles.layer.selected_label == 2
    assert desk.work.scribbles.layer.mode == "paint"
    desk.key("E")
    assert desk.work.scribbles.layer.mode == "erase"
    assert desk.panels.classes.eraser.isChecked()
    desk.key("3")
    assert (desk.work.scribbles.layer.selected_label, desk.work.scribbles.layer.mode) == (
        3,
        "paint",
    )
    desk.key("9")
    assert desk.work.scribbles.layer.selected_label == 3


def test_the_key_of_a_class_is_that_of_its_value_and_of_its_plain_name(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.painted[:5, :5], desk.painted[5:9, :5] = 7, 12
    desk.controller.ask()
    desk.rest()
    desk.panels.classes.add_class()
    rows = desk.panels.classes.rows
    assert [row.info.name for row in rows] == [f"class {n}" for n in (1, 2, 7, 12, 3)]
    assert [row.key.text() for row in rows] == ["1", "2", "7", "12", "3"]
    for number in (7, 3):
        desk.key(str(number))
        assert desk.work.scribbles.layer.selected_label == number
    rows[3].key.click()
    assert desk.work.scribbles.layer.selected_label == 12


def test_the_panel_follows_what_is_chosen_in_naparis_own_controls(desk, pixels):
    desk.open(pixels)
    layer, panel = desk.work.scribbles.layer, desk.panels.classes

    layer.selected_label = 2
    assert [row.key.isChecked() for row in panel.rows] == [False, True]
    layer.mode = "erase"
    assert panel.eraser.isChecked()
    assert not any(row.key.isChecked() for row in panel.rows)


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


def test_a_long_name_of_a_class_shows_its_beginning(desk):
    desk.rename(1, "small precipitates of the gamma prime phase")
    assert desk.panels.classes.rows[0].name.cursorPosition() == 0


def test_keys_work_while_the_image_is_selected(desk, pixels):
    layer = desk.open(pixels)
    desk.viewer.layers.selection.active = desk.work.source.layer

    desk.key("2")

    assert desk.work.scribbles.layer.selected_label == 2
    assert desk.viewer.layers.selection.active == desk.work.scribbles.layer
    assert layer is not None


def test_choosing_a_class_or_the_eraser_shows_hidden_strokes_and_paints(segmented_desk):
    desk, layer = segmented_desk, segmented_desk.work.scribbles.layer
    for key, mode in ("1", "paint"), ("E", "erase"):
        layer.visible = False
        desk.key(key)
        assert layer.visible
        assert layer.mode == mode


def test_the_scribbles_lie_on_the_image(desk, pixels):
    desk.open(pixels, scale=(0.02, 0.05), translate=(3, -4), rotate=20)

    image, scribbles = desk.work.source.layer, desk.work.scribbles.layer

    corner = (139, 179)
    np.testing.assert_allclose(scribbles.data_to_world(corner), image.data_to_world(corner))


def test_the_dock_needs_no_scroll_bar_at_1280_by_720(desk, pixels):
    desk.window.resize(1280, 720)
    desk.open(pixels)
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert not desk.dock.area.verticalScrollBar().isVisible()
    content = desk.dock.area.widget()
    assert content.width() >= content.minimumSizeHint().width()


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


def test_the_chip_says_at_which_scale_and_where_features_are_computed(desk, pixels):
    desk.open(pixels)
    desk.until(lambda: desk.panels.image.chip.words == "Ready · scale 1 · CPU")


def test_what_is_unfolded_under_a_message_is_brought_into_view(desk, pixels):
    desk.window.resize(1280, 720)
    desk.hurry()
    desk.open(pixels)
    desk.rest()
    desk.panels.strip.say("something that takes two lines, " * 2, ("Do", lambda: None))
    desk.qtbot.wait(100)

    desk.dock.findChildren(QCollapsible)[0].toggleButton().click()

    desk.until(lambda: not desk.panels.training.device.visibleRegion().isEmpty(), 5000)


def test_what_is_unfolded_and_said_is_seen(desk, pixels):
    desk.window.resize(1280, 720)
    desk.open(pixels)
    fold = desk.dock.findChildren(QCollapsible)[1]
    last = desk.panels.reuse.buttons["command"]

    fold.toggleButton().click()
    desk.until(lambda: not last.visibleRegion().isEmpty())
    desk.panels.strip.say("something " * 20)
    strip = desk.panels.strip

    def seen_whole():
        bar = desk.dock.area.verticalScrollBar()
        bar.setValue(bar.maximum())
        return strip.visibleRegion().boundingRect().height() == strip.height() > 0

    desk.until(seen_whole)
