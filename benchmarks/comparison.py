"""Tables and a plot of the scores that `quality.py` has written.

    python benchmarks/comparison.py DIR/scores.csv [--plot gains.webp]

Methods are compared on the runs that all of them have. The score of a set is the mean over its
images, drawings and seeds; overall scores are means over the sets. Differences are paired by
image; their 95 % confidence intervals are from a hierarchical bootstrap of sets and of the images
within them. The p-values are from Wilcoxon's signed-rank test over the images, which treats the
images of a set as independent, so they tend to be too small.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from methods import OURS
from scores import Run, Score, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes

REFERENCES = ("classical", "random forest")
BySet: TypeAlias = dict[str, NDArray[np.float64]]
"""One value per image, by set."""

_DRAWS = 2000
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#555555")


def groups(scores: Mapping[Run, Score]) -> dict[tuple[str, str], dict[str, dict[Run, Score]]]:
    """Group the runs by protocol and family of scribbles, then method; keep common runs only."""
    found: dict[tuple[str, str], dict[str, dict[Run, Score]]] = {}
    for run, one in scores.items():
        group = found.setdefault((run.protocol, run.family), {})
        group.setdefault(run.method, {})[run] = one
    return {key: shared(group) for key, group in sorted(found.items(), reverse=True)}


def shared(group: dict[str, dict[Run, Score]]) -> dict[str, dict[Run, Score]]:
    """Keep only the runs that every method has."""
    common = set.intersection(*({place(run) for run in runs} for runs in group.values()))
    return {
        method: {run: one for run, one in runs.items() if place(run) in common}
        for method, runs in group.items()
    }


def place(run: Run) -> tuple[str, str, str, int]:
    """Return the key by which runs of different methods are paired."""
    return run.kind, run.set, run.image, run.seed


def by_set(runs: Mapping[Run, Score], value: Callable[[Score], float]) -> BySet:
    """Return the values per image of each set, averaged over drawings and seeds."""
    images: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run, one in runs.items():
        images[run.set][run.image].append(value(one))
    return {
        name: np.array([np.mean(found[image]) for image in sorted(found)])
        for name, found in sorted(images.items())
    }


def iou(one: Score) -> float:
    """Return the mean IoU of a score."""
    return one.iou


def gains(runs: Mapping[Run, Score], reference: Mapping[Run, Score]) -> BySet:
    """Return the gain of mean IoU over the reference, per image of each set."""
    mine, other = by_set(runs, iou), by_set(reference, iou)
    return {name: mine[name] - other[name] for name in mine}


def mean_of_sets(values: BySet) -> float:
    """Return the mean over the sets of the mean over their images."""
    return float(np.mean([some.mean() for some in values.values()]))


def interval(values: BySet, draws: int = _DRAWS) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `mean_of_sets`."""
    random = np.random.default_rng(0)
    sets = list(values.values())

    def drawn() -> float:
        some = [sets[i] for i in random.integers(len(sets), size=len(sets))]
        return float(np.mean([random.choice(one, one.size).mean() for one in some]))

    low, high = np.quantile([drawn() for _ in range(draws)], [0.025, 0.975])
    return float(low), float(high)


def p_value(values: BySet) -> float:
    """Return the p-value of Wilcoxon's signed-rank test over the images."""
    pooled = np.concatenate(list(values.values()))
    return float(wilcoxon(pooled).pvalue) if pooled.any() else 1.0


def difference(values: BySet) -> str:
    """Format a mean difference with its interval and p-value."""
    low, high = interval(values)
    return f"{mean_of_sets(values):+.3f} [{low:+.3f}, {high:+.3f}], {p_value(values):.3f}"


