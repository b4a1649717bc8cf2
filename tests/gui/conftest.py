import gc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtWidgets import QApplication
from skimage.io import imread

from napari_alibi_seg.core.choices import CLASSICAL

SAMPLES = Path(__file__).parents[2] / "src/napari_alibi_seg/samples"
LONG = 120_000
"""Milliseconds a busy machine may take to load torch and the model."""


@pytest.fixture(scope="session")
def pixels():
    """A real 140 x 180 micrograph: bright matrix, dark precipitates."""
    return imread(SAMPLES / "superalloy.png")[100:240, 40:220]


@pytest.fixture(autouse=True)
def own_sessions(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ALIBI_SEG_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="session", autouse=True)
def manifests_read_once():
    """Keep the manifests of plugins, which napari reads for every viewer of a test."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda **_: iter(found))
        yield


@pytest.fixture(autouse=True)
def spared_collector(monkeypatch):
    """Have garbage looked for in what the test makes alone: napari does at every removed layer."""
    gc.freeze()
    for name in ("freeze", "unfreeze"):
        monkeypatch.setattr(gc, name, lambda: None)


@dataclass
class Desk:
    """A viewer with the dock open, and hands to use them."""

    viewer: object
    dock: object
    qtbot: object

    @property
    def controller(self):
        return self.dock.controller

    @property
    def work(self):
        return self.dock.controller.work

    @property
    def panels(self):
        return self.dock.panels

    @property
    def window(self):
        """The main window; napari has no public name for it."""
        return self.viewer.__wrapped__.window._qt_window

    @property
    def canvas(self):
        return self.viewer.__wrapped__.window._qt_viewer.canvas

    @property
    def mouse(self):
        """The emitters of mouse events on the canvas."""
        return self.canvas._scene_canvas.events

    @property
    def painted(self):
        return self.work.scribbles.data

    @property
    def segmented(self):
        labels = None if self.work is None else self.work.result.labels
        return None if labels is None else np.asarray(labels.data)

    def open(self, data, **options):
        before = self.work
        self.viewer.add_image(data, **options)
        if before is None:
            self.until(lambda: self.work is not None)
        return self.viewer.layers[-1]

    def choose_image(self, layer):
        self.panels.image.layer_chosen.emit(layer)

    def choose_reading(self, reading):
        self.panels.image.reading_chosen.emit(reading)

    def choose_channels(self, channels):
        self.panels.image.channels_chosen.emit(channels)

    def choose_scribbles(self, layer):
        self.panels.classes.layer_chosen.emit(layer)

    def hurry(self):
        """Do with pixel filters and few trees, where the result itself is not the question."""
        config = replace(self.controller.effective_settings.config, model=CLASSICAL, trees=10)
        self.panels.training.show_config(config)
        self.panels.image.choose_model(CLASSICAL)

    def until(self, condition, timeout=LONG):
        try:
            self.qtbot.waitUntil(condition, timeout=timeout)
        except self.qtbot.TimeoutError as error:
            error.add_note(f"The window says {self.panels.strip.words!r}.")
            raise

    def rest(self):
        """Wait until nothing runs and nothing is about to."""

        def still():
            waiting = [self.work.scribbles, self.work.result] if self.work else []
            waiting = any(part.pending for part in (self.controller.watch, *waiting))
            return not (waiting or self.controller.bridge.busy or self.dock.background.busy)

        self.until(still)

    def stroke(self, start, end):
        """Drag the mouse over the canvas between two (row, column) pixels of the plane."""
        points = [self.on_canvas(pixel) for pixel in np.linspace(start, end, 4)]
        self.mouse.mouse_press(pos=points[0], modifiers=(), button=1)
        for point in points[1:]:
            self.mouse.mouse_move(pos=point, modifiers=(), button=1)
            self.qtbot.wait(12)
        self.mouse.mouse_release(pos=points[-1], modifiers=(), button=1)
        QApplication.processEvents()

    def on_canvas(self, pixel):
        """Return where a (row, column) pixel of the plane lies on the canvas, as x and y."""
        layer = self.work.scribbles.layer
        world = layer.data_to_world([*np.zeros(layer.ndim - 2), *pixel])[-2:]
        transform = self.canvas.view.scene.transform
        column, row = transform.map([world[1], world[0], 0, 1])[:2]
        return round(column), round(row)

    def two_strokes(self):
        """Paint matrix, then precipitate; no click and no key in between."""
        self.stroke((18, 60), (18, 110))
        self.qtbot.wait(20)
        self.stroke((58, 60), (58, 100))

    def rename(self, value, name):
        """Type the name of a class."""
        [row] = [row for row in self.panels.classes.rows if row.info.value == value]
        row.name.setText(name)
        row.name.editingFinished.emit()

    def bar(self, value, row, plane=()):
        """Paint a bar as an undoable stroke, without the mouse."""
        where = np.mgrid[row : row + 4, 60:100].reshape(2, -1)
        leading = [np.full(where.shape[1], index) for index in plane]
        self.work.scribbles.layer.data_setitem((*leading, *where), value)

    def apply_to_stack(self):
        self.panels.reuse.buttons["apply_stack"].click()
        self.until(lambda: "All 3 planes" in self.panels.strip.words)
        self.rest()

    def key(self, name):
        self.qtbot.keyClick(self.canvas.native, name)


@pytest.fixture
def make_desk(make_napari_viewer_proxy, qtbot):
    desks = []

    def made():
        viewer = make_napari_viewer_proxy(show=True)
        _, dock = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
        desk = Desk(viewer, dock, qtbot)
        desks.append(desk)
        return desk

    yield made
    for desk in desks:
        desk.dock.release()
        desk.until(lambda desk=desk: not desk.controller.bridge.busy)


@pytest.fixture
def desk(make_desk):
    return make_desk()


@pytest.fixture
def segmented_desk(desk, pixels):
    """A desk with two strokes and their result, by pixel filters alone to be quick."""
    desk.hurry()
    desk.open(pixels, name="alloy")
    desk.two_strokes()
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    return desk


@pytest.fixture
def stacked(desk, pixels):
    """A desk with a stack of three planes, of which the one painted and the one shown are done."""
    desk.hurry()
    desk.open(np.stack([pixels, pixels[:, ::-1], pixels[::-1]]), name="alloy")
    desk.bar(1, 18, (1,))
    desk.bar(2, 58, (1,))
    desk.until(lambda: desk.segmented is not None)
    desk.rest()
    return desk
