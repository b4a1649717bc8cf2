"""The command ``apply``: a classifier on other images, or a project on its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_alibi_seg.cli.batch import apply_to_images
from napari_alibi_seg.cli.options import (
    add_cluster_option,
    add_command,
    add_device_option,
    add_image_options,
    add_spacing_option,
)
from napari_alibi_seg.cli.project import apply_project
from napari_alibi_seg.cli.volume import apply_to_volume

if TYPE_CHECKING:
    import argparse

    from napari_alibi_seg.cli.options import Commands


def add_to(commands: Commands) -> None:
    """Add the command and its options."""
    command = add_command(commands, "apply", apply)
    command.add_argument(
        "recipe", type=Path, metavar="C.skops|PROJECT", help="a classifier, or a project file"
    )
    command.add_argument("images", nargs="*", metavar="IMAGE", help="files, folders and patterns")
    command.add_argument(
        "--output",
        type=Path,
        metavar="DIR|OUT.ome.zarr",
        help="of a project, its own folder if left out; a .zarr is made of one volume, plane by "
        "plane, and finished by the same command if that was interrupted",
    )
    command.add_argument(
        "--replace", action="store_true", help="write over labels, and a project's table"
    )
    add_cluster_option(command, "make a volume on this dask cluster")
    command.add_argument(
        "--model",
        metavar="M",
        help="where the model of the classifier or project lies, if it moved",
    )
    add_device_option(command)
    add_image_options(command)
    add_spacing_option(command)


def apply(options: argparse.Namespace) -> int:
    """Segment many images with one classifier, or a project's image as the window did."""
    from napari_alibi_seg.core.runs.project import PROJECT_SUFFIX

    if options.recipe.suffix.lower() == PROJECT_SUFFIX:
        if options.images:
            options.misuse("a project names its own image; save its classifier for others")
        told = (options.axes, options.dataset, options.channels, options.spacing, options.cluster)
        if any(told):
            options.misuse("a project knows how its image is read, and is segmented here")
        return apply_project(options)
    if not options.images or options.output is None:
        options.misuse(
            "a classifier needs images and --output; the name of a project ends in "
            f"{PROJECT_SUFFIX}"
        )
    if options.output.suffix.lower() != ".zarr":
        if options.cluster:
            options.misuse("--cluster is for one image and an --output that ends in .zarr")
        return apply_to_images(options)
    if options.replace:
        options.misuse("--replace is not for a .zarr, which is finished; delete it to begin anew")
    if len(options.images) > 1:
        options.misuse("an --output that ends in .zarr takes one image; for several, name a folder")
    return apply_to_volume(options)
