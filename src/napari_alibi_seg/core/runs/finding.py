"""Find images in files and folders, excluding earlier results."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from napari_alibi_seg.core.errors import DAMAGE, ImageError
from napari_alibi_seg.core.images.stored import reading
from napari_alibi_seg.core.images.tiff import TIFF_SUFFIXES
from napari_alibi_seg.core.naming import IMAGE_SUFFIXES, LABELS, SCRIBBLES, is_zarr
from napari_alibi_seg.core.runs.ledger import is_signed
from napari_alibi_seg.core.runs.results import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DRAWN = tuple(Path(ending).stem for ending in (LABELS, SCRIBBLES))


def images_among(paths: Iterable[Path]) -> list[Path]:
    """Return, sorted, the paths that are images, without `passed_over` ones.

    Files are images by their suffixes, Zarr folders whatever their names.
    """
    images = (
        path for path in sorted(paths) if path.suffix.lower() in IMAGE_SUFFIXES or is_zarr(path)
    )
    return [path for path in images if not passed_over(path)]


def passed_over(path: Path) -> bool:
    """Return whether a file in a folder of images is skipped.

    Earlier results are skipped, scribbles and labels of any format by the ends of their names, and
    hidden files, such as those macOS creates.
    """
    drawn = path.stem.removesuffix(".ome").endswith(_DRAWN)
    return drawn or path.name.startswith(".") or _is_result(path)


def images_of(name: str, recursive: bool = False) -> list[Path]:
    """Return the images that a file name, folder or glob pattern refers to.

    A Zarr folder is one image; the name of a missing file is returned as it is.

    Parameters
    ----------
    name : str
        The file name, folder or pattern.
    recursive : bool
        Whether folders in a folder are searched, too, except hidden ones.

    Raises
    ------
    ImageError
        If a folder or pattern contains no image, or is not accessible.
    """
    path = Path(name)
    if os.path.isfile(path) or is_zarr(path) or not (os.path.exists(path) or glob.has_magic(name)):
        return [path]  # a missing file is reported when it is opened
    with reading(path):
        if path.is_dir():
            images = images_among(_below(path) if recursive else path.iterdir())
        else:
            images = images_among(map(Path, glob.glob(name, recursive=True)))
    if not images:
        raise ImageError(
            f"There is no image in {name}; name files, folders or patterns "
            f"of {', '.join(IMAGE_SUFFIXES)}."
        )
    return images


def distinct(paths: Iterable[Path]) -> list[Path]:
    """Return the paths without those that name an earlier one's file in another way.

    A link of another name stays.
    """
    once: dict[tuple[Path, str], Path] = {}
    for path in paths:
        once.setdefault((path.resolve(), path.name), path)
    return [*once.values()]


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files and Zarr folders in a folder and the folders below it."""
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        zarrs = [name for name in folders if name.endswith(".zarr") or is_zarr(Path(parent, name))]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in zarrs]
        yield from (Path(parent, name) for name in files + zarrs)


def _refuse(error: OSError) -> None:
    with reading(Path(error.filename)):
        raise error


def _is_result(path: Path) -> bool:
    """Return whether a TIFF or Zarr folder was written by this package."""
    try:
        if is_zarr(path):
            return is_signed(path)
        if path.suffix.lower() not in TIFF_SUFFIXES:
            return False
        with tifffile.TiffFile(path) as tiff:
            return bool(tiff.pages.first.software == SOFTWARE)
    except DAMAGE:  # reported when the file is opened
        return False
