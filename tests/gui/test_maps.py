"""What is seen of strokes, maps and image, as the screen shows it."""

import numpy as np


def picture(desk):
    """Return what the canvas shows, (Y, X, 3)."""
    return desk.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def test_strokes_and_the_image_are_seen_through_probabilities_as_the_slider_says(segmented_desk):
    desk, slider = segmented_desk, segmented_desk.panels.result.opacity
    desk.panels.result.probabilities.setChecked(True)
    desk.until(lambda: bool(desk.work.result.probabilities))
    desk.rest()
    layers = desk.work.result.probabilities.values()
    middle = (18, 85)
    column, row = desk.on_canvas(middle)
    assert desk.painted[middle] == 1
    painted = picture(desk)[row, column]
    desk.work.scribbles.layer.visible = False
    covered = picture(desk)
    assert np.abs(painted - covered[row, column]).sum() > 60

    desk.work.result.labels.opacity = 0.3
    assert [layer.opacity for layer in layers] == [0.3, 0.3]
    assert slider.value() == 30

    slider.setValue(0)
    faint = picture(desk)
    for layer in layers:
        layer.visible = False
    assert np.abs(faint - picture(desk)).max() <= 2
    assert np.abs(faint - covered).max() > 50
