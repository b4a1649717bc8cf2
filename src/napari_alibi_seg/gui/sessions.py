"""Session files: what was painted on an image, kept after each stroke.

They lie in ``sessions/`` of the user's data folder (``NAPARI_ALIBI_SEG_DATA`` if that is set),
named after the pixels of the image, so a file that was moved or renamed is still known.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import platformdirs

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.writing import replacing
from napari_alibi_seg.gui.records import PaintClass, SessionFound, Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.gui.records import Order

_FORMAT = "napari-alibi-seg session 1"
_HASHED_PLANES, _HASHED_ROWS = 8, 32
_paths: WeakKeyDictionary[Micrograph, Path] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class SessionRecord:
    """What a session file holds.

    Attributes
    ----------
    positions : ndarray
        (N, D) indices of the painted pixels.
    values : ndarray
        (N,) classes painted there.
    shape : tuple of int
        Of the scribbles.
    classes : tuple of PaintClass
        Names and colours.
    settings : Settings
        How it was trained.
    owner : str
        Token of the sitting it was painted in.
    """

    positions: NDArray[np.int32]
    values: NDArray[np.uint8]
    shape: tuple[int, ...]
    classes: tuple[PaintClass, ...]
    settings: Settings
    owner: str


def data_folder() -> Path:
    """Return the folder for what belongs to the person and must not be lost."""
    chosen = os.environ.get("NAPARI_ALIBI_SEG_DATA")
    return Path(chosen) if chosen else platformdirs.user_data_path("napari-alibi-seg", False)


def keep_session(order: Order) -> SessionFound | None:
    """Save what is painted; where nothing is painted yet, look for an earlier session.

    An earlier session that was not restored stays beside the new one as ``*.previous.npz``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    path = session_path(order.image)
    record = _record(order)
    earlier = load_session(path) if path.is_file() else None
    if len(record.values) and order.touched:
        if earlier is not None and earlier.owner != record.owner:
            set_aside(path)
        save_session(record, path)
        return None
    if len(record.values) or earlier is None or earlier.owner == record.owner:
        return None
    saved = time.strftime("%d %b %Y, %H:%M", time.localtime(path.stat().st_mtime))
    return SessionFound(str(path), len(earlier.values), saved)


def set_aside(path: Path) -> None:
    """Make room for a new session; the earlier one stays as ``*.previous.npz``."""
    if path.is_file():
        os.replace(path, path.with_suffix(".previous.npz"))


def session_path(image: Micrograph) -> Path:
    """Return where the session of an image lies, by some rows of some of its planes."""
    if image not in _paths:
        _paths[image] = data_folder() / "sessions" / f"{_digest(image)}.npz"
    return _paths[image]


def _digest(image: Micrograph) -> str:
    digest = hashlib.sha256(repr((image.data.shape, str(image.data.dtype))).encode())
    indices = image.plane_indices()
    for position in np.unique(np.linspace(0, len(indices) - 1, _HASHED_PLANES, dtype=int)):
        plane = image.plane(indices[position])
        step = max(1, plane.shape[0] // _HASHED_ROWS)
        digest.update(np.ascontiguousarray(plane[::step]).tobytes())
    return digest.hexdigest()[:32]


def save_session(record: SessionRecord, path: Path) -> None:
    """Write a session file aside, then rename it."""
    header = {
        "format": _FORMAT,
        "shape": record.shape,
        "classes": [asdict(known) for known in record.classes],
        "settings": asdict(record.settings),
        "owner": record.owner,
    }
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    with replacing(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, header=text, positions=record.positions, values=record.values)


def load_session(path: Path) -> SessionRecord:
    """Read a session file.

    Raises
    ------
    OutputError
        If it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            header = json.loads(stored["header"].tobytes())
            positions, values = stored["positions"], stored["values"]
        classes = tuple(
            PaintClass(**{**fields, "colour": tuple(fields["colour"])})
            for fields in header["classes"]
        )
        settings = Settings(**header["settings"])
        shape = tuple(header["shape"])
        return SessionRecord(positions, values, shape, classes, settings, header["owner"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError) as error:
        raise OutputError(
            f"The session {path} is damaged ({error}); delete it, and paint anew."
        ) from error


def _record(order: Order) -> SessionRecord:
    scribbles: NDArray[Any] = order.scribbles
    found, values = [], []
    for index in order.image.plane_indices():
        plane = scribbles[index]
        if plane.any():
            rows, columns = np.nonzero(plane)
            leading = np.broadcast_to(np.array(index, np.int32), (len(rows), len(index)))
            found.append(np.column_stack([leading, rows, columns]).astype(np.int32))
            values.append(plane[rows, columns].astype(np.uint8))
    empty = np.empty((0, scribbles.ndim), np.int32)
    return SessionRecord(
        np.concatenate([empty, *found]),
        np.concatenate([np.empty(0, np.uint8), *values]),
        scribbles.shape,
        order.classes,
        order.settings,
        order.owner,
    )
