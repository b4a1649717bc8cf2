"""One process among those that torchrun started, or the only one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed

from napari_alibi_seg.core.devices import choose_device
from napari_alibi_seg.core.errors import AlibiSegError

if TYPE_CHECKING:
    from collections.abc import Iterator


class LeftError(AlibiSegError):
    """Another process of the run has failed, and tells why."""


@dataclass(frozen=True)
class Processes:
    """Rank of this process, how many there are, and the device of this one."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def summed(self, *values: float) -> list[float]:
        """Return each value summed over all processes."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Go on after the block only when every process has come through it.

        Raises
        ------
        AlibiSegError
            What was raised here, if this process is the first of those that failed.
        LeftError
            In all others, if any failed.
        """
        failure: AlibiSegError | None = None
        try:
            yield
        except AlibiSegError as error:
            failure = error
        own = [failure is not None and rank == self.rank for rank in range(self.count)]
        failed = self.summed(*own)
        if failure is not None and failed.index(1) == self.rank:
            raise failure
        if any(failed):
            raise LeftError("Another process of this run has failed.") from failure


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes of torchrun (it sets RANK, LOCAL_RANK and WORLD_SIZE), if there are any.

    Parameters
    ----------
    device : str
        As in `choose_device`; several processes with CUDA take one GPU each.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device)
    if count == 1:
        yield Processes(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, chosen)
    finally:
        distributed.destroy_process_group()
