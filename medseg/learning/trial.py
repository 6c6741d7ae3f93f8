"""How much memory a computation takes, found by trying it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from medseg.device import release_freed_memory, resident_memory

_EVERY = 0.002


def taken(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` takes at its peak, beyond what is taken before.

    On a GPU, torch counts them. On the CPU they are seen from outside, some hundred times a
    second, so that what libraries take for themselves counts too.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    release_freed_memory()  # or what is taken again would not be seen
    with watched() as seen:
        work()
    release_freed_memory()  # what it took is free for what comes, whatever that is
    return max(seen) - seen[0]


@contextmanager
def watched(every: float = _EVERY) -> Iterator[list[int]]:
    """Bytes of this process in memory, at once and then every so many seconds, and at the end."""
    seen, stop = [resident_memory()], threading.Event()

    def watch() -> None:
        while not stop.wait(every):
            seen.append(resident_memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
        seen.append(resident_memory())
