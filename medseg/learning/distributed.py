"""Several processes that train one network together, as `torchrun` starts them.

Each cuts its share of every batch, and the loss is that of the whole batch: the outputs of all
processes are gathered, so that a Dice of the batch is the same however many share it. How many
they are thus changes neither the data nor the loss, and a training goes on with another number.

On one machine:    torchrun --nproc_per_node 2 --no-python medseg train DATA RUN --set batch=4
On several:        the same on each, with --nnodes, --rdzv_backend c10d and --rdzv_endpoint
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from medseg import device as devices

# The others wait while the first one validates, which may take long.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Processes:
    """How many they are, and which of them this is.

    Parameters
    ----------
    rank, count : int
        Of all; the one of rank 0 leads: it alone validates, logs and writes.
    local_rank, local_count : int
        Of those on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @classmethod
    def of_environment(cls) -> Processes:
        """Return those that torchrun has started; without it there is one."""
        if not distributed.is_torchelastic_launched():
            return cls()
        names = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
        return cls(*(int(os.environ[name]) for name in names))

    @property
    def leads(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def place(self, device: str) -> str:
        """Device of this process: of several GPUs, each has its own."""
        found = devices.resolve(device)
        if self.count > 1 and found.type == "cuda" and found.index is None:
            return str(devices.resolve(f"cuda:{self.local_rank}"))
        return device

    @contextmanager
    def together(self, device: str) -> Iterator[None]:
        """Let the processes hear each other; only the first one logs.

        Within another `together` it changes nothing: processes that part and meet again look each
        other up where torchrun's store says that they were, and where nobody may listen any more.
        """
        if self.count == 1 or distributed.is_initialized():
            yield
            return
        # DistributedDataParallel imports it, and if that is while processes are together, their
        # group outlives its end: then a thread of gloo may abort the process when Python ends.
        import torch._dynamo

        place = devices.resolve(device)
        if place.type == "cuda":
            torch.cuda.set_device(place)
        # Numbers on the CPU are agreed on without waiting for the GPU.
        backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
        log = logging.getLogger("medseg")
        level = log.level
        if not self.leads:
            log.setLevel(logging.ERROR)  # what they warn of, the first one says too
        try:
            with warnings.catch_warnings():
                # Of kernels of one voxel, whose strides are as good as those that are expected.
                warnings.filterwarnings("ignore", "Grad strides do not match")
                yield
        finally:
            log.setLevel(level)
            distributed.destroy_process_group()

    def highest(self, *values: float) -> list[float]:
        """Of each value, the highest that any process has."""
        if self.count == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
        return numbers.tolist()

    def agreed(self, text: str) -> str:
        """Text of the process that leads."""
        if self.count == 1:
            return text
        content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(content))
        distributed.broadcast(length, 0)
        shared = content if self.leads else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(shared, 0)
        return shared.numpy().tobytes().decode()

    def wait(self) -> None:
        """Return when all processes have come here."""
        self.highest(0.0)

    def share(self, patches: int, parts: int) -> tuple[int, ...]:
        """Numbers of the patches that are cut here, of a batch that is learned from in parts.

        Raises
        ------
        ValueError
            If not all processes get as many.
        """
        if patches % (parts * self.count) and self.count > 1:
            raise ValueError(
                f"{self.count} processes can't share {patches // parts} patches evenly; set batch "
                f"to a multiple of {self.count}"
            )
        each = patches // parts
        mine = each // self.count
        firsts = [part * each + self.rank * mine for part in range(parts)]
        if self.count == 1:
            return tuple(range(patches))
        return tuple(number for first in firsts for number in range(first, first + mine))

    def gathered(self, mine: Tensor) -> Tensor:
        """(count * B, ...) tensors of all processes, by rank; a gradient flows to (B, ...) mine."""
        if self.count == 1:
            return mine
        plain = mine.detach().contiguous()
        of_all = [torch.empty_like(plain) for _ in range(self.count)]
        distributed.all_gather(of_all, plain)
        of_all[self.rank] = mine
        return torch.cat(of_all)

    def shared(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Network whose gradients are the means of those of all processes."""
        if self.count == 1:
            return network
        return DistributedDataParallel(network, [device] if device.type == "cuda" else None)
