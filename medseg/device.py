"""Where tensors live and how precise the arithmetic is."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def resolve(device: str) -> torch.device:
    """Device called `device`: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".

    Raises
    ------
    ValueError
        If there is no such device on this machine.
    """
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ValueError(f"a device is auto, cpu, cuda or cuda:N, got {device!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"{device} was asked for, but this machine has "
            f"{torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    return torch.device(device)


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it faster than float32, which it is elsewhere.

    Of CPUs, those with matrix units do, and AMD's with AVX-512. Intel's without matrix units have
    the instruction as well, but in half as many places: convolutions took 1.5 times as long.
    """
    import torch

    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        amd = str(has.get("cpu_name", "")).startswith("AMD")
        fast = bool(has.get("amx_bf16") or (amd and has.get("avx512_bf16")))
    return torch.bfloat16 if fast else torch.float32


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for the next tensor of its size.

    Each training step allocates the same activations again. Glibc gives large blocks back to
    the system at once, and takes them anew, page by page: a sixth of a step on the CPU.
    Elsewhere than with glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(parameter, value)


def available_threads() -> int:
    """CPUs that this process may use, its affinity respected."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def computing_threads() -> int:
    """Threads in which to compute: as many as torch takes, or would take once it is loaded."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) else available_threads()


def free_memory(device: torch.device) -> int:
    """Bytes that new tensors on `device` can take."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:  # what Linux would give up of its file cache counts as free
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = {line.partition(":")[0]: line.split()[1] for line in lines}
        return 1024 * int(found["MemAvailable"])
    except (OSError, KeyError):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2
