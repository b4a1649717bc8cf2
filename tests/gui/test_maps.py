"""What is seen of strokes, maps and image, as the screen shows it."""

import numpy as np
import pytest


@pytest.fixture
def mapped(segmented_desk):
    """A desk with probabilities shown."""
    segmented_desk.panels.result.probabilities.setChecked(True)
    segmented_desk.until(lambda: bool(segmented_desk.work.result.probabilities))
    segmented_desk.rest()
    return segmented_desk


def picture(desk):
    """Return what the canvas shows, (Y, X, 3)."""
    return desk.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def test_the_slider_sets_how_strongly_probabilities_cover_the_image(mapped):
    slider, layers = mapped.panels.result.opacity, mapped.work.result.probabilities.values()
    covered = picture(mapped)

    slider.setValue(0)
    faint = picture(mapped)
    for layer in layers:
        layer.visible = False

    assert np.abs(faint - picture(mapped)).max() <= 2
    assert np.abs(faint - covered).max() > 50


def test_probabilities_follow_the_opacity_of_the_labels(mapped):
    result = mapped.work.result
    result.labels.opacity = 0.3
    assert [layer.opacity for layer in result.probabilities.values()] == [0.3, 0.3]
    assert mapped.panels.result.opacity.value() == 30


def test_strokes_are_told_from_the_probabilities_under_them(mapped):
    middle = (18, 85)
    column, row = mapped.on_canvas(middle)
    assert mapped.painted[middle] == 1
    painted = picture(mapped)[row, column]
    mapped.work.scribbles.layer.visible = False

    assert np.abs(painted - picture(mapped)[row, column]).sum() > 60
