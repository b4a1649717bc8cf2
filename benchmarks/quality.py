"""Segmentation quality against ground truth, on the development set.

    python benchmarks/quality.py --output DIR [--protocol same other] [--seeds 2] ...

In the protocol ``same``, every image is segmented from its own scribbles; in ``other``, the
classifier is trained on the scribbles of two images of a set (a different pair for each seed) and
applied to the other images. Annotated pixels without scribbles are scored. DIR/scores.csv has a
row per run; runs that it has are not repeated, so after a change of the code use another folder
or delete rows.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from comparison import print_tables
from methods import SHARED, Labels, Train, methods
from napari_alibi_seg import Micrograph, read_image, read_scribbles
from scores import Run, Score, Table, score

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = ("same", "other")
_FEWEST = 3


@dataclass(frozen=True)
class Task:
    """One training and the images it is applied to.

    Attributes
    ----------
    protocol, kind : str
        As in `Run`.
    folder : Path
        Folder of the set.
    seed : int
        As in `Run`.
    painted, scored : tuple of str
        File names of the training images and of the images scored.
    """

    protocol: str
    kind: str
    folder: Path
    seed: int
    painted: tuple[str, ...]
    scored: tuple[str, ...]

    def image(self, name: str) -> Micrograph:
        """Read an image of the set."""
        return read_image(self.folder / "images" / name)

    def scribbles(self, name: str) -> Labels:
        """Read the scribbles of an image."""
        return read_scribbles(self.folder / "scribbles" / self.kind / name, self.image(name))

    def truth(self, name: str) -> Labels:
        """Read the ground truth of an image."""
        return read_scribbles(self.folder / "labels" / name, self.image(name))

    def run(self, method: str, name: str) -> Run:
        """Return the key under which a method's score on an image is stored."""
        return Run(method, self.protocol, self.kind, self.folder.name, name, self.seed)


def tasks(folder: Path, protocol: str, kind: str, seed: int, limit: int | None) -> Iterator[Task]:
    """Yield the trainings on a set, scoring at most `limit` images."""
    names = [path.name for path in sorted((folder / "scribbles" / kind).glob("*.png"))]
    if protocol == "same":
        for name in names[:limit]:
            yield Task(protocol, kind, folder, seed, (name,), (name,))
    elif len(names) >= _FEWEST:
        pair = tuple(names[(2 * seed + i) % len(names)] for i in (0, 1))
        others = tuple(name for name in names if name not in pair)
        yield Task(protocol, kind, folder, seed, pair, others[:limit])


def labelled(train: Train, task: Task, names: list[str]) -> Iterator[tuple[str, Labels]]:
    """Train once and yield the labels of the images named."""
    images = [task.image(name) for name in task.painted]
    scribbles = [task.scribbles(name) for name in task.painted]
    trained = train(images, scribbles, task.seed)
    for name in names:
        yield name, trained(task.image(name))


def scored(train: Train, task: Task, names: list[str]) -> Iterator[tuple[str, Score]]:
    """Train once and score the images named."""
    classes = np.unique(np.concatenate([np.unique(task.scribbles(n)) for n in task.painted]))
    for name, labels in labelled(train, task, names):
        pixels = task.truth(name) > 0
        if name in task.painted:
            pixels &= task.scribbles(name) == 0
        yield name, score(task.truth(name), labels, classes[classes > 0], pixels)


def complete(table: Table[Run, Score], task: Task, trains: dict[str, Train]) -> None:
    """Compute the scores of a task that are missing in the table."""
    for method, train in trains.items():
        missing = [name for name in task.scored if task.run(method, name) not in table.rows]
        if missing:
            found = scored(train, task, missing)
            table.add((task.run(method, name), one) for name, one in found)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=SHARED / "data")
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--model", nargs="+", default=[], metavar="NAME=PATH")
    parser.add_argument("--scribbles", nargs="+", default=["spread-1", "biased-1"], metavar="KIND")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="default: all")
    parser.add_argument("--limit", type=int, help="largest number of images scored per set")
    return parser.parse_args()


def main() -> None:
    """Compute the missing scores and print all tables."""
    options = arguments()
    known = methods(dict(pair.split("=", 1) for pair in options.model))
    trains = {name: known[name] for name in options.methods or known}
    folders = [p for p in sorted(options.data.iterdir()) if p.name in (options.sets or [p.name])]
    wanted = product(range(options.seeds), options.protocol, options.scribbles, folders)
    every = [
        task
        for seed, protocol, kind, folder in wanted
        for task in tasks(folder, protocol, kind, seed, options.limit)
    ]
    table = Table(options.output / "scores.csv", Run, Score)
    for task in tqdm(every, mininterval=20):
        complete(table, task, trains)
    print_tables(table.rows)


if __name__ == "__main__":
    main()
