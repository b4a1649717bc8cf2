"""Write a page that shows the segmentations of each method from the same strokes.

    python benchmarks/gallery.py --output docs/gallery.html

It shows the first image of every development set whose licence allows it, not the best-looking.
"""

from __future__ import annotations

import argparse
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter
from tqdm import tqdm

from methods import OURS, SHARED, methods
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.images.windows import Window
from quality import Task, labelled, tasks
from scores import score

if TYPE_CHECKING:
    from methods import Labels, Train

SHOWN = ("random forest", "classical", "stock DINOv2 + classical", OURS)
RULES = (("same", "spread-1"), ("same", "biased-1"), ("other", "spread-1"))
TITLES = {
    ("same", "spread-1"): "three strokes per class, spread over the image",
    ("same", "biased-1"): "three strokes per class, each class in a band of its own",
    ("other", "spread-1"): "taught by strokes on two other images of the set",
}
COLOURS = np.array(
    [[0, 0, 0], [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233]],
    np.uint8,
)
WIDTH = 300
CROP = 900
NOT_FREE = "970C-"
"""Prefix of the file names of images whose licence does not allow showing them."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gallery of segmentations</title>
<style>
body {{ font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1d2530;
  background: #f4f5f7; margin: 0; padding: 1.5rem; }}
h2 {{ margin: 2rem 0 0; font-size: 1.3rem; }}
h3 {{ margin: .8rem 0 .4rem; font-size: 1rem; font-weight: 400; color: #556070; }}
.row {{ display: grid; grid-template-columns: repeat(6, minmax(9rem, 1fr)); gap: .6rem; }}
figure {{ margin: 0; }}
img {{ width: 100%; display: block; border-radius: 4px; }}
figcaption {{ font-size: .85rem; padding-top: .2rem; }}
</style>
</head>
<body>
<h1>What each method makes of the same strokes</h1>
<p>The first free image of every set of the development data, or its upper left part where it is
larger than 900 pixels. Beside each name: mean intersection over union with the ground truth of the
whole image but the pixels under strokes. <a href="../quality/">All figures</a>.</p>
{sections}
</body>
</html>
"""


@dataclass(frozen=True)
class Panel:
    """A picture and its caption."""

    pixels: np.ndarray
    caption: str

    def html(self) -> str:
        """Return the figure element, with the picture embedded."""
        image = Image.fromarray(self.pixels[:CROP, :CROP])
        image = image.resize((WIDTH, round(WIDTH * image.height / image.width)))
        data = BytesIO()
        image.save(data, "webp", quality=60)
        source = b64encode(data.getvalue()).decode()
        name = escape(self.caption)
        return (
            f'<figure><img alt="{name}" src="data:image/webp;base64,{source}">'
            f"<figcaption>{name}</figcaption></figure>"
        )


def picture(task: Task, name: str) -> np.ndarray:
    """Return the image, with its strokes if it was painted, as (Y, X, 3) uint8."""
    [plane] = planes_of(task.image(name)).values()
    pixels = np.clip(plane.read(Window(0, 0, *plane.shape)), 0, 1).mean(axis=-1)
    shown = np.repeat((255 * pixels).astype(np.uint8)[..., None], 3, axis=-1)
    if name in task.painted:
        strokes = maximum_filter(task.scribbles(name), 3)
        shown[strokes > 0] = COLOURS[strokes[strokes > 0]]
    return shown


def row(task: Task, name: str, trains: dict[str, Train]) -> str:
    """Return the panels of an image: itself, the truth, and every method with its score."""
    truth, painted = task.truth(name), [task.scribbles(one) for one in task.painted]
    classes = np.unique(np.concatenate([one[one > 0] for one in painted]))
    scored = truth > 0
    if name in task.painted:
        scored &= task.scribbles(name) == 0

    def panel(method: str, labels: Labels) -> Panel:
        return Panel(COLOURS[labels], f"{method}: {score(truth, labels, classes, scored).iou:.3f}")

    panels = [Panel(picture(task, name), name), Panel(COLOURS[truth], "ground truth")]
    for method, train in trains.items():
        [(_, labels)] = labelled(train, task, [name])
        panels.append(panel(method, labels))
    return f'<div class="row">{"".join(one.html() for one in panels)}</div>'


def free(name: str) -> bool:
    """Return whether an image may be shown."""
    return not name.startswith(NOT_FREE)


def section(folder: Path, trains: dict[str, Train]) -> str:
    """Return a set's rows under its name."""
    parts = [f"<h2>{escape(folder.name)}</h2>"]
    for rule in RULES:
        scored = ((task, name) for task in tasks(folder, *rule, 0, None) for name in task.scored)
        for task, name in islice((pair for pair in scored if free(pair[1])), 1):
            parts += [f"<h3>{TITLES[rule]}</h3>", row(task, name, trains)]
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    known = methods({})
    trains = {name: known[name] for name in SHOWN}
    folders = sorted(path for path in (SHARED / "data").iterdir() if path.is_dir())
    sections = "\n".join(section(folder, trains) for folder in tqdm(folders))
    options.output.write_text(PAGE.format(sections=sections), encoding="utf-8")


if __name__ == "__main__":
    main()
