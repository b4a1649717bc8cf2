"""One classifier, many images: a bad one is reported and the others finish."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import read, require_new
from napari_alibi_seg.cli.terminal import Bars, say, tell
from napari_alibi_seg.core.naming import TABLE, listed

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_NAMED = 20


def apply_to_images(options: argparse.Namespace) -> int:
    """Write labels of every image, and their fractions into one table; return 1 if some failed."""
    from napari_alibi_seg.core.forest.classifier_files import load_classifier
    from napari_alibi_seg.core.runs.batch import label_targets, segment_images
    from napari_alibi_seg.core.segmentation import Segmenter

    classifier = load_classifier(options.recipe)
    targets = label_targets(options.images, options.output, [options.recipe])
    require_new([*targets.values()], options.replace)
    failed: list[Path] = []
    with Bars() as bars:
        segmenter = Segmenter.of(classifier, options.model, device=options.device, progress=bars)
        segmenter.load(classifier)
        reading = partial(read, options=options)
        for outcome in segment_images(segmenter, classifier, targets, reading):
            if outcome.failure:
                failed.append(outcome.image)
                say(f"{outcome.image} failed: {outcome.failure}")
            else:
                tell(f"segmentation: {outcome.labels}")
    if len(failed) < len(targets):
        tell(f"fractions: {options.output / TABLE}")
    if failed:
        say(f"{len(failed)} of {len(targets)} images failed: {listed(failed, _NAMED)}.")
    return 1 if failed else 0
