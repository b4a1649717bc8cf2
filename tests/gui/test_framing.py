"""What is worked on comes into view, and what the person looks at stays there."""

import numpy as np
import pytest


def share_in_view(desk, layer):
    """Return how much of the canvas an image takes, along rows and columns; 0 if some is cut."""
    canvas, camera = desk.canvas.native, desk.viewer.scene.camera
    half = np.array([canvas.height(), canvas.width()]) / camera.zoom / 2
    first, last = layer.extent.world[:, -2:]
    centre = np.array(camera.center[-2:])
    whole = (first >= centre - half).all() and (last <= centre + half).all()
    return (last - first) / half / 2 if whole else np.zeros(2)


def view(desk):
    camera = desk.viewer.scene.camera
    return camera.zoom, *camera.center


@pytest.fixture
def two(desk, pixels):
    """A desk with a painted image, and a much smaller one in its corner."""
    desk.hurry()
    desk.open(np.tile(pixels, (4, 4)), name="large")
    desk.bar(1, 18)
    desk.open(pixels[:60, :70], name="small")
    desk.rest()
    desk.viewer.reset_view()
    return desk


def open_dock(desk):
    _, desk.dock = desk.viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    desk.until(lambda: desk.work is not None)
    desk.rest()


def close_dock(desk):
    width = desk.canvas.native.width()
    desk.viewer.window.remove_dock_widget(desk.dock.parent())
    desk.until(lambda: not desk.controller.bridge.busy)
    desk.until(lambda: desk.canvas.native.width() > width + 100)


def test_opening_the_dock_keeps_an_image_wholly_in_view_or_what_was_zoomed_in_on(desk, pixels):
    desk.hurry()
    wide = desk.open(np.tile(pixels, (1, 3)), name="wide")
    close_dock(desk)
    desk.viewer.reset_view()
    width = desk.canvas.native.width()
    open_dock(desk)
    desk.until(lambda: desk.canvas.native.width() < width - 100)
    desk.until(lambda: share_in_view(desk, wide).max() > 0.9)

    close_dock(desk)
    desk.viewer.scene.camera.zoom *= 3
    before, width = view(desk), desk.canvas.native.width()
    open_dock(desk)
    desk.until(lambda: desk.canvas.native.width() < width - 100)
    desk.qtbot.wait(300)
    assert view(desk) == before


def test_an_image_that_is_chosen_or_becomes_smaller_comes_into_view(two, pixels):
    desk, (large, small) = two, (two.viewer.layers[name] for name in ("large", "small"))
    assert 0 < share_in_view(desk, small).max() < 0.3
    for chosen in (small, large):
        desk.panels.image.layer_chosen.emit(chosen)
        assert share_in_view(desk, chosen).max() > 0.9

    large.data = pixels[:60, :80].copy()
    desk.rest()
    assert share_in_view(desk, large).max() > 0.9

    aside = desk.open(pixels, name="aside", scale=(0.01, 0.01), translate=(-300, 5000))
    desk.panels.image.layer_chosen.emit(aside)
    assert share_in_view(desk, aside).max() > 0.9
    desk.rest()


def test_the_view_of_an_image_that_is_seen_well_stays_whatever_is_done_with_it(two, pixels):
    desk = two
    same = desk.open(255 - np.tile(pixels, (4, 4)), name="same")
    large, before = desk.work.source.layer, view(desk)
    desk.panels.image.layer_chosen.emit(same)
    assert view(desk) == before
    desk.panels.image.layer_chosen.emit(large)
    assert view(desk) == before

    for other in (same, desk.viewer.layers["small"]):
        desk.viewer.layers.remove(other)
    desk.rest()
    desk.viewer.scene.camera.zoom = 7
    before = view(desk)
    desk.panels.image.layer_chosen.emit(large)
    desk.choose_reading(desk.work.source.reading)
    large.data = large.data.copy()
    desk.key("2")
    desk.bar(2, 58)
    desk.rest()
    assert view(desk) == before


def test_the_view_of_a_grid_or_a_volume_stays(desk, pixels):
    desk.hurry()
    desk.open(np.stack([pixels] * 3), name="stack")
    desk.bar(1, 18, (1,))
    aside = desk.open(np.stack([pixels] * 3), name="aside", translate=(0, 0, 5000))
    for show in (
        lambda: setattr(desk.viewer.dims, "ndisplay", 3),
        lambda: setattr(desk.viewer.canvas.grid, "enabled", True),
    ):
        show()
        before = view(desk)
        desk.panels.image.layer_chosen.emit(aside)
        assert view(desk) == before
        desk.panels.image.layer_chosen.emit(desk.viewer.layers["stack"])
        assert view(desk) == before
        desk.viewer.dims.ndisplay = 2
    desk.rest()
