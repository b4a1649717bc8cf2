"""Volumes larger than memory: one plane after another, on threads or a cluster, and resumable.

Every plane is a task of its own that reads, segments and writes it, wherever it runs: tasks get
paths and never pixels. The result of a plane is that of `Segmenter.apply`, byte for byte.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_alibi_seg import __version__
from napari_alibi_seg.core.blockwise import available_cores
from napari_alibi_seg.core.cache import FeatureCache
from napari_alibi_seg.core.classifier_files import load_classifier
from napari_alibi_seg.core.cluster import connected, on_cluster, on_threads, tasks
from napari_alibi_seg.core.errors import ClassifierError, ImageError
from napari_alibi_seg.core.fetch import sha256
from napari_alibi_seg.core.images import read_image
from napari_alibi_seg.core.ledger import Ledger, Plan, digest, writing
from napari_alibi_seg.core.ome_zarr import create_labels, read_plane, require_made_by, write_plane
from napari_alibi_seg.core.planes import Levels, Plane
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.segmentation import Segmenter, planes_of
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dask.delayed import Delayed

    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.images import Micrograph

    Run = Callable[[str, Sequence[Delayed]], tuple[Any, ...]]

_PLANES_BYTES = 1e9
_LOADING = Lock()


@dataclass(frozen=True)
class Source:
    """An image in a file, and how to read it; see `read_image`."""

    path: Path
    axes: str | None = None
    dataset: str | None = None
    channels: tuple[int, ...] | None = None

    def open(self) -> Micrograph:
        """Read it lazily."""
        return read_image(self.path, axes=self.axes, dataset=self.dataset, channels=self.channels)


@dataclass(frozen=True)
class VolumeJob:
    """All a process needs to segment planes of a volume.

    Attributes
    ----------
    source : Source
        The image; its path must mean the same on every worker, as must the two below.
    levels : Levels
        Of the whole image.
    classifier : Path
        A file of `save_classifier`.
    classifier_hash : str
        SHA-256 of that file.
    output : Path
        The OME-Zarr of labels.
    model : str or None
        Where the classifier's backbone lies, if its name means nothing there.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    run : str
        Different in every run, so that nothing a worker keeps in memory outlives one.
    """

    source: Source
    levels: Levels
    classifier: Path
    classifier_hash: str
    output: Path
    model: str | None = None
    device: str = "auto"
    run: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class _Tools:
    image: Micrograph
    classifier: PixelClassifier
    segmenter: Segmenter


def segment_volume(
    source: Source,
    classifier: Path,
    output: Path,
    *,
    model: str | None = None,
    device: str = "auto",
    cluster: str | None = None,
    progress: Progress = silent,
) -> tuple[int, int]:
    """Segment every plane of an image into an OME-Zarr of labels, or finish doing so.

    The result has the axes, scale and translation of the image, and coarser levels; it may be
    looked at while it grows. What is done is noted in ``<output>.progress``: after any interruption
    the same call goes on, and computes no finished plane again.

    Parameters
    ----------
    source : Source
        The image.
    classifier : Path
        A file of `save_classifier`.
    output : Path
        A folder, by custom ``*.ome.zarr``; new, or left by a run of the same image, classifier and
        version of this program.
    model : str, optional
        Where the classifier's backbone lies, if its name means nothing on this machine.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    cluster : str, optional
        ``tcp://HOST:PORT`` of the scheduler of a dask cluster whose workers see the same files.
    progress : callable
        Told of every plane checked and segmented.

    Returns
    -------
    tuple of int
        How many planes were segmented now, and how many there are.

    Raises
    ------
    OutputError
        If the output belongs to something else, another run is at it, or it cannot be written.
    ImageError
        If the image cannot be read, or changes meanwhile; planes finished before stay.
    DeviceError
        If the cluster does not answer or loses its workers.
    """
    image = source.open()
    levels = next(iter(planes_of(image).values())).levels
    known = load_classifier(classifier)
    job = VolumeJob(source, levels, classifier, sha256(classifier), output, model, device)
    numbers = range(len(image.plane_indices()))
    ledger = Ledger(output)
    with ledger.claimed(), _runner(cluster, _planes_at_once(image), progress) as run:
        digests = run("checking", tasks(check_plane, [(job, number) for number in numbers]))
        plan = _plan(job, image, digests)
        if output.exists() and ledger.agrees(plan):
            require_made_by(output, plan.key)
        else:
            ledger.begin(plan)
            with replacing(output) as aside:
                create_labels(aside, image, known.label_values.dtype, known.classes, plan.key)
        todo = [(job, *task) for task in zip(numbers, digests, strict=True)]
        return sum(run("segmentation", tasks(segment_plane, todo))), len(todo)


def check_plane(job: VolumeJob, number: int) -> str:
    """Return the digest of a plane of the image."""
    return _plane(job, number).content_hash()


def segment_plane(job: VolumeJob, number: int, expected: str) -> bool:
    """Segment and write one plane unless it is done; return whether it was not.

    Raises
    ------
    ImageError
        If the plane no longer has the digest `expected`.
    OutputError
        If its labels cannot be written.
    """
    tools, ledger = _tools(job), Ledger(job.output)
    index = _index(tools.image, number)
    entered = ledger.entered(number)
    if entered is not None and entered == _made(job.output, index):
        return False
    plane = _plane(job, number)
    if plane.content_hash() != expected:
        raise ImageError(
            f"Plane {number} of {job.source.path} changed while the volume was being segmented; "
            "bring the image back and run the same command to go on, or choose another output."
        )
    labels = tools.segmenter.apply_to_plane(tools.classifier, plane).labels
    with writing(job.output):
        write_plane(job.output, index, labels)
        ledger.enter(number, labels)
    return True


def _made(output: Path, index: tuple[int, ...]) -> str | None:
    """Return the digest of a plane of the result; None if it cannot be read, to be made again."""
    try:
        return digest(read_plane(output, index))
    except (OSError, ValueError, RuntimeError):
        return None


def _plane(job: VolumeJob, number: int) -> Plane:
    """Read a plane into memory, where it stays as it is."""
    image = _tools(job).image
    data = image.plane(_index(image, number))
    if not isinstance(data, np.ndarray):
        data = data.compute(scheduler="synchronous")
    return Plane(np.array(data), job.levels)


def _index(image: Micrograph, number: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, image.label_shape[:-2]))


def _tools(job: VolumeJob) -> _Tools:
    with _LOADING:  # else each thread of a worker would load weights of its own
        return load_tools(job)


@lru_cache(maxsize=1)
def load_tools(job: VolumeJob) -> _Tools:
    """Open the image and load classifier and weights, once in each process of a run."""
    if sha256(job.classifier) != job.classifier_hash:
        raise ClassifierError(
            f"{job.classifier} changed after the run began, or is another file on this worker; "
            "give all workers the same file."
        )
    classifier = load_classifier(job.classifier)
    cache = FeatureCache(memory_limit=0)  # no plane comes twice
    segmenter = Segmenter.of(classifier, job.model, device=job.device, cache=cache)
    segmenter.load()
    return _Tools(job.source.open(), classifier, segmenter)


def _plan(job: VolumeJob, image: Micrograph, digests: Sequence[str]) -> Plan:
    settings = f"{image.axes} {tuple(image.data.shape)} {image.data.dtype}"
    return Plan(f"napari-alibi-seg {__version__}", job.classifier_hash, settings, tuple(digests))


def _planes_at_once(image: Micrograph) -> int:
    """Return how many planes the memory of a desk computer holds beside their features."""
    plane_bytes = 16 * image.shape_yx[0] * image.shape_yx[1]
    return max(1, min(available_cores(), int(_PLANES_BYTES / plane_bytes)))


@contextmanager
def _runner(cluster: str | None, threads: int, progress: Progress) -> Iterator[Run]:
    """Yield what runs the tasks of a stage, on a cluster if there is one."""

    def here(stage: str, graph: Sequence[Delayed]) -> tuple[Any, ...]:
        return on_threads(graph, partial(_tell, progress, stage, len(graph)), threads)

    if cluster is None:
        try:
            yield here
        finally:
            load_tools.cache_clear()
        return
    with connected(cluster) as client:

        def there(stage: str, graph: Sequence[Delayed]) -> tuple[Any, ...]:
            return on_cluster(graph, partial(_tell, progress, stage, len(graph)), client)

        yield there


def _tell(progress: Progress, stage: str, total: int, done: int) -> None:
    progress(stage, done, total)
