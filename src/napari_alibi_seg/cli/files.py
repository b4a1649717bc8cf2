"""Read images and scribbles as the options specify; guard existing results, and sum up new ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.errors import NO_DATA, OutputError
from napari_alibi_seg.core.terminal import say, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import ImageFile, Micrograph
    from napari_alibi_seg.core.judging.fractions import ClassFraction


REPLACE = "add --replace to write over results that are there"
UNRECOGNISED = "strokes left out of training are not recognised"


def image_file(path: Path, options: argparse.Namespace) -> ImageFile:
    """Return an image with the options to read it with; warns if white is 0 in the file."""
    from napari_alibi_seg.core.images.micrograph import ImageFile
    from napari_alibi_seg.core.images.reading import stores_white_as_zero

    if stores_white_as_zero(path, options.dataset):
        say(
            f"in {path} white is stored as 0, and its values are used as they are stored, so that "
            "what looks bright counts as dark; if other images are stored the usual way, with "
            "black as 0, save this one anew like them before you use them together."
        )
    more = [vars(options).get(option) for option in ("spacing", "pixel_size", "region")]
    return ImageFile(path, options.axes, options.dataset, options.channels, *more)


def read_drawn(path: Path, image: Micrograph, options: argparse.Namespace) -> NDArray[Any]:
    """Read the scribbles for an image with the options of `add_training_options`."""
    from napari_alibi_seg.core.runs.results import read_scribbles

    axes, dataset = options.scribbles_axes, options.scribbles_dataset
    return read_scribbles(path, image, axes=axes, dataset=dataset)


def warn_of_unused_classes(
    classifier: PixelClassifier, drawings: Sequence[NDArray[Any]], options: argparse.Namespace
) -> None:
    """Warn of classes that options name but nobody painted, and of those painted on no data."""
    from napari_alibi_seg.core.forest.scribbles import painted_classes
    from napari_alibi_seg.core.naming import first_few

    def named(classes: Collection[int]) -> str:
        return first_few([str(value) for value in sorted(classes)])

    painted = painted_classes(
        plane for drawn in drawings for plane in drawn.reshape(-1, *drawn.shape[-2:])
    )
    meant = {"--ignore": options.ignore, "--names": {info.value for info in options.names}}
    for option, classes in meant.items():
        if classes - painted:
            say(
                f"{option} names class {named(classes - painted)}; painted are only "
                f"{named(painted)}."
            )
    lost = painted - options.ignore - {info.value for info in classifier.classes}
    if lost:
        say(f"what is painted of class {named(lost)} {NO_DATA}; paint where there is some.")


def tell_fractions(rows: Iterable[ClassFraction]) -> None:
    """Tell the fraction of each class in all planes together."""
    from napari_alibi_seg.core.judging.fractions import overall_fractions

    for name, fraction in overall_fractions(rows):
        tell(f"  {name}: {100 * fraction:.2f} %")


def require_new(outputs: Sequence[Path], replace: bool, advice: str = REPLACE) -> None:
    """Refuse to overwrite existing outputs unless `replace` is set, with advice on what to do.

    Raises
    ------
    OutputError
        If any output exists and `replace` is false.
    """
    from napari_alibi_seg.core.naming import listed

    existing = [path for path in outputs if os.path.exists(path)]
    if existing and not replace:
        raise OutputError(
            f"In {existing[0].parent} there is already {listed(existing)}; {advice}, or choose "
            "another --output."
        )
