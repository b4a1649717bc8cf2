"""What the strip says is true as long as it is there."""

from threading import Event, Semaphore

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_alibi_seg.core.devices import usable_devices
from napari_alibi_seg.gui.strip import Strip
from napari_alibi_seg.gui.words import left_words


def test_planes_are_told_to_be_segmented_as_long_as_they_are(stacked):
    desk = stacked
    for act in (
        lambda: desk.bar(1, 100, (1,)),
        desk.work.scribbles.layer.undo,
        lambda: desk.panels.training.trees.setValue(11),
    ):
        desk.apply_to_stack()
        act()
        desk.until(lambda: desk.panels.strip.words == "")
        desk.rest()
        assert desk.panels.strip.words == ""


def test_a_report_or_refusal_is_told_as_long_as_it_stands(stacked, tmp_path):
    desk, strip, button = stacked, stacked.panels.strip, stacked.panels.reuse.buttons["map"]
    desk.dock.exports.export_scribbles(tmp_path / "s.tif")
    desk.until(lambda: "Written" in strip.words)
    desk.bar(1, 100, (1,))
    assert strip.words == ""
    desk.rest()

    desk.dock.exports.export(tmp_path / "labels.tif")
    assert "2 of 3 planes" in strip.words
    desk.bar(1, 110, (1,))
    assert strip.words == ""
    desk.rest()

    desk.apply_to_stack()
    button.click()
    assert strip.words.startswith("Tick Uncertainty or Probabilities")
    desk.panels.result.uncertainty.setChecked(True)
    desk.until(lambda: strip.words == "")
    desk.rest()
    button.click()
    assert "no map of uncertainty for 2 planes" in strip.words
    desk.bar(1, 120, (1,))
    assert strip.words == ""
    desk.rest()


def choose_device(desk, name):
    desk.panels.training.device.setCurrentText(name)


def test_what_went_wrong_is_told_until_it_works_and_only_usable_devices_are_offered(desk, pixels):
    desk.panels.training.device.addItem("cuda:77")
    desk.panels.training.trees.setValue(10)
    desk.open(pixels)
    choose_device(desk, "cuda:77")
    desk.until(lambda: "'cuda:77' cannot be used" in desk.panels.strip.words)
    offered = desk.panels.strip.words.partition("; use ")[2]
    assert all(repr(name) in offered for name in usable_devices())
    assert ("'mps'" in offered) == ("mps" in usable_devices())
    desk.bar(1, 18)
    desk.bar(2, 58)
    desk.rest()
    assert desk.work.fitted.features is None
    assert "'cuda:77' cannot be used" in desk.panels.strip.words

    choose_device(desk, "auto")
    assert desk.panels.strip.words == ""
    desk.rest()
    box = desk.panels.training.device
    assert [box.itemText(place) for place in range(box.count())] == list(usable_devices())
    assert desk.work.fitted.features is not None


def test_strokes_where_there_is_no_data_are_told_of(desk, pixels):
    framed = pixels.astype(np.float32)
    framed[:90] = np.nan
    desk.hurry()
    desk.open(framed)
    desk.bar(1, 18)
    desk.until(lambda: "no data (NaN or infinite)" in desk.panels.strip.words)
    assert "painted of class 1 lies" in desk.panels.strip.words
    desk.panels.strip.buttons[-1].click()
    desk.bar(1, 28)
    desk.rest()
    assert desk.panels.strip.words == ""

    desk.bar(2, 58)
    desk.until(lambda: "class 1, class 2" in desk.panels.strip.words)
    desk.bar(1, 100)
    desk.until(lambda: "painted of class 2 lies" in desk.panels.strip.words)
    desk.bar(2, 120)
    desk.until(lambda: desk.panels.strip.words == "")
    desk.rest()


def test_strokes_without_data_are_told_of_for_every_image(desk, pixels):
    framed = pixels.astype(np.float32)
    framed[:90] = np.nan
    desk.hurry()
    for name in ("first", "second"):
        desk.open(framed.copy(), name=name)
        if desk.work.source.layer.name != name:
            desk.choose_image(desk.viewer.layers[name])
            assert desk.panels.strip.words == ""
        desk.bar(1, 18)
        desk.until(lambda: "no data (NaN or infinite)" in desk.panels.strip.words)
    desk.rest()


def test_what_is_told_of_labels_is_told_as_long_as_they_are_of_grains_or_lie_elsewhere(
    desk, pixels
):
    strip = desk.panels.strip
    desk.hurry()
    desk.open(pixels)
    grains = np.arange(pixels.size, dtype=np.uint16).reshape(pixels.shape)
    grains = desk.viewer.add_labels(grains, name="grains")
    desk.choose_scribbles(grains)
    desk.rest()
    assert strip.words.startswith("'grains' holds more than")
    desk.viewer.layers.remove(grains)
    desk.until(lambda: strip.words == "")
    desk.rest()

    mine = desk.viewer.add_labels(np.zeros(pixels.shape, np.uint8), scale=(2, 2))
    desk.choose_scribbles(mine)
    assert "is not aligned" in strip.words
    desk.rest()
    assert "is not aligned" in strip.words
    mine.scale = (1, 1)
    desk.bar(1, 18)
    desk.until(lambda: strip.words == "")
    desk.rest()


def test_a_layer_that_is_there_again_is_not_offered(segmented_desk):
    desk, lost = segmented_desk, segmented_desk.work.scribbles.layer
    desk.viewer.layers.remove(lost)
    desk.until(lambda: "was removed" in desk.panels.strip.words)
    desk.viewer.layers.append(lost)
    desk.until(lambda: desk.panels.strip.words == "")
    desk.rest()


