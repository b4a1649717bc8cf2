"""Importing torch late, and safely beside an OpenGL window."""

from __future__ import annotations

import sys


def import_torch() -> None:
    """Import torch without triton, which it uses only to compile.

    Triton brings an LLVM of its own; loading it into a process in which Mesa draws by its LLVM
    ends in a segmentation fault.
    """
    hidden = "triton" not in sys.modules
    if hidden:
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError
    try:
        import torch  # noqa: F401

        import napari_alibi_seg.core.live  # noqa: F401
    finally:
        if hidden:
            del sys.modules["triton"]
