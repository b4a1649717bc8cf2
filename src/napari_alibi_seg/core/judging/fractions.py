"""Area fractions as a table that can be published, and read by pandas and spreadsheets."""

from __future__ import annotations

import csv
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import alone, replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.judging.assessment import Assessment

COLUMNS = (
    "image",
    "plane",
    "class_value",
    "class_name",
    "pixels",
    "fraction",
    "fraction_low",
    "fraction_high",
    "pixel_size",
    "length_unit",
    "area",
)
"""Of the table, in this order."""


@dataclass(frozen=True)
class ClassFraction:
    """How much of a plane is of a class.

    Attributes
    ----------
    image : str
        What the image is called.
    plane : int or str
        Counted from 0; of a series of stacks both counts, as in ``T0 Z12``.
    value, name : int, str
        Of the class.
    pixels : int
        Of the class.
    fraction : float or None
        Share of the class in the pixels that have one: neither ignored nor missing ones count.
        None if no pixel has a class.
    low, high : float or None
        The interval of `Assessment.fractions`, widened where it misses `fraction`; None where
        nothing was assessed.
    pixel_size : PixelSize or None
        Of the image.
    """

    image: str
    plane: int | str
    value: int
    name: str
    pixels: int
    fraction: float | None
    low: float | None
    high: float | None
    pixel_size: PixelSize | None

    @property
    def area(self) -> float | None:
        """Area of the class, in the pixel size's unit squared."""
        return None if self.pixel_size is None else self.pixels * self.pixel_size.area

    def row(self) -> tuple[object, ...]:
        """Return the values of `COLUMNS`; None is an empty field."""
        told = (self.image, self.plane, self.value, self.name, self.pixels, self.fraction)
        size = self.pixel_size
        side = (None, None) if size is None else (math.sqrt(size.area), size.unit)
        return (*told, self.low, self.high, *side, self.area)


def class_fractions(
    name: str,
    image: Micrograph,
    index: tuple[int, ...],
    labels: NDArray[np.integer[Any]],
    classes: Sequence[ClassInfo],
    assessment: Assessment | None = None,
) -> list[ClassFraction]:
    """Measure a segmented plane.

    Parameters
    ----------
    name : str
        What the image is called.
    image : Micrograph
        What was segmented.
    index : tuple of int
        Which plane of it.
    labels : ndarray
        (Y, X) class values of the plane; what is no class does not count.
    classes : sequence of ClassInfo
        What to measure.
    assessment : Assessment, optional
        Of the plane.

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
        low, high = interval(info.value, fraction, assessment)
        place = _plane_name(image.label_axes, index)
        rows.append(
            ClassFraction(
                name, place, info.value, info.name, pixels, fraction, low, high, image.pixel_size
            )
        )
    return rows


def write_fractions(path: str | Path, rows: Iterable[ClassFraction]) -> None:
    """Write a table as CSV (RFC 4180, UTF-8), all of it or nothing.

    It begins with a byte order mark, without which Excel would take it for another encoding.

    Parameters
    ----------
    path : str or Path
        The file, by custom ``*.csv``; one that is there is replaced.
    rows : iterable of ClassFraction
        From `class_fractions`, of one or more planes and images.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_rows(Path(path), COLUMNS, (fraction.row() for fraction in rows))


def add_fractions(path: str | Path, rows: Sequence[ClassFraction]) -> None:
    """Write a table, or add to the one that is there; its rows of the same images are replaced.

    Several programs may add to one table.

    Raises
    ------
    OutputError
        As from `read_fractions`, or if the file cannot be written.
    """
    path = Path(path)
    again = {name_in_table(fraction.image) for fraction in rows}
    with alone(path):
        others = [row for row in read_fractions(path) if row[0] not in again]
        write_rows(path, COLUMNS, [*others, *(fraction.row() for fraction in rows)])


def name_in_table(name: str) -> str:
    """Return the name of an image as tables have it; that of a file may hold bytes of no text."""
    return name.encode(errors="replace").decode()


def read_fractions(path: Path) -> list[list[str]]:
    """Read the rows of a table, as text; there are none if there is no file.

    Raises
    ------
    OutputError
        If the file is no such table, or cannot be read.
    """
    counts = [COLUMNS.index(name) for name in ("class_value", "pixels")]
    rows = read_rows(path, COLUMNS)
    if not all(row[place].isdecimal() for row in rows for place in counts):
        raise _no_table(path)
    return rows


def read_rows(path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Read the rows of a table of any columns, as `read_fractions` does."""
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
        f"{path} is no table of area fractions to add rows to, and was left as it is; move it "
        "away, or choose another folder."
    )


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of any columns, as `write_fractions` does."""
    with (
        replacing(path) as aside,
        # A file's name may hold bytes that are no text; the table is not lost for it.
        aside.open("w", encoding="utf-8-sig", errors="replace", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def interval(
    value: int, fraction: float | None, assessment: Assessment | None
) -> tuple[float, float] | tuple[None, None]:
    """Return the interval for a class's area fraction, 0 to 1; None where nothing is known."""
    told = assessment.fractions if assessment is not None and assessment.recognises else {}
    known = told.get(value)
    if known is None or fraction is None:
        return None, None
    return min(known.low, fraction), max(known.high, fraction)


def _plane_name(axes: str, index: tuple[int, ...]) -> int | str:
    if len(index) < 2:
        return index[0] if index else 0
    return " ".join(f"{axis}{place}" for axis, place in zip(axes, index, strict=False))
