"""Resumable plane-by-plane processing of volumes larger than memory, on threads or a cluster.

Every plane is a task that reads its input and writes its result wherever it runs; tasks are passed
paths, never pixels.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np

from napari_alibi_seg import __version__
from napari_alibi_seg.core.blockwise import available_cores
from napari_alibi_seg.core.errors import DeviceError, ImageError
from napari_alibi_seg.core.images.planes import Depth, Plane
from napari_alibi_seg.core.images.stored import in_memory
from napari_alibi_seg.core.progress import Progress, silent
from napari_alibi_seg.core.runs.cluster import connected, on_cluster, on_threads
from napari_alibi_seg.core.runs.ledger import (
    Ledger,
    Plan,
    digest,
    require_signed,
    sign,
    writing,
)
from napari_alibi_seg.core.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_alibi_seg.core.images.levels import Levels
    from napari_alibi_seg.core.images.micrograph import ImageFile, Micrograph
    from napari_alibi_seg.core.images.shading import Shading
    from napari_alibi_seg.core.images.stored import Array

    Run = Callable[[str, Callable[..., Any], Sequence[tuple[Any, ...]]], list[Any]]

_PROGRAM = f"napari-alibi-seg {__version__}"
_PLANES_BYTES = 1e9
_LOADING = Lock()


class PlaneWork(Protocol):
    """A computation for every plane, as a record that is sent to workers."""

    @property
    def identity(self) -> Mapping[str, str]:
        """The field of `Plan` that tells this computation from others."""

    def load(self) -> LoadedWork:
        """Load the model and classifier it needs, once per process of a run.

        Raises
        ------
        AlibiSegError
            If one is missing here, or differs from that at the start of the run.
        """

    def write(self, output: Path, index: tuple[int, ...], made: NDArray[Any]) -> None:
        """Write the result of `LoadedWork.make` for a plane to the Zarr folder `output`."""

    def read(self, output: Path, index: tuple[int, ...]) -> NDArray[Any]:
        """Read back what `write` wrote for a plane, with the same shape and dtype."""


@dataclass(frozen=True)
class LoadedWork:
    """A `PlaneWork` ready to be executed in this process.

    Attributes
    ----------
    make : callable
        From a plane and a progress callback to the result.
    precision : str or None
        Precision of the features, which differs between CPU and GPU; None if there are none.
    """

    make: Callable[[Plane, Progress], NDArray[Any]]
    precision: str | None


@dataclass(frozen=True)
class PlaneJob:
    """Everything a process needs to compute the planes of a result.

    Attributes
    ----------
    source : ImageFile
        The image. All paths must be valid on every worker.
    levels : Levels
        Levels of the whole image.
    light : tuple of Shading
        Illumination of the whole image.
    work : PlaneWork
        The computation for each plane.
    output : Path
        The Zarr folder of the result.
    run : str
        Unique to a run, so that workers do not reuse cached objects of an earlier run.
    """

    source: ImageFile
    levels: Levels
    light: tuple[Shading, ...]
    work: PlaneWork
    output: Path
    run: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class _LoadedJob:
    image: Micrograph
    work: LoadedWork


def make_planes(
    stage: str,
    job: PlaneJob,
    image: Micrograph,
    create: Callable[[Path], None],
    *,
    reach: int = 0,
    cluster: str | None = None,
    progress: Progress = silent,
) -> tuple[int, int]:
    """Compute every plane of a result, or the planes that an interrupted run did not finish.

    Progress is recorded in ``<output>.progress``: after any interruption, the same call resumes
    without recomputing finished planes.

    Parameters
    ----------
    stage : str
        Name of the stage for `progress`.
    job : PlaneJob
        What to compute. Its output is new, or from a run with the same image, work and version of
        this program.
    image : Micrograph
        Its source, as read.
    create : callable
        Creates the empty output at a path.
    reach : int
        Number of planes before and after each that its result depends on.
    cluster : str, optional
        ``tcp://HOST:PORT`` of the scheduler of a dask cluster whose workers see the same files.
    progress : callable
        Called after every plane checked and computed; locally and for a single plane, also within
        the plane.

    Returns
    -------
    tuple of int
        Number of planes computed by this call, and total number of planes.

    Raises
    ------
    OutputError
        If the output belongs to another result, another run is active, or it cannot be written.
    ImageError
        If the image cannot be read, or changes during the run; finished planes are kept.
    DeviceError
        If the cluster does not answer or loses its workers, or only some of them have a GPU.
    """
    ledger = Ledger(job.output)
    numbers = range(len(image.plane_indices()))
    with ledger.claimed(), _runner(cluster, _planes_at_once(image, reach), progress) as run:
        checked = run("checking", check_plane, [(job, number) for number in numbers])
        digests = tuple(found for found, _ in checked)
        precision, *others = {precision for _, precision in checked}
        if others:
            raise _mixed()
        settings = _settings(image, reach)
        plan = Plan(_PROGRAM, settings, precision, digests, **job.work.identity)
        if job.output.exists() and ledger.agrees(plan):
            require_signed(job.output, plan)
        else:
            ledger.begin(plan)
            with replacing(job.output) as aside:
                create(aside)
                sign(aside, plan)
        report = progress if cluster is None and len(numbers) == 1 else silent
        todo = [
            (
                job,
                number,
                {near: digests[near] for near in _around(image, number, reach)},
                precision,
                report,
            )
            for number in numbers
        ]
        return sum(run(stage, make_plane, todo)), len(todo)


def check_plane(job: PlaneJob, number: int) -> tuple[str, str | None]:
    """Return the digest of a plane of the image, and the precision of features on this worker."""
    loaded = _loaded(job)
    data = _copied(loaded.image.plane(_index(loaded.image, number)))
    return Plane(data, job.levels).content_hash(), loaded.work.precision


def make_plane(
    job: PlaneJob,
    number: int,
    expected: Mapping[int, str],
    precision: str | None,
    progress: Progress,
) -> bool:
    """Compute and write one plane unless it is finished; return whether it was computed.

    Parameters
    ----------
    job : PlaneJob
        The run.
    number : int
        Number of the plane, in the order of `Micrograph.plane_indices`.
    expected : mapping
        From number to digest, for the plane and all others that its result depends on.
    precision : str or None
        Precision of the features of the run.
    progress : callable
        Called for the parts of the plane.

    Raises
    ------
    ImageError
        If a digest no longer matches.
    OutputError
        If the result cannot be written.
    DeviceError
        If features have another precision on this worker.
    """
    loaded, ledger = _loaded(job), Ledger(job.output)
    index = _index(loaded.image, number)
    entered = ledger.entered(number)
    if entered is not None and entered == _made(job, index):
        return False
    if loaded.work.precision != precision:
        raise _mixed()
    made = loaded.work.make(_plane(job, number, expected), progress)
    with writing(job.output):
        job.work.write(job.output, index, made)
        ledger.enter(number, made)
    return True


def _mixed() -> DeviceError:
    return DeviceError(
        "Some workers of the cluster have a GPU, which computes features in half precision, and "
        "some have none; start workers of one kind, or choose the CPU as device."
    )


def _made(job: PlaneJob, index: tuple[int, ...]) -> str | None:
    """Return the digest of a plane of the result as stored; None if it cannot be read."""
    try:
        return digest(job.work.read(job.output, index))
    except (OSError, ValueError, RuntimeError):
        return None


def _plane(job: PlaneJob, number: int, expected: Mapping[int, str]) -> Plane:
    """Read a plane, and those within reach of its filters, into memory; verify their digests."""
    image = _loaded(job).image
    index = _index(image, number)
    if len(expected) == 1:
        found, depth = _copied(image.plane(index))[None], None
    else:
        first = index[-1] - (number - min(expected))
        within = image.plane(index[:-1])[first : first + len(expected)]
        found = _copied(within)
        depth = Depth(found, index[-1] - first, image.anisotropy)
    for (near, digest_before), data in zip(sorted(expected.items()), found, strict=True):
        if Plane(data, job.levels).content_hash() != digest_before:
            raise ImageError(
                f"Plane {near} of {job.source.path} changed while the run was at work; "
                "bring the image back and run the same command to go on, or choose another output."
            )
    data, region = found[number - min(expected)], image.region_window
    return Plane(data, job.levels, depth, region, job.light)


def _copied(data: Array) -> NDArray[Any]:
    """Read an array in this thread; copy one that may be memory-mapped, as its file may change."""
    if isinstance(data, np.ndarray):
        return np.array(data)
    return in_memory(data, "synchronous")


def _around(image: Micrograph, number: int, reach: int) -> range:
    """Return the range of planes of the same stack within reach of a plane, including itself."""
    if not reach:
        return range(number, number + 1)
    depth = image.label_shape[-3]
    before, after = number % depth, depth - 1 - number % depth
    return range(number - min(reach, before), number + min(reach, after) + 1)


def _index(image: Micrograph, number: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(number, image.label_shape[:-2]))


def _loaded(job: PlaneJob) -> _LoadedJob:
    with _LOADING:  # otherwise each thread of a worker would load its own weights
        return load_job(job)


@lru_cache(maxsize=1)
def load_job(job: PlaneJob) -> _LoadedJob:
    """Open the image and load the work, once per process of a run."""
    return _LoadedJob(job.source.read(), job.work.load())


def _settings(image: Micrograph, reach: int) -> str:
    settings = f"{image.axes} {tuple(image.data.shape)} {image.data.dtype}"
    settings += f" {image.voxel_size} {image.region_window}"
    return f"{settings} {image.anisotropy}" if reach else settings


def _planes_at_once(image: Micrograph, reach: int) -> int:
    """Return how many planes to process at once, from the cores and a budget of 1 GB of memory."""
    read = image.plane(image.plane_indices()[0])
    plane_bytes = 16 * image.shape_yx[0] * image.shape_yx[1] + 2 * reach * read.nbytes
    return max(1, min(available_cores(), int(_PLANES_BYTES / plane_bytes)))


@contextmanager
def _runner(cluster: str | None, threads: int, progress: Progress) -> Iterator[Run]:
    """Yield a function that runs the tasks of a stage on threads, or on a cluster if given."""

    def reporting(stage: str, total: int) -> Callable[[int], None]:
        return lambda done: progress(stage, done, total)

    if cluster is None:
        try:
            yield lambda stage, work, todo: on_threads(
                work, todo, reporting(stage, len(todo)), threads
            )
        finally:
            load_job.cache_clear()
    else:
        with connected(cluster) as client:
            try:
                yield lambda stage, work, todo: on_cluster(
                    work, todo, reporting(stage, len(todo)), client, progress
                )
            finally:
                if client.status == "running":  # the client of a lost cluster would wait for it
                    with suppress(OSError):
                        client.run(load_job.cache_clear, on_error="ignore")
