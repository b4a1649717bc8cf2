"""How long the napari window is blocked, and how soon the result of a stroke is shown.

    xvfb-run -s "-screen 0 1400x1000x24" python benchmarks/responsiveness.py [--side 1024]
        [--model classical] [--features repeated] [--visible 8192 1024] [--strokes 6] [--profile]

A 5 ms timer runs in the GUI thread; its largest gap is the longest time that the window did not
respond. Also reported is the largest CPU time of the GUI thread within one gap, which depends
little on other load of the machine. Both are reported for napari alone (adding and painting a
labels layer), then for opening the dock, loading torch and the model, computing features, the
first result (which adds a layer) and following strokes. Strokes are dragged with the mouse; a
coarse result counts as shown once the canvas has been drawn after its last block arrived.
``--visible`` zooms to the given numbers of rows, one view after the other.

The features of a large image take minutes. ``--features repeated`` uses those of one tile for all
tiles, so that all later work is the same; with ``--features coming``, strokes are painted while
features are being computed. ``--profile`` reports where the GUI thread spent its time: the
innermost function of the plugin, and the innermost of all. Linux only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from micrographs import noisy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from napari import Viewer
    from napari.layers import Labels

TICK_MS = 5
AIM_MS = 50
SAMPLE_S = 0.005
ROWS = 11
WHOLE = 2048
"""Up to this image side, in px, the complete result is awaited before the next stroke."""
PAUSE_S = 3
"""Pause between strokes, in s, for larger images."""
TOLD = 8
FEATURES = ("computed", "repeated", "coming")


class Clock:
    """Measures the gaps between the ticks of a timer.

    Parameters
    ----------
    profile : bool
        Whether to report what was done in them.
    """

    def __init__(self, profile: bool) -> None:
        from qtpy.QtCore import QTimer

        self.last, self._worked = time.monotonic(), time.thread_time()
        self.gaps: list[tuple[float, float]] = []
        self._witness = Witness() if profile else None
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)

    def _tick(self) -> None:
        now, worked = time.monotonic(), time.thread_time()
        self.gaps.append((1000 * (now - self.last), 1000 * (worked - self._worked)))
        self.last, self._worked = now, worked

    def tell(self, what: str) -> None:
        """Print the largest gaps since the last call."""
        both = np.array(self.gaps).T
        told = [f"{some.max():5.0f} ms, {np.sum(some > AIM_MS):3} above {AIM_MS}" for some in both]
        print(f"{what:32} largest gap {told[0]}; most work in one {told[1]}", flush=True)
        self.gaps.clear()
        if self._witness is not None:
            self._witness.tell()


class Witness(threading.Thread):
    """Sampling profiler of the GUI thread."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._window = threading.get_ident()
        self._seen: Counter[tuple[str, str]] = Counter()
        self.start()

    def run(self) -> None:
        """Sample the stack, and add the CPU time (ms) since the last sample to its function."""
        clock = time.pthread_getcpuclockid(self._window)
        before = time.clock_gettime(clock)
        while self._window in sys._current_frames():
            time.sleep(SAMPLE_S)
            names = [*frames(sys._current_frames().get(self._window))]
            now = time.clock_gettime(clock)
            ours = next((name for name in names if "napari_alibi_seg" in name), "-")
            self._seen[ours.split("napari_alibi_seg/")[-1], names[0]] += round(
                1000 * (now - before)
            )
            before = now

    def tell(self) -> None:
        """Print the functions of the plugin with the most CPU time."""
        seen, self._seen = self._seen, Counter()
        told = Counter({place: spent for place, spent in seen.items() if place[0] != "-"})
        for (ours, innermost), spent in told.most_common(TOLD):
            print(f"    {spent:6.0f} ms in {ours}: {innermost}")
        print(
            f"    {sum(told.values()):6.0f} ms in all, {sum(seen.values()):6.0f} with napari's own"
        )


def frames(frame: FrameType | None) -> Iterator[str]:
    """Yield the functions of a stack, innermost first."""
    while frame is not None:
        path = frame.f_code.co_filename.split("site-packages/")[-1]
        yield f"{path}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back


