"""The command ``features``: write an image's patch features to a Zarr folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.files import image_file
from napari_alibi_seg.cli.options import (
    add_cluster_option,
    add_command,
    add_image_options,
    add_model_options,
)
from napari_alibi_seg.core.choices import CLASSICAL
from napari_alibi_seg.core.errors import OutputError
from napari_alibi_seg.core.terminal import PLANES_KEPT, Bars, kept_if_interrupted, tell

if TYPE_CHECKING:
    import argparse

    from napari_alibi_seg.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "features", features)
    command.add_argument("image", type=Path, metavar="IMAGE", help="a 2-D image or a stack")
    command.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="F.zarr",
        help="a new folder, or one that an interrupted run of the same command left",
    )
    add_cluster_option(command, "compute on the dask cluster with this scheduler")
    add_image_options(command)
    add_model_options(command, "or a path")


def features(options: argparse.Namespace) -> int:
    """Write the patch features of an image to Zarr, skipping planes that are already done."""
    from napari_alibi_seg.core.runs.feature_files import write_features
    from napari_alibi_seg.core.writing import require_free

    if options.model == CLASSICAL:
        options.misuse(f"{CLASSICAL} stands for no features; name a model that computes some")
    require_free([options.image], [options.output])
    if options.output.is_file():
        raise OutputError(f"{options.output} is a file; choose another name for the folder.")
    if options.output.suffix.lower() != ".zarr":
        raise OutputError(f"{options.output} is no name for a Zarr; let it end in .zarr.")
    with kept_if_interrupted(PLANES_KEPT), Bars() as bars:
        made, planes = write_features(
            image_file(options.image.resolve(), options),
            options.output.resolve(),
            options.model,
            options.scale,
            device=options.device,
            cluster=options.cluster,
            progress=bars,
        )
    tell(f"features: {options.output} ({made} of {planes} planes made now)")
    return 0
