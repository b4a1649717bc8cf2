"""Segment volumes larger than memory, plane by plane (`core/runs/planewise.py`).

The result equals that of `Segmenter.apply` byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_alibi_seg.core.channels.filters_3d import planes_reached
from napari_alibi_seg.core.devices import choose_device, inference_dtype
from napari_alibi_seg.core.errors import ClassifierError
from napari_alibi_seg.core.features.cache import FeatureCache
from napari_alibi_seg.core.forest.classifier_files import load_classifier
from napari_alibi_seg.core.images.micrograph import planes_of
from napari_alibi_seg.core.judging.fractions import class_fractions
from napari_alibi_seg.core.model.fetch import sha256
from napari_alibi_seg.core.model.names import absolute_model
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.runs.label_pyramid import create_labels, read_plane, write_plane
from napari_alibi_seg.core.runs.planewise import LoadedWork, PlaneJob, make_planes
from napari_alibi_seg.core.segmentation import Segmenter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.forest.classifier import PixelClassifier
    from napari_alibi_seg.core.images.micrograph import ImageFile, Micrograph
    from napari_alibi_seg.core.images.planes import Plane
    from napari_alibi_seg.core.judging.fractions import ClassFraction


@dataclass(frozen=True)
class LabelWork:
    """The computation of labels of planes.

    Attributes
    ----------
    classifier : Path
        A file written by `save_classifier`.
    classifier_hash : str
        SHA-256 of that file.
    model : str or None
        Name or path of the backbone, if the name in the classifier is not valid on the worker.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    classifier: Path
    classifier_hash: str
    model: str | None
    device: str

    @property
    def identity(self) -> dict[str, str]:
        """The classifier."""
        return {"classifier": self.classifier_hash}

    def load(self) -> LoadedWork:
        """Load the classifier and the weights.

        Raises
        ------
        ClassifierError
            If the file is damaged, differs from that at the start of the run, or expects other
            features.
        ModelError
            If the model is unknown, incomplete, damaged or cannot be downloaded.
        DeviceError
            If the device does not exist here or has too little memory.
        """
        if sha256(self.classifier) != self.classifier_hash:
            raise ClassifierError(
                f"{self.classifier} changed after the run began, or is another file on this "
                "worker; give all workers the same file."
            )
        classifier = load_classifier(self.classifier)
        cache = FeatureCache(memory_limit=0)  # no plane is used twice
        segmenter = Segmenter.of(classifier, self.model, device=self.device, cache=cache)
        segmenter.load(classifier)

        def make(plane: Plane, progress: Progress) -> NDArray[Any]:
            return segmenter.apply_to_plane(classifier, plane, progress=progress).labels

        deep = classifier.features is not None
        return LoadedWork(make, str(inference_dtype(choose_device(self.device))) if deep else None)

    def write(self, output: Path, index: tuple[int, ...], made: NDArray[Any]) -> None:
        """Write (Y, X) labels to every level of the pyramid."""
        write_plane(output, index, made)

    def read(self, output: Path, index: tuple[int, ...]) -> NDArray[Any]:
        """Return the (Y, X) labels of the finest level."""
        return read_plane(output, index)


def segment_volume(
    source: ImageFile,
    classifier: Path,
    output: Path,
    *,
    model: str | None = None,
    device: str = "auto",
    cluster: str | None = None,
    progress: Progress = silent,
) -> tuple[int, int]:
    """Segment every plane of an image into a label OME-Zarr, or resume doing so.

    The result is a pyramid with the axes, scale and translation of the image; it can be viewed
    during the run.

    Parameters
    ----------
    source : ImageFile
        The image.
    classifier : Path
        A file written by `save_classifier`.
    output : Path
        A folder, by convention ``*.ome.zarr``; new, or from a run with the same image, classifier
        and version of this program.
    model : str, optional
        Name or path of the backbone, if the name in the classifier is not valid on this machine.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    cluster, progress
        As for `make_planes`, as are the return value and the errors. A constant image is an
        `ImageError`, too.
    """
    image = source.read()
    first = next(iter(planes_of(image).values()))
    known = load_classifier(classifier)
    known.channels.require(first)
    image.levels.require_contrast(str(source.path))
    where = None if model is None else absolute_model(model)
    work = LabelWork(classifier, sha256(classifier), where, device)

    def create(path: Path) -> None:
        create_labels(path, image, known.label_values.dtype, known.classes)

    return make_planes(
        "segmentation",
        PlaneJob(source, first.levels, first.light, work, output),
        image,
        create,
        reach=_reach(known, first),
        cluster=cluster,
        progress=progress,
    )


def volume_fractions(
    name: str, image: Micrograph, classifier: PixelClassifier, output: Path
) -> list[ClassFraction]:
    """Measure the fractions of the classes in every plane that `segment_volume` has written.

    They have no intervals, as votes are not kept.

    Parameters
    ----------
    name, image
        As for `class_fractions`.
    classifier : PixelClassifier
        The classifier that segmented it.
    output : Path
        The labels.
    """
    classes, by = classifier.classes, classifier.fingerprint
    fractions: list[ClassFraction] = []
    for index in image.plane_indices():
        labels = read_plane(output, index)
        fractions += class_fractions(name, image, index, labels, classes, classifier=by)
    return fractions


def _reach(classifier: PixelClassifier, plane: Plane) -> int:
    """Return the number of planes before and after each that a classifier depends on."""
    sigmas_3d = classifier.channels.sigmas_3d
    return 0 if plane.depth is None else planes_reached(sigmas_3d, plane.depth.spacing)
