"""Atomic writing of files and folders, and checks of output paths."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.naming import is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from filelock import BaseFileLock

_IN_USE, _REPLACED = "in use", "replaced"
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}
_WINDOWS = os.name == "nt"
_WAITS_S = (0.01, 0.05, 0.2, 0.5, 1.0, 2.0) if _WINDOWS else ()
_LONG_PATH = 200
"""Characters from which on Windows, with 260 at most, may not find a file in a temporary folder."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file or Zarr folder to; on success, rename it to `path`.

    An existing `path` is untouched until then, also after an error or Ctrl-C. Temporary files of a
    killed process are removed the next time `path` is written.

    Raises
    ------
    OutputError
        If the folder is not writable, the disk is full, or `path` is a folder that must not be
        replaced: a non-empty one that is not a Zarr, or one that contains the working folder.
    """
    _require_replaceable(path)
    with _folder_beside(path) as folder:
        aside = folder / path.name
        try:
            yield aside
            if path.is_dir() and not aside.is_dir():
                raise OutputError(f"{path} is a folder; choose another name for the file.")
            _move(aside, path, folder / _REPLACED)
        except OSError as error:
            if error.errno in _DISK_ERRORS or _is_of(error.filename, folder, path):
                raise _unwritable(path, error) from error
            raise


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, replacing a file.

    On Windows this waits up to four seconds for other programs to close it: virus scanners and
    indexers open what was just written.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    for wait in _WAITS_S:
        try:
            return os.replace(source, target)
        except PermissionError:
            time.sleep(wait)
    return os.replace(source, target)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock for a read-modify-write of a file, waiting for other processes.

    The lock is reentrant. On a file system without locks, it has no effect.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    with suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            # Those waiting for a deleted file notice (filelock 3.32.7 and later). Windows cannot
            # delete an open file, but filelock does it.
            with suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


def require_writable(path: Path) -> None:
    """Check before long work that a file can be written, leaving nothing behind.

    Raises
    ------
    OutputError
        As from `replacing`.
    """
    _require_replaceable(path)
    missing = [folder for folder in path.parents if not folder.exists()]  # the innermost first
    with _folder_beside(path) as folder:
        try:
            (folder / path.name).touch()
            if _WINDOWS and path.is_file():  # a spreadsheet program may hold it
                path.open("r+b").close()
        except OSError as error:
            raise _unwritable(path, error) from error
    with suppress(OSError):  # another program may have put something there
        for folder in missing:
            folder.rmdir()


def require_free(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Check before any work that outputs are writable and do not overwrite inputs or each other.

    Raises
    ------
    OutputError
        If an output would overwrite an input or another output, or is not writable.
    """
    # Writing an OME-Zarr replaces everything in its folder.
    read = [path.resolve() for path in inputs]
    sources = {place for path in read for place in (path, *path.parents)}
    same = {_identity(path) for path in read} - {None}
    written: set[Path] = set()
    for path in outputs:
        place = path.resolve()
        if any(_is_part(place, folder) for folder in read):
            raise OutputError(f"{path} lies in an input; choose a place outside of it.")
        if place in sources:
            raise OutputError(
                f"{path} is an input, or a folder with one, and would be written over; choose "
                "another name."
            )
        if _identity(place) in same:
            raise OutputError(
                f"{path} is another name of an input, which would be written over; choose another "
                "place."
            )
        if place in written:
            raise OutputError(
                f"{path} is the name of two results, or of a folder with one; choose another name."
            )
        written |= {place, *place.parents}
        require_writable(path)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what all names of a file have in common, also in other capitals; None without it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _is_part(place: Path, folder: Path) -> bool:
    """Whether a path is in a Zarr, other than among the labels that belong to its image."""
    return is_zarr(folder) and folder in place.parents and folder / "labels" not in place.parents


