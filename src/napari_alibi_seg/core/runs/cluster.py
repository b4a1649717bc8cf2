"""Running independent tasks through dask: on threads here, or on a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from logging import CRITICAL
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from dask.base import compute
from dask.callbacks import Callback
from dask.delayed import delayed

from napari_alibi_seg.core.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dask.delayed import Delayed
    from distributed import Client, Future

T = TypeVar("T")

_PATIENCE = 30
"""Seconds a cluster is given to answer, its first worker to appear, and a lost one to return."""

_LOOK, _LOOK_FOR_WORKERS = 0.05, 1.0


def tasks(work: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[Delayed]:
    """Return one task of the graph for each tuple of arguments; they begin in this order."""
    # Arguments are plain records: dask need not look for graphs inside them.
    task = delayed(work, pure=False, traverse=False)
    graph = f"{work.__name__}-{uuid4().hex}"  # a cluster may be at several runs
    # Of tasks without an order, dask takes the last names first.
    left = range(len(arguments), 0, -1)
    return [
        task(*some, dask_key_name=f"{graph}-{n:07}")
        for n, some in zip(left, arguments, strict=True)
    ]


def on_threads(
    graph: Sequence[Delayed], told: Callable[[int], None], threads: int
) -> tuple[Any, ...]:
    """Run tasks on threads of this process.

    Parameters
    ----------
    graph : sequence of Delayed
        From `tasks`.
    told : callable
        Told the number of tasks done after each.
    threads : int
        How many run at once.

    Returns
    -------
    tuple
        The results in order. The first error ends the run, once the tasks in hand are done.
    """
    # A pool of its own, because it waits: no thread works on when the caller thinks all is over.
    with _counted(told), ThreadPoolExecutor(threads) as pool:
        results: tuple[Any, ...] = compute(
            *graph, scheduler="threads", pool=pool, optimize_graph=False
        )
    return results


@contextmanager
def _counted(told: Callable[[int], None]) -> Iterator[None]:
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        told(done)

    with Callback(posttask=count):
        yield


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a cluster that has a worker.

    Parameters
    ----------
    address : str
        Of its scheduler, ``tcp://HOST:PORT``.

    Raises
    ------
    DeviceError
        If `distributed` is not installed, or no scheduler or no worker answers.
    """
    try:
        from distributed import Client
        from distributed.utils import silence_logging_cmgr
    except ImportError as error:
        raise DeviceError(
            "A cluster needs the package distributed, which is not installed; "
            "install it with pip install 'napari-alibi-seg[cluster]'."
        ) from error
    try:
        _require_address(address)
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"No cluster answers at {address!r} ({error}); give the address its scheduler prints, "
            "like tcp://HOST:8786."
        ) from error
    # The client of a lost cluster logs tracebacks up to its end.
    with silence_logging_cmgr(CRITICAL), client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise DeviceError(
                f"The cluster at {address} has no worker; start some with `dask worker {address}`."
            ) from error
        yield client


def _require_address(address: str) -> None:
    """Raise a `ValueError` for an address whose `Client` would take a minute to close."""
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    scheme, location = parse_address(address)
    get_backend(scheme)
    parse_host_port(location)


def on_cluster(
    graph: Sequence[Delayed],
    told: Callable[[int], None],
    client: Client,
    waiting: Callable[[str, int, int], None],
) -> tuple[Any, ...]:
    """Run tasks on the workers of a cluster; those of a worker that dies run on another.

    Parameters
    ----------
    graph, told
        As for `on_threads`.
    client : Client
        From `connected`.
    waiting : callable
        Told, while no worker is left, for how many seconds, and of how many.

    Raises
    ------
    DeviceError
        If the scheduler is lost, no worker comes back, or a task brings worker after worker down.
    """
    from distributed import CancelledError, KilledWorker

    futures = client.compute(list(graph), optimize_graph=False)
    results = {}
    try:
        for future in _as_completed(futures, client, waiting):
            results[future.key] = future.result()
            told(len(results))
        return tuple(results[future.key] for future in futures)
    except KilledWorker as error:
        raise DeviceError(
            "One task brought several workers down, most likely for lack of memory; give each "
            "worker more of it, or fewer threads."
        ) from error
    except CancelledError as error:
        raise _lost("its scheduler") from error
    finally:
        client.cancel(futures)


def _as_completed(
    futures: Sequence[Future[Any]], client: Client, waiting: Callable[[str, int, int], None]
) -> Iterator[Future[Any]]:
    """Yield futures as they are done; a `DeviceError` if no worker is left to do them."""
    from distributed import as_completed

    completed = as_completed(futures, loop=client.loop)
    seen = looked = monotonic()
    while completed.count():
        if completed.has_ready():
            yield next(completed)
            seen = looked = monotonic()
            continue
        sleep(_LOOK)
        if monotonic() - looked < _LOOK_FOR_WORKERS:
            continue
        looked = monotonic()
        if _has_workers(client):
            seen = looked
        elif looked - seen < _PATIENCE:
            waiting("waiting for workers", int(looked - seen), _PATIENCE)
        else:
            raise _lost("its last worker" if client.status == "running" else "its scheduler")


def _has_workers(client: Client) -> bool:
    try:
        return client.status == "running" and bool(client.nthreads())
    except OSError:  # the scheduler went in this moment
        return False


def _lost(whom: str) -> DeviceError:
    return DeviceError(
        f"The cluster lost {whom}; start it anew and run the same command again, which goes on "
        "after what was finished."
    )
