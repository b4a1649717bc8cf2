"""How long the window stands still, and how soon a stroke shows.

    xvfb-run -s "-screen 0 1400x1000x24" python benchmarks/responsiveness.py [--side 1024]

A timer of 5 ms runs in the window; its largest gap is how long nothing could be clicked. Told
for napari alone, adding a layer of labels and painting on it; then for opening the dock, loading
torch and the model, computing features, the first result, for which a layer is added, and
following strokes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari import Viewer
    from napari.layers import Labels

TICK_MS = 5
STROKES = 6


class Clock:
    """Measures the gaps between the ticks of a timer."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self._last = time.monotonic()
        self.gaps: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now = time.monotonic()
        self.gaps.append(1000 * (now - self._last))
        self._last = now

    def tell(self, what: str) -> None:
        """Print the largest gaps since the last time."""
        gaps = np.array(self.gaps)
        share = 100 * np.mean(gaps > 50)
        print(f"{what:32} largest gap {gaps.max():6.0f} ms, {share:5.2f} % of gaps above 50 ms")
        self.gaps.clear()


class Ear:
    """Hears what the dock's engine tells, and when."""

    def __init__(self, dock: Any) -> None:
        self.controller = dock.controller
        self.heard: list[tuple[float, object]] = []
        self.controller.bridge.told.connect(
            lambda event: self.heard.append((time.monotonic(), event))
        )

    def came(self, kind: type, since: float = 0) -> float | None:
        """Return when the first event of a kind came after some time."""
        return next((at for at, what in self.heard if at > since and isinstance(what, kind)), None)

    def has_features(self) -> bool:
        """Whether the last event is that the features are ready."""
        from napari_alibi_seg.core.live_records import FeatureProgress

        last = self.heard[-1][1] if self.heard else None
        return isinstance(last, FeatureProgress) and last.done == last.total

    def waited(self, kind: type, since: float = 0) -> float:
        """Wait for an event of a kind, and return how long after `since` it came."""
        until(lambda: self.came(kind, since) is not None)
        came = self.came(kind, since)
        assert came is not None
        return came - since


def main(side: int) -> None:
    """Open an image, let features be computed, paint, and print what was measured."""
    scratch = Path(tempfile.mkdtemp())
    os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
    os.environ["NAPARI_ALIBI_SEG_DATA"] = str(scratch / "data")
    import napari

    from napari_alibi_seg.gui.samples import superalloy

    pixels = np.tile(superalloy()[0][0], (-(-side // 512),) * 2)[:side, :side]
    viewer = napari.Viewer()
    viewer.add_image(pixels, name="micrograph")
    clock = napari_alone(viewer, pixels)
    ear = until_features(viewer, clock, side)
    strokes(ear, clock, side)
    viewer.close()


def napari_alone(viewer: Viewer, pixels: np.ndarray) -> Clock:
    """Tell what napari itself takes to add and paint labels, and hide these."""
    viewer.add_labels(np.zeros(pixels.shape, np.uint8))  # napari's first one is dearer
    wait(2)
    clock = Clock()
    layer = viewer.add_labels(np.zeros(pixels.shape, np.uint8))
    wait(1)
    clock.tell("napari alone: adding labels")
    paint(layer, 1, len(pixels))
    clock.tell("napari alone: painting")
    for shown in viewer.layers[1:]:
        shown.visible = False
    wait(1)
    clock.gaps.clear()
    return clock


def until_features(viewer: Viewer, clock: Clock, side: int) -> Ear:
    """Open the dock, and wait until it could follow strokes."""
    from napari_alibi_seg.core.live_records import ModelReady

    _, dock = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    ear = Ear(dock)
    until(lambda: ear.controller.work is not None)
    wait(0.05)
    clock.tell("opening the dock")
    ear.waited(ModelReady)
    clock.tell("loading torch and the model")
    until(ear.has_features)
    until(lambda: not ear.controller.bridge.busy)
    clock.tell(f"features, {side} x {side}")
    return ear


def strokes(ear: Ear, clock: Clock, side: int) -> None:
    """Paint strokes, and tell how soon each shows."""
    from napari_alibi_seg.core.live_records import Block, PlaneDone

    layer = ear.controller.work.scribbles.layer
    waits = []
    paint(layer, 0, side)
    for number in range(1, STROKES):
        paint(layer, number, side)
        released = time.monotonic()
        waits.append([ear.waited(kind, released) for kind in (Block, PlaneDone)])
        if number == 1:
            clock.tell("first result (a layer is added)")
    clock.tell("following strokes")
    for number, (first, last) in enumerate(waits, start=2):
        print(f"stroke {number}: first pixels after {first:.2f} s, all after {last:.2f} s")


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    from qtpy.QtWidgets import QApplication

    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end)


def paint(layer: Labels, number: int, side: int) -> None:
    """Paint a stroke, one class after the other."""
    from qtpy.QtWidgets import QApplication

    layer.selected_label = 1 + number % 2
    row = 40 + number * (side - 80) // STROKES
    for column in range(60, 160):
        layer.paint((row, column), layer.selected_label)
        QApplication.processEvents()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="pixels (default %(default)s)")
    main(parser.parse_args().side)
