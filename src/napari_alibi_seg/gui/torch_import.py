"""Importing torch late, safely beside an OpenGL window, and while that stays alive.

All that is slow is imported in one thread, in stages, so that strokes are counted and kept before
torch is there, and no two threads import at once.
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
    """What can be done as soon as it is imported."""

    COUNTING = 0
    COMPUTING = 1


_lock = Lock()
_stages: list[Future[None]] = []


def is_imported(stage: Stage) -> bool:
    """Whether a stage can be gone on to at once."""
    return bool(_stages) and _stages[stage].done() and not _stages[stage].exception()


def importing(stage: Stage) -> Iterator[None]:
    """Import up to a stage, or wait until that is done; can be left meanwhile.

    Raises
    ------
    Exception
        What the import raised; it is tried again by the next call.
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
        import_module("scipy.sparse.csgraph")


def _import_torch() -> None:
    """Import torch without triton, which it uses only to compile.

    Triton brings an LLVM of its own; loading it into a process in which Mesa draws by its LLVM
    ends in a segmentation fault.
    """
    hidden = "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError
    try:
        _load_libraries()
        with _uncollected():
            import torch  # noqa: F401

            import napari_alibi_seg.core.live.engine  # noqa: F401
    finally:
        if hidden:
            sys.modules.pop("triton", None)


def _load_libraries() -> None:
    """Load torch's libraries as ctypes calls a function, so without holding Python's lock.

    An import would hold it until all are loaded, and the window would stand still.
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
    """Collect no garbage meanwhile: nothing of what is imported is, and looking takes long."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.freeze()
            gc.unfreeze()  # into the oldest generation, so that it is not looked through at once
            gc.enable()
