"""A project saved in napari, segmented as the window showed it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import require_new
from napari_alibi_seg.cli.terminal import Bars, tell
from napari_alibi_seg.core.errors import ModelError
from napari_alibi_seg.core.naming import FRACTIONS, LABELS

if TYPE_CHECKING:
    import argparse

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.runs.project import Project
    from napari_alibi_seg.core.segmentation import Segmenter


def apply_project(options: argparse.Namespace) -> int:
    """Train on a project's strokes again, and write labels and fractions of its image."""
    from napari_alibi_seg.core.judging.fractions import write_fractions
    from napari_alibi_seg.core.judging.judge import assess
    from napari_alibi_seg.core.runs.batch import write_segmentation
    from napari_alibi_seg.core.runs.project import open_image
    from napari_alibi_seg.core.runs.project_files import load_project
    from napari_alibi_seg.core.segmentation import Segmenter
    from napari_alibi_seg.core.writing import require_free

    path = options.recipe
    project = load_project(path)
    image = open_image(project, path)
    name = path.name if image.path is None else image.path.name
    folder = options.output or path.parent
    target, table = (folder / f"{path.stem}{ending}" for ending in (LABELS, FRACTIONS))
    require_free([path, *filter(None, [image.path])], [target, table])
    require_new([target, table], options.replace)
    config = replace(project.config, model=options.model or project.config.model)
    with Bars() as bars:
        segmenter = Segmenter(config, options.device, progress=bars)
        classifier = _fitted(project, segmenter, image, options.model)
        told = assess(segmenter, classifier, image, project.strokes.array(), project.ignored)
        planes = project.segment(segmenter, classifier, image)
        dtype = project.strokes.values.dtype
        rows = write_segmentation(target, image, dtype, name, planes, told)
    write_fractions(table, rows)
    tell(f"segmentation: {target}\nfractions: {table}")
    return 0


def _fitted(
    project: Project, segmenter: Segmenter, image: Micrograph, model: str | None
) -> PixelClassifier:
    try:
        return project.fit(segmenter, image)
    except ModelError as error:
        if model is not None:
            raise
        raise ModelError(
            f"{error} The project was painted with this model; if it lies elsewhere now, say where "
            "with --model."
        ) from error
