"""Projects: an image, what is painted on it and how to train; enough to segment it again.

Importing this imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_alibi_seg.core.errors import ImageError, ProjectError
from napari_alibi_seg.core.forest.strokes import painted_pixels, require_classes
from napari_alibi_seg.core.images.micrograph import read_image
from napari_alibi_seg.core.images.tiff import needs_bigtiff
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier, Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.segmentation import Segmenter

PROJECT_SUFFIX = ".alibi"


@dataclass(frozen=True)
class ImageFile:
    """Where an image is, and how it is read; see `read_image`.

    Attributes
    ----------
    path : Path
        The file or OME-Zarr folder; absolute.
    axes : str or None
        Names of its axes; None takes those the file gives.
    channels : tuple of int or None
        Channels chosen.
    """

    path: Path
    axes: str | None = None
    channels: tuple[int, ...] | None = None

    def read(self) -> Micrograph:
        """Open the image.

        Raises
        ------
        ImageError
            As from `read_image`.
        """
        return read_image(self.path, axes=self.axes, channels=self.channels)


@dataclass(frozen=True, eq=False)
class Strokes:
    """The painted pixels of an image of any size.

    Attributes
    ----------
    shape : tuple of int
        Of the scribbles, (Y, X) or (Z, Y, X) or (T, Z, Y, X).
    positions : ndarray
        (N, D) int32 indices of the painted pixels.
    values : ndarray
        (N,) uint8 or uint16, the classes painted there, from 1.
    """

    shape: tuple[int, ...]
    positions: NDArray[np.int32]
    values: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(cls, image: Micrograph, scribbles: NDArray[np.integer[Any]]) -> Strokes:
        """Gather what is painted in an array of the image's ``label_shape``, plane by plane.

        Every plane is copied before it is looked at: the person may be painting on.

        Raises
        ------
        ScribbleError
            If a value is no class.
        """
        positions, values = [np.empty((0, scribbles.ndim), np.int32)], [np.empty(0, np.uint8)]
        for index in image.plane_indices():
            plane = np.array(scribbles[index])
            rows, columns = painted_pixels(plane)
            leading = np.broadcast_to(np.array(index, np.int32), (len(rows), len(index)))
            positions.append(np.column_stack([leading, rows, columns]).astype(np.int32))
            painted = plane[rows, columns]
            require_classes(painted)
            values.append(painted.astype(np.min_scalar_type(int(painted.max(initial=0)))))
        return cls(scribbles.shape, np.concatenate(positions), np.concatenate(values))

    def array(self) -> NDArray[Any]:
        """Return the scribbles as an array of `shape`, 0 where nothing is painted."""
        painted = np.zeros(self.shape, self.values.dtype)
        painted[tuple(self.positions.T)] = self.values
        return painted


@dataclass(frozen=True, eq=False)
class Project:
    """Everything that decides what an image is segmented into.

    Attributes
    ----------
    strokes : Strokes
        What is painted, on all planes.
    classes : tuple of ClassInfo
        Names and colours, in the person's order.
    ignored : frozenset of int
        Classes that neither train nor count; their pixels are 0 in the result.
    config : SegmentationConfig
        How to train.
    image : ImageFile or None
        Where the image is; None in a session file, which is found by its name.
    content : str
        `content_hash` of the image; empty in a session file.
    features : str
        `FeatureIdentity.key` of the features the person saw; empty if none were seen.
    owner : str
        Token of the sitting that wrote a session file.
    pixel_size : PixelSize or None
        As the person saw it, where the image's file may not tell; None takes the file's.
    spacing : float or None
        Distance between planes, in pixels, as the person saw it; None goes by the pixel size.
    """

    strokes: Strokes
    classes: tuple[ClassInfo, ...]
    ignored: frozenset[int]
    config: SegmentationConfig
    image: ImageFile | None = None
    content: str = ""
    features: str = ""
    owner: str = ""
    pixel_size: PixelSize | None = None
    spacing: float | None = None

    def fit(self, segmenter: Segmenter, image: Micrograph) -> PixelClassifier:
        """Train as the window does.

        Parameters
        ----------
        segmenter : Segmenter
            Made with `config`.
        image : Micrograph
            From `open_image`.

        Raises
        ------
        ProjectError
            If the model's weights, or how it is applied, are not those the person saw.
        AlibiSegError
            As from `Segmenter.fit`.
        """
        classifier = segmenter.fit(image, self.strokes.array(), self.classes, self.ignored)
        features = classifier.features
        if self.features and (features is None or features.key != self.features):
            raise ProjectError(
                f"The project was painted with other features than {features} gives here; use the "
                "same weights and version of napari-alibi-seg, or open and save the project anew."
            )
        return classifier

    def segment(
        self, segmenter: Segmenter, classifier: PixelClassifier, image: Micrograph
    ) -> Iterator[tuple[tuple[int, ...], Segmentation]]:
        """Classify as the window does.

        Parameters
        ----------
        segmenter : Segmenter
            Made with `config`.
        classifier : PixelClassifier
            From `fit`.
        image : Micrograph
            From `open_image`.

        Yields
        ------
        tuple
            Index of a plane and its segmentation, 0 where a class that is ignored is painted.
        """
        painted = self.strokes.array()
        for index, result in segmenter.apply(classifier, image):
            yield index, result.without_painted(painted[index], self.ignored)


def content_hash(image: Micrograph) -> str:
    """Return the SHA-256 of shape, type and all pixels, read plane by plane; hexadecimal."""
    digest = hashlib.sha256(repr((image.data.shape, image.data.dtype.name)).encode())
    for index in image.plane_indices():
        digest.update(np.ascontiguousarray(image.plane(index)).tobytes())
    return digest.hexdigest()


def open_image(project: Project, path: Path) -> Micrograph:
    """Open the image of a project.

    Parameters
    ----------
    project : Project
        From `load_project`.
    path : Path
        The project file, for what is said if the image is not there.

    Raises
    ------
    ProjectError
        If the image is missing or its pixels are other ones.
    ImageError
        If it cannot be read.
    """
    if project.image is None:
        raise ProjectError(f"{path} is a session and names no image; open the image itself.")
    if not os.path.exists(project.image.path):
        raise ProjectError(
            f"The image {project.image.path} of the project {path} is missing; put it back, or "
            "open it in napari from where it is now and then open the project again."
        )
    image = project.image.read()
    same_shape = image.label_shape == project.strokes.shape
    if not same_shape or content_hash(image) != project.content:
        raise ProjectError(
            f"The image {project.image.path} has changed since the project {path} was saved; put "
            "the original back, or open the changed image in napari and then open the project to "
            "take its strokes over."
        )
    size = project.pixel_size or image.pixel_size
    return replace(image, pixel_size=size, spacing=project.spacing)


def keep_image(image: Micrograph, content: str, known: ImageFile | None, path: Path) -> ImageFile:
    """Return a file that gives exactly these pixels; write one beside the project if none does.

    Parameters
    ----------
    image : Micrograph
        What is painted on.
    content : str
        Its `content_hash`.
    known : ImageFile or None
        Where it may have come from.
    path : Path
        The project file.
    """
    copy = ImageFile(
        path.with_name(f"{path.stem}_image_{content[:8]}.tif").absolute(),
        image.label_axes + ("S" if image.colour else ""),
    )
    named = [] if known is None else [known, ImageFile(known.path)]
    for file in (*named, copy):
        with suppress(ImageError):
            if content_hash(file.read()) == content:
                return file
    _write_image(image, copy.path)
    return copy


def _write_image(image: Micrograph, path: Path) -> None:
    shape, dtype = image.data.shape, image.data.dtype
    planes = (np.asarray(image.plane(index)) for index in image.plane_indices())
    with replacing(path) as aside:
        tifffile.imwrite(
            aside,
            planes,
            shape=shape,
            dtype=dtype,
            photometric="rgb" if image.colour else "minisblack",
            bigtiff=needs_bigtiff(shape, dtype),
        )