class Ear:
    """Records the events of the dock's engine, with their times."""

    def __init__(self, dock: Any) -> None:
        self.controller = dock.controller
        self.heard: list[tuple[float, object]] = []
        self.controller.bridge.reported.connect(
            lambda event: self.heard.append((time.monotonic(), event))
        )

    def came(self, kind: type, since: float = 0) -> float | None:
        """Return the time of the first event of a type after `since`; None if there is none."""
        return next((at for at, what in self.heard if at > since and isinstance(what, kind)), None)

    def waited(self, kind: type, since: float = 0) -> float:
        """Wait for an event of a type; return how long after `since` it came, in s."""
        until(lambda: self.came(kind, since) is not None)
        came = self.came(kind, since)
        assert came is not None
        return came - since

    def coarse(self, since: float) -> float | None:
        """Return when the first coarse result after `since` was complete; None if it is not."""
        from napari_alibi_seg.core.live.records import ResultBlock

        told = dropwhile(
            lambda heard: not isinstance(heard[1], ResultBlock),
            (heard for heard in self.heard if heard[0] > since),
        )
        blocks = [*takewhile(lambda heard: _is_coarse(heard[1]), told)]
        over = blocks and self.heard[-1][0] > blocks[-1][0]
        return blocks[-1][0] if over else None


class Shown:
    """Records when the canvas was drawn with all results that had arrived by then."""

    def __init__(self, viewer: Viewer, ear: Ear) -> None:
        self._ear = ear
        self._drawn: list[tuple[float, float]] = []
        canvas = viewer.window._qt_viewer.canvas._scene_canvas
        canvas.events.draw.connect(self._draw, position="last")

    def _draw(self, _: object) -> None:
        work = self._ear.controller.work
        if work is not None and not work.result.pending:
            self._drawn.append((time.monotonic(), time.process_time()))

    def waited(self, since: float) -> tuple[float, float]:
        """Wait until a complete coarse result is on the screen.

        Return how long that took, and the total CPU time of the process by then, in s.
        """
        until(lambda: self._ear.coarse(since) is not None)
        come = self._ear.coarse(since)
        assert come is not None
        until(lambda: bool(self._drawn) and self._drawn[-1][0] > come)
        at, spent = next(drawn for drawn in self._drawn if drawn[0] > come)
        return at - since, spent


def main(options: argparse.Namespace) -> None:
    """Open an image, compute features, paint strokes, and print the measurements."""
    scratch = Path(tempfile.mkdtemp())
    os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
    os.environ["NAPARI_ALIBI_SEG_DATA"] = str(scratch / "data")
    import napari

    print(f"load of the machine before (1 min): {os.getloadavg()[0]:.1f}")
    pixels = noisy(options.side)
    viewer = napari.Viewer()
    viewer.add_image(pixels, name="micrograph")
    clock = napari_alone(viewer, pixels, options.profile)
    print(f"memory before the dock: {peak_gigabytes():.2f} GB at most")
    ear = until_ready(viewer, clock, options)
    shown, zoom = Shown(viewer, ear), viewer.camera.zoom
    for rows in options.visible or [options.side]:
        viewer.camera.zoom = zoom * options.side / rows
        wait(1)
        clock.gaps.clear()
        print(f"{rows} rows visible")
        strokes(viewer, ear, clock, shown, options)
    print(f"memory: {peak_gigabytes():.2f} GB at most")
    print(f"load of the machine after (1 min): {os.getloadavg()[0]:.1f}")
    viewer.close()


def napari_alone(viewer: Viewer, pixels: np.ndarray, profile: bool) -> Clock:
    """Measure adding and painting labels in napari itself, and hide the layers."""
    viewer.add_labels(np.zeros(pixels.shape, np.uint8))  # the first layer takes longer
    wait(2)
    clock = Clock(profile)
    layer = viewer.add_labels(np.zeros(pixels.shape, np.uint8))
    wait(1)
    clock.tell("napari alone: adding labels")
    layer.mode = "paint"
    drag(viewer, layer, 1)
    wait(1)
    clock.tell("napari alone: painting")
    for shown in viewer.layers[1:]:  # removing them would crash Mesa in a later draw
        shown.data = np.zeros((1, 1), np.uint8)
        shown.visible = False
    wait(1)
    clock.gaps.clear()
    return clock


