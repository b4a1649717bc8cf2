import numpy as np
import pytest

from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
from napari_alibi_seg.core.judging.assessment import Assessment, CurvePoint
from napari_alibi_seg.core.judging.expectation import Estimate
from napari_alibi_seg.gui.records import ResultState
from napari_alibi_seg.gui.words import ACCURACY, facts, facts_tip


def advised(desk):
    return "right" in desk.panels.result.facts.text()


def paint_two_classes(desk, plane=()):
    painted = desk.work.scribbles.layer.data[plane]
    painted[18:20, 60:110] = 1
    painted[40:42, 20:60] = 1
    painted[58:60, 60:100] = 2
    painted[80:82, 20:60] = 2
    desk.controller.ask()


def test_the_strip_tells_how_much_is_right_and_the_key_goes_to_one_spot_after_the_other(
    desk, pixels
):
    desk.hurry()
    desk.open(pixels, scale=(2, 2), translate=(30, 10))
    assert not desk.panels.result.spot_button.isEnabled()
    paint_two_classes(desk)
    desk.until(lambda: advised(desk))
    assert "%" in desk.panels.result.facts.text()
    assert "nine times in ten" in " ".join(desk.panels.result.facts.toolTip().split())
    desk.until(lambda: desk.panels.result.spot_button.isEnabled())
    desk.rest()

    desk.key("N")
    first = desk.viewer.scene.camera.center[-2:]
    desk.panels.result.spot_button.click()
    second = desk.viewer.scene.camera.center[-2:]

    assert first != second
    for centre in (first, second):
        row, column = (np.array(centre) - (30, 10)) / 2
        assert 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]
        assert not desk.painted[round(row), round(column)]


