"""The command ``train``: train one classifier on the scribbles of several images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.cli.files import image_file, read_drawn, warn_of_unused_classes
from napari_alibi_seg.cli.options import (
    add_command,
    add_image_options,
    add_training_options,
    training_config,
)
from napari_alibi_seg.core.naming import require_no_image_names
from napari_alibi_seg.core.terminal import Bars, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.cli.options import Commands
    from napari_alibi_seg.core.images.micrograph import Micrograph


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "train", train)
    command.add_argument(
        "--painted",
        type=Path,
        nargs=2,
        action="append",
        required=True,
        metavar=("IMAGE", "SCRIBBLES"),
        help="an image and its scribbles (0 = not painted); repeat for each image",
    )
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="C.skops",
        help="output classifier, for use with `apply`",
    )
    add_image_options(command)
    add_training_options(command)


def train(options: argparse.Namespace) -> int:
    """Train one classifier on the scribbles of several images."""
    from napari_alibi_seg.core.writing import require_free

    require_no_image_names([options.output])
    require_free([path for pair in options.painted for path in pair], [options.output])
    images = [image_file(path, options).read() for path, _ in options.painted]
    for (path, _), image in zip(options.painted, images, strict=True):
        image.levels.require_contrast(str(path))
    drawings = [
        read_drawn(path, image, options)
        for (_, path), image in zip(options.painted, images, strict=True)
    ]
    _train(options, images, drawings)
    return 0


def _train(
    options: argparse.Namespace, images: Sequence[Micrograph], drawings: Sequence[NDArray[Any]]
) -> None:
    """Train and save; apart from reading, so that bad input is told before torch is imported."""
    from napari_alibi_seg.core.forest.classifier_files import save_classifier
    from napari_alibi_seg.core.segmentation import Segmenter

    with Bars() as bars:
        segmenter = Segmenter(training_config(options), options.device, progress=bars)
        classifier = segmenter.fit(images, drawings, options.names, options.ignore)
        save_classifier(classifier, options.output)
        warn_of_unused_classes(classifier, drawings, options)
    tell(f"classifier: {options.output}")
