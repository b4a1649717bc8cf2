"""Provide slow file operations as generators for a worker; imports no torch."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_alibi_seg.core.errors import AlibiSegError, ImageError
from napari_alibi_seg.gui.torch_import import Stage, require
from napari_alibi_seg.gui.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from threading import Event

    import numpy as np
    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.expectation import Expectation
    from napari_alibi_seg.core.judging.fractions import ClassFraction


def write_labels(path: Path, image: Micrograph, labels: NDArray[np.integer[Any]]) -> Iterator[str]:
    """Write labels or scribbles as an OME-TIFF with the image's axes and pixel size.

    Raises
    ------
    OutputError
        If the file is the image's own, or cannot be written.
    """
    from napari_alibi_seg.core.runs.results import stack_writer

    _require_free(path, image)
    with stack_writer(path, image, labels.dtype) as write:
        for index in image.plane_indices():
            write(index, labels[index])
    yield f"Written: {path}"


def write_scribbles(
    path: Path, image: Micrograph, scribbles: NDArray[np.integer[Any]]
) -> Iterator[str]:
    """Write scribbles as `write_labels` does, in the smallest type that holds their classes."""
    import numpy as np

    painted = scribbles.clip(0)
    yield from write_labels(path, image, painted.astype(np.min_scalar_type(painted.max(initial=0))))


def write_maps(
    path: Path, image: Micrograph, maps: Sequence[tuple[str, NDArray[np.float32]]]
) -> Iterator[str]:
    """Write maps of an image as an OME-TIFF with one channel each, or without for a single map.

    Channels are named after the maps. NaN, as uncertainty has where there is no class, stays NaN.

    Raises
    ------
    OutputError
        If the file is the image's own, or cannot be written.
    """
    import numpy as np

    from napari_alibi_seg.core.runs.results import stack_writer

    _require_free(path, image)
    channels = len(maps) if len(maps) > 1 else None
    with stack_writer(path, image, np.float32, channels, [name for name, _ in maps]) as write:
        for index in image.plane_indices():
            planes = np.stack([one[index] for _, one in maps])  # (channels, Y, X)
            write(index, planes[0] if channels is None else planes)
    yield f"Written: {path}"


class SegmentedPlane(NamedTuple):
    """The (Y, X) labels of a plane, what is expected of it, and its novelty (`Segmentation`)."""

    labels: NDArray[np.integer[Any]]
    expected: Expectation | None
    novelty: float | None


def write_table(
    path: Path,
    name: str,
    image: Micrograph,
    planes: Mapping[Index, SegmentedPlane],
    classifier: PixelClassifier,
) -> Iterator[str]:
    """Write the area fractions of some planes of an image as a table.

    Raises
    ------
    OutputError
        If the name is that of an image, or the file cannot be written.
    """
    from napari_alibi_seg.core.judging.fractions import class_fractions, write_fractions

    classes, by = classifier.classes, classifier.fingerprint
    rows: list[ClassFraction] = []
    for index, (labels, expected, novelty) in sorted(planes.items()):
        rows += class_fractions(name, image, index, labels, classes, expected, by, novelty)
    write_fractions(path, rows)
    yield f"Written: {path}"


def _require_free(path: Path, image: Micrograph) -> None:
    from napari_alibi_seg.core.writing import require_free

    require_free([] if image.path is None else [image.path], [path])


def write_classifier(path: Path, classifier: PixelClassifier) -> Iterator[str]:
    """Write a classifier as a skops file.

    Raises
    ------
    OutputError
        If the name is that of an image, or the file cannot be written.
    """
    from napari_alibi_seg import save_classifier

    save_classifier(classifier, path)
    yield f"Written: {path}"


def read_classifier(path: Path) -> Iterator[PixelClassifier]:
    """Read a classifier from a skops file."""
    require(Stage.COMPUTING)  # reading needs torch, which no other thread may import
    from napari_alibi_seg import load_classifier

    yield load_classifier(path)


@dataclass(frozen=True)
class Survey:
    """What there is to segment.

    Attributes
    ----------
    targets : dict
        The file for the labels of each file or OME-Zarr folder, unreadable ones included.
    pixels : int
        Number in all planes of all readable files.
    largest : int
        Pixels of the largest plane.
    existing : tuple of Path
        Label files in the output folder that would be replaced.
    """

    targets: dict[Path, Path]
    pixels: int
    largest: int
    existing: tuple[Path, ...]


def like(
    axes: str, channels: tuple[int, ...] | None, footer_rows: int
) -> Callable[[Path], Micrograph]:
    """Return a reader of files that falls back on the axes and channels of another image.

    Parameters
    ----------
    axes : str
        Axes of the other image, as for `read_image`.
    channels : tuple of int or None
        Its channels in use, if it has several.
    footer_rows : int
        Rows to leave out at the foot of every image.
    """
    region = (slice(-footer_rows), slice(None)) if footer_rows else None

    def read(path: Path) -> Micrograph:
        from napari_alibi_seg.core.images.micrograph import read_image

        try:
            return read_image(path, region=region)
        except ImageError:
            with suppress(ImageError):
                return read_image(path, axes=axes, channels=channels, region=region)
            raise

    return read


def survey(
    paths: Sequence[Path], folder: Path, read: Callable[[Path], Micrograph]
) -> Iterator[Survey]:
    """Find out how large images are, and which of their results already exist.

    A folder stands for the images in it, unless it is an OME-Zarr. Unreadable files are reported
    when their turn comes.

    Parameters
    ----------
    paths : sequence of Path
        Images, or one folder.
    folder : Path
        Output folder.
    read : callable
        Reads an image.

    Raises
    ------
    ImageError
        As from `label_targets`.
    OutputError
        As from `label_targets`.
    """
    from napari_alibi_seg.core.runs.batch import label_targets

    targets = label_targets(paths, folder)
    pixels, largest = 0, 0
    for path in targets:
        with suppress(AlibiSegError, MemoryError):
            image = read(path)
            rows, columns = image.shape_yx
            pixels += len(image.plane_indices()) * rows * columns
            largest = max(largest, rows * columns)
    existing = tuple(path for path in targets.values() if os.path.exists(path))
    yield Survey(targets, pixels, largest, existing)


def segment_files(
    classifier: PixelClassifier,
    targets: Mapping[Path, Path],
    device: str,
    read: Callable[[Path], Micrograph],
    reading: str,
    stopped: Event,
) -> Iterator[str]:
    """Segment files one by one with `segment_images`, each to its target.

    Parameters
    ----------
    classifier, targets, read, reading
        As for `segment_images`.
    device : str
        As for `Segmenter`.
    stopped : Event
        Once set, the image in progress is given up, and those before it stay.

    Yields
    ------
    str
        Progress message.
    """
    from napari_alibi_seg.core.runs.batch import segment_images
    from napari_alibi_seg.core.segmentation import Segmenter

    def heed_stop(*_: object) -> None:
        if stopped.is_set():
            raise _StoppedError

    segmenter = Segmenter.of(classifier, device=device, progress=heed_stop)
    outcomes = segment_images(segmenter, classifier, targets, read, reading)
    count, written = counted(len(targets), "image"), 0
    folder = next(iter(targets.values())).parent
    failed, doubtful = [], []
    try:
        for number, path in enumerate(targets, start=1):
            yield f"Segmenting {path.name} ({number} of {len(targets)})"
            heed_stop()
            outcome = next(outcomes)
            if outcome.failure:
                failed.append(f"{path.name}: {outcome.failure}")
            else:
                written += 1
                doubtful += [f"{path.name}: {outcome.doubt}"] if outcome.doubt else []
        words = f"Segmented {written} of {count} in {folder}."
    except _StoppedError:
        words = f"Stopped; {written} of {count} segmented in {folder}."
    yield "\n".join([words, *failed, *doubtful])


class _StoppedError(Exception):
    """The user has stopped the work."""
