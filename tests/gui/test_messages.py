"""What the strip says is true as long as it is there."""

import numpy as np
import pytest

from napari_alibi_seg.core.devices import usable_devices


@pytest.fixture
def applied(stacked):
    stacked.apply_to_stack()
    return stacked


@pytest.mark.parametrize("act", ["paint", "undo", "trees"])
def test_planes_are_told_to_be_segmented_as_long_as_they_are(applied, act):
    desk = applied
    if act == "paint":
        desk.bar(1, 100, (1,))
    elif act == "undo":
        desk.work.scribbles.layer.undo()
    else:
        desk.panels.training.trees.setValue(11)
    desk.until(lambda: desk.panels.strip.words == "")
    desk.rest()
    assert desk.panels.strip.words == ""


def test_a_refusal_is_told_as_long_as_it_stands(applied, tmp_path):
    desk = applied
    desk.bar(1, 100, (1,))
    desk.rest()
    desk.dock.exports.export(tmp_path / "labels.tif")
    assert "2 of 3 planes" in desk.panels.strip.words

    desk.bar(1, 110, (1,))
    assert desk.panels.strip.words == ""
    desk.rest()


def test_a_map_is_refused_as_long_as_it_is_not_there(applied):
    desk, strip = applied, applied.panels.strip
    desk.panels.reuse.buttons["map"].click()
    assert strip.words.startswith("Tick Uncertainty or Probabilities")
    desk.panels.result.uncertainty.setChecked(True)
    desk.until(lambda: strip.words == "")
    desk.rest()

    desk.panels.reuse.buttons["map"].click()
    assert "no map of uncertainty of 2 planes" in strip.words
    desk.bar(1, 100, (1,))
    assert strip.words == ""
    desk.rest()


def choose_device(desk, name):
    box = desk.panels.training.device
    box.setCurrentText(name)
    box.activated.emit(box.currentIndex())


def test_what_went_wrong_is_told_until_it_works_and_only_usable_devices_are_offered(desk, pixels):
    desk.panels.training.device.addItem("cuda:77")
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
    desk.until(lambda: "no data (NaN)" in desk.panels.strip.words)
    assert "painted of class 1 lies" in desk.panels.strip.words
    desk.panels.strip.buttons[-1].click()
    desk.bar(1, 28)
    desk.rest()
    assert desk.panels.strip.words == ""

    desk.bar(2, 58)
    desk.until(lambda: "class 1 and class 2" in desk.panels.strip.words)
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
            desk.controller.choose_image(desk.viewer.layers[name])
            assert desk.panels.strip.words == ""
        desk.bar(1, 18)
        desk.until(lambda: "no data (NaN)" in desk.panels.strip.words)
    desk.rest()


def test_a_long_name_goes_on_in_the_next_line(desk):
    strip, words = desk.panels.strip, "There is no model timm:" + "_".join(["vit_small"] * 20)

    strip.say(words)

    assert strip.words == words
    assert strip.minimumSizeHint().width() < 300
