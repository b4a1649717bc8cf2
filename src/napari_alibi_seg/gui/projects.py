"""Project files and layers: what the dock, and napari's own menus, open and save."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info

from napari_alibi_seg.core.config import ChannelConfig, SegmentationConfig
from napari_alibi_seg.core.errors import ProjectError
from napari_alibi_seg.core.runs.project import (
    PROJECT_SUFFIX,
    Project,
    SparseScribbles,
    content_hash,
    keep_image,
    open_image,
)
from napari_alibi_seg.core.runs.project_files import load_project, save_project
from napari_alibi_seg.gui.lengths import layer_scale
from napari_alibi_seg.gui.ownership import is_result, is_scribbles
from napari_alibi_seg.gui.painting import scribbles_options
from napari_alibi_seg.gui.records import PaintClass, Recipe, as_core
from napari_alibi_seg.gui.source import AXES, IMAGE_FILE, ImageSource, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.gui.source import Reading

    LayerData = tuple[Any, dict[str, Any], str]

RECIPE = "napari-alibi-seg recipe"
"""Metadata of painted layers: their `Recipe`."""

_PLAIN = tuple(PaintClass.default(value) for value in (1, 2))


@dataclass(frozen=True, eq=False)
class OpenedProject:
    """A project read from its file.

    Attributes
    ----------
    project : Project
        Its contents.
    image : Micrograph or None
        Its image; None if it is already open, or if there is a problem.
    problem : str
        Why its image cannot be used although one of its size is open; empty if it can.
    """

    project: Project
    image: Micrograph | None = None
    problem: str = ""


def project_of(
    image: Micrograph,
    scribbles: NDArray[np.integer[Any]],
    classes: tuple[ClassInfo, ...],
    ignored: frozenset[int],
    config: SegmentationConfig,
) -> Project:
    """Return strokes and settings as a project.

    Parameters
    ----------
    image : Micrograph
        Painted image.
    scribbles : ndarray
        Strokes, in its ``label_shape``.
    classes, ignored, config
        As in `Project`.
    """
    painted, size = SparseScribbles.of(image, scribbles), image.pixel_size
    return Project(painted, classes, ignored, config, pixel_size=size, spacing=image.spacing)


def recipe_of(project: Project) -> Recipe:
    """Return the recipe of a project.

    Raises
    ------
    ProjectError
        If it was trained in a way that the dock cannot show.
    """
    channels = project.config.channels
    kinds = (channels.sigmas, channels.learned, channels.sigmas_3d, channels.flatten)
    if channels != ChannelConfig.chosen(channels.components, *map(bool, kinds)):
        raise ProjectError(
            "The project has settings that the window cannot show; segment it with "
            "napari-alibi-seg apply, or from Python."
        )
    classes = tuple(
        PaintClass.from_core(info, info.value in project.ignored) for info in project.classes
    )
    return Recipe(classes or _PLAIN, project.config, file=project.image)


def write_project(
    path: Path,
    name: str,
    image: Micrograph,
    scribbles: NDArray[np.integer[Any]],
    recipe: Recipe,
    features: str = "",
) -> Iterator[str]:
    """Write a project, and beside it an image that has no file.

    Yields
    ------
    str
        Progress message.
    """
    yield f"Saving {path.name}: reading the image"
    content = content_hash(image)
    file = keep_image(image, content, recipe.file, path)
    project = project_of(image, scribbles, *as_core(recipe.classes), recipe.config)
    kept = replace(project, image=file, content=content, features=features, name=name)
    save_project(kept, path)
    known = recipe.file is not None and recipe.file.path == file.path
    yield f"Written: {path}" + ("" if known else f", and beside it the image, {file.path.name}")


def read_project(path: Path, current: Micrograph | None) -> Iterator[OpenedProject]:
    """Read a project, and its image unless that is already open.

    Parameters
    ----------
    path : Path
        The project file.
    current : Micrograph or None
        The open image.

    Raises
    ------
    ProjectError, ImageError
        If it, or its image, cannot be used and no image of its size is open.
    """
    project = load_project(path)
    fits = current is not None and current.label_shape == project.scribbles.shape
    if current is not None and fits and content_hash(current) == project.content:
        yield OpenedProject(project)
        return
    try:
        image = open_image(project, path)
    except ProjectError as error:
        if current is not None and not fits:
            words = f"{error} {misfit(project.scribbles.shape, current)}"
            raise ProjectError(words) from error
        if not fits:
            raise
        yield OpenedProject(project, problem=str(error))
        return
    yield OpenedProject(project, image)


def misfit(shape: tuple[int, ...], image: Micrograph) -> str:
    """Return the message that strokes and an image differ in size."""
    painted, needed = (" x ".join(map(str, size)) for size in (shape, image.label_shape))
    return (
        f"The strokes were painted on {painted} pixels, but the open image has {needed}, for "
        "example because it was binned or cropped. Strokes are never stretched: open the image "
        "they were painted on, or paint new ones."
    )


def layers_of(opened: OpenedProject) -> list[LayerData]:
    """Return an opened project as napari layers: scribbles, then the image if it is not open.

    Raises
    ------
    ProjectError
        As from `recipe_of`.
    """
    project, recipe, image = opened.project, recipe_of(opened.project), opened.image
    name = project.name or ("image" if project.image is None else project.image.path.stem)
    shown: list[LayerData] = []
    place: dict[str, Any] = {}
    if image is not None:
        pixels: Any = image.data
        recipe = replace(recipe, axes=image.axes)
        place = layer_scale(image.pixel_size, image.label_axes, image.spacing)
        if image.has_channels:  # in napari the first dimensions have sliders
            pixels, axes = np.moveaxis(pixels, -1, 0), f"C{image.label_axes}"
            recipe = replace(recipe, axes=axes, channels=tuple(range(image.bands)))
        scaled = layer_scale(image.pixel_size, recipe.axes.removesuffix("S"), image.spacing)
        metadata = {IMAGE_FILE: project.image, AXES: recipe.axes}
        known = {"name": name, "rgb": image.colour, "metadata": metadata}
        shown = [(pixels, known | scaled, "image")]
    painted = scribbles_options(name, recipe.classes, {RECIPE: recipe}) | place
    return [(project.scribbles.array(), painted, "labels"), *shown]


def get_reader(path: str | list[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of project files for napari; None for other files."""
    if isinstance(path, list) or Path(path).suffix.lower() != PROJECT_SUFFIX:
        return None
    return _read_layers


