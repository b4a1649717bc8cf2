"""Mean area fractions over images, with confidence intervals as in ASTM E562."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from napari_alibi_seg.core.judging.fractions import COLUMNS, rounded, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIDENCE = 0.95
MEAN_COLUMNS = (
    "class_value",
    "class_name",
    "images",
    "mean_fraction",
    "standard_deviation",
    "mean_low_95",
    "mean_high_95",
    "relative_accuracy_percent",
    "classifier",
)
"""Columns of the table of means, in this order."""

_IMAGE, _VALUE, _NAME, _PIXELS, _CLASSIFIER = map(
    COLUMNS.index, ("image", "class_value", "class_name", "pixels", "classifier")
)


@dataclass(frozen=True)
class MeanFraction:
    """The mean area fraction of a class over images of equal weight.

    Attributes
    ----------
    value, name : int, str
        Value and name of the class.
    classifier : str
        The classifier behind the labels, as in the table.
    images : int
        Number of images, at least 2.
    mean, deviation : float
        Mean and sample standard deviation of the images' fractions, 0 to 1.
    """

    value: int
    name: str
    classifier: str
    images: int
    mean: float
    deviation: float

    @property
    def margin(self) -> float:
        """Half-width of the 95 % confidence interval of the mean, t s / sqrt(n) (ASTM E562)."""
        quantile = stdtrit(self.images - 1, (1 + CONFIDENCE) / 2)
        return float(quantile * self.deviation / np.sqrt(self.images))

    def row(self) -> tuple[object, ...]:
        """Return the values of `MEAN_COLUMNS`, rounded as in the other table; None is empty."""
        low, high = max(self.mean - self.margin, 0.0), min(self.mean + self.margin, 1.0)
        relative = 100 * self.margin / self.mean if self.mean else None
        measured = (self.value, self.name, self.images, self.mean, self.deviation)
        return rounded(*measured, low, high, relative, self.classifier)


def mean_fractions(table: Iterable[Sequence[str]]) -> list[MeanFraction]:
    """Return the mean fraction of every class (value and name) listed for two images or more.

    The planes of a stack are pooled, since neighbouring planes are not independent samples.
    Images without any classified pixel are left out. Results of different classifiers are not
    averaged.

    Parameters
    ----------
    table : iterable of sequence of str
        From `read_fractions`.

    Returns
    -------
    list of MeanFraction
        By class value.
    """
    pixels: dict[tuple[str, str], Counter[tuple[int, str]]] = defaultdict(Counter)
    for row in table:
        of_class = int(row[_VALUE]), row[_NAME]
        pixels[row[_IMAGE], row[_CLASSIFIER]][of_class] += int(row[_PIXELS])
    fractions: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    for (_, classifier), counts in pixels.items():
        total = counts.total()
        for of_class, count in counts.items() if total else ():
            fractions[*of_class, classifier].append(count / total)
    return [
        MeanFraction(*of_class, len(some), float(np.mean(some)), float(np.std(some, ddof=1)))
        for of_class, some in sorted(fractions.items())
        if len(some) > 1
    ]


def write_mean_fractions(path: str | Path, means: Iterable[MeanFraction]) -> None:
    """Write a table of means as CSV, replacing an existing file; see `write_fractions`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_rows(Path(path), MEAN_COLUMNS, (mean.row() for mean in means))
