"""Choice of the torch device and of its precision."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_alibi_seg.core.errors import DeviceError

_TYPES = ("cpu", "cuda", "mps")

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager


def choose_device(name: str) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name : str
        ``auto`` (CUDA, then MPS, then CPU) or a torch device such as ``cpu`` or ``cuda:1``.

    Raises
    ------
    DeviceError
        If the device does not exist on this machine.
    """
    if name == "auto":
        return torch.device(usable_devices()[1])
    try:
        if str(name).partition(":")[0] not in _TYPES:
            raise RuntimeError("there is no device of that name")
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"The device {name!r} cannot be used here ({reason}); use {_listed(usable_devices())}."
        ) from error
    return device


def inference_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for inference: float16 on a GPU, float32 on a CPU."""
    return torch.float32 if device.type == "cpu" else torch.float16


def usable_devices() -> tuple[str, ...]:
    """Return the device names for `choose_device` on this machine: ``auto``, then the best first.

    Individual CUDA devices, such as ``cuda:1``, are not listed, but accepted too.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return ("auto", *(name for name, there in found.items() if there), "cpu")


@contextmanager
def memory_shortage_explained(device: torch.device) -> Iterator[None]:
    """Convert torch's out-of-memory errors, which are of type RuntimeError.

    Raises
    ------
    MemoryError
        If the CPU is out of memory.
    DeviceError
        If another device is out of memory.
    """
    try:
        yield
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise MemoryError(str(error).splitlines()[0]) from error
        # MPS has no exception type of its own for it.
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
            raise
        raise DeviceError(
            f"The memory of {device} does not suffice for the model and a tile; close other "
            "programs that use it, or choose the device cpu."
        ) from error


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"


def inference_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context for inference; see `inference_dtype`."""
    return torch.autocast(device.type, dtype=torch.float16, enabled=device.type != "cpu")
