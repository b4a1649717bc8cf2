r"""Download files from the Hugging Face hub to a local cache, with verification.

Downloaded weights are stored in ``weights/`` of the cache folder, which is
``NAPARI_ALIBI_SEG_CACHE`` if that is set, else ``~/.cache/napari-alibi-seg`` on Linux,
``%LOCALAPPDATA%\napari-alibi-seg\Cache`` on Windows, ``~/Library/Caches/napari-alibi-seg`` on
macOS.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.writing import move

_SHA256_DIGITS = 64


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face hub."""

    repository: str
    file: str


def cache_folder() -> Path:
    """Return the folder for everything that can be computed or downloaded again."""
    chosen = os.environ.get("NAPARI_ALIBI_SEG_CACHE")
    if chosen:
        return Path(chosen)
    return platformdirs.user_cache_path("napari-alibi-seg", appauthor=False)


def cached(source: HubFile) -> Path | None:
    """Return the path of the local copy of a file, or None."""
    path = _place(source)
    return path if os.path.isfile(path) else None  # also None if the folder is inaccessible


def fetch(source: HubFile, endpoint: str | None = None) -> Path:
    """Return the path of the local copy of a file, downloading it if there is none.

    Shows progress, resumes an interrupted download, and accepts the file only if its SHA-256 is
    the one announced by the hub. A local file is not verified.

    Parameters
    ----------
    source : HubFile
        The file.
    endpoint : str, optional
        URL of a mirror; by default ``HF_ENDPOINT`` or that of the hub.

    Raises
    ------
    ModelError
        If the hub cannot be reached, or the SHA-256 does not match.
    """
    found = cached(source)
    if found is not None:
        return found
    # Imported late: it is slow, and the window uses this module when it opens.
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    show_progress_if_possible()
    place = _place(source)
    try:
        partial = Path(
            hf_hub_download(
                source.repository,
                source.file,
                local_dir=place.parent / "partial",
                endpoint=endpoint,
            )
        )
        url = hf_hub_url(source.repository, source.file, endpoint=endpoint)
        announced = get_hf_file_metadata(url).etag or ""
    except connection_errors() as error:
        raise ModelError(
            f"{source.file} could not be fetched from {source.repository} ({error}); connect and "
            f"try again (what is there is kept), or put the file at {place} yourself."
        ) from error
    if len(announced) != _SHA256_DIGITS or sha256(partial) != announced:
        partial.unlink()
        raise ModelError(
            f"{source.file} from {source.repository} is not what its hub announces (SHA-256 "
            f"{announced or 'none'}); it was removed, try again."
        )
    move(partial, place)
    return place


def show_progress_if_possible() -> None:
    """Keep the hub's client from showing progress where there is no console, which would fail."""
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if sys.stderr is None:
        disable_progress_bars()


def connection_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that the hub's client raises on connection problems."""
    from huggingface_hub import errors

    return OSError, errors.HTTPError  # type: ignore[attr-defined]


def stock_is_cached(architecture: str) -> bool:
    """Return whether the weights of a stock timm model are in the Hugging Face cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--timm--{architecture}" / "snapshots"
    return any(folder.glob("*/model.safetensors"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(source: HubFile) -> Path:
    return cache_folder() / "weights" / source.repository.replace("/", "--") / source.file
