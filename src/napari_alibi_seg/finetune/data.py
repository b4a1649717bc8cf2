"""Find the images of a run, split them into training and validation, and read their pixels."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.core.errors import ImageError
from napari_alibi_seg.core.images.micrograph import read_pictures
from napari_alibi_seg.core.images.planes import Plane, pixel_digest
from napari_alibi_seg.core.images.windows import Window
from napari_alibi_seg.core.runs.finding import images_of
from napari_alibi_seg.finetune.options import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.levels import Levels
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.finetune.run_config import RunConfig

LOG = logging.getLogger(__name__)

_SMALLEST_SIDE = 32
_BUCKETS = 10_000


@dataclass(frozen=True)
class Picture:
    """One plane of an image file.

    Attributes
    ----------
    path : Path
        The file.
    name : str
        Path relative to the given folder; its hash decides whether the picture is held out.
    number : int
        Index of the image within the file.
    index : tuple of int
        Index of the plane within the image.
    levels : Levels
        Raw values of the whole image that are mapped to 0 and 1.
    content : str
        Hexadecimal SHA-256 of the shape and the pixels.
    """

    path: Path
    name: str
    number: int
    index: tuple[int, ...]
    levels: Levels
    content: str


@dataclass
class Corpus:
    """Pictures for training and validation, decoded on first use.

    Attributes
    ----------
    training, validation : list of Picture
        The split.
    skipped : dict of str to str
        Names of files that cannot be used, and why.
    sources : str
        Text on the origin and the licences of the images.
    memory : float
        Memory for decoded pixels, GiB; pictures beyond it are decoded again on every use.
    """

    training: list[Picture]
    validation: list[Picture]
    skipped: dict[str, str]
    sources: str
    memory: float
    _kept: dict[Picture, NDArray[np.uint8]] = field(default_factory=dict, init=False, repr=False)
    _first: dict[str, Picture] = field(default_factory=dict, init=False, repr=False)
    _bytes: int = field(default=0, init=False, repr=False)
    _counting: Lock = field(default_factory=Lock, init=False, repr=False)

    def pixels(self, picture: Picture) -> NDArray[np.uint8]:
        """Return a picture's pixels, (Y, X, 1 or 3) uint8, with its levels at 0 and 255."""
        if picture in self._kept:
            return self._kept[picture]
        micrograph = read_pictures(picture.path)[picture.number]
        pixels = _decoded(micrograph, picture.index, picture.levels)
        self._keep(picture, pixels)
        return pixels

    def look_into(self, path: Path, name: str) -> list[Picture]:
        """Return all planes of a file as pictures; thread-safe.

        Images with a side below 32 px, and constant ones, are left out.

        Raises
        ------
        ImageError
            If the file is not an image, is damaged, has no finite pixel, or has only images that
            are too small or constant.
        """
        micrographs = read_pictures(path)
        shortest = max(min(micrograph.shape_yx) for micrograph in micrographs)
        if shortest < _SMALLEST_SIDE:
            raise ImageError(
                f"{path} is {shortest} px at its shortest; training needs {_SMALLEST_SIDE} px or "
                "more, so leave it out."
            )
        large = {
            number: micrograph
            for number, micrograph in enumerate(micrographs)
            if min(micrograph.shape_yx) >= _SMALLEST_SIDE
        }
        if all(micrograph.levels.flat for micrograph in large.values()):
            next(iter(large.values())).levels.require_contrast(str(path))
        return [
            picture
            for number, micrograph in large.items()
            if not micrograph.levels.flat
            for picture in self._planes(micrograph, path, name, number)
        ]

    def _planes(
        self, micrograph: Micrograph, path: Path, name: str, number: int
    ) -> Iterator[Picture]:
        levels = micrograph.levels
        for index in micrograph.plane_indices():
            pixels = _decoded(micrograph, index, levels)
            picture = Picture(path, name, number, index, levels, pixel_digest(pixels))
            self._keep(picture, pixels)
            yield picture

    def _keep(self, picture: Picture, pixels: NDArray[np.uint8]) -> None:
        with self._counting:
            if picture not in self._kept and self._bytes < self.memory * 2**30:
                self._kept[picture] = pixels
                self._bytes += pixels.nbytes

    def add(self, name: str, found: Sequence[Picture], held_out: bool) -> None:
        """Add the pictures of a file to the split, without those whose pixels another one has."""
        new = [one for one in found if self._first.setdefault(one.content, one) is one]
        (self.validation if held_out else self.training).extend(new)
        self._forget(set(found) - set(new))
        if not new:
            reason = f"{name} shows the same pixels as {self._first[found[0].content].name}."
            LOG.warning("skipped: %s", reason)
            self.skipped[name] = reason

    def _forget(self, pictures: Iterable[Picture]) -> None:
        with self._counting:
            for picture in pictures:
                if picture in self._kept:
                    self._bytes -= self._kept.pop(picture).nbytes

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 of the names, planes, levels, pixels and the split."""
        split = [
            [(p.name, p.number, p.index, p.levels, p.content) for p in part]
            for part in (self.training, self.validation)
        ]
        return hashlib.sha256(repr(split).encode()).hexdigest()


def read_corpus(
    sources: Sequence[Path],
    config: RunConfig,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Corpus:
    """Read all images, skip and log those that cannot be used, and split the rest.

    Of pictures with equal pixels only the first is used: one of them might be held out and another
    trained on. If the hash puts all pictures on one side of the split, the last one is held out.

    Parameters
    ----------
    sources : sequence of Path
        Files and folders, which are searched recursively; see `images_of`.
    config : RunConfig
        Provides `held_out`, `sources` and `memory`.
    progress : callable
        Wraps the iteration over files, as tqdm does.

    Raises
    ------
    ImageError
        If a source cannot be read or holds no image, or fewer than two pictures can be used.
    ConfigError
        If the text file given as `config.sources` cannot be read.
    """
    corpus = Corpus([], [], {}, _sources_text(config.sources), config.memory)

    def look(file: tuple[Path, str]) -> list[Picture] | ImageError:
        try:
            return corpus.look_into(*file)
        except ImageError as error:
            return error

    files = _images_in(sources)
    for (path, name), found in zip(files, in_order(look, progress(files)), strict=True):
        if isinstance(found, ImageError):
            LOG.warning("skipped: %s", found)
            corpus.skipped[name] = str(found).replace(str(path), name)
        else:
            corpus.add(name, found, _held_out(name, config.held_out))
    if not corpus.training and not corpus.validation:
        raise ImageError(
            f"No image was found in {', '.join(map(str, sources))} "
            f"({len(corpus.skipped)} files skipped); give folders with images."
        )
    if not corpus.validation or not corpus.training:
        _split_by_order(corpus)
    return corpus


def _sources_text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The sources of the images cannot be read from {file} ({error}); give a text file as "
            "--sources."
        ) from error


def _images_in(sources: Sequence[Path]) -> list[tuple[Path, str]]:
    """List every image once, with its path relative to the source it was found in."""
    # Listed twice, a file could be both held out and trained on.
    once: dict[Path, tuple[Path, str]] = {}
    for source in sources:
        if not os.path.exists(source):
            raise ImageError(f"There is no file or folder {source}; check the path of the images.")
        for path in images_of(str(source), recursive=True):
            name = path.name if path == source else path.relative_to(source).as_posix()
            once.setdefault(path.resolve(), (path, name))
    return [*once.values()]


def _decoded(micrograph: Micrograph, index: tuple[int, ...], levels: Levels) -> NDArray[np.uint8]:
    plane = Plane(micrograph.plane(index), levels)
    values = plane.read(Window(0, 0, *plane.shape))  # (Y, X, 1 or 3) float32
    return np.round(255 * values.clip(0, 1)).astype(np.uint8)


def _held_out(name: str, share: float) -> bool:
    bucket = int(hashlib.sha256(os.fsencode(name)).hexdigest(), 16) % _BUCKETS
    return bucket < share * _BUCKETS


def _split_by_order(corpus: Corpus) -> None:
    # A few images may all hash to the same side of the split; the last one is then held out.
    pictures = corpus.training + corpus.validation
    if len(pictures) < 2:
        raise ImageError(
            "Only one picture can be used, but one is needed to train and one to validate; "
            "give more images."
        )
    corpus.training, corpus.validation = pictures[:-1], pictures[-1:]
