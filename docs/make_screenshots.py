"""Make the pictures of the documentation, with a real viewer on a virtual display.

    xvfb-run -s "-screen 0 1400x1000x24" python docs/make_screenshots.py [FOLDER]

They show what a person sees: nothing is drawn into them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = (1280, 720)
COLOURS = (200, 128, 96, 64, 48, 32)
LIMIT = 195_000
HALF = 14
KEPT = 2000
MEANINGFUL = [(47, 165, 114), (138, 143, 152), (230, 159, 0), (0, 114, 178), (0, 158, 115)]
PATIENCE = 300
STOCK = Path(__file__).parents[2] / "shared/weights/dinov2_vits14.safetensors"


def main(folder: Path) -> None:
    """Make every picture."""
    scratch = Path(tempfile.mkdtemp())
    os.environ["NAPARI_CONFIG"] = str(scratch / "settings.yaml")
    os.environ["NAPARI_ALIBI_SEG_DATA"] = str(scratch / "data")
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage(folder)
    for scene in (empty, features, first_result, uncertainty, more_strokes, light, stack, bias):
        scene(stage)
    stage.viewer.close()


class Stage:
    """A viewer with the dock, and the hands of a person."""

    def __init__(self, folder: Path) -> None:
        import napari

        self.folder = folder
        self.viewer = napari.Viewer(show=False)
        window = self.viewer.window._qt_window
        window.resize(*SIZE)
        window.show()
        _, self.dock = self.viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Segmentation")

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the window live until something is so."""
        end = time.monotonic() + PATIENCE
        while not condition():
            self.wait(0.02)
            if time.monotonic() > end:
                raise TimeoutError(f"{self.dock.panels.image.chip.words}")

    def wait(self, seconds: float) -> None:
        """Let the window live for a while."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def rest(self) -> None:
        """Wait until the result is there and nothing is to be done."""
        self.wait(0.6)
        self.until(lambda: not self.dock.controller.bridge.busy)
        self.wait(0.6)

    def stroke(self, *pixels: tuple[int, int]) -> None:
        """Drag the mouse through (row, column) pixels."""
        canvas = self.viewer.window._qt_viewer.canvas
        between = [np.linspace(a, b, 12) for a, b in pairwise(pixels)]
        points = [self._on_canvas(canvas, point) for point in np.concatenate(between)]
        events = canvas._scene_canvas.events
        events.mouse_press(pos=points[0], modifiers=(), button=1)
        for point in points[1:]:
            events.mouse_move(pos=point, modifiers=(), button=1)
            self.wait(0.012)
        events.mouse_release(pos=points[-1], modifiers=(), button=1)
        self.wait(0.1)

    def _on_canvas(self, canvas: Any, pixel: np.ndarray) -> tuple[int, int]:
        layer = self.dock.controller.work.scribbles.layer
        world = layer.data_to_world([*np.zeros(layer.ndim - 2), *pixel])[-2:]
        column, row = canvas.view.scene.transform.map([world[1], world[0], 0, 1])[:2]
        return round(column), round(row)

    def key(self, key: str) -> None:
        """Press a key over the canvas."""
        from qtpy.QtTest import QTest

        QTest.keyClick(self.viewer.window._qt_viewer.canvas.native, key)

    def name(self, *names: str) -> None:
        """Type the names of the classes."""
        for shown, name in zip(self.dock.panels.classes.rows, names, strict=False):
            shown.name.setText(name)
            shown.name.editingFinished.emit()

    def picture(self, name: str) -> None:
        """Save the window, with few colours so that the file is small."""
        self.wait(0.3)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        save_small(Image.fromarray(pixels).convert("RGB"), self.folder / f"{name}.png")

    def clear(self) -> None:
        """Close all images."""
        self.viewer.layers.clear()
        self.rest()


def save_small(image: Image.Image, path: Path) -> None:
    """Save a picture with as many colours as fit into LIMIT bytes.

    Colours are weighed by the root of their area, so that a small swatch keeps its own.
    """
    steps = np.asarray(image).reshape(-1, 3) // 4 * 4 + 2
    found, counts = np.unique(steps, axis=0, return_counts=True)
    weighed = np.repeat(found, np.ceil(counts**0.5).astype(int), axis=0)
    weighed = np.concatenate([weighed, *([colour] * KEPT for colour in MEANINGFUL)])
    weighed = weighed.astype(np.uint8)
    for colours in COLOURS:
        palette = Image.fromarray(weighed[None]).quantize(colours)
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < LIMIT:
            return


def flat_run(pixels: np.ndarray, percentile: float, near: tuple[float, float]) -> list[Any]:
    """Return the ends of a stroke that stays within even grey of a percentile, near a place."""
    grey = pixels.astype(float)
    mean = uniform_filter(grey, (9, HALF * 2))
    spread = uniform_filter(grey**2, (9, HALF * 2)) - mean**2
    rows, columns = np.indices(grey.shape)
    place = np.hypot(rows - near[0], columns - near[1])
    cost = np.abs(mean - np.percentile(grey, percentile)) + spread.clip(0) ** 0.5 + 0.1 * place
    cost[:, : 2 * HALF] = cost[:, -2 * HALF :] = cost[:20] = cost[-20:] = np.inf
    row, column = np.unravel_index(cost.argmin(), cost.shape)
    return [(row, column - HALF), (row, column + HALF)]


def empty(stage: Stage) -> None:
    """Show the dock before an image is open."""
    stage.rest()
    stage.picture("empty")


def features(stage: Stage) -> None:
    """Show features being computed."""
    from napari_alibi_seg.gui.samples import superalloy

    pixels = superalloy()[0][0]
    stage.viewer.add_image(pixels, name="superalloy")
    stage.until(lambda: "%" in stage.dock.panels.image.chip.words)
    stage.picture("features")


def first_result(stage: Stage) -> None:
    """Show what two strokes give."""
    stage.until(lambda: stage.dock.panels.image.chip.words.startswith("Ready"))
    stage.rest()
    pixels = stage.viewer.layers["superalloy"].data
    stage.stroke(*flat_run(pixels, 55, near=(370, 290)))
    stage.stroke(*flat_run(pixels, 20, near=(215, 170)))
    stage.name("matrix", "precipitate")
    stage.rest()
    stage.picture("first-result")


def uncertainty(stage: Stage) -> None:
    """Show where the forest is in doubt."""
    stage.dock.panels.result.uncertainty.setChecked(True)
    stage.rest()
    stage.picture("uncertainty")
    stage.dock.panels.result.uncertainty.setChecked(False)
    stage.rest()


def more_strokes(stage: Stage) -> None:
    """Show a finished segmentation, with what can be done with it."""
    pixels = stage.viewer.layers["superalloy"].data
    stage.stroke(*flat_run(pixels, 15, near=(60, 100)))
    stage.key("1")
    stage.stroke(*flat_run(pixels, 60, near=(120, 60)))
    stage.stroke(*flat_run(pixels, 75, near=(250, 255)))
    stage.rest()
    stage.picture("more-strokes")


def light(stage: Stage) -> None:
    """Show the light theme."""
    stage.viewer.theme = "light"
    stage.wait(0.5)
    stage.picture("light")
    stage.viewer.theme = "dark"


def stack(stage: Stage) -> None:
    """Show a stack, painted on one plane."""
    from napari_alibi_seg.gui.samples import sandstone

    stage.clear()
    pixels = sandstone()[0][0]
    planes = np.stack([pixels[top : top + 384, 200:712] for top in range(0, 360, 40)])
    stage.viewer.add_image(planes, name="sandstone stack")
    stage.until(lambda: stage.dock.panels.image.chip.words.startswith("Ready"))
    stage.rest()
    shown = planes[len(planes) // 2]
    stage.dock.panels.classes.add_class()
    strokes = (
        ("1", 4, (190, 310)),
        ("2", 50, (240, 220)),
        ("3", 98, (200, 80)),
        ("2", 50, (207, 77)),
    )
    for key, percentile, near in strokes:
        stage.key(key)
        stage.stroke(*flat_run(shown, percentile, near))
    stage.name("pore", "quartz", "heavy mineral")
    stage.rest()
    stage.picture("stack")


def bias(stage: Stage) -> None:
    """Show the report on positional bias, the stock model beside ALiBi."""
    from napari_alibi_seg.gui.samples import superalloy

    stage.clear()
    stage.viewer.window.remove_dock_widget(stage.dock.parent())
    stage.viewer.add_image(superalloy()[0][0], name="superalloy")
    _, report = stage.viewer.window.add_plugin_dock_widget("napari-alibi-seg", "Positional bias")
    if STOCK.is_file():
        report.second.setCurrentText(f"timm:vit_small_patch14_dinov2:{STOCK}")
    report.button.click()
    stage.until(lambda: not report.table.isHidden() or "could not" in report.strip.words)
    stage.picture("bias-report")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
