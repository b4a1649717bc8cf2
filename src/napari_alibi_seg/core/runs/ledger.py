"""Progress records of long runs: the plan, the finished planes, and a lock against other runs.

The ledger of a result is the folder ``<result>.progress`` beside it. Its plan contains everything
that determines the result; a run with another plan is rejected. Each finished plane has an entry
with a digest of its result, so that a plane damaged later is detected and computed again. The
result itself, a Zarr folder, names its plan, too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_alibi_seg.core.errors import DAMAGE, OutputError
from napari_alibi_seg.core.naming import is_zarr
from napari_alibi_seg.core.writing import claimed, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_PLAN, _LOCK, _ENTRIES = "plan.json", "lock", "planes"
_PLAN_KEY = "napari-alibi-seg plan"
"""Attribute of a result."""


@dataclass(frozen=True)
class Plan:
    """Everything that determines a result.

    Attributes
    ----------
    program : str
        Name and version of the program.
    settings : str
        Axes, shape, dtype, pixel size and region of the image as read, and its slice spacing if 3-D
        filters use it.
    precision : str or None
        Precision of the features (half on a GPU); None if there are none.
    image : tuple of str
        Digest of every plane of the image, in order.
    classifier : str or None
        For labels, SHA-256 of the classifier's file.
    features : str or None
        For features, SHA-256 of their identity.
    """

    program: str
    settings: str
    precision: str | None
    image: tuple[str, ...]
    classifier: str | None = None
    features: str | None = None

    @property
    def key(self) -> str:
        """SHA-256 of the plan."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Return the names of the fields in which a saved plan differs."""
        mine = json.loads(json.dumps(asdict(self)))
        return [name for name, value in mine.items() if value != other.get(name)]


@dataclass(frozen=True)
class Ledger:
    """The ledger of one result.

    Attributes
    ----------
    result : Path
        The file or folder being written.
    """

    result: Path

    @property
    def folder(self) -> Path:
        """The folder of the ledger; may be deleted once the result is complete."""
        return self.result.with_name(f"{self.result.name}.progress")

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the result against other runs; the lock is also released if the process is killed.

        Raises
        ------
        OutputError
            If another run is active, the folder is not writable, or the result exists without a
            ledger.
        """
        with writing(self.result):
            if self.result.exists() and not self._plan.exists():
                raise OutputError(
                    f"{self.result} is there already, but no record beside it tells that it is a "
                    "result to be finished; choose another name."
                )
        busy = f"Another run is writing {self.result}; wait for it, or choose another name."
        held = claimed(self.folder / _LOCK, busy)
        try:
            with held:  # Windows cannot delete an open file
                yield
        finally:
            if not self._plan.exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    def agrees(self, plan: Plan) -> bool:
        """Return whether a run with this plan was started before.

        Raises
        ------
        OutputError
            If a run with another plan was started.
        """
        if not self._plan.exists():
            return False
        changed = plan.differences(_read(self._plan))
        if changed:
            raise OutputError(
                f"{self.result} was begun by a run that differs in {' and '.join(changed)}; use "
                "the same again to finish it, or choose another name for a new result."
            )
        return True

    def begin(self, plan: Plan) -> None:
        """Store the plan and delete all entries."""
        with writing(self.result):
            shutil.rmtree(self._entries, ignore_errors=True)
            self._entries.mkdir(exist_ok=True)
            with replacing(self._plan) as aside:
                aside.write_text(json.dumps(asdict(plan)), encoding="utf-8")

    def enter(self, plane: int, made: NDArray[Any]) -> None:
        """Record that a plane is finished, with the digest of its result."""
        with replacing(self._entry(plane)) as aside:
            aside.write_text(json.dumps({"result": digest(made)}), encoding="utf-8")

    def entered(self, plane: int) -> str | None:
        """Return the recorded digest of a plane's result; None if it is not finished."""
        entry = self._entry(plane)
        result = _read(entry).get("result") if entry.exists() else None
        return None if result is None else str(result)

    @property
    def _plan(self) -> Path:
        return self.folder / _PLAN

    @property
    def _entries(self) -> Path:
        return self.folder / _ENTRIES

    def _entry(self, plane: int) -> Path:
        return self._entries / f"{plane:07}.json"


def sign(result: Path, plan: Plan) -> None:
    """Name the plan of a result in its attributes."""
    zarr.open(result, mode="r+").attrs[_PLAN_KEY] = plan.key


def require_signed(result: Path, plan: Plan) -> None:
    """Raise an `OutputError` unless a folder is the result of this plan."""
    try:
        signed = is_zarr(result) and zarr.open(result, mode="r").attrs.get(_PLAN_KEY) == plan.key
    except DAMAGE:
        signed = False
    if not signed:
        raise OutputError(
            f"{result} was damaged, or replaced by something else, since the run began; choose "
            "another name, or delete it to begin anew."
        )


def is_signed(folder: Path) -> bool:
    """Return whether a Zarr folder is the result of a run, be it labels or features."""
    return _PLAN_KEY in zarr.open(folder, mode="r").attrs


def digest(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's values, hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@contextmanager
def writing(result: Path) -> Iterator[None]:
    """Convert an `OSError` to an `OutputError` that explains how to resume."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{result} could not be written ({error.strerror or error}); what was finished is "
            "kept, so make it writable or free some space and run the same command again."
        ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    return content if isinstance(content, dict) else {}
