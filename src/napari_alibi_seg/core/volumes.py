"""Volumes larger than memory: one plane after another, on threads or a cluster, and resumable.

Every plane is a task of its own that reads, segments and writes it, wherever it runs: tasks get
paths and never pixels. The result of a plane is that of `Segmenter.apply`, byte for byte.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
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
from napari_alibi_seg.core.filters_3d import planes_reached
from napari_alibi_seg.core.images import planes_of, read_image
from napari_alibi_seg.core.ledger import Ledger, Plan, digest, writing
from napari_alibi_seg.core.ome_zarr import create_labels, read_plane, require_made_by, write_plane
from napari_alibi_seg.core.planes import Depth, Levels, Plane
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.segmentation import Segmenter
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dask.delayed import Delayed
    from numpy.typing import NDArray

    from napari_alibi_seg.core.classifier import PixelClassifier
    from napari_alibi_seg.core.images import Micrograph
    from napari_alibi_seg.core.stored import Array

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
    spacing: float | None = None

    def open(self) -> Micrograph:
        """Read it lazily."""
        return read_image(
            self.path,
            axes=self.axes,
            dataset=self.dataset,
            channels=self.channels,
            spacing=self.spacing,
        )


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
    first = next(iter(planes_of(image).values()))
    known = load_classifier(classifier)
    known.channels.require(first)
    job = VolumeJob(source, first.levels, classifier, sha256(classifier), output, model, device)
    numbers = range(len(image.plane_indices()))
    ledger = Ledger(output)
    reach = _reach(known, first)
    with ledger.claimed(), _runner(cluster, _planes_at_once(image, reach), progress) as run:
        digests = run("checking", tasks(check_plane, [(job, number) for number in numbers]))
        plan = _plan(job, image, digests, reach)
        if output.exists() and ledger.agrees(plan):
            require_made_by(output, plan.key)
        else:
            ledger.begin(plan)
            with replacing(output) as aside:
                create_labels(aside, image, known.label_values.dtype, known.classes, plan.key)
        todo = [
            (job, number, {near: digests[near] for near in _around(image, number, reach)})
            for number in numbers
        ]
        return sum(run("segmentation", tasks(segment_plane, todo))), len(todo)


def check_plane(job: VolumeJob, number: int) -> str:
    """Return the digest of a plane of the image."""
    tools = _tools(job)
    data = _in_memory(tools.image.plane(_index(tools.image, number)))
    return Plane(data, job.levels).content_hash()


def segment_plane(job: VolumeJob, number: int, expected: Mapping[int, str]) -> bool:
    """Segment and write one plane unless it is done; return whether it was not.

    Parameters
    ----------
    job : VolumeJob
        What to do.
    number : int
        Which plane.
    expected : mapping
        The digest of that plane, and of each that its filters look at, by number.

    Raises
    ------
    ImageError
        If one of these planes no longer has its digest.
    OutputError
        If its labels cannot be written.
    """
    tools, ledger = _tools(job), Ledger(job.output)
    index = _index(tools.image, number)
    entered = ledger.entered(number)
    if entered is not None and entered == _made(job.output, index):
        return False
    plane = _plane(job, number, expected)
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


def _plane(job: VolumeJob, number: int, expected: Mapping[int, str]) -> Plane:
    """Read a plane, and those its filters look at, into memory, where they stay as they are."""
    image = _tools(job).image
    index = _index(image, number)
    if len(expected) == 1:
        found, depth = _in_memory(image.plane(index))[None], None
    else:
        first = index[-1] - (number - min(expected))
        within = image.plane(index[:-1])[first : first + len(expected)]
        found = _in_memory(within)
        depth = Depth(found, index[-1] - first, image.anisotropy)
    for (near, digest_before), data in zip(sorted(expected.items()), found, strict=True):
        if Plane(data, job.levels).content_hash() != digest_before:
            raise ImageError(
                f"Plane {near} of {job.source.path} changed while the volume was being segmented; "
                "bring the image back and run the same command to go on, or choose another output."
            )
    return Plane(found[number - min(expected)], job.levels, depth)


def _in_memory(data: Array) -> NDArray[Any]:
    if not isinstance(data, np.ndarray):
        data = data.compute(scheduler="synchronous")
    return np.array(data)


def _reach(classifier: PixelClassifier, plane: Plane) -> int:
    """Return how many planes a classifier looks at before and after each."""
    _, sigmas_3d = classifier.channels.filters
    return 0 if plane.depth is None else planes_reached(sigmas_3d, plane.depth.spacing)


def _around(image: Micrograph, number: int, reach: int) -> range:
    """Return the numbers of the planes that the filters of one look at, its own among them."""
    if not reach:
        return range(number, number + 1)
    depth = image.label_shape[-3]
    before, after = number % depth, depth - 1 - number % depth
    return range(number - min(reach, before), number + min(reach, after) + 1)


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
    segmenter.load(classifier)
    return _Tools(job.source.open(), classifier, segmenter)


def _plan(job: VolumeJob, image: Micrograph, digests: Sequence[str], reach: int) -> Plan:
    settings = f"{image.axes} {tuple(image.data.shape)} {image.data.dtype}"
    if reach:
        settings += f" {image.anisotropy}"
    return Plan(f"napari-alibi-seg {__version__}", job.classifier_hash, settings, tuple(digests))


def _planes_at_once(image: Micrograph, reach: int) -> int:
    """Return how many planes the memory of a desk computer holds beside their features."""
    read = image.plane(image.plane_indices()[0])
    plane_bytes = 16 * image.shape_yx[0] * image.shape_yx[1] + 2 * reach * read.nbytes
    return max(1, min(available_cores(), int(_PLANES_BYTES / plane_bytes)))


@contextmanager
def _runner(cluster: str | None, threads: int, progress: Progress) -> Iterator[Run]:
    """Yield what runs the tasks of a stage, on a cluster if there is one."""

    def tell(stage: str, graph: Sequence[Delayed]) -> Callable[[int], None]:
        return lambda done: progress(stage, done, len(graph))

    if cluster is None:
        try:
            yield lambda stage, graph: on_threads(graph, tell(stage, graph), threads)
        finally:
            load_tools.cache_clear()
    else:
        with connected(cluster) as client:
            yield lambda stage, graph: on_cluster(graph, tell(stage, graph), client, progress)
