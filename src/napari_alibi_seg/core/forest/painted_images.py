"""Validation of scribbles: the scribbled planes of images that a forest is trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_alibi_seg.core.errors import NO_DATA, ImageError, ScribbleError
from napari_alibi_seg.core.forest.scribbles import (
    ignored_classes,
    painted_classes,
    require_class_count,
    training_scribbles,
)
from napari_alibi_seg.core.images.micrograph import planes_of, require_micrograph
from napari_alibi_seg.core.naming import first_few

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.planes import Plane

    PaintedPlane: TypeAlias = tuple[Plane, NDArray[np.integer[Any]]]


def painted_images(
    image: Micrograph | Sequence[Micrograph],
    scribbles: NDArray[np.integer[Any]] | Sequence[NDArray[np.integer[Any]]],
    ignored: Collection[int],
) -> list[tuple[Micrograph, list[PaintedPlane]]]:
    """Return every image that has scribbled planes, with these.

    Parameters
    ----------
    image : Micrograph or sequence of Micrograph
        All with the same number of bands (all grey, or all colour).
    scribbles : ndarray or sequence of ndarray
        For each image, integers of its ``label_shape``; 0 (or masked) = not painted.
    ignored : collection of int
        Classes excluded from training.

    Raises
    ------
    ScribbleError
        If the scribbles or `ignored` are not integers, the number or shapes of scribbles do not
        match the images, or fewer than 2 or more than 64 classes are painted, in all, where there
        is data.
    ImageError
        If their numbers of bands differ, as of grey and colour images.
    """
    if scribbles is None or isinstance(scribbles, str | Path):
        raise ScribbleError(
            f"Scribbles are arrays of integers, one for each image, but this is {scribbles!r}; "
            "read a file with read_scribbles."
        )
    ignored = ignored_classes(ignored)
    images = list(image) if isinstance(image, Iterable) else [image]
    drawings = [scribbles] if hasattr(scribbles, "shape") else list(scribbles)
    for one in images:
        require_micrograph(one)
    if len({one.bands for one in images}) > 1:
        raise ImageError(
            "Grey and colour images, or images of different numbers of channels, cannot train one "
            "classifier; convert them to one kind."
        )
    if len(images) != len(drawings):
        raise ScribbleError(
            f"{len(images)} images came with {len(drawings)} scribbles; give one for each image, "
            "all 0 where nothing is painted."
        )
    arrays = (np.asarray(np.ma.filled(drawn, 0)) for drawn in drawings)
    pairs = list(zip(images, arrays, strict=True))
    for pair in pairs:
        require_fitting(*pair)
    by_image = [(one, _painted_planes(one, drawn, ignored)) for one, drawn in pairs]
    _require_enough_classes([plane for _, some in by_image for plane in some], pairs, ignored)
    return [(one, some) for one, some in by_image if some]


def require_fitting(image: Micrograph, scribbles: NDArray[Any]) -> None:
    """Raise a `ScribbleError` unless scribbles are integers of the image's ``label_shape``."""
    if scribbles.shape != image.label_shape:
        raise ScribbleError(
            f"The scribbles have shape {scribbles.shape} but the image has {image.label_shape} "
            f"({image.label_axes}); give one value per pixel, 0 where not painted."
        )
    if not np.issubdtype(scribbles.dtype, np.integer):
        raise ScribbleError(
            f"The scribbles are of type {scribbles.dtype}; use integers, 0 where not painted."
        )


def _painted_planes(
    image: Micrograph, scribbles: NDArray[np.integer[Any]], ignored: Collection[int]
) -> list[PaintedPlane]:
    if not scribbles.any():  # an unpainted image may be all NaN, which has no levels
        return []
    planes = planes_of(image)
    painted = training_scribbles(planes, scribbles, ignored)
    return [(planes[index], drawn) for index, drawn in painted.items()]


def _require_enough_classes(
    painted: Sequence[PaintedPlane],
    pairs: Sequence[tuple[Micrograph, NDArray[Any]]],
    ignored: Collection[int],
) -> None:
    values = painted_classes(drawn for _, drawn in painted)
    if len(values) < 2:
        drawn = {int(value) for _, scribbles in pairs for value in np.unique(scribbles)}
        lost = sorted(drawn - {0, *ignored} - values)
        if lost:
            raise ScribbleError(
                f"A segmentation needs two classes, but what is painted of class "
                f"{first_few(list(map(str, lost)))} {NO_DATA}; paint a stroke in each of two or "
                "more where there is some."
            )
    require_class_count(np.array([*values]), ignored)
