"""Session files: what was painted on an image, kept after each stroke.

They are project files that name no image: they lie in ``sessions/`` of the user's data folder
(``NAPARI_ALIBI_SEG_DATA`` if that is set), named after the pixels of the image, so a file that was
moved or renamed is still known.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import platformdirs

from napari_alibi_seg.core.errors import AlibiSegError, ProjectError
from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX
from napari_alibi_seg.core.runs.project_files import load_project, save_project
from napari_alibi_seg.core.writing import move
from napari_alibi_seg.gui.projects import project_of
from napari_alibi_seg.gui.records import SessionFound, SessionProblem, as_core

if TYPE_CHECKING:
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.runs.project import Project
    from napari_alibi_seg.gui.records import Order

_HASHED_PLANES, _HASHED_ROWS = 8, 32
_one_at_a_time = Lock()
_paths: WeakKeyDictionary[Micrograph, Path] = WeakKeyDictionary()
_saved: set[str] = set()
"""Owners whose strokes this program has saved."""
_aside: dict[tuple[Path, str], Path] = {}
"""Where this program has set their sessions aside, by path and owner."""


def data_folder() -> Path:
    """Return the folder for user data that must not be lost."""
    chosen = os.environ.get("NAPARI_ALIBI_SEG_DATA")
    return Path(chosen) if chosen else platformdirs.user_data_path("napari-alibi-seg", False)


def keep_session(order: Order) -> SessionFound | SessionProblem | None:
    """Save the strokes; if there are none yet, look for an earlier session.

    An earlier session that was not restored, or cannot be read, is kept beside the new one under a
    numbered name. So is the session of another layer painted on the same pixels; it has one file
    only, as its numbered one is removed when that layer is painted on again.
    """
    try:
        with _one_at_a_time:
            return _keep(order)
    except (AlibiSegError, OSError) as error:
        return SessionProblem(
            f"What you paint is not kept for the next time ({error}); save it as a project."
        )


def _keep(order: Order) -> SessionFound | SessionProblem | None:
    asked = order.request
    path = session_path(asked.image)
    project = project_of(order.image, asked.scribbles, *as_core(order.classes), order.config)
    project = replace(project, owner=order.owner)
    earlier = _earlier(path)
    painted = len(project.scribbles.values)
    if painted and order.touched:
        if isinstance(earlier, SessionProblem):
            set_aside(path)
        elif earlier is not None and earlier.owner != project.owner:
            _make_room(path, earlier.owner)
        save_project(project, path)
        _saved.add(project.owner)
        superseded = _aside.pop((path, project.owner), None)
        if superseded is not None:
            superseded.unlink(missing_ok=True)
    order.kept.set()
    if painted or earlier is None:
        return None
    if isinstance(earlier, SessionProblem):
        return earlier
    if earlier.owner == project.owner:
        return None
    saved = time.strftime("%d %b %Y, %H:%M", time.localtime(path.stat().st_mtime))
    return SessionFound(path, earlier, saved)


def _earlier(path: Path) -> Project | SessionProblem | None:
    if not path.is_file():
        return None
    try:
        return load_project(path)
    except ProjectError as error:
        return SessionProblem(
            f"Your earlier strokes on this image cannot be shown: {error} The file is kept: once "
            "you paint, it is renamed with a number, and a new file is begun."
        )


def _make_room(path: Path, owner: str) -> None:
    """Set a session aside, and note where if its strokes are of this program."""
    renamed = set_aside(path)
    if owner in _saved:
        _aside[path, owner] = renamed


def set_aside(path: Path) -> Path:
    """Make room for a new session by renaming the earlier one, if any, with the next free number.

    Returns
    -------
    Path
        The new name.
    """
    names = (path.with_suffix(f".{number}{PROJECT_SUFFIX}") for number in count(1))
    renamed = next(name for name in names if not name.exists())
    if path.is_file():
        move(path, renamed)
    return renamed


def session_path(image: Micrograph) -> Path:
    """Return the session file of an image, named by a hash of some of its rows."""
    if image not in _paths:
        _paths[image] = data_folder() / "sessions" / f"{_digest(image)}{PROJECT_SUFFIX}"
    return _paths[image]


def _digest(image: Micrograph) -> str:
    digest = hashlib.sha256(repr((image.data.shape, str(image.data.dtype))).encode())
    indices = image.plane_indices()
    for position in np.unique(np.linspace(0, len(indices) - 1, _HASHED_PLANES, dtype=int)):
        plane = image.plane(indices[position])
        step = max(1, plane.shape[0] // _HASHED_ROWS)
        digest.update(np.ascontiguousarray(plane[::step]).tobytes())
    return digest.hexdigest()[:32]