def test_what_is_told_of_an_image_or_to_wait_is_told_until_that_is_over(desk):
    over, strip = Event(), desk.panels.strip
    five = desk.viewer.add_image(np.zeros((2, 2, 2, 20, 20), np.uint8))
    desk.until(lambda: "5 dimensions" in strip.words)
    desk.viewer.layers.remove(five)
    desk.until(lambda: strip.words == "")

    def work():
        over.wait()
        yield from ()

    desk.dock.background.start(work)
    desk.dock.background.start(work)
    assert strip.words.startswith("Please wait")
    over.set()
    desk.until(lambda: not desk.dock.background.busy)
    assert strip.words == ""


def test_a_long_name_goes_on_in_the_next_line(strip):
    words = "There is no model timm:" + "_".join(["vit_small"] * 20)

    strip.say(words)

    assert strip.words == words
    assert strip.minimumSizeHint().width() < 300


def test_a_report_of_a_long_run_takes_no_offer_away_and_is_shown_once_it_is_answered(desk, pixels):
    desk.hurry()
    desk.open(pixels)
    desk.bar(1, 18)
    desk.rest()
    desk.viewer.layers.clear()
    desk.rest()
    strip, said, steps = desk.panels.strip, [], Semaphore(0)

    def work():
        for step in range(4):
            said.append(step)
            yield f"Step {step}"
            steps.acquire()

    desk.dock.background.start(work, long=True)
    desk.until(lambda: strip.words == "Step 0")
    desk.open(pixels.copy())
    desk.until(lambda: strip.words.startswith("You painted"))
    steps.release(2)
    desk.until(lambda: said[-1] == 2)
    desk.qtbot.wait(100)
    assert strip.words.startswith("You painted")

    strip.buttons[0].click()
    assert desk.painted.any()
    assert strip.words == "Step 2"
    assert [button.text() for button in strip.buttons] == ["Stop", "Dismiss"]
    strip.say("Is it so?", ("Yes", lambda: None))
    steps.release(2)
    desk.rest()
    assert strip.words == "Is it so?"
    strip.buttons[0].click()
    assert strip.words == "Step 3"
    assert [button.text() for button in strip.buttons] == ["Dismiss"]


def test_a_stack_that_is_segmented_takes_no_question_away(stacked):
    desk, strip = stacked, stacked.panels.strip
    desk.controller.stack.begun.connect(lambda: strip.say("Is it so?", ("Yes", lambda: None)))
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.until(lambda: not desk.work.result.unfinished)
    desk.rest()
    assert strip.words == "Is it so?"
    strip.buttons[0].click()
    assert strip.words.startswith("All 3 planes are segmented")


@pytest.fixture
def strip(qtbot):
    made = Strip()
    qtbot.addWidget(made)
    return made


def test_what_waits_for_an_answer_is_told_in_turn_if_it_is_still_true(strip):
    true = {"second"}
    strip.say("Is it so?", ("Yes", lambda: None))
    for words in ("first", "second", "third"):
        strip.say(words, holds=lambda words=words: words in true, waits=True)
    strip.review()
    assert strip.words == "Is it so?"
    true.add("third")
    strip.buttons[0].click()
    assert strip.words == "second"
    true.remove("second")
    strip.review()
    assert strip.words == "third"
    strip.put_away()
    assert strip.words == ""


def test_a_question_comes_back_after_what_was_told_meanwhile(strip):
    strip.say("Is it so?", ("Yes", lambda: None))
    strip.say("Saving.")
    strip.say("Written.")
    assert strip.words == "Written."
    strip.go_on()
    assert strip.words == "Is it so?"
    strip.buttons[0].click()
    assert strip.words == ""


def test_a_question_comes_back_after_another_one_but_not_after_one_for_the_same_answer(strip):
    for words, answer in (("1 s?", "Start"), ("Is it so?", "Yes"), ("2 s?", "Start")):
        strip.say(words, (answer, lambda: None))
    assert strip.words == "2 s?"
    strip.buttons[0].click()
    assert strip.words == "Is it so?"
    strip.buttons[0].click()
    assert strip.words == ""


def test_a_report_that_can_be_stopped_comes_back_after_a_question_and_no_older_one_does(strip):
    strip.say("1 of 3", ("Stop", lambda: None), report=True)
    strip.say("Is it so?", ("Yes", lambda: None))
    strip.buttons[0].click()
    assert strip.words == "1 of 3"
    strip.say("Wait.")
    strip.say("2 of 3", ("Stop", lambda: None), report=True)
    assert strip.words == "2 of 3"
    strip.buttons[-1].click()
    assert strip.words == ""


def test_names_without_a_space_widen_nothing(segmented_desk):
    desk, strip, name = segmented_desk, segmented_desk.panels.strip, "x<b>" + 60 * "a"
    controls = desk.viewer.__wrapped__.window._qt_viewer.dockLayerControls
    before = controls.minimumSizeHint().width()
    desk.rename(1, name)
    desk.panels.result.probabilities.setChecked(True)
    desk.rest()
    assert desk.dock.area.widget().minimumSizeHint().width() < desk.dock.minimumWidth()
    assert controls.minimumSizeHint().width() == before

    desk.viewer.layers.remove(desk.work.source.layer)
    desk.until(lambda: f"'{name} probability in alloy'" in strip.words)
    assert strip.minimumSizeHint().width() < desk.dock.minimumWidth()
    assert strip.findChild(QLabel).textFormat() == Qt.TextFormat.PlainText


def test_of_many_layers_that_are_left_a_few_are_named():
    words = left_words(["alloy"], [f"class {value} probability in alloy" for value in range(14)])
    assert words.endswith("'class 3 probability in alloy' and 10 more.")
