"""A project saved in napari, segmented as the window showed it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import require_free
from napari_alibi_seg.cli.terminal import Bars
from napari_alibi_seg.core.naming import LABELS

if TYPE_CHECKING:
    import argparse


def apply_project(options: argparse.Namespace) -> int:
    """Train on a project's strokes again, and write the labels of its image."""
    import numpy as np

    from napari_alibi_seg.core.project import open_image
    from napari_alibi_seg.core.project_files import load_project
    from napari_alibi_seg.core.results import stack_writer
    from napari_alibi_seg.core.segmentation import Segmenter

    path = options.recipe
    project = load_project(path)
    image = open_image(project, path)
    target = (options.output or path.parent) / f"{path.stem}{LABELS}"
    require_free([path, *filter(None, [image.path])], [target])
    config = replace(project.config, model=options.model or project.config.model)
    values = project.strokes.values
    with Bars() as bars, stack_writer(target, image, np.dtype(values.dtype)) as write:
        segmenter = Segmenter(config, options.device, progress=bars)
        for index, labels in project.segment(segmenter, image):
            write(index, labels)
    print(f"segmentation: {target}")
    return 0
