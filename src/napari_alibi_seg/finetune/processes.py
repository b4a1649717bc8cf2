"""Distributed training: this process among those of torchrun, or on its own."""

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
    """Another process of the run has failed and reports the error."""


@dataclass(frozen=True)
class Processes:
    """Rank of this process, number of processes, and device of this process."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes the files."""
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
        """Synchronise all processes at the end of the block; if one fails there, all fail.

        Raises
        ------
        AlibiSegError
            The error raised in the block, in the lowest-ranked process that failed.
        LeftError
            In all other processes, if any failed.
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
    """Join the process group of torchrun (which sets RANK, LOCAL_RANK, WORLD_SIZE), if any.

    Parameters
    ----------
    device : str
        As in `choose_device`; with several processes on CUDA, each takes one GPU.
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
