"""How much a segmentation changes with one more stroke, and how often for the better.

    python benchmarks/steadiness.py [--methods "random forest" classical default] [--seeds 2]

On the first image of every set, starting from one stroke per class, the strokes of a drawing are
added one by one, the classes in turn, and the image is segmented again each time. Among the
annotated pixels without strokes, the script counts those whose class changes with the added
stroke, those that become right, and those that become wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import chain, pairwise, zip_longest
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from comparison import print_table
from methods import OURS, SHARED, Train, methods
from quality import tasks
from strokes import only, strokes_of_classes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from methods import Labels


@dataclass(frozen=True)
class Change:
    """Effect of one more stroke, as shares of the pixels, 0 to 1.

    Attributes
    ----------
    changed, mended, spoilt : float
        Pixels whose class changes, becomes right, and becomes wrong.
    """

    changed: float
    mended: float
    spoilt: float


def growing(drawing: Labels, seed: int) -> Iterator[Labels]:
    """Yield the drawing with one stroke per class, then with one more stroke each time."""
    random, of_classes = np.random.default_rng(seed), strokes_of_classes(drawing)
    order = random.permutation(len(of_classes))
    strokes = [random.permutation(of_classes[place]) for place in order]
    in_turn = [n for n in chain.from_iterable(zip_longest(*strokes)) if n is not None]
    for count in range(len(strokes), len(in_turn) + 1):
        yield only(drawing, in_turn[:count])


def changes(train: Train, folder: Path, seed: int) -> list[Change]:
    """Return the effect of every added stroke on the first image of a set."""
    [task] = tasks(folder, "same", "spread-1", seed, 1)
    [name] = task.painted
    image, drawing, truth = task.image(name), task.scribbles(name), task.truth(name)
    asked = (truth > 0) & (drawing == 0)
    found = [
        train([image], [scribbles], seed)(image)[asked] for scribbles in growing(drawing, seed)
    ]
    return [
        Change(
            changed=float((after != before).mean()),
            mended=float(((before != truth[asked]) & (after == truth[asked])).mean()),
            spoilt=float(((before == truth[asked]) & (after != truth[asked])).mean()),
        )
        for before, after in pairwise(found)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=["random forest", "classical", OURS])
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    folders = sorted(path for path in (SHARED / "data").iterdir() if path.is_dir())
    known, rows = methods({}), []
    for name in options.methods:
        of_sets = [
            [change for seed in range(options.seeds) for change in changes(known[name], f, seed)]
            for f in tqdm(folders, desc=name)
        ]
        means = [
            np.mean([np.mean([getattr(change, what) for change in some]) for some in of_sets])
            for what in ("changed", "mended", "spoilt")
        ]
        rows.append([name, *(f"{100 * mean:.1f} %" for mean in means)])
    print_table(["one more stroke changes", "pixels", "become right", "become wrong"], rows)


if __name__ == "__main__":
    main()
