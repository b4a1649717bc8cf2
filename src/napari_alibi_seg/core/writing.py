"""Writing files so that an interruption never leaves half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from filelock import FileLock, Timeout

from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.images.stored import is_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from filelock import BaseFileLock

_IN_USE, _REPLACED = "in use", "replaced"
_VERSIONS_OF = ("napari-alibi-seg", "scikit-learn", "torch", "timm", "numpy")
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or Zarr folder to; rename it when all went well.

    Whatever stood at `path` stays untouched until then, also after an error or Ctrl-C. What a
    program that was killed has left beside `path` is removed by the next that writes it.

    Raises
    ------
    OutputError
        If the folder cannot be written to, the disk is full, or `path` is a folder that is never
        replaced: one that is no Zarr and not empty, or that this program runs in.
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


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for others that read a file and write it again, so that nothing of theirs is lost.

    A thread may wait for itself. Where the file system has no locks nobody is waited for.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    with suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows removes no file that is open, but filelock does
                os.unlink(lock.lock_file)
        lock.release()


def require_writable(path: Path) -> None:
    """Find out, before long work, whether a file could be written; leave nothing behind.

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
        except OSError as error:
            raise _unwritable(path, error) from error
    with suppress(OSError):  # another program has put something there
        for folder in missing:
            folder.rmdir()


def require_free(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse, before any work, outputs that would replace an input or each other.

    Raises
    ------
    OutputError
        If one would, or cannot be written.
    """
    # An OME-Zarr that is written replaces all that lay in its folder.
    sources = {place for path in inputs for place in (path.resolve(), *path.resolve().parents)}
    written: set[Path] = set()
    for path in outputs:
        place = path.resolve()
        if place in sources:
            raise OutputError(
                f"{path} is an input, or a folder with one, and would be written over; choose "
                "another name."
            )
        if place in written:
            raise OutputError(
                f"{path} is the name of two results, or of a folder with one; choose another name."
            )
        written |= {place, *place.parents}
        require_writable(path)


def require_new_folder(path: Path, otherwise: str) -> None:
    """Refuse a folder for the results of a run that holds anything.

    Parameters
    ----------
    path : Path
        The folder.
    otherwise : str
        What else than another folder would do, to be told after "or".

    Raises
    ------
    OutputError
        If it does, is a file, or cannot be looked into.
    """
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise _unwritable(path, error) from error
    if taken:
        raise OutputError(
            f"The output folder {path} is in use; give a new or empty one, or {otherwise}."
        )


def claimed(lock: Path, busy: str) -> AbstractContextManager[object]:
    """Take a lock, and make the folder it lies in, until the end of `with`, also a violent one.

    Raises
    ------
    OutputError
        That says `busy` if another holds the lock; if the folder cannot be written to.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(lock, timeout=0).acquire()
    except Timeout as error:
        raise OutputError(busy) from error
    except OSError as error:
        raise _unwritable(lock.parent, error) from error


def versions() -> dict[str, str]:
    """Return the versions of the packages that a result depends on, to be noted in files."""
    return {name: version(name) for name in _VERSIONS_OF}


def with_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """Return an object of JSON with tuples for lists, as `dataclasses.asdict` was given them."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}


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
    """Make a folder, with a lock in it that the system lets go if this program is killed."""
    while True:
        # Not tempfile's: on Windows its folders, and all that is moved from there, are private.
        folder = path.parent / f"{_beside(path)}{uuid4().hex[:8]}"
        lock = _lock(folder)
        try:
            folder.mkdir(parents=True)
            if _acquired(lock):
                return folder, lock
        except KeyboardInterrupt:  # nobody would remove a folder without a lock
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _acquired(lock: BaseFileLock) -> bool:
    """Return whether a folder is this program's; False if another came between and removes it."""
    try:
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError):
        pass  # this file system has no locks, so nobody will remove it
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
            os.replace(folder / _REPLACED, path)  # it was killed between two renamings
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _beside(path: Path) -> str:
    """Return how the names of folders begin; short, since the name of `path` may be long."""
    return f".alibi-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}-"


def _lock(folder: Path) -> BaseFileLock:
    return FileLock(folder / _IN_USE, timeout=0, thread_local=False)


def _move(aside: Path, path: Path, replaced: Path) -> None:
    if path.is_dir():
        os.replace(path, replaced)
    try:
        os.replace(aside, path)
    except BaseException:
        if replaced.exists():
            os.replace(replaced, path)
        raise


def _is_of(name: object, folder: Path, path: Path) -> bool:
    if not isinstance(name, str | Path):
        return False
    return Path(name) == path or folder in (Path(name), *Path(name).parents)


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    advice = "choose a folder you may write to on a disk with free space"
    if error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        advice = "a file lies where a folder is needed; choose another name"
    elif isinstance(error, PermissionError):
        advice = "close it in other programs, or choose a folder you may write to"
    return OutputError(f"{path} could not be written ({reason}); {advice}.")
