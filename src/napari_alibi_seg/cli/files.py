"""Images in and stacks out, as the options ask for them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.cli.terminal import say, tell
from napari_alibi_seg.core.errors import NO_DATA, OutputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.assessment import Assessment
    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.fractions import ClassFraction
    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.core.planewise import Source
    from napari_alibi_seg.core.segmentation import Segmenter


def read(path: Path, options: argparse.Namespace) -> Micrograph:
    """Read an image by the options of `add_image_options`, and `add_spacing_option` if given."""
    from napari_alibi_seg.core.images import read_image

    return read_image(
        path,
        axes=options.axes,
        dataset=options.dataset,
        channels=options.channels,
        spacing=vars(options).get("spacing"),
    )


def source(path: Path, options: argparse.Namespace) -> Source:
    """Return what `read` reads, by a path that holds in the working folders of workers, too."""
    from napari_alibi_seg.core.planewise import Source

    spacing = vars(options).get("spacing")
    return Source(path.resolve(), options.axes, options.dataset, options.channels, spacing)


def read_drawn(path: Path, image: Micrograph, options: argparse.Namespace) -> NDArray[Any]:
    """Read the scribbles on an image by the options of `add_training_options`."""
    from napari_alibi_seg.core.results import read_scribbles

    axes, dataset = options.scribbles_axes, options.scribbles_dataset
    return read_scribbles(path, image, axes=axes, dataset=dataset)


def tell_what_taught_nothing(
    classifier: PixelClassifier, drawings: Sequence[NDArray[Any]], ignored: Collection[int]
) -> None:
    """Tell of classes to ignore that are not painted, and of those painted only on no data."""
    from napari_alibi_seg.core.naming import first_few
    from napari_alibi_seg.core.strokes import painted_pixels

    def named(classes: Collection[int]) -> str:
        return first_few([str(value) for value in sorted(classes)])

    painted: set[int] = set()
    for drawn in drawings:
        for plane in drawn.reshape(-1, *drawn.shape[-2:]):
            painted.update(plane[painted_pixels(plane)].tolist())
    unpainted = set(ignored) - painted
    if unpainted:
        say(f"--ignore names class {named(unpainted)}; painted are only {named(painted)}.")
    lost = painted - set(ignored) - {info.value for info in classifier.classes}
    if lost:
        say(f"what is painted of class {named(lost)} {NO_DATA}; paint where there is some.")


def write(
    segmenter: Segmenter,
    classifier: PixelClassifier,
    image: Micrograph,
    labels: Path,
    probabilities: Path | None = None,
    drawn: NDArray[Any] | None = None,
    ignored: Collection[int] = (),
    assessments: Mapping[tuple[int, ...], Assessment] | None = None,
) -> list[ClassFraction]:
    """Segment an image plane by plane into a file of labels, and one of probabilities.

    Both are 0 where what is drawn is ignored.

    Returns
    -------
    list of ClassFraction
        Of all planes, with the intervals of those that were assessed.
    """
    import numpy as np

    from napari_alibi_seg.core.fractions import class_fractions
    from napari_alibi_seg.core.results import stack_writer

    assert image.path is not None
    rows: list[ClassFraction] = []
    kinds = len(classifier.classes)
    with ExitStack() as stack:
        write_labels = stack.enter_context(
            stack_writer(labels, image, classifier.label_values.dtype)
        )
        write_shares = None
        if probabilities is not None:
            writer = stack_writer(probabilities, image, np.dtype(np.float32), channels=kinds)
            write_shares = stack.enter_context(writer)
        for index, found in segmenter.apply(classifier, image, write_shares is not None):
            result = found if drawn is None else found.without_painted(drawn[index], ignored)
            write_labels(index, result.labels)
            told = (assessments or {}).get(index)
            name = image.path.name
            rows += class_fractions(name, image, index, result.labels, result.classes, told)
            if write_shares is not None and result.probabilities is not None:
                write_shares(index, result.probabilities)
    tell(f"segmentation: {labels}")
    if probabilities is not None:
        tell(f"probabilities: {probabilities}")
    return rows


def require_new(outputs: Sequence[Path], replace: bool) -> None:
    """Refuse to replace files whose names the person did not give, unless told to.

    Raises
    ------
    OutputError
        If some exist and are not to be replaced.
    """
    from napari_alibi_seg.core.naming import listed

    existing = [path for path in outputs if os.path.exists(path)]
    if existing and not replace:
        raise OutputError(
            f"In {existing[0].parent} there is already {listed(existing)}; add --replace to write "
            "over results that are there, or choose another --output."
        )


def require_free(inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
    """Refuse, before any work, outputs that would replace an input or each other.

    Raises
    ------
    OutputError
        If one would, or cannot be written.
    """
    from napari_alibi_seg.core.writing import require_writable

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
