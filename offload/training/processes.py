"""Training by several processes, as torchrun starts them: each takes its share of the examples."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from offload.errors import OffloadError

_PATIENCE = timedelta(days=1)
"""How long the others wait while the first validates; torch's own 10 to 30 minutes are short for a large split."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that validates and writes."""
        return self.rank == 0

    def wrapped(self, network: nn.Module, device: str) -> nn.Module:
        """The network with gradients averaged over the processes."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, device_ids=None if device == "cpu" else [torch.device(device).index])

    def told(self, numbers: Tensor) -> Tensor:
        """The first process's numbers, in every process."""
        if self.count > 1:
            distributed.broadcast(numbers, src=0)
        return numbers


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun tells of by RANK and WORLD_SIZE; one where it told nothing.

    Raises:
        OffloadError: the others do not come.
    """
    rank, count = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or count is None or int(count) == 1:
        yield Processes()
        return
    try:
        if device != "cpu":
            torch.cuda.set_device(device)
        distributed.init_process_group(
            "gloo" if device == "cpu" else "nccl", rank=int(rank), world_size=int(count), timeout=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise OffloadError(
            f"the {count} processes of torchrun do not find each other: {str(error).splitlines()[0]}",
            hint="start all of them with the same MASTER_ADDR and MASTER_PORT",
        ) from error
    try:
        yield Processes(rank=int(rank), count=int(count))
    finally:
        distributed.destroy_process_group()
