"""Tables of area fractions, as CSV files for pandas and spreadsheets."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.judging.expectation import is_unlike
from napari_alibi_seg.core.naming import require_no_image_names
from napari_alibi_seg.core.writing import locked, replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.judging.expectation import Expectation

COLUMNS = (
    "image",
    "plane",
    "class_value",
    "class_name",
    "pixels",
    "fraction",
    "fraction_low",
    "fraction_high",
    "expected_accuracy",
    "pixel_size",
    "length_unit",
    "area",
    "classifier",
    "novelty",
    "reading",
)
"""Columns of the table, in this order."""
_FRACTION, _ACCURACY, _NOVELTY = map(COLUMNS.index, ("fraction", "expected_accuracy", "novelty"))


@dataclass(frozen=True)
class ClassFraction:
    """The area fraction of a class in a plane.

    Attributes
    ----------
    image : str
        Name of the image.
    plane : int or str
        Index of the plane, from 0; for a time series of stacks both indices, as in ``T0 Z12``.
    value, name : int, str
        Value and name of the class.
    pixels : int
        Number of pixels of the class.
    fraction : float or None
        Share of the pixels that have a class, which ignored and missing ones have not; None if no
        pixel has a class.
    low, high : float or None
        Interval from `Expectation.fractions`, extended to include `fraction`; None if unknown.
    accuracy : float or None
        Expected share of the plane's pixels that are right; None if unknown.
    pixel_size : PixelSize or None
        Pixel size of the image.
    classifier : str or None
        `PixelClassifier.fingerprint` of the classifier behind the labels; None if that is unknown.
    novelty : float or None
        How unlike the painted images the plane is, as in `Segmentation`; None if unknown.
    reading : str
        The options of `apply` by which the image was read; empty for none.
    """

    image: str
    plane: int | str
    value: int
    name: str
    pixels: int
    fraction: float | None
    low: float | None
    high: float | None
    accuracy: float | None
    pixel_size: PixelSize | None
    classifier: str | None = None
    novelty: float | None = None
    reading: str = ""

    @property
    def area(self) -> float | None:
        """Area of the class, in the squared unit of the pixel size; None if that is unknown."""
        return None if self.pixel_size is None else self.pixels * self.pixel_size.area

    def row(self) -> tuple[object, ...]:
        """Return the values of `COLUMNS`, floats rounded to nine digits; None is an empty field."""
        measured = (self.image, self.plane, self.value, self.name, self.pixels, self.fraction)
        size = self.pixel_size
        side = (None, None) if size is None else (size.side, size.unit)
        expected = (self.low, self.high, self.accuracy)
        known = (self.classifier, self.novelty, self.reading or None)
        return rounded(*measured, *expected, *side, self.area, *known)


def rounded(*values: object) -> tuple[object, ...]:
    """Return values with floats rounded to nine digits."""
    return tuple(float(f"{one:.9g}") if isinstance(one, float) else one for one in values)


def class_fractions(
    name: str,
    image: Micrograph,
    index: tuple[int, ...],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[ClassInfo],
    expected: Expectation | None = None,
    classifier: str | None = None,
    novelty: float | None = None,
) -> list[ClassFraction]:
    """Measure the area fractions of a segmented plane.

    Parameters
    ----------
    name : str
        Name of the image.
    image : Micrograph
        The segmented image.
    index : tuple of int
        Index of the plane.
    labels : ndarray
        (Y, X) class values of the plane; pixels of other values are not counted.
    classes : sequence of ClassInfo
        The classes to measure.
    expected : Expectation, optional
        What is expected of the plane, for the intervals.
    classifier, novelty : optional
        As in `ClassFraction`.

    Returns
    -------
    list of ClassFraction
        In the order of `classes`.
    """
    counts = [int(np.count_nonzero(labels == info.value)) for info in classes]
    total = sum(counts)
    rows = []
    for info, pixels in zip(classes, counts, strict=True):
        fraction = pixels / total if total else None
        low, high = interval(info.value, fraction, expected)
        rows.append(
            ClassFraction(
                name,
                _plane_name(image.label_axes, index),
                info.value,
                info.name,
                pixels,
                fraction,
                low,
                high,
                None if expected is None else expected.accuracy,
                image.pixel_size,
                classifier,
                novelty,
            )
        )
    return rows


def overall_fractions(rows: Iterable[ClassFraction]) -> list[tuple[str, float]]:
    """Return names of classes and their fractions of all planes; none if no pixel has a class."""
    pixels: Counter[tuple[int, str]] = Counter()
    for row in rows:
        pixels[row.value, row.name] += row.pixels
    total = pixels.total()
    return [(name, count / total) for (_, name), count in pixels.items()] if total else []


def write_fractions(path: str | Path, rows: Iterable[ClassFraction]) -> None:
    """Write a table atomically as CSV (RFC 4180, UTF-8).

    It begins with a byte order mark, by which Excel recognises the encoding.

    Parameters
    ----------
    path : str or Path
        The file, by convention ``*.csv``; an existing one is replaced.
    rows : iterable of ClassFraction
        From `class_fractions`, for one or more planes and images.

    Raises
    ------
    OutputError
        If the name is that of an image, or the file cannot be written.
    """
    write_rows(Path(path), COLUMNS, (fraction.row() for fraction in rows))


def add_fractions(path: str | Path, rows: Iterable[ClassFraction]) -> None:
    """Create a table or add to an existing one, replacing its rows of images of the same names.

    Images are known by nothing but their names, without folders. A file lock lets several programs
    add to one table.

    Parameters
    ----------
    path : str or Path
        The table; created if it does not exist.
    rows : iterable of ClassFraction
        From `class_fractions`, for all planes of one or more images.

    Raises
    ------
    OutputError
        As from `read_fractions` and `write_fractions`.
    """
    path, rows = Path(path), list(rows)
    again = {name_in_table(fraction.image) for fraction in rows}
    with locked(path):
        others = [row for row in read_fractions(path) if row[0] not in again]
        write_rows(path, COLUMNS, [*others, *(fraction.row() for fraction in rows)])


def remove_fractions(path: Path, image: str) -> bool:
    """Take the rows of an image out of a table; return whether there were any.

    Raises
    ------
    OutputError
        As from `add_fractions`.
    """
    with locked(path):
        rows = read_fractions(path)
        others = [row for row in rows if row[0] != name_in_table(image)]
        if len(others) < len(rows):
            write_rows(path, COLUMNS, others)
    return len(others) < len(rows)


def name_in_table(name: str) -> str:
    """Return an image name as it appears in tables, with undecodable bytes replaced."""
    return name.encode(errors="replace").decode()


def read_fractions(path: Path) -> list[list[str]]:
    """Read the rows of a table as strings; the list is empty if the file does not exist.

    Raises
    ------
    OutputError
        If the file is not such a table, or cannot be read.
    """
    counts = [COLUMNS.index(name) for name in ("class_value", "pixels")]
    rows = read_rows(path, COLUMNS)
    try:
        sound = all(0 <= float(row[_ACCURACY] or 0) <= 1 for row in rows)
        sound &= all(float(row[_NOVELTY] or 0) >= 0 for row in rows)
    except ValueError:
        sound = False
    if not sound or not all(row[place].isdecimal() for row in rows for place in counts):
        raise _no_table(path)
    return rows


def least_certain(rows: Iterable[Sequence[str]]) -> tuple[str, float] | None:
    """Return the image with the lowest expected accuracy, averaged over its planes.

    Nothing is known of a plane that looks unlike those painted, so it counts as wholly wrong.

    Parameters
    ----------
    rows : iterable of sequence of str
        From `read_fractions`.

    Returns
    -------
    tuple of str and float, or None
        Its name and expected accuracy, 0 if all of it looks unlike; None if nothing is known.
    """
    accuracies: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        unlike = row[_FRACTION] and is_unlike(float(row[_NOVELTY] or 0))
        if row[_ACCURACY] or unlike:
            accuracies[row[0]].append(float(row[_ACCURACY] or 0))
    means = ((name, sum(some) / len(some)) for name, some in accuracies.items())
    return min(means, key=itemgetter(1), default=None)


def read_rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the rows of a table with the given columns, as `read_fractions` does."""
    if not os.path.exists(path):
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error):
        head, rows = [], []
    if tuple(head) != tuple(columns) or any(len(row) != len(columns) for row in rows):
        raise _no_table(path)
    return rows


def _no_table(path: Path) -> OutputError:
    return OutputError(
        f"{path} is no table of area fractions with the columns of this version, and was left as "
        "it is; move it away, or choose another folder."
    )


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with the given columns, as `write_fractions` does."""
    require_no_image_names([path])
    with (
        replacing(path) as aside,
        # File names may contain undecodable bytes, which must not make writing fail.
        aside.open("w", encoding="utf-8-sig", errors="replace", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def interval(
    value: int, fraction: float | None, expected: Expectation | None
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of a class's area fraction, in [0, 1]; (None, None) if unknown."""
    estimate = None if expected is None else expected.fractions.get(value)
    if estimate is None or fraction is None:
        return None, None
    return min(estimate.low, fraction), max(estimate.high, fraction)


def _plane_name(axes: str, index: tuple[int, ...]) -> int | str:
    if len(index) < 2:
        return index[0] if index else 0
    return " ".join(f"{axis}{place}" for axis, place in zip(axes, index, strict=False))
