"""Names of the files results are written to: made of an image's, and good on every system."""

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
"""File name endings that `read_image` reads; OME-Zarr folders may have any name."""

FILE_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix != ".zarr")
"""Those of images that are single files."""

LABELS = "_labels.tif"
SCRIBBLES = "_scribbles.tif"
FRACTIONS = "_fractions.csv"
CLASSIFIER = "_classifier.skops"
TABLE = "fractions.csv"
"""Of all images whose labels lie beside it."""
MEANS = "fractions_mean.csv"
"""Over the images of that table."""

_IMAGE_ENDINGS = re.compile(f"({'|'.join(map(re.escape, IMAGE_SUFFIXES))})$", re.IGNORECASE)
_OME = re.compile(r"\.ome$", re.IGNORECASE)
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.I)
_LONGEST = 100


def stem(name: str) -> str:
    """Return what the names of an image's results begin with.

    Parameters
    ----------
    name : str
        Of the image's file or layer; anything.

    Returns
    -------
    str
        Without the ending of an image file, of at most 100 bytes, and allowed as the beginning of
        a file's name on Windows, macOS and Linux.
    """
    return safe(_OME.sub("", _IMAGE_ENDINGS.sub("", name)))


def safe(name: str) -> str:
    """Return a name that is allowed on every system, as near to the one given as may be."""
    plain = _UNSAFE.sub("_", name).encode(errors="replace")[:_LONGEST].decode(errors="ignore")
    plain = plain.strip(" .") or "image"
    return f"_{plain}" if _RESERVED.match(plain) else plain


def _with_digest(name: str) -> str:
    return f"{safe(name)}_{hashlib.sha256(os.fsencode(name.casefold())).hexdigest()[:8]}"


def beside(image: Path | None, name: str, ending: str) -> Path:
    """Return the path to propose for a result of an image: beside its file, if there is one.

    Parameters
    ----------
    image : Path or None
        The image's file; the result never has its name.
    name : str
        What the image is called.
    ending : str
        `LABELS`, `SCRIBBLES`, `FRACTIONS`, `CLASSIFIER` or another that no image has.
    """
    if image is None:
        return Path(f"{stem(name)}{ending}")
    path = image.with_name(f"{stem(name)}{ending}")
    same = path.name.casefold() == image.name.casefold()
    return path.with_name(f"{stem(name)}_{ending}") if same else path


def listed(paths: Sequence[Path], most: int = 3) -> str:
    """Return the names of a few files, and how many more there are."""
    return first_few([path.name for path in paths], most)


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return a few names, and how many more there are."""
    few = ", ".join(names[:most])
    return few if len(names) <= most else f"{few} and {len(names) - most} more"


def label_files(images: Iterable[Path], folder: Path) -> dict[Path, Path]:
    """Return the file for the labels of each image: by its stem, or its full name if need be.

    Names that are equal as far as they are kept get a digest of the whole.

    Raises
    ------
    OutputError
        If two images have the same name, whatever the case of its letters.
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
        "apply to one folder at a time."
    )
