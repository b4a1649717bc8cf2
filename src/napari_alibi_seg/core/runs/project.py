"""Projects: an image, its scribbles and the training settings, to reproduce a segmentation.

Does not import torch or scikit-learn.
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
from napari_alibi_seg.core.forest.scribbles import require_classes
from napari_alibi_seg.core.forest.strokes import painted_pixels
from napari_alibi_seg.core.images.micrograph import ImageFile
from napari_alibi_seg.core.images.stored import in_memory
from napari_alibi_seg.core.images.tiff import needs_bigtiff
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.classes import ClassInfo
    from napari_alibi_seg.core.config import SegmentationConfig
    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.forest.result import Segmentation
    from napari_alibi_seg.core.images.micrograph import Micrograph
    from napari_alibi_seg.core.images.pixel_size import PixelSize
    from napari_alibi_seg.core.segmentation import Segmenter

PROJECT_SUFFIX = ".alibi"


@dataclass(frozen=True, eq=False)
class SparseScribbles:
    """The scribbled pixels of an image, stored sparsely.

    Attributes
    ----------
    shape : tuple of int
        Shape of the scribbles, (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X).
    positions : ndarray
        (N, D) int32 indices of the scribbled pixels.
    values : ndarray
        (N,) uint8 or uint16 class of each pixel, at least 1.
    """

    shape: tuple[int, ...]
    positions: NDArray[np.int32]
    values: NDArray[np.unsignedinteger[Any]]

    @classmethod
    def of(cls, image: Micrograph, scribbles: NDArray[np.integer[Any]]) -> SparseScribbles:
        """Collect the scribbled pixels of an array of the image's ``label_shape``.

        Every plane is copied first, because the user may go on painting meanwhile.

        Raises
        ------
        ScribbleError
            If a value is not a valid class.
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
        """Return the scribbles as a dense array of `shape`, 0 where nothing is painted."""
        painted = np.zeros(self.shape, self.values.dtype)
        painted[tuple(self.positions.T)] = self.values
        return painted


@dataclass(frozen=True, eq=False)
class Project:
    """Everything that determines the segmentation of an image.

    Attributes
    ----------
    scribbles : SparseScribbles
        The scribbles on all planes.
    classes : tuple of ClassInfo
        Names and colours, in the user's order.
    ignored : frozenset of int
        Classes excluded from training and results; their painted pixels become 0.
    config : SegmentationConfig
        Training settings.
    image : ImageFile or None
        The whole image, as the window shows it; None in a session file, which is found by its name.
    content : str
        `content_hash` of the image; empty in a session file.
    features : str
        `FeatureIdentity.key` of the features used when saved; empty if there were none.
    owner : str
        Token of the napari session that wrote a session file.
    pixel_size : PixelSize or None
        Pixel size when saved, which the image's file may lack; None uses that of the file.
    spacing : float or None
        Slice spacing when saved, in pixels; None derives it from the pixel size.
    name : str
        What the image was called in the window; empty uses the name of its file.
    """

    scribbles: SparseScribbles
    classes: tuple[ClassInfo, ...]
    ignored: frozenset[int]
    config: SegmentationConfig
    image: ImageFile | None = None
    content: str = ""
    features: str = ""
    owner: str = ""
    pixel_size: PixelSize | None = None
    spacing: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        """Reject an image of which only a region is to be segmented."""
        if self.image is not None and self.image.region is not None:
            raise ProjectError(
                "A project is of a whole image, as the window shows it; leave the region out, and "
                "paint what lies outside in a class that is ignored."
            )

    def config_with(self, model: str | None) -> SegmentationConfig:
        """Return the training settings, with the name or path where the model is found now.

        Parameters
        ----------
        model : str or None
            The same model by another name or path; None if it has not moved.

        Raises
        ------
        ProjectError
            If deep features would be added to a project without them, or taken away.
        """
        config = replace(self.config, model=model or self.config.model)
        if config.deep != self.config.deep:
            raise ProjectError(
                f"The project was painted with the model {self.config.model}, and {model} is "
                "another one; what is given as its model only says where the same one is now, so "
                "leave it out, or open the project in napari and choose the model there."
            )
        return config

    def fit(self, segmenter: Segmenter, image: Micrograph) -> PixelClassifier:
        """Train a classifier, with the same result as in napari.

        Parameters
        ----------
        segmenter : Segmenter
            Made with `config`.
        image : Micrograph
            From `open_image`.

        Raises
        ------
        ProjectError
            If the features differ from those used when the project was saved.
        AlibiSegError
            As from `Segmenter.fit`.
        """
        classifier = segmenter.fit(image, self.scribbles.array(), self.classes, self.ignored)
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
        """Classify every plane, with the same result as in napari.

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
            Index of a plane and its segmentation, which is 0 where an ignored class is painted.
        """
        painted = self.scribbles.array()
        for index, result in segmenter.apply(classifier, image):
            yield index, result.without_painted(painted[index], self.ignored)


def content_hash(image: Micrograph) -> str:
    """Return the SHA-256 of shape, dtype and all pixels, read plane by plane; hexadecimal."""
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
        The project file, for error messages.

    Raises
    ------
    ProjectError
        If the project is a session without an image, or the image is missing or has changed.
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
    same_shape = image.label_shape == project.scribbles.shape
    if not same_shape or content_hash(image) != project.content:
        raise ProjectError(
            f"The image {project.image.path} has changed since the project {path} was saved; put "
            "the original back, or open the changed image in napari and then open the project to "
            "take its strokes over."
        )
    size = project.pixel_size or image.pixel_size
    return replace(image, pixel_size=size, spacing=project.spacing or image.spacing)


def keep_image(image: Micrograph, content: str, known: ImageFile | None, path: Path) -> ImageFile:
    """Return a file that reads as exactly this image, writing one beside the project if needed.

    Parameters
    ----------
    image : Micrograph
        The scribbled image.
    content : str
        Its `content_hash`.
    known : ImageFile or None
        The file it was probably read from.
    path : Path
        The project file.
    """
    copy = ImageFile(
        path.with_name(f"{path.stem}_image_{content[:8]}.tif").absolute(),
        image.axes,
        channels=tuple(range(image.bands)) if image.has_channels else None,
    )
    named = [] if known is None else [known, ImageFile(known.path)]
    for file in (*named, copy):
        with suppress(ImageError):
            found = file.read()
            if found.axes == image.axes and content_hash(found) == content:
                return file
    _write_image(image, copy.path)
    return copy


def _write_image(image: Micrograph, path: Path) -> None:
    shape, dtype = image.data.shape, image.data.dtype
    planes = (in_memory(image.plane(index)) for index in image.plane_indices())
    bits = dtype == np.bool_  # tifffile can only write channels of these row by row
    if image.has_channels and bits:
        planes = (row for plane in planes for row in plane)
    with replacing(path) as aside:
        tifffile.imwrite(
            aside,
            planes,
            shape=shape,
            dtype=dtype,
            photometric="rgb" if image.colour else "minisblack",
            planarconfig="contig" if image.has_channels and not bits else None,
            bigtiff=needs_bigtiff(shape, dtype),
        )
