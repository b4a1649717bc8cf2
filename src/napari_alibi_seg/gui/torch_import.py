"""Importing torch late, safely beside an OpenGL window, and while that stays alive."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("libtorch_global_deps", "libtorch")


def import_torch() -> None:
    """Import torch without triton, which it uses only to compile.

    Triton brings an LLVM of its own; loading it into a process in which Mesa draws by its LLVM
    ends in a segmentation fault.
    """
    if "napari_alibi_seg.core.live" in sys.modules:
        return
    hidden = "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError
    try:
        _load_libraries()
        with _uncollected():
            import torch  # noqa: F401

            import napari_alibi_seg.core.live  # noqa: F401
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
