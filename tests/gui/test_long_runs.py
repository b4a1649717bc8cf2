import re

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager

from napari_alibi_seg.core.config import SegmentationConfig
from napari_alibi_seg.core.features.tiling import usual_tiles
from napari_alibi_seg.core.forest.result import Segmentation
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.live.limits import (
    CACHED_BYTES,
    DOWNSAMPLED_BYTES,
    FEATURE_BYTES,
    PROJECTED_BYTES,
)
from napari_alibi_seg.core.live.records import FeatureProgress, ModelReady, ResultBlock
from napari_alibi_seg.gui.pace import FEATURES_MB, LONG_S, Pace
from napari_alibi_seg.gui.stack import StackRun
from napari_alibi_seg.gui.words import estimate_words

NOTHING = Segmentation(np.zeros((1, 1)), None, ())


def notified():
    return [record.message for record in notification_manager.records]


@pytest.fixture
def measured():
    """A pace of 2 s per tile, 5 tiles per plane, and 1 s per 1000 pixels."""
    time = iter([0, 0, 0, 2, 4, 104, 105, 106]).__next__
    pace = Pace(time)
    pace.begin()
    for done in (0, 1, 2):
        pace.hear(FeatureProgress((0,), done, 5, 2.0, 10.0, 1))
    pace.begin()
    pace.hear(ResultBlock((0,), Window(0, 0, 20, 50), NOTHING, True))
    pace.hear(ResultBlock((0,), Window(0, 0, 20, 50), NOTHING, False))
    return pace


def test_an_estimate_is_what_was_measured_times_what_there_is(measured):
    known = measured.estimate(pixels=30_000, largest=30_000, shown=3000, scale=1)
    assert known.seconds == pytest.approx(10 * 5 * 2 + 30)
    assert known.megabytes == pytest.approx(FEATURES_MB + 10 * 10 + 0.03 + 1.8)
    assert known.measured

    without = measured.estimate(pixels=30_000, largest=3000, shown=3000, scale=None)
    assert without.seconds == pytest.approx(30)


def test_an_estimate_goes_by_the_scale_that_was_chosen(measured):
    def estimate(scale):
        return measured.estimate(pixels=30_000, largest=30_000, shown=3000, scale=scale)

    assert estimate(2).seconds == pytest.approx(10 * usual_tiles(3000, 2) * 2 + 30)
    assert estimate(2).megabytes - estimate(1).megabytes == pytest.approx((4 - 1) * 10 * 10)


def test_the_memory_of_features_and_channels_has_the_engines_limits(measured):
    known = measured.estimate(3e9, 3e9, 3000, 1)
    assert known.megabytes == pytest.approx(FEATURES_MB + FEATURE_BYTES / 1e6 + 3000 + 1.8)
    large = measured.estimate(3e9, 3e9, 3e9, None)
    channels = CACHED_BYTES + PROJECTED_BYTES + DOWNSAMPLED_BYTES
    assert large.megabytes == pytest.approx(3000 + channels / 1e6)


def test_a_long_run_is_guessed_to_be_long_before_anything_is_measured():
    megapixel = 2**20
    planes = Pace().estimate(100 * megapixel, 100 * megapixel, megapixel, 2)
    assert LONG_S < planes.seconds < 3600
    assert not planes.measured
    assert "a guess" in estimate_words("100 planes", planes)
    assert Pace().estimate(megapixel, megapixel, megapixel, None).seconds < LONG_S
    faster = Pace()
    faster.hear(ModelReady("cuda", ("auto", "cuda", "cpu")))
    assert faster.estimate(100 * megapixel, megapixel, megapixel, 2).seconds < planes.seconds / 3


def test_an_estimate_is_told_in_minutes_and_gigabytes(measured):
    told = estimate_words("10 planes", measured.estimate(3e5, 3e9, 3000, 1))
    assert told.startswith("10 planes will take about 22 min and 4.2 GB of memory")
    assert "a guess" not in told


def test_the_end_of_a_short_stack_and_of_many_files_that_are_asked_about_first_is_told(
    stacked, monkeypatch, tmp_path
):
    stacked.panels.reuse.buttons["apply_stack"].click()
    stacked.until(lambda: "All 3 planes" in stacked.panels.strip.words)
    assert "All 3 planes of alloy are segmented." in notified()
    stacked.rest()

    monkeypatch.setattr("napari_alibi_seg.gui.actions.LONG_S", 0)
    paths = [tmp_path / "a.tif", tmp_path / "no_image.tif"]
    tifffile.imwrite(paths[0], np.asarray(stacked.work.source.layer.data[0]))
    paths[1].touch()
    stacked.dock.reuse.apply_to_files(paths, tmp_path / "out")
    stacked.until(lambda: "2 images will take about" in stacked.panels.strip.words)
    stacked.until(lambda: not stacked.dock.background.busy)
    assert not (tmp_path / "out").exists()

    stacked.panels.strip.buttons[0].click()
    stacked.until(lambda: "1 of 2 images" in stacked.panels.strip.words)
    stacked.until(lambda: any("1 of 2 images" in message for message in notified()))


def test_a_long_stack_is_asked_about_first_as_long_as_there_is_a_classifier(stacked, monkeypatch):
    desk, strip = stacked, stacked.panels.strip
    monkeypatch.setattr("napari_alibi_seg.gui.stack.LONG_S", 0)
    desk.panels.reuse.buttons["apply_stack"].click()
    desk.rest()
    assert "3 planes will take about" in strip.words
    desk.work.scribbles.remove(2)
    desk.until(lambda: strip.words == "")
    desk.bar(2, 58, (1,))
    desk.rest()

    desk.panels.reuse.buttons["apply_stack"].click()
    desk.rest()
    assert "3 planes will take about" in strip.words
    assert sum(plane.any() for plane in desk.segmented) == 1
    strip.buttons[0].click()
    desk.until(lambda: "All 3 planes" in strip.words)
    assert desk.segmented.all()


def test_a_stack_is_asked_about_though_nothing_is_measured_and_a_finer_scale_takes_longer(
    stacked, monkeypatch
):
    strip, told = stacked.panels.strip, []
    monkeypatch.setattr("napari_alibi_seg.gui.stack.LONG_S", 0)
    run = StackRun(strip, Pace(), stacked.dock)
    for scale in (1, 2, 4):
        run.propose(stacked.work, SegmentationConfig(scale=scale))
        told.append(float(re.findall(r"about (\d+) s", strip.words)[0]))
    assert told[0] <= told[1] < told[2]

    run.propose(stacked.work, SegmentationConfig())
    assert "3 planes will take about" in strip.words
    assert "a guess" in strip.words
    assert run.planes == ()
    strip.buttons[0].click()
    assert len(run.planes) == 3


def test_features_that_took_long_are_told_of_once(desk, pixels, monkeypatch):
    monkeypatch.setattr("napari_alibi_seg.gui.display.LONG_FEATURES_S", 0)
    desk.open(pixels, name="alloy")
    desk.until(lambda: desk.panels.image.chip.words.startswith("Ready"))
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    assert notified().count("The features of alloy are ready.") == 1