def summary(method: str, group: dict[str, dict[Run, Score]]) -> list[str]:
    """Return the cells of a method in the table of a group."""
    runs = group[method]
    means = [some.mean() for some in by_set(runs, iou).values()]
    edges = mean_of_sets(by_set(runs, lambda one: one.boundary_f1))
    cells = [method, f"{np.mean(means):.3f} ± {np.std(means):.3f}", f"{edges:.3f}"]
    for name in REFERENCES:
        compared = name in group and name != method
        cells.append(difference(gains(runs, group[name])) if compared else "")
    if REFERENCES[0] not in group:
        return [*cells, ""]
    worst = {name: some.mean() for name, some in gains(runs, group[REFERENCES[0]]).items()}
    name = min(worst, key=lambda one: worst[one])
    return [*cells, f"{worst[name]:+.3f} ({name})"]


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print()
    for cells in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(cells) + " |")


def print_tables(scores: Mapping[Run, Score]) -> None:
    """Print the summary, the scores by set and by class, for every protocol and family."""
    for (protocol, family), group in groups(scores).items():
        images = by_set(next(iter(group.values())), iou)
        if not images:
            print(f"\n{protocol}, {family}: no run that all methods have")
            continue
        print(f"\n## {protocol} image, {family}: {sum(map(len, images.values()))} images")
        head = ["method", "mIoU ± spread of sets", "boundary F1"]
        head += [f"gain over {name}, p" for name in REFERENCES]
        print_table([*head, "worst set"], [summary(method, group) for method in group])
        print_table(["mIoU", *group], set_rows(group))
        print_table(["IoU of a class", *group], class_rows(group))


def set_rows(group: dict[str, dict[Run, Score]]) -> list[list[str]]:
    """Return a row per set: the mean IoU of every method."""
    found = [by_set(runs, iou) for runs in group.values()]
    return [[name, *(f"{one[name].mean():.3f}" for one in found)] for name in found[0]]


def class_rows(group: dict[str, dict[Run, Score]]) -> list[list[str]]:
    """Return a row per class of a set: the IoU of every method."""
    rows: dict[str, list[str]] = defaultdict(list)
    for runs in group.values():
        found: dict[str, list[float]] = defaultdict(list)
        for run, one in runs.items():
            for value, ratio in one.classes.items():
                found[f"{run.set} {value}"].append(ratio)
        for name, ratios in found.items():
            rows[name].append(f"{np.mean(ratios):.3f}")
    return [[name, *cells] for name, cells in sorted(rows.items())]


def plot(scores: Mapping[Run, Score], path: Path) -> None:
    """Draw the gain of every method over classical: a dot per image, a bar for the mean."""
    shown = {key: group for key, group in groups(scores).items() if REFERENCES[0] in group}
    methods = max(len(group) for group in shown.values())
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(9, 0.8 + rows * (0.8 + 0.36 * methods)), layout="constrained")
    sets = sorted({run.set for run in scores})
    colours = dict(zip(sets, _COLOURS, strict=False))
    every = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, ((protocol, family), group) in zip(every, shown.items(), strict=False):
        draw_gains(axes, group, colours)
        axes.set_title(f"{protocol} image, {family}", fontsize=10)
        axes.set_xlabel("gain of mIoU over classical")
    handles = [every[0].plot([], [], "o", ms=5, color=colours[name])[0] for name in sets]
    figure.legend(handles, sets, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def draw_gains(axes: Axes, group: dict[str, dict[Run, Score]], colours: dict[str, str]) -> None:
    """Draw the gains for one protocol and family, with a row of dots per method."""
    names = [name for name in group if name != REFERENCES[0]]
    for row, name in enumerate(names):
        found = gains(group[name], group[REFERENCES[0]])
        for (folder, values), shift in zip(
            found.items(), np.linspace(-0.25, 0.25, len(found)), strict=True
        ):
            axes.plot(values, np.full(len(values), row + shift), "o", ms=3.5, color=colours[folder])
        axes.plot([mean_of_sets(found)] * 2, [row - 0.38, row + 0.38], "k", lw=2.5)
    axes.axvline(0, color="0.6", lw=1, zorder=0)
    axes.set_yticks(range(len(names)), names)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == OURS else "normal")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Print the tables and, if requested, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    scores = Table(options.scores, Run, Score).rows
    print_tables(scores)
    if options.plot:
        plot(scores, options.plot)


if __name__ == "__main__":
    main()
