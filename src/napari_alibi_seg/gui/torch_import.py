"""Import torch late, safely beside an OpenGL window, and without blocking it.

All slow imports run in one thread, in stages, so that strokes are counted and saved before torch
is loaded, and no two threads import at once.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import IntEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_S = 0.02
_LIBRARIES = ("libtorch_global_deps", "libtorch")


class Stage(IntEnum):
    """What is possible once a stage is imported."""

    COUNTING = 0
    COMPUTING = 1


_lock = Lock()
_stages: list[Future[None]] = []


def is_imported(stage: Stage) -> bool:
    """Whether a stage is available without waiting."""
    return bool(_stages) and _stages[stage].done() and not _stages[stage].exception()


def importing(stage: Stage) -> Iterator[None]:
    """Import up to a stage, yielding while waiting so that the caller can leave.

    Raises
    ------
    Exception
        What the import raised; the next call tries again.
    """
    with _lock:
        if not _stages or any(one.done() and one.exception() for one in _stages):
            steps = (_import_for_counting, _import_torch)
            with_one_thread = ThreadPoolExecutor(1, "imports")
            _stages[:] = map(with_one_thread.submit, steps)
            with_one_thread.shutdown(wait=False)
        waited = _stages[stage]
    while True:
        try:
            waited.result(_POLL_S)
            return
        except TimeoutError:
            yield


def require(stage: Stage) -> None:
    """Import up to a stage, and wait until that is done."""
    for _ in importing(stage):
        pass


def _import_for_counting() -> None:
    with _uncollected():
        for slow in ("scipy.sparse.csgraph", "scipy.ndimage", "scipy.optimize"):
            import_module(slow)


def _import_torch() -> None:
    """Import torch without triton, which it needs only to compile models.

    Triton brings its own LLVM; loading it into a process where Mesa renders with another LLVM
    causes a segmentation fault.
    """
    hidden = "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError
    try:
        _load_libraries()
        with _uncollected():
            import timm  # noqa: F401
            import torch  # noqa: F401

            import napari_alibi_seg.core.live.engine  # noqa: F401
    finally:
        if hidden:
            sys.modules.pop("triton", None)


def _load_libraries() -> None:
    """Load torch's libraries through ctypes, which releases the GIL.

    An import would hold the GIL until all are loaded, and block the window.
    """
    spec = find_spec("torch")
    if os.name != "posix" or spec is None or spec.origin is None:
        return
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    load = ctypes.CDLL(None).dlopen
    load.restype, load.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    for name in _LIBRARIES:
        load(os.fsencode(Path(spec.origin).parent / "lib" / f"{name}{suffix}"), os.RTLD_NOW)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause garbage collection, which is slow during imports and would find nothing."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()
            gc.unfreeze()  # moves all objects into the oldest, rarely collected generation
            gc.enable()
