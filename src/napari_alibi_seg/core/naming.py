"""Names of result files, derived from image names and valid on every operating system; Zarrs."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.core.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".zarr", ".h5", ".hdf5")
"""Suffixes of the files that `read_image` reads; OME-Zarr folders may have any name."""

FILE_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix != ".zarr")
"""Suffixes of images that are single files."""

LABELS = "_labels.tif"
SCRIBBLES = "_scribbles.tif"
FRACTIONS = "_fractions.csv"
CLASSIFIER = "_classifier.skops"
TABLE = "fractions.csv"
"""Table of the fractions of all images whose labels are in the same folder."""
MEANS = "fractions_mean.csv"
"""Table of the mean fractions over these images."""

_IMAGE_ENDINGS = re.compile(f"({'|'.join(map(re.escape, IMAGE_SUFFIXES))})$", re.IGNORECASE)
_OME = re.compile(r"\.ome$", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.I)
_LONGEST = 100


def is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr folder of version 2 or 3, regardless of its name."""
    # Not Path.is_file, which raises for inaccessible folders and overlong names.
    return any(os.path.isfile(path / mark) for mark in ("zarr.json", ".zgroup", ".zarray"))


def require_no_image_names(outputs: Iterable[Path]) -> None:
    """Refuse to write tables and classifiers to names of images, which might be lost.

    Raises
    ------
    OutputError
        If an output has a suffix of images.
    """
    for path in outputs:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise OutputError(
                f"{path} is a name for an image; let a table of fractions end in .csv and a "
                "classifier in .skops."
            )


def stem(name: str) -> str:
    """Return the common beginning of the names of an image's result files.

    Parameters
    ----------
    name : str
        Name of the image's file or layer; any string.

    Returns
    -------
    str
        The name without an image suffix, shortened to about 100 bytes, and with characters and
        reserved names replaced that are not allowed on Windows, macOS or Linux.
    """
    return safe(_OME.sub("", _IMAGE_ENDINGS.sub("", name)))


def safe(name: str) -> str:
    """Return the closest name that is valid on every operating system."""
    plain = _UNSAFE.sub("_", name).encode(errors="replace")[:_LONGEST].decode(errors="ignore")
    plain = plain.strip(" .") or "image"
    return f"_{plain}" if _RESERVED.match(plain) else plain


def _with_digest(name: str) -> str:
    return f"{safe(name)}_{hashlib.sha256(os.fsencode(name.casefold())).hexdigest()[:8]}"


def beside(image: Path | None, name: str, ending: str) -> Path:
    """Return the default path of a result of an image, in the folder of its file if there is one.

    Parameters
    ----------
    image : Path or None
        The image's file, whose name the result never has.
    name : str
        Name of the image.
    ending : str
        `LABELS`, `SCRIBBLES`, `FRACTIONS`, `CLASSIFIER` or a similar ending.
    """
    if image is None:
        return Path(f"{stem(name)}{ending}")
    path = image.with_name(f"{stem(name)}{ending}")
    same = path.name.casefold() == image.name.casefold()
    return path.with_name(f"{stem(name)}_{ending}") if same else path


def listed(paths: Sequence[Path], most: int = 3) -> str:
    """Return a text with the names of the first files, and the number of the others."""
    return first_few([path.name for path in paths], most)


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return a text with the first names, and the number of the others."""
    few = ", ".join(names[:most])
    return few if len(names) <= most else f"{few} and {len(names) - most} more"


def possible_labels(name: str) -> set[str]:
    """Return the names that `label_files` may give to the labels of an image, ignoring case."""
    return {f"{part(name)}{LABELS}".casefold() for part in (stem, safe, _with_digest)}


def label_files(images: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Return the label file of each image, named by its stem, or its full name if ambiguous.

    If shortened full names are ambiguous too, a digest of the name is appended.

    Raises
    ------
    OutputError
        If two images have the same name, ignoring case.
    """
    images = list(images)
    for part in (stem, safe, _with_digest):
        targets = {path: folder / f"{part(path.name)}{LABELS}" for path in images}
        if len({target.name.casefold() for target in targets.values()}) == len(targets):
            return targets
    names = Counter(path.name.casefold() for path in images)
    same = next(path for path in images if names[path.name.casefold()] > 1)
    raise OutputError(
        f"Two images have the same name, {same.name}, and would be written to one file; "
        "segment folder after folder, each into an output folder with results of its own."
    )
