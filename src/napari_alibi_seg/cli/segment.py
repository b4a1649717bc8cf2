"""The command ``segment``: train on one image's scribbles and segment it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.cli.files import (
    UNRECOGNISED,
    image_file,
    read_drawn,
    tell_fractions,
    warn_of_unused_classes,
)
from napari_alibi_seg.cli.options import (
    add_command,
    add_image_options,
    add_pixel_size_option,
    add_region_option,
    add_training_options,
    training_config,
)
from napari_alibi_seg.core.naming import require_no_image_names
from napari_alibi_seg.core.terminal import Bars, say, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_alibi_seg.cli.options import Commands
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.windows import Index
    from napari_alibi_seg.core.judging.assessment import Assessment
    from napari_alibi_seg.core.judging.fractions import ClassFraction
    from napari_alibi_seg.core.runs.results import WritePlane


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "segment", segment)
    command.add_argument("image", type=Path, metavar="IMAGE", help="a 2-D image or a stack")
    command.add_argument(
        "--scribbles",
        type=Path,
        required=True,
        metavar="FILE",
        help="an image of integers: 0 = not painted, 1 and above = class",
    )
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT.tif",
        help="output labels, with the class numbers of the scribbles",
    )
    command.add_argument(
        "--probabilities",
        type=Path,
        metavar="P.tif",
        help="also write class probabilities, one float32 channel per class",
    )
    command.add_argument(
        "--fractions",
        type=Path,
        metavar="F.csv",
        help="also write a table of area fractions and their intervals",
    )
    command.add_argument(
        "--save-classifier",
        type=Path,
        metavar="C.skops",
        help="also save the classifier, for use with `apply`",
    )
    add_image_options(command)
    add_pixel_size_option(command)
    add_region_option(command)
    add_training_options(command)


def segment(options: argparse.Namespace) -> int:
    """Train on one image's scribbles and segment it."""
    from napari_alibi_seg.core.images.levels import CONSTANT
    from napari_alibi_seg.core.runs.results import require_tiff_name
    from napari_alibi_seg.core.writing import require_free

    tiffs = [path for path in (options.output, options.probabilities) if path]
    for path in tiffs:
        require_tiff_name(path)
    more = [path for path in (options.save_classifier, options.fractions) if path]
    require_no_image_names(more)
    require_free([options.image, options.scribbles], [*tiffs, *more])
    image = image_file(options.image, options).read()
    drawn = read_drawn(options.scribbles, image, options)
    if image.levels.flat:
        say(f"{options.image} {CONSTANT}.")
    _segment(options, image, drawn)
    return 0


def _segment(options: argparse.Namespace, image: Micrograph, drawn: NDArray[Any]) -> None:
    """Train and segment; apart from reading, so that bad input is told before torch is imported."""
    from napari_alibi_seg.core.forest.classifier_files import save_classifier
    from napari_alibi_seg.core.judging.expectation import recognises
    from napari_alibi_seg.core.judging.fractions import write_fractions
    from napari_alibi_seg.core.judging.judge import assess
    from napari_alibi_seg.core.runs.batch import unlike_words
    from napari_alibi_seg.core.segmentation import Segmenter

    with Bars() as bars:
        segmenter = Segmenter(training_config(options), options.device, progress=bars)
        classifier = segmenter.fit(image, drawn, options.names, options.ignore)
        warn_of_unused_classes(classifier, [drawn], options)
        if options.save_classifier:  # first, so that a later failure cannot lose it
            save_classifier(classifier, options.save_classifier)
            tell(f"classifier: {options.save_classifier}")
        strokes, assessments = (drawn, options.ignore), {}
        if options.fractions:
            assessments = assess(segmenter, classifier, image, *strokes)
            if options.save_classifier:  # again, with what is now known
                assessed = replace(classifier, recognised=recognises(assessments))
                save_classifier(assessed, options.save_classifier)
        found = segmenter.apply(classifier, image, options.probabilities is not None)
        planes = (
            (index, one.without_painted(drawn[index], options.ignore)) for index, one in found
        )
        rows = _write(options, image, classifier, planes, assessments)
    if image.light and classifier.channels.flatten:
        tell("light: uneven, corrected for the filters (--no-flatten leaves it as it is)")
    if options.fractions:
        write_fractions(options.fractions, rows)
        _tell_strokes(options.fractions, image, *strokes)
        tell_fractions(rows)
        if unlike := unlike_words(rows):
            say(unlike)
        if all(row.accuracy is None for row in rows):
            say(f"the fractions have no intervals, because {_why_unknown(image, assessments)}.")


def _write(
    options: argparse.Namespace,
    image: Micrograph,
    classifier: PixelClassifier,
    planes: Iterator[tuple[Index, Segmentation]],
    assessments: Mapping[Index, Assessment],
) -> list[ClassFraction]:
    """Write the labels and, if requested, the probabilities; return the area fractions."""
    import numpy as np

    from napari_alibi_seg.core.runs.batch import write_segmentation
    from napari_alibi_seg.core.runs.results import stack_writer

    labels, probabilities = options.output, options.probabilities
    with ExitStack() as stack:
        if probabilities:
            names = [info.name for info in classifier.classes]
            writer = stack_writer(probabilities, image, np.float32, len(names), names)
            planes = _passing(planes, stack.enter_context(writer))
        dtype = classifier.label_values.dtype
        rows = write_segmentation(
            labels, image, dtype, options.image.name, classifier, planes, assessments
        )
    tell(f"segmentation: {labels}")
    if probabilities:
        tell(f"probabilities: {probabilities}")
    return rows


def _passing(
    planes: Iterator[tuple[Index, Segmentation]], write: WritePlane
) -> Iterator[tuple[Index, Segmentation]]:
    """Yield the planes unchanged, writing the probabilities of each."""
    for index, result in planes:
        assert result.probabilities is not None
        write(index, result.probabilities)
        yield index, result


def _why_unknown(image: Micrograph, assessments: Mapping[Index, Assessment]) -> str:
    if image.levels.flat:
        return "the image is constant"
    if assessments:
        return f"{UNRECOGNISED}; paint more of each class"
    return "too few pixels are painted to leave some out of training; paint more of each class"


def _tell_strokes(
    path: Path, image: Micrograph, drawn: NDArray[Any], ignored: Collection[int]
) -> None:
    from napari_alibi_seg.core.forest.scribbles import count_scribbles, training_scribbles
    from napari_alibi_seg.core.images.micrograph import planes_of

    counts = count_scribbles(training_scribbles(planes_of(image), drawn, ignored))
    tell(f"fractions: {path} ({counts.strokes} strokes in {len(counts.pixels)} classes)")
