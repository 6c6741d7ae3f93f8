"""One step of the optimiser: forward, loss, gradients, in as many parts as memory wants.

Nothing in it waits for the device.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from medseg import device as devices
from medseg.learning.batches import Batch
from medseg.learning.distributed import Processes
from medseg.learning.freezing import freeze
from medseg.learning.losses import Loss, supervised
from medseg.learning.memory import memory_errors
from medseg.learning.optimizers import add_penalties

if TYPE_CHECKING:
    from medseg.learning.settings import Training

log = logging.getLogger("medseg")


class Update:
    """The gradients of a network.

    Parameters
    ----------
    network : nn.Module
    loss : Loss
    training : Training
    processes : Processes
        Who computes them together.
    parts : int
        In how many a batch goes through the network; more, once memory has run out.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        training: Training,
        processes: Processes,
        *,
        parts: int,
    ) -> None:
        self.parts = parts
        self._plain, self._loss = network, loss
        self._training, self._processes = training, processes
        self._device = next(network.parameters()).device
        self._frozen: tuple[str, ...] | None = None
        self._shared: nn.Module = network
        self._network: Callable[[Tensor], Any] = network

    def gradients(
        self, batch: Batch, *, frozen: tuple[str, ...], precision: torch.dtype, seed: int
    ) -> Tensor:
        """Loss of a batch, whose gradients are left at the weights.

        Parameters
        ----------
        frozen : tuple of str
            Parts of the network that get none.
        seed : int
            Of what the network draws, for dropout.

        Raises
        ------
        MemoryError
            If not even one patch fits in memory.
        """
        self._freeze(frozen)
        while True:
            torch.manual_seed(seed * self._processes.count + self._processes.rank)
            try:
                with memory_errors():
                    loss = self._in_parts(batch, precision)
                break
            except MemoryError as error:
                self._take_smaller_parts(len(batch.images), error)
            # Outside of the handler: within, the error holds on to the activations.
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        add_penalties(self._plain, l1=self._training.l1, l2=self._training.l2)
        if self._training.longest_gradient:
            nn.utils.clip_grad_norm_(self._plain.parameters(), self._training.longest_gradient)
        return loss

    def _freeze(self, frozen: tuple[str, ...]) -> None:
        """Put the network into training mode; validation has left it in another."""
        freeze(self._plain, frozen)
        if frozen != self._frozen:  # gradients are shared of those that learn from then on
            self._frozen = frozen
            self._shared = self._processes.shared(self._plain, self._device)
            compiled = self._training.compile
            self._network = torch.compile(self._shared) if compiled else self._shared

    def _in_parts(self, batch: Batch, precision: torch.dtype) -> Tensor:
        self._plain.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        parts = batch.split(self.parts)
        for number, part in enumerate(parts, start=1):
            with self._apart(last=number == len(parts)):
                loss = self._of(part, precision) * (len(part.images) / len(batch.images))
                # Their mean is what the processes share, their sum what belongs to the batch.
                (loss * self._processes.count).backward()
            total += loss.detach()
        return total

    def _of(self, batch: Batch, precision: torch.dtype) -> Tensor:
        """Loss of the patches of all processes."""
        outputs = forward(self._network, batch.images, precision)
        whole = self._processes.gathered
        given = whole(outputs) if isinstance(outputs, Tensor) else [whole(one) for one in outputs]
        weights = None if batch.weights is None else whole(batch.weights)
        return supervised(self._loss, given, whole(batch.targets), weights)

    def _apart(self, *, last: bool) -> AbstractContextManager[object]:
        """Until the last part, each process keeps its gradients to itself."""
        if isinstance(self._shared, DistributedDataParallel) and not last:
            return cast(AbstractContextManager[object], self._shared.no_sync())
        return nullcontext()

    def _take_smaller_parts(self, patches: int, error: MemoryError) -> None:
        if self._processes.count > 1 or self.parts >= patches:
            raise MemoryError(
                f"{error}; take a smaller batch (and accumulate as many more) or a smaller patch"
            ) from error
        self.parts = min(2 * self.parts, patches)
        log.warning(
            "memory ran out; from now on the %d patches of a step go through the network in %d "
            "parts, and make the same step",
            patches,
            self.parts,
        )


def forward(
    network: Callable[[Tensor], Any], images: Tensor, precision: torch.dtype
) -> Tensor | list[Tensor]:
    """Logits, computed in float32 or lower precision."""
    lower = precision != torch.float32
    with torch.autocast(images.device.type, precision if lower else None, enabled=lower):
        outputs: Tensor | list[Tensor] = network(images)
    return outputs


def faster_precision(network: nn.Module, loss: Loss, batch: Batch) -> str:
    """Name of the dtype in which a step is faster on this machine.

    That CPUs support bfloat16 does not say so: on some, convolutions in it take twice as long.
    """
    device = batch.images.device
    native = devices.fast_precision(device)
    if device.type == "cuda" or native == torch.float32:
        return str(native).removeprefix("torch.")
    network = copy.deepcopy(network).train()
    seconds = {}
    for name in ("float32", "bfloat16"):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            outputs = forward(network, batch.images, getattr(torch, name))
            supervised(loss, outputs, batch.targets, batch.weights).backward()
            times.append(time.perf_counter() - began)
        seconds[name] = min(times)
    return "bfloat16" if seconds["bfloat16"] < 0.9 * seconds["float32"] else "float32"