def _read_layers(path: str) -> list[LayerData]:
    [opened] = read_project(Path(path), None)
    return layers_of(opened)[::-1]


def write_layers(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the selected layers, an image and its strokes, as a project."""
    shown = [layer for layer in (Layer.create(*data) for data in layers) if not is_result(layer)]
    images = [layer for layer in shown if isinstance(layer, Image)]
    labels = [layer for layer in shown if isinstance(layer, Labels)]
    labels.sort(key=lambda layer: not is_scribbles(layer))
    if len(images) != 1 or not labels:
        raise ProjectError("Select one image and the layer painted on it, then save the project.")
    layer, scribbles = images[0], labels[0].data
    recipe = labels[0].metadata.get(RECIPE) or _plain_recipe(layer, scribbles)
    recipe = replace(recipe, config=recipe.applied or recipe.config)
    source = ImageSource.of(layer, _reading(layer, scribbles, recipe.axes), recipe.channels)
    *_, said = write_project(Path(path), layer.name, source.measured, scribbles, recipe)
    show_info(said)
    return [path]


def _plain_recipe(layer: Image, scribbles: NDArray[Any]) -> Recipe:
    values = np.unique(scribbles[scribbles > 0]).tolist()
    axes = _reading(layer, scribbles).axes
    classes = tuple(PaintClass.default(value) for value in values)
    return Recipe(classes or _PLAIN, SegmentationConfig(), axes, (0,) if "C" in axes else None)


def _reading(layer: Image, scribbles: NDArray[Any], axes: str = "") -> Reading:
    """Return the reading of a layer with the given axes, or else one that fits the strokes."""
    offered = readings(layer)
    fit = [one for one in offered if _painted_shape(layer, one) == scribbles.shape]
    return next((one for one in offered if one.axes == axes), [*fit, *offered][0])


def _painted_shape(layer: Image, reading: Reading) -> tuple[int, ...]:
    """Return the shape of strokes on a layer in one reading."""
    lengths = zip(layer.data.shape, reading.axes, strict=True)
    return tuple(length for length, axis in lengths if axis not in "CS")
