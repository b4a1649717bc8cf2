"""Writing files so that an interruption never leaves half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or folder to; rename it when all went well.

    Whatever stood at `path` stays untouched until then, also after an error or Ctrl-C.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        aside = folder / path.name
        yield aside
        if path.is_dir() and not path.is_symlink():
            os.replace(path, folder / "replaced")
        os.replace(aside, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"{path} could not be written ({reason}); choose a folder you may write to "
        "on a disk with free space."
    )
