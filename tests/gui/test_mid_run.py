"""What the person does while something runs, and with napari's own tools and themes."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QBuffer
from qtpy.QtWidgets import QLabel

from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.images.micrograph import as_micrograph
from napari_alibi_seg.core.segmentation import segment
from napari_alibi_seg.gui.parts import ChipState


@pytest.fixture
def large(pixels):
    return np.tile(pixels, (4, 4))


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


def test_undo_and_redo_while_a_run_is_in_progress_are_followed(desk, large):
    desk.hurry()
    desk.open(large)
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    layer, results = desk.work.scribbles.layer, [desk.segmented.copy()]

    def running():
        desk.until(lambda: desk.controller.bridge.busy)

    desk.bar(1, 100)
    running()
    layer.undo()
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, results[0])
    layer.redo()
    desk.rest()
    results.append(desk.segmented.copy())
    assert (results[0] != results[1]).any()

    layer.undo()
    running()
    layer.redo()
    desk.rest()
    np.testing.assert_array_equal(desk.segmented, results[1])
    assert not desk.work.result.unfinished


def test_another_model_is_taken_while_the_features_of_the_last_are_computed(desk, large):
    desk.panels.training.trees.setValue(10)
    desk.open(large)
    chip, models = desk.panels.image.chip, desk.panels.image.models
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.until(lambda: chip.state is ChipState.WORKING and "%" in chip.words)
    desk.until(lambda: "Preliminary" in desk.panels.result.facts.text())

    models.setCurrentIndex(models.findData(CLASSICAL))
    models.activated.emit(models.currentIndex())
    desk.rest()

    assert (chip.state, chip.words) == (ChipState.READY, "None needed")
    assert "Preliminary" not in desk.panels.result.facts.text()
    assert "%" in desk.panels.result.facts.text()
    config = desk.controller.effective_settings.config
    assert config.model == CLASSICAL
    expected = segment(as_micrograph(large), desk.painted, config, "cpu")
    np.testing.assert_array_equal(desk.segmented, expected.labels)


def test_polygons_of_naparis_tool_count_as_strokes(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    mouse = desk.mouse

    def polygon(top, left, bottom, right):
        desk.work.scribbles.layer.mode = "polygon"
        corners = (top, left), (top, right), (bottom, right), (bottom, left)
        for corner in corners:
            where = desk.on_canvas(corner)
            mouse.mouse_move(pos=where, modifiers=())
            mouse.mouse_press(pos=where, modifiers=(), button=1)
            mouse.mouse_release(pos=where, modifiers=(), button=1)
        mouse.mouse_double_click(pos=where, modifiers=(), button=1)

    polygon(14, 60, 22, 110)
    desk.until(lambda: desk.work.scribbles.layer.selected_label == 2)
    polygon(54, 60, 62, 100)
    desk.until(lambda: desk.segmented is not None)
    desk.rest()

    assert desk.painted[18, 85] == 1
    assert desk.painted[58, 80] == 2
    assert "2 strokes" in desk.panels.result.facts.text()
    assert set(np.unique(desk.segmented)) == {1, 2}


def grey(widget):
    """Return what a widget looks like, in 0 to 255."""
    picture = QBuffer()
    widget.grab().save(picture, "PNG")
    return np.asarray(Image.open(BytesIO(picture.data().data())).convert("L")).astype(int)


def label(widget):
    """Return the label of a strip or chip that shows its words."""
    return next(one for one in widget.findChildren(QLabel) if one.text() == widget.words)


def test_words_are_read_in_the_light_theme_and_in_the_dark_one(segmented_desk):
    desk = segmented_desk
    desk.panels.strip.say("something")
    read = [
        desk.panels.result.facts,
        label(desk.panels.strip),
        label(desk.panels.image.chip),
        desk.panels.classes.rows[0].count,
        desk.panels.classes.rows[0].name,
    ]
    grounds = {}
    for theme in ("light", "dark"):
        desk.viewer.theme = theme
        desk.qtbot.wait(100)
        for widget in read:
            seen = grey(widget)
            ground = np.bincount(seen.ravel()).argmax()
            assert np.abs(seen - ground).max() > 100, (theme, widget.text())
        grounds[theme] = ground
    assert grounds["light"] > grounds["dark"] + 100
