"""A volume larger than memory, here or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import source
from napari_alibi_seg.cli.terminal import Bars, tell

if TYPE_CHECKING:
    import argparse


def apply_to_volume(options: argparse.Namespace) -> int:
    """Write the planes of an OME-Zarr of labels that are not made yet."""
    from napari_alibi_seg.core.runs.volumes import segment_volume
    from napari_alibi_seg.core.writing import require_free

    image, classifier = source(Path(options.images[0]), options), options.recipe.resolve()
    require_free([image.path, classifier], [options.output])
    output = options.output.resolve()
    with Bars() as bars:
        made, planes = segment_volume(
            image,
            classifier,
            output,
            model=options.model,
            device=options.device,
            cluster=options.cluster,
            progress=bars,
        )
    tell(f"segmentation: {output} ({made} of {planes} planes made now)")
    return 0
