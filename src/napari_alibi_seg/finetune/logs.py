"""Log the figures of a run as CSV and, if it is installed, to TensorBoard."""

from __future__ import annotations

import csv
import logging
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Figures:
    """Base class of records that form a row of a log."""

    @classmethod
    def of(cls, row: Mapping[str, float]) -> Self | None:
        """Return the record of a row; None if the row has other columns."""
        names = {field.name for field in fields(cls)}
        return cls(**row) if row.keys() == names else None


class RunLog:
    """Appends rows to ``steps.csv`` and ``validation.csv`` in a run's folder.

    Rows are buffered while another program locks a file, as Excel does on Windows.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        Step to continue from; rows of later steps, left by a killed run, are removed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self._waiting: dict[str, list[list[Any]]] = {}
        self._board: Any = None
        if find_spec("tensorboard") is None:
            LOG.info("TensorBoard is not installed (extra 'train'); figures go to CSV only.")
        else:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(folder / "tensorboard", purge_step=step)
        for name in ("steps", "validation"):
            _forget_after(folder / f"{name}.csv", step)

    def add(self, name: str, step: int, figures: Mapping[str, float]) -> None:
        """Append one row to ``<name>.csv``, after any buffered rows.

        Raises
        ------
        OutputError
            If the file cannot be written, e.g. as the disk is full or the folder is gone.
        """
        path = self._folder / f"{name}.csv"
        with _disk_errors(path):
            rows = self._waiting.setdefault(name, [])
            if not rows and not path.exists():
                rows.append(["step", *figures])
            rows.append([step, *(f"{value:.6g}" for value in figures.values())])
            try:
                self._write(name)
            except PermissionError:
                LOG.warning(
                    "%s is held by another program; %d rows wait until that closes it.",
                    path,
                    len(rows),
                )
            for key, value in figures.items() if self._board else ():
                self._board.add_scalar(f"{name}/{key}", value, step)

    def last(self, name: str) -> dict[str, float]:
        """Return the figures of the last row of ``<name>.csv``; {} if there is none."""
        path = self._folder / f"{name}.csv"
        header, rows = _table(path)
        return dict(zip(header[1:], map(float, rows[-1][1:]), strict=True)) if rows else {}

    def close(self) -> None:
        """Write the buffered rows.

        Raises
        ------
        OutputError
            If a file cannot be written, or still is locked.
        """
        try:
            for name in self._waiting:
                with _disk_errors(self._folder / f"{name}.csv"):
                    self._write(name)
        finally:
            if self._board:
                self._board.close()

    def _write(self, name: str) -> None:
        rows, path = self._waiting[name], self._folder / f"{name}.csv"
        if rows:
            with path.open("a", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(rows)
            rows.clear()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} could not be written ({error.strerror or error}); free space on the disk "
            "or close the file in other programs, then continue with --resume."
        ) from error


def _forget_after(path: Path, step: int) -> None:
    header, rows = _table(path)
    kept = [row for row in rows if len(row) == len(header) and int(row[0]) <= step]
    if not kept:  # the header may be truncated too, by a full disk
        with _disk_errors(path):
            path.unlink(missing_ok=True)
        return
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *kept])


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table; both are empty if it is empty or missing."""
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = [*csv.reader(file)] or [[]]
    return header, rows