def require_new_folder(path: Path, otherwise: str, besides: str = "") -> None:
    """Check that an output folder does not exist or is empty.

    Parameters
    ----------
    path : Path
        The folder.
    otherwise : str
        An alternative to another folder, for the message after "or".
    besides : str, optional
        Name of a file that may be there.

    Raises
    ------
    OutputError
        If the folder is not empty, is a file, or is not accessible.
    """
    try:
        taken = path.exists() and (
            not path.is_dir() or any(one.name != besides for one in path.iterdir())
        )
    except OSError as error:
        raise _unwritable(path, error) from error
    if taken:
        raise OutputError(
            f"The output folder {path} is in use; give a new or empty one, or {otherwise}."
        )


def claimed(lock: Path, busy: str) -> AbstractContextManager[object]:
    """Acquire a lock file, creating its folder, for use in a `with` statement.

    The lock is also released if the process is killed.

    Raises
    ------
    OutputError
        With the message `busy` if the lock is held elsewhere; or if the folder is not writable.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(lock, timeout=0).acquire()
    except Timeout as error:
        raise OutputError(busy) from error
    except OSError as error:
        raise _unwritable(lock.parent, error) from error


def _require_replaceable(path: Path) -> None:
    try:
        foreign = path.is_dir() and any(path.iterdir()) and not is_zarr(path)
        around = path.resolve() in (Path.cwd(), *Path.cwd().parents)
    except OSError as error:
        raise _unwritable(path, error) from error
    if around:
        raise OutputError(
            f"{path} is the folder this program runs in, or one around it, and was left as it is; "
            "choose another name."
        )
    if foreign:
        raise OutputError(
            f"{path} is a folder of something else and was left as it is; choose another name."
        )


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    try:
        _remove_left(path)
        folder, lock = _new_folder(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder(path: Path) -> tuple[Path, BaseFileLock]:
    """Create a folder with a lock in it that is released if this program is killed."""
    while True:
        # Not with tempfile: on Windows its folders, and files moved out of them, are private.
        folder = path.parent / f"{_beside(path)}{uuid4().hex[:8]}"
        lock = _lock(folder)
        try:
            folder.mkdir(parents=True)
            if _acquired(lock):
                return folder, lock
        except KeyboardInterrupt:  # a folder without a lock would never be removed
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _acquired(lock: BaseFileLock) -> bool:
    """Acquire the lock of a new folder; return False if another process is removing the folder."""
    try:
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        pass  # without locks on this file system, no other process will remove it
    return True


def _remove_left(path: Path) -> None:
    for folder in path.parent.glob(f"{_beside(path)}*"):
        lock = _lock(folder)
        try:
            if not os.path.isfile(lock.lock_file):
                continue
            lock.acquire()
        except (OSError, NotImplementedError):
            continue  # in use
        if (folder / _REPLACED).exists() and not path.exists():
            move(folder / _REPLACED, path)  # the process was killed between two renames
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _beside(path: Path) -> str:
    """Return the prefix of temporary folders for `path`; hashed, since its name may be long."""
    return f".alibi-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}-"


def _lock(folder: Path) -> BaseFileLock:
    return FileLock(folder / _IN_USE, timeout=0, thread_local=False)


def _move(aside: Path, path: Path, replaced: Path) -> None:
    if path.is_dir():
        move(path, replaced)
    try:
        move(aside, path)
    except BaseException:
        if replaced.exists():
            move(replaced, path)
        raise


def _is_of(name: object, folder: Path, path: Path) -> bool:
    if not isinstance(name, str | Path):
        return False
    return Path(name) == path or folder in (Path(name), *Path(name).parents)


def _is_long(path: Path, error: OSError) -> bool:
    return error.errno == errno.ENOENT and len(str(path.absolute())) > _LONG_PATH


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    advice = "choose a folder you may write to on a disk with free space"
    if error.errno == errno.ENAMETOOLONG or (_WINDOWS and _is_long(path, error)):
        advice = "choose a shorter name, or a folder whose path is shorter"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        advice = "a file lies where a folder is needed; choose another name"
    elif isinstance(error, PermissionError):
        advice = "close it in other programs, or choose a folder you may write to"
    return OutputError(f"{path} could not be written ({reason}); {advice}.")
