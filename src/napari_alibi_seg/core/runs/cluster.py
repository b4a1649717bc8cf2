"""Run independent tasks on local threads, or on the workers of a dask cluster."""

from __future__ import annotations

from contextlib import contextmanager
from logging import CRITICAL
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from napari_alibi_seg.core.blockwise import in_order
from napari_alibi_seg.core.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client, Future

T = TypeVar("T")

_PATIENCE = 30
"""Timeout in seconds for a cluster to answer, for a first worker, and for a lost one to return."""

_LOOK, _LOOK_FOR_WORKERS = 0.05, 1.0


def on_threads(
    work: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    report: Callable[[int], None],
    threads: int,
) -> list[T]:
    """Call a function for each tuple of arguments, on threads of this process.

    Parameters
    ----------
    work : callable
        The function of a task; tasks are independent.
    arguments : sequence of tuple
        Positional arguments of each task.
    report : callable
        Called with the number of finished tasks after each.
    threads : int
        Maximum number of tasks at once.

    Returns
    -------
    list
        The results in order. The first error ends the run, once the running tasks are finished.
    """
    results = []
    for result in in_order(lambda some: work(*some), arguments, threads):
        results.append(result)
        report(len(results))
    return results


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to a dask cluster and wait for at least one worker.

    Parameters
    ----------
    address : str
        Address of its scheduler, ``tcp://HOST:PORT``.

    Raises
    ------
    DeviceError
        If `distributed` is not installed, or no scheduler or worker answers.
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
    # The client of a lost cluster would log tracebacks until it is closed.
    with silence_logging_cmgr(CRITICAL), client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise DeviceError(
                f"The cluster at {address} has no worker; start some with `dask worker {address}`."
            ) from error
        yield client


def _require_address(address: str) -> None:
    """Raise a `ValueError` for a malformed address, whose `Client` would take a minute to close."""
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    scheme, location = parse_address(address)
    get_backend(scheme)
    parse_host_port(location)


def on_cluster(
    work: Callable[..., T],
    arguments: Sequence[tuple[Any, ...]],
    report: Callable[[int], None],
    client: Client,
    waiting: Callable[[str, int, int], None],
) -> list[T]:
    """Run tasks on the workers of a cluster; tasks of a lost worker are run on another.

    Parameters
    ----------
    work, arguments, report
        As for `on_threads`.
    client : Client
        From `connected`.
    waiting : callable
        Progress callback while no worker is left: stage, seconds waited, and timeout.

    Raises
    ------
    DeviceError
        If the scheduler is lost, no worker comes back, or a task kills several workers.
    """
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError

    futures = client.map(work, *zip(*arguments, strict=True), pure=False)
    results = {}
    try:
        for future in _as_completed(futures, client, waiting):
            results[future.key] = future.result()
            report(len(results))
        return [results[future.key] for future in futures]
    except KilledWorker as error:
        raise DeviceError(
            "One task brought several workers down, most likely for lack of memory; give each "
            "worker more of it, or fewer threads."
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise _lost("its scheduler") from error
    finally:
        client.cancel(futures)


def _as_completed(
    futures: Sequence[Future[Any]], client: Client, waiting: Callable[[str, int, int], None]
) -> Iterator[Future[Any]]:
    """Yield futures as they finish; raise a `DeviceError` if no worker is left."""
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
    except OSError:  # the scheduler was lost at this moment
        return False


def _lost(whom: str) -> DeviceError:
    return DeviceError(
        f"The cluster lost {whom}; start it anew and run the same command again, which goes on "
        "after what was finished."
    )