def until_ready(viewer: Viewer, clock: Clock, options: argparse.Namespace) -> Ear:
    """Open the dock, and wait until it is ready to follow strokes."""
    from napari_alibi_seg.core.forest.scribbles import ScribbleCounts
    from napari_alibi_seg.core.live.records import ModelReady

    _, dock = viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")
    ear = Ear(dock)
    until(lambda: ear.controller.work is not None)
    wait(0.05)
    clock.tell("opening the dock")
    if options.model is not None:
        dock.panels.image.choose_model(options.model)
        ear.controller.change_settings()
    deep = ear.controller.settings.config.model != "classical"
    ear.waited(ModelReady if deep else ScribbleCounts)
    clock.tell("loading torch and the model")
    if options.features == "repeated":
        repeat_first_tile()
        ear.controller.ask()
    if options.features != "coming":
        until(lambda: not deep or any(_ready(event) for _, event in ear.heard))
        until(lambda: not ear.controller.bridge.busy)
        clock.tell(f"getting ready, {options.side} x {options.side}")
    return ear


def repeat_first_tile() -> None:
    """Patch the extractor to compute one tile and use its tokens for all tiles."""
    from napari_alibi_seg.core.features.extraction import FeatureExtractor

    compute = FeatureExtractor.compute

    def repeated(self: Any, plane: Any, tiles: Any, scale: int) -> Iterator[tuple[Any, Any]]:
        if tiles:
            [(_, tokens)] = compute(self, plane, tiles[:1], scale)
            yield from ((tile, tokens) for tile in tiles)

    FeatureExtractor.compute = repeated  # type: ignore[method-assign,assignment]


def strokes(
    viewer: Viewer, ear: Ear, clock: Clock, shown: Shown, options: argparse.Namespace
) -> None:
    """Paint strokes, and print how soon the result of each is shown."""
    from napari_alibi_seg.core.live.records import PlaneDone, ResultBlock

    layer = ear.controller.work.scribbles.layer
    waits = []
    drag(viewer, layer, 0)
    for number in range(1, options.strokes):
        drag(viewer, layer, number)
        released, before = time.monotonic(), time.process_time()
        first = ear.waited(ResultBlock, released)
        coarse, after = shown.waited(released)
        if options.side <= WHOLE:
            last = f"{ear.waited(PlaneDone, released):.2f} s"
        else:
            last = "not awaited"
            wait(PAUSE_S)
        waits.append((first, coarse, after - before, last))
        if number == 1:
            clock.tell("first result")
    clock.tell("following strokes")
    for number, (first, coarse, spent, last) in enumerate(waits, start=2):
        print(
            f"stroke {number}: first pixels after {first:.2f} s, the coarse result on the screen "
            f"after {coarse:.2f} s ({spent:.2f} core-seconds), all pixels: {last}"
        )


def until(condition: Callable[[], bool]) -> None:
    """Process GUI events until a condition holds."""
    from qtpy.QtWidgets import QApplication

    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)


def wait(seconds: float) -> None:
    """Process GUI events for some seconds."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end)


def drag(viewer: Viewer, layer: Labels, number: int) -> None:
    """Drag the mouse along a row of the canvas; `number` selects the row and the class."""
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    width, height = canvas.size
    layer.selected_label = 1 + number % 2
    row = height * (3 + number % 6) // ROWS
    points = [(column, row) for column in np.linspace(0.4 * width, 0.6 * width, 20).astype(int)]
    canvas.events.mouse_press(pos=points[0], modifiers=(), button=1)
    for point in points[1:]:
        canvas.events.mouse_move(pos=point, modifiers=(), button=1)
        wait(0.012)
    canvas.events.mouse_release(pos=points[-1], modifiers=(), button=1)


def peak_gigabytes() -> float:
    """Return the peak resident memory of this process, in gigabytes (10^9 bytes)."""
    told = Path("/proc/self/status").read_text(encoding="ascii").split("VmHWM:")[1]
    return int(told.split()[0]) * 1024 / 1e9


def _is_coarse(event: object) -> bool:
    return not getattr(event, "final", True)


def _ready(event: object) -> bool:
    from napari_alibi_seg.core.live.records import FeatureProgress

    return isinstance(event, FeatureProgress) and event.done == event.total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="pixels (default %(default)s)")
    parser.add_argument("--model", help="model name; classical for pixel filters only")
    parser.add_argument("--features", choices=FEATURES, default=FEATURES[0])
    parser.add_argument("--visible", nargs="+", type=int, help="visible rows (default: all)")
    parser.add_argument("--strokes", type=int, default=6)
    parser.add_argument("--profile", action="store_true", help="report what the gaps are spent on")
    main(parser.parse_args())
