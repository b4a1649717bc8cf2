"""What a long run is to make, which planes of it are done, and that no other run is at it.

The ledger of a result is the folder ``<result>.progress`` beside it. Its plan names everything that
decides the result; a run with another plan is refused. A plane has an entry once its result is
written, with a digest of that result, so that a plane damaged later is known and made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import claimed, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_PLAN, _LOCK, _ENTRIES = "plan.json", "lock", "planes"


@dataclass(frozen=True)
class Plan:
    """Everything that decides a result.

    Attributes
    ----------
    program : str
        What made it, in which version.
    settings : str
        The axes, shape and type the image was read as.
    precision : str or None
        Of the features, which a GPU computes in half precision; None if there are none.
    image : tuple of str
        Digest of every plane of the image, in order.
    classifier : str or None
        Of labels, SHA-256 of the classifier's file.
    features : str or None
        Of features, SHA-256 of their identity.
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
        """Return the names of the parts in which a saved plan differs."""
        mine = json.loads(json.dumps(asdict(self)))
        return [name for name, value in mine.items() if value != other.get(name)]


@dataclass(frozen=True)
class Ledger:
    """The ledger of one result.

    Attributes
    ----------
    result : Path
        The file or folder that is being made.
    """

    result: Path

    @property
    def folder(self) -> Path:
        """Where it is kept; may be deleted when the result is complete."""
        return self.result.with_name(f"{self.result.name}.progress")

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs off the result until the end, also until a violent one.

        Raises
        ------
        OutputError
            If another run is at work, the folder cannot be written to, or what stands at the
            result's path was not made by such a run.
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
            with held:  # Windows removes no file that is open
                yield
        finally:
            if not self._plan.exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    def agrees(self, plan: Plan) -> bool:
        """Return whether a run with this plan was begun before.

        Raises
        ------
        OutputError
            If a run with another plan was.
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
        """Keep the plan, and forget whatever was done before."""
        with writing(self.result):
            shutil.rmtree(self._entries, ignore_errors=True)
            self._entries.mkdir()
            with replacing(self._plan) as aside:
                aside.write_text(json.dumps(asdict(plan)), encoding="utf-8")

    def enter(self, plane: int, made: NDArray[Any]) -> None:
        """Note that a plane is done and how its result, as written, reads."""
        with replacing(self._entry(plane)) as aside:
            aside.write_text(json.dumps({"result": digest(made)}), encoding="utf-8")

    def entered(self, plane: int) -> str | None:
        """Return the digest of the result of a plane; None if it is not done."""
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


def digest(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's values, hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@contextmanager
def writing(result: Path) -> Iterator[None]:
    """Turn the errors of a disk into an `OutputError` that tells what is left."""
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
