r"""Fetching a file from the Hugging Face hub once, whole and verified.

Fetched weights lie in ``weights/`` of the cache folder: ``NAPARI_ALIBI_SEG_CACHE`` if that is
set, else the system's own place: ``~/.cache/napari-alibi-seg`` on Linux,
``%LOCALAPPDATA%\napari-alibi-seg\Cache`` on Windows, ``~/Library/Caches/napari-alibi-seg`` on
macOS.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_alibi_seg.core.errors import ModelError

_SHA256_DIGITS = 64


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face hub."""

    repository: str
    file: str


def cache_folder() -> Path:
    """Return the folder for everything that can be made or fetched again."""
    chosen = os.environ.get("NAPARI_ALIBI_SEG_CACHE")
    if chosen:
        return Path(chosen)
    return platformdirs.user_cache_path("napari-alibi-seg", appauthor=False)


def cached(source: HubFile) -> Path | None:
    """Return the local copy of a file, or None."""
    path = _place(source)
    return path if os.path.isfile(path) else None  # a closed folder holds nothing for us


def fetch(source: HubFile, endpoint: str | None = None) -> Path:
    """Return the local copy of a file; download it first if there is none.

    Shows progress, resumes an interrupted download, and only lets a file in whose SHA-256 is
    the one the hub announces. A file that a person put in its place is taken as it is.

    Parameters
    ----------
    source : HubFile
        What to fetch.
    endpoint : str, optional
        Address of a mirror; otherwise the hub's, or ``HF_ENDPOINT``.

    Raises
    ------
    ModelError
        If the hub cannot be reached, or the file is not the announced one.
    """
    found = cached(source)
    if found is not None:
        return found
    # Only now: the window names models, and would wait for this when it opens.
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

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
    os.replace(partial, place)
    return place


def connection_errors() -> tuple[type[Exception], ...]:
    """Return what the hub's client raises where a connection cannot be made, or breaks."""
    from huggingface_hub import errors

    return OSError, errors.HTTPError  # type: ignore[attr-defined]


def stock_is_cached(architecture: str) -> bool:
    """Whether timm has fetched the weights of a stock model before."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--timm--{architecture}" / "snapshots"
    return any(folder.glob("*/model.safetensors"))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(source: HubFile) -> Path:
    return cache_folder() / "weights" / source.repository.replace("/", "--") / source.file
