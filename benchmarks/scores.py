"""Scores of a segmentation against ground truth, and a CSV table that stores the results."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Generic, TypeVar, get_type_hints

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt

from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from _typeshed import DataclassInstance
    from numpy.typing import NDArray

Key = TypeVar("Key", bound="DataclassInstance")
Value = TypeVar("Value", bound="DataclassInstance")
Record = TypeVar("Record")

TOLERANCE = 3.0
"""Largest distance, in pixels, at which a boundary pixel counts as found."""
_BINS = 15


@dataclass(frozen=True)
class Run:
    """Key of a score: one method on one image.

    Attributes
    ----------
    method, protocol : str
        Names.
    kind : str
        Folder of the scribbles, such as ``biased-1``.
    set, image : str
        Folder and file name of the image that is scored.
    seed : int
        Seed of the method; in the protocol ``other`` it also selects the pair of painted images.
    """

    method: str
    protocol: str
    kind: str
    set: str
    image: str
    seed: int

    @property
    def family(self) -> str:
        """Kind of scribbles without the drawing's number: ``spread``, ``biased``, ``human``."""
        return self.kind.split("-")[0]


@dataclass(frozen=True)
class Score:
    """How well a segmentation agrees with the truth, all in [0, 1].

    Attributes
    ----------
    iou : float
        Mean over the classes painted of the intersection over union.
    boundary_f1 : float
        Mean over the same classes, see `boundary_f1`.
    per_class : str
        Intersection over union of every class, as ``1:0.812 2:0.455``.
    """

    iou: float
    boundary_f1: float
    per_class: str

    @property
    def classes(self) -> dict[str, float]:
        """Intersection over union by class."""
        pairs = (pair.split(":") for pair in self.per_class.split())
        return {value: float(iou) for value, iou in pairs}


def score(
    truth: NDArray[np.integer],
    labels: NDArray[np.integer],
    classes: NDArray[np.integer],
    scored: NDArray[np.bool_],
) -> Score:
    """Compare (Y, X) labels with the truth on the pixels in `scored`, for the given classes."""
    ious = {c: class_iou(truth[scored] == c, labels[scored] == c) for c in classes.tolist()}
    boundaries = [boundary_f1(truth == c, labels == c, scored) for c in classes]
    per_class = " ".join(f"{c}:{iou:.4f}" for c, iou in ious.items())
    mean = float(np.mean(list(ious.values())))
    return Score(round(mean, 5), round(float(np.mean(boundaries)), 5), per_class)


def class_iou(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks, 0 if both are empty."""
    union = np.count_nonzero(truth | found)
    return float(np.count_nonzero(truth & found) / max(int(union), 1))


def boundary_f1(
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    tolerance: float = TOLERANCE,
) -> float:
    """Return the boundary F1 of a class (Csurka et al., BMVC 2013), tolerance in pixels.

    Precision is the share of the found boundary within the tolerance of the true one, recall the
    reverse; where nothing is scored there is no boundary.
    """
    true_edge, found_edge = edge(truth, scored), edge(found, scored)
    if not (true_edge.any() and found_edge.any()):
        return float(true_edge.any() == found_edge.any())
    precision = np.mean(distance_transform_edt(~true_edge)[found_edge] <= tolerance)
    recall = np.mean(distance_transform_edt(~found_edge)[true_edge] <= tolerance)
    return float(2 * precision * recall / max(float(precision + recall), 1e-9))


def edge(mask: NDArray[np.bool_], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the scored pixels of a mask that touch a scored pixel outside it."""
    touching: NDArray[np.bool_] = binary_dilation(~mask & scored)
    return mask & scored & touching


class Table(Generic[Key, Value]):
    """Records by key, stored in a CSV file that is replaced atomically on every addition.

    Parameters
    ----------
    path : Path
        The file; a column for each field.
    key, value : type
        Dataclasses of strings and numbers.
    """

    def __init__(self, path: Path, key: type[Key], value: type[Value]) -> None:
        self._path = path
        self._columns = [field.name for record in (key, value) for field in fields(record)]
        self.rows: dict[Key, Value] = {}
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    self.rows[_parsed(key, row)] = _parsed(value, row)

    def add(self, found: Iterable[tuple[Key, Value]]) -> None:
        """Add records and rewrite the file."""
        self.rows.update(found)
        with replacing(self._path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(asdict(key) | asdict(value) for key, value in self.rows.items())


def _parsed(record: type[Record], row: Mapping[str, str]) -> Record:
    return record(**{name: kind(row[name]) for name, kind in get_type_hints(record).items()})


def expected_calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error, 0 to 1, with 15 equal bins of confidence.

    Parameters
    ----------
    probabilities : ndarray
        (N, K).
    right : ndarray
        (N,) bool, whether the most probable class is the true one.
    """
    confidence = probabilities.max(axis=1)
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(place, confidence, _BINS) - np.bincount(place, right, _BINS)
    return float(np.abs(gaps).sum() / len(right))