def test_the_window_tells_of_uneven_light(desk, pixels):
    desk.hurry()
    rows, columns = np.indices(pixels.shape)
    for added, told in ((0, False), (60, True)):
        desk.viewer.layers.clear()
        desk.rest()
        desk.open(40 * ((rows // 20 + columns // 20) % 2) + added * columns / columns.max())
        desk.two_strokes()
        desk.until(lambda: desk.segmented is not None)
        desk.rest()
        assert ("uneven here" in desk.panels.training.flatten.text()) == told


def test_the_key_tells_what_to_do_while_no_spot_is_known(segmented_desk):
    desk, strip = segmented_desk, segmented_desk.panels.strip
    desk.until(lambda: desk.panels.result.spot_button.isEnabled())
    desk.panels.result.live.setChecked(False)
    desk.key("1")
    desk.stroke((100, 20), (130, 20))
    desk.rest()
    before = desk.viewer.scene.camera.center

    desk.key("N")
    assert strip.words.startswith("Press Update once first")
    assert desk.viewer.scene.camera.center == before

    desk.panels.result.update_button.click()
    desk.until(lambda: strip.words == "")
    desk.rest()
    desk.key("N")
    assert strip.words == ""
    assert desk.viewer.scene.camera.center != before


def test_the_key_asks_for_strokes_before_there_are_any_and_takes_no_question_away(desk, pixels):
    desk.hurry()
    desk.key("N")
    assert desk.panels.strip.words == ""
    desk.open(pixels)
    desk.rest()
    desk.panels.strip.say("Is it so?", ("Yes", lambda: None))
    desk.key("N")
    assert desk.panels.strip.words == "Is it so?"
    desk.panels.strip.buttons[0].click()

    desk.key("N")
    assert desk.panels.strip.words.startswith("Paint a stroke in each of two classes first")
    paint_two_classes(desk)
    desk.until(lambda: desk.panels.strip.words == "")
    desk.rest()


def test_numbers_and_spots_are_those_of_the_plane_on_the_screen(stacked, monkeypatch):
    desk, facts, button = stacked, stacked.panels.result.facts, stacked.panels.result.spot_button
    desk.viewer.dims.set_point(0, 1)
    desk.rest()
    desk.until(button.isEnabled)
    of_first = facts.text()
    assert "this plane" in of_first
    desk.panels.result.live.setChecked(False)
    desk.rest()
    assert facts.text() == of_first

    desk.viewer.dims.set_point(0, 2)
    desk.rest()
    assert "%" not in facts.text()
    assert "Press Update once" in facts.text()
    assert not button.isEnabled()
    assert desk.controller.display.next_spot() is None

    desk.viewer.dims.set_point(0, 1)
    desk.until(lambda: facts.text() == of_first)
    assert button.isEnabled()
    assert desk.controller.display.next_spot()[0] == 1
    desk.rest()

    desk.panels.result.live.setChecked(True)
    desk.rest()
    assert "this plane" in facts.text()
    monkeypatch.setattr(desk.controller.bridge, "ask", lambda order: None)
    desk.viewer.dims.set_point(0, 2)
    desk.until(lambda: "this plane" not in facts.text())


def test_numbers_of_a_plane_that_is_not_on_the_screen_name_it(stacked):
    desk, facts, dims = stacked, stacked.panels.result.facts, stacked.viewer.dims
    dims.set_point(0, 1)
    desk.rest()
    assert "this plane" in facts.text()
    for turn, back in (
        (lambda: setattr(dims, "order", (1, 0, 2)), lambda: setattr(dims, "order", (0, 1, 2))),
        (lambda: setattr(dims, "ndisplay", 3), lambda: setattr(dims, "ndisplay", 2)),
    ):
        turn()
        desk.until(lambda: " · plane 1" in facts.text())
        assert "this plane" not in facts.text()
        back()
        desk.until(lambda: "this plane" in facts.text())
    desk.rest()


def test_a_ring_marks_the_spot_until_it_fades_or_the_view_is_moved_or_the_image_closed(
    segmented_desk,
):
    desk, mark = segmented_desk, segmented_desk.controller.mark
    desk.until(lambda: desk.panels.result.spot_button.isEnabled())
    desk.key("N")
    canvas = desk.canvas.native
    assert mark.isVisible()
    assert mark.parent() == canvas
    off = mark.geometry().center() - canvas.rect().center()
    assert off.manhattanLength() <= 2
    ring = mark.grab().toImage()
    assert {ring.pixelColor(ring.width() // 2, row).lightness() for row in range(9)} >= {0, 255}

    spot = np.round(desk.viewer.scene.camera.center[-2:]).astype(int)
    desk.stroke(spot, np.add(spot, (0, 3)))  # through the ring
    assert desk.painted[tuple(spot)]
    desk.until(lambda: not mark.isVisible())
    desk.rest()

    for act in (lambda: setattr(desk.viewer.scene.camera, "zoom", 1), desk.viewer.layers.clear):
        desk.key("N")
        assert mark.isVisible()
        began = mark._began = mark._began + 1000  # as if it never faded
        act()
        desk.until(lambda: not mark.isVisible())
        assert mark._began == began


def test_the_next_spot_is_found_whichever_dimensions_are_shown(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels] * 5), scale=(4, 1, 1))
    desk.viewer.dims.set_current_step(0, 3)
    paint_two_classes(desk, plane=3)
    desk.until(lambda: desk.panels.result.spot_button.isEnabled())
    desk.viewer.dims.ndisplay = 3
    desk.rest()

    desk.panels.result.spot_button.click()
    desk.viewer.dims.ndisplay = 2
    desk.rest()

    assert desk.viewer.dims.current_step[0] == 3

    desk.viewer.dims.order = (2, 0, 1)
    desk.rest()
    spot = desk.work.spots[3,][0]
    desk.panels.result.spot_button.click()
    assert desk.viewer.dims.current_step[2] == spot.column
    assert desk.viewer.scene.camera.center[-2:] == (12, spot.row)


@pytest.fixture
def said():
    def words(recalls, unsettled):
        certain = Estimate(0.9, 0.8, 0.95)
        assessment = Assessment(certain, {}, recalls, (), unsettled, 1.0)
        painted = ScribbleCounts({1: 9, 2: 9}, 4)
        return facts([], painted, None, assessment, None, ResultState.FINAL, loaded=False)

    return words


def test_it_is_told_when_more_strokes_would_change_little(said):
    recognised = {1: 1.0, 2: 0.8}

    assert "About 90 % of the pixels right" in said(recognised, unsettled=0.1)
    assert "would change little" not in said(recognised, unsettled=0.1)
    assert "would change little" in said(recognised, unsettled=0.0)


def test_the_tip_explains_an_accuracy_only_where_one_is_told():
    def tip(recalls):
        certain = Estimate(0.9, 0.8, 0.95)
        curve = (CurvePoint(2, 0.98), CurvePoint(4, 0.9))
        return facts_tip([], None, Assessment(certain, {}, recalls, curve, 0.1, 1.0), None, None)

    assert ACCURACY in tip({1: 1.0, 2: 0.8})
    assert "fewer gave 98 % from 2" in tip({1: 1.0, 2: 0.8})
    assert tip({1: 0.5, 2: 0.5}) == ""


def test_classes_that_look_alike_are_not_said_to_be_right(said):
    words = said({1: 0.5, 2: 0.5}, unsettled=0.0)

    assert "look alike" in words
    assert "right" not in words and "would change little" not in words
