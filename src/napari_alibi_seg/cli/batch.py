"""One classifier, many images: a bad one is reported and the others finish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import read, require_free, require_new, write
from napari_alibi_seg.cli.terminal import Bars, say, tell
from napari_alibi_seg.core.errors import AlibiSegError
from napari_alibi_seg.core.naming import TABLE, label_files, listed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

_NAMED = 20


def apply_to_images(options: argparse.Namespace) -> int:
    """Write labels of every image, and their fractions into one table; return 1 if some failed."""
    from napari_alibi_seg.core.classifier_files import load_classifier
    from napari_alibi_seg.core.fractions import add_fractions, read_fractions
    from napari_alibi_seg.core.segmentation import Segmenter

    classifier = load_classifier(options.recipe)
    targets = _targets(options.images, options.output)
    table = options.output / TABLE
    require_free([options.recipe, *targets], [*targets.values(), table])
    require_new([*targets.values()], options.replace)
    read_fractions(table)  # what is no table is refused before the work
    failed: list[Path] = []
    with Bars() as bars:
        segmenter = Segmenter.of(classifier, options.model, device=options.device, progress=bars)
        segmenter.load(classifier)
        for path, target in targets.items():
            try:
                # One image after the other, so that the table is there whatever ends the rest.
                add_fractions(table, write(segmenter, classifier, read(path, options), target))
            except (AlibiSegError, MemoryError) as error:
                failed.append(path)
                say(f"{path} failed: {str(error) or 'out of memory'}")
    if len(failed) < len(targets):
        tell(f"fractions: {table}")
    if failed:
        say(f"{len(failed)} of {len(targets)} images failed: {listed(failed, _NAMED)}.")
    return 1 if failed else 0


def _targets(images: Sequence[str], folder: Path) -> dict[Path, Path]:
    """Return the output file of every image that names, folders and patterns stand for."""
    from napari_alibi_seg.core.results import images_of

    return label_files(dict.fromkeys(path for name in images for path in images_of(name)), folder)
