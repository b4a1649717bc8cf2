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
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

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


def main(side: int) -> None:
    """Open an image, let features be computed, paint, and print what was measured."""
    scratch = Path(tempfile.mkdtemp())
    os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
    os.environ["NAPARI_ALIBI_SEG_DATA"] = str(scratch / "data")
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_alibi_seg.core.live_records import Block, FeatureProgress, ModelReady, PlaneDone
    from napari_alibi_seg.gui.samples import superalloy

    pixels = np.tile(superalloy()[0][0], (-(-side // 512),) * 2)[:side, :side]
    viewer = napari.Viewer()
    viewer.add_image(pixels, name="micrograph")
    viewer.add_labels(np.zeros(pixels.shape, np.uint8))  # napari's first one is dearer
    wait(2)
    clock = Clock()
    layer = viewer.add_labels(np.zeros(pixels.shape, np.uint8))
    wait(1)
    clock.tell("napari alone: adding labels")
    paint(layer, 1, side)
    clock.tell("napari alone: painting")
    for shown in viewer.layers[1:]:
        shown.visible = False
    wait(1)
    clock.gaps.clear()
    _, dock = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    heard: list[tuple[float, object]] = []
    dock.controller.bridge.told.connect(lambda event: heard.append((time.monotonic(), event)))

    def until(condition: Callable[[], bool]) -> None:
        while not condition():
            QApplication.processEvents()
            time.sleep(0.001)

    def came(kind: type, since: float) -> float | None:
        return next((at for at, event in heard if at > since and isinstance(event, kind)), None)

    until(lambda: dock.controller.work is not None)
    wait(0.05)
    clock.tell("opening the dock")
    until(lambda: came(ModelReady, 0) is not None)
    clock.tell("loading torch and the model")
    until(lambda: bool(heard) and _ready(heard[-1][1], FeatureProgress))
    until(lambda: not dock.controller.bridge.busy)
    clock.tell(f"features, {side} x {side}")
    layer = dock.controller.work.scribbles.layer
    waits = []
    for number in range(STROKES):
        paint(layer, number, side)
        released = time.monotonic()
        if number == 0:
            continue
        until(lambda since=released: came(Block, since) is not None)
        first = came(Block, released)
        until(lambda since=released: came(PlaneDone, since) is not None)
        waits.append((first - released, came(PlaneDone, released) - released))
        if number == 1:
            clock.tell("first result (a layer is added)")
    clock.tell("following strokes")
    for (first, last), number in zip(waits, range(2, STROKES + 1), strict=True):
        print(f"stroke {number}: first pixels after {first:.2f} s, all after {last:.2f} s")
    viewer.close()


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def paint(layer: Labels, number: int, side: int) -> None:
    """Paint a stroke, one class after the other."""
    from qtpy.QtWidgets import QApplication

    layer.selected_label = 1 + number % 2
    row = 40 + number * (side - 80) // STROKES
    for column in range(60, 160):
        layer.paint((row, column), layer.selected_label)
        QApplication.processEvents()


def _ready(event: object, kind: type) -> bool:
    return isinstance(event, kind) and event.done == event.total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="pixels (default %(default)s)")
    main(parser.parse_args().side)
