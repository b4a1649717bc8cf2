"""Segment batches of images into label files and a table of fractions. Does not import torch."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_alibi_seg.core.errors import AlibiSegError, OutputError, disk_failure
from napari_alibi_seg.core.images.micrograph import planes_of, read_image
from napari_alibi_seg.core.judging.expectation import Expectation, expectation, is_unlike
from napari_alibi_seg.core.judging.fractions import (
    COLUMNS,
    ClassFraction,
    add_fractions,
    class_fractions,
    name_in_table,
    read_fractions,
    read_rows,
    remove_fractions,
)
from napari_alibi_seg.core.judging.mean_fractions import (
    MEAN_COLUMNS,
    mean_fractions,
    write_mean_fractions,
)
from napari_alibi_seg.core.naming import MEANS, TABLE, label_files, possible_labels
from napari_alibi_seg.core.runs.finding import distinct, images_of
from napari_alibi_seg.core.runs.results import stack_writer
from napari_alibi_seg.core.writing import locked, require_free, require_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.segmentation import Segmenter

_VALUE, _NAME, _CLASSIFIER, _READING = map(
    COLUMNS.index, ("class_value", "class_name", "classifier", "reading")
)


@dataclass(frozen=True)
class Outcome:
    """The outcome for one image of a batch.

    Attributes
    ----------
    image : Path
        The image to segment.
    labels : Path
        The file of its labels, written unless it failed.
    failure : str
        The error message; empty on success.
    doubt : str
        Why the labels are doubtful, as from `PixelClassifier.doubt` and `unlike_words`, or that
        the pixels are counted twice; empty if neither.
    """

    image: Path
    labels: Path
    failure: str
    doubt: str


def label_targets(
    names: Iterable[str | Path], folder: Path, others: Sequence[Path] = ()
) -> dict[Path, Path]:
    """Return the label file of every image that the names match, after checking all outputs.

    Parameters
    ----------
    names : iterable of str or Path
        Files, folders and glob patterns.
    folder : Path
        Output folder for the labels and the tables of fractions.
    others : sequence of Path
        Other files that must not be overwritten.

    Raises
    ------
    ImageError
        If a folder or pattern matches no image.
    OutputError
        If two images have the same name, or one of them has the label file of another image in
        the table; a result would overwrite an image or cannot be written; or an existing file has
        the name but not the format of a table.
    """
    found = (image for name in names for image in images_of(str(name)))
    targets = label_files(distinct(found), folder)
    require_free([*others, *targets], [*targets.values(), folder / TABLE, folder / MEANS])
    _require_own_labels(folder / TABLE, targets, targets)
    read_rows(folder / MEANS, MEAN_COLUMNS)
    return targets


def _require_own_labels(table: Path, targets: Mapping[Path, Path], images: Iterable[Path]) -> None:
    """Refuse images whose labels would be taken for those of another image in the table."""
    of_labels = defaultdict(set)
    for name in {row[0] for row in read_fractions(table)}:
        for labels in possible_labels(name):
            of_labels[labels].add(name)
    elsewhere = {name_in_table(image.name): path for image, path in targets.items()}
    for image in images:
        path = targets[image]
        others = of_labels[path.name.casefold()] - {name_in_table(image.name)}
        others = {name for name in others if elsewhere.get(name, path) == path}
        if others and not _has_other_labels(image.name, path):
            others = {name for name in others if not _has_other_labels(name, path)}
        if others:
            raise OutputError(
                f"{table} holds fractions of {min(others)}, whose labels would be in {path.name}, "
                f"as those of {image.name}; choose another folder, or segment both images at once, "
                "which gives them names of their own."
            )


def _has_other_labels(image: str, path: Path) -> bool:
    """Whether beside a label file lies another one that is of an image in the table."""
    there = {file.name.casefold() for file in path.parent.iterdir()}
    return bool(there & possible_labels(image) - {path.name.casefold()})


def finished(targets: Mapping[Path, Path], folder: Path) -> dict[Path, tuple[str, str]]:
    """Return the images of `label_targets` whose labels and fractions are in the folder already.

    Returns
    -------
    dict
        The classifier and the reading of each of them in the table, which knows images by their
        names.
    """
    in_table = {row[0]: (row[_CLASSIFIER], row[_READING]) for row in read_fractions(folder / TABLE)}
    return {
        image: in_table[name_in_table(image.name)]
        for image, labels in targets.items()
        if os.path.exists(labels) and name_in_table(image.name) in in_table
    }


def segment_images(
    segmenter: Segmenter,
    classifier: PixelClassifier,
    targets: Mapping[Path, Path],
    read: Callable[[Path], Micrograph] = read_image,
    reading: str = "",
) -> Iterator[Outcome]:
    """Segment images one after the other; a failure, as of an image or disk, stops no others.

    As soon as an image is done, its fractions are added to the table beside its labels, and the
    table of means over all images is updated, so that an interruption does not lose them. Labels of
    an earlier run are removed before that, and its own appear after it. So labels are never beside
    fractions of other ones, an image is `finished` by this classifier or not at all, and one that
    cannot be written into the tables has no labels. An image that fails is taken out of the tables,
    so that results of an earlier classifier are not counted with the new ones.

    Parameters
    ----------
    segmenter : Segmenter
        From `Segmenter.of` for the classifier.
    classifier : PixelClassifier
        The classifier to apply.
    targets : mapping
        From `label_targets`.
    read : callable
        Reads an image from its path.
    reading : str
        How it does so, for the table of fractions; see `ClassFraction`.

    Yields
    ------
    Outcome
        The outcome for each image, when it is done.

    Raises
    ------
    OutputError
        Before the first image, if the table holds other images with other classes or by another
        classifier.
    """
    _require_same_classifier(targets, classifier)
    seen: dict[tuple[tuple[int, ...], str], Path] = {}
    for path, target in targets.items():
        failure = doubt = ""
        try:
            require_writable(target.parent / TABLE)
            image = read(path)
            doubt = classifier.doubt(image.voxel_size)
            image.levels.require_contrast("The image")
            content = image.data.shape, next(iter(planes_of(image).values())).content_hash()
            planes = segmenter.apply(classifier, image)
            dtype = classifier.label_values.dtype
            keep = partial(_add_to_tables, path, targets, reading)
            rows = write_segmentation(
                target, image, dtype, path.name, classifier, planes, keep=keep
            )
            same = seen.setdefault(content, path)
            copied = f"It shows the same pixels as {same.name}; both are counted in the means."
            copied = "" if same == path else copied
            doubt = " ".join(filter(None, (doubt, unlike_words(rows), copied)))
        except (AlibiSegError, MemoryError, OSError) as error:
            failure = f"{_told(error)}{_without_fractions(path, target)}"
        yield Outcome(path, target, failure, doubt)


def _told(error: AlibiSegError | MemoryError | OSError) -> str:
    known = disk_failure(error) if isinstance(error, OSError) else error
    return str(known) or "Out of memory."


def _require_same_classifier(targets: Mapping[Path, Path], classifier: PixelClassifier) -> None:
    again = {name_in_table(path.name) for path in targets}
    mine = classifier.fingerprint
    ours = {(str(info.value), name_in_table(info.name)) for info in classifier.classes}
    for table in {target.parent / TABLE for target in targets.values()}:
        others = [row for row in read_fractions(table) if row[0] not in again]
        theirs = {(row[_VALUE], row[_NAME]) for row in others}
        makers = {row[_CLASSIFIER] or "of unknown name" for row in others}
        if theirs and theirs != ours:
            before, now = (", ".join(map("=".join, sorted(some))) for some in (theirs, ours))
            trouble = f"in the classes {before}, and those of the classifier are {now}"
        elif makers - {mine}:
            trouble = f"by the classifier {', '.join(sorted(makers))}, and this one is {mine}"
        else:
            continue
        raise OutputError(
            f"{table} holds fractions of other images {trouble}; choose another folder, or segment "
            "all of its images anew."
        )


def _add_to_tables(
    image: Path, targets: Mapping[Path, Path], reading: str, rows: Sequence[ClassFraction]
) -> None:
    labels = targets[image]
    table = labels.parent / TABLE
    with locked(table):
        _require_own_labels(table, targets, [image])
        if os.path.isfile(labels):
            os.unlink(labels)
        add_fractions(table, [replace(row, reading=reading) for row in rows])
        _update_means(table.parent)


def _update_means(folder: Path) -> None:
    means = mean_fractions(read_fractions(folder / TABLE))
    if means or os.path.exists(folder / MEANS):
        write_mean_fractions(folder / MEANS, means)


def _without_fractions(image: Path, labels: Path) -> str:
    """Take an image that failed out of the tables, where it may be of another classifier.

    Returns
    -------
    str
        A sentence for the failure, with a leading space; empty if it was in no table.
    """
    table = labels.parent / TABLE
    if not os.path.exists(table):
        return ""
    try:
        with locked(table):
            if not remove_fractions(table, image.name):
                return ""
            _update_means(table.parent)
    except (OutputError, OSError) as error:
        return f" Its fractions of an earlier run are still counted: {_told(error)}"
    left = f"; its earlier labels {labels.name} were left as they are"
    return f" Its fractions were taken out of {table.name}{left if os.path.exists(labels) else ''}."


def write_segmentation(
    path: Path,
    image: Micrograph,
    dtype: DTypeLike,
    name: str,
    classifier: PixelClassifier,
    planes: Iterable[tuple[Index, Segmentation]],
    assessments: Mapping[Index, Assessment] | None = None,
    keep: Callable[[list[ClassFraction]], None] | None = None,
) -> list[ClassFraction]:
    """Write the labels of an image plane by plane, and measure their area fractions.

    Parameters
    ----------
    path, image, dtype
        As for `stack_writer`.
    name : str
        Name of the image in the table.
    classifier : PixelClassifier
        The classifier that segments it.
    planes : iterable of tuple
        Index and segmentation of every plane, in order.
    assessments : mapping, optional
        As for `expectation`, which decides on the intervals.
    keep : callable, optional
        Receives the fractions before the labels appear, which they do not if it raises an error.

    Returns
    -------
    list of ClassFraction
        Fractions of all classes in all planes.
    """
    rows: list[ClassFraction] = []
    with stack_writer(path, image, dtype) as write:
        for index, result in planes:
            write(index, result.labels)
            voted = Expectation.of(result.confusion, result.classes)
            known = (assessments, classifier.recognised, result.novelty)
            expected = expectation(index, voted, *known)
            expected = None if image.levels.flat else expected
            rows += class_fractions(
                name,
                image,
                index,
                result.labels,
                result.classes,
                expected,
                classifier.fingerprint,
                result.novelty,
            )
        if keep is not None:
            keep(rows)
    return rows


def unlike_words(rows: Iterable[ClassFraction]) -> str:
    """Return what to say if planes of an image are unlike those painted; empty if none is."""
    novelties = {
        row.plane: row.novelty if row.low is None and row.fraction is not None else None
        for row in rows
    }
    unlike = sum(map(is_unlike, novelties.values()))
    if not unlike:
        return ""
    what = "It looks" if len(novelties) == 1 else f"{unlike} of {len(novelties)} planes look"
    return (
        f"{what} unlike what the classifier was trained on, so fractions have no intervals there; "
        "check the labels by eye, or train on such an image, too."
    )
