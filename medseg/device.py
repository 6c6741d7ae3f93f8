"""Where tensors live and how precise the arithmetic is."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_LARGE = 2**26
_ROOT = Path("/")


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


def release_freed_memory() -> None:
    """Give back to the system what this process has freed and keeps; with glibc."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def zeros_apart(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Zeros which, if they are many and on the CPU, lie apart from all else in memory.

    They come from the system and go back to it as soon as they are dropped. Where freed memory is
    kept, what is allocated after them takes a part of their place, and the next ones, of the same
    size, find no room in the holes that are left.

    Raises
    ------
    MemoryError
        If there is not enough memory.
    """
    import torch

    size = prod(shape) * dtype.itemsize
    if device.type != "cpu" or size < _LARGE or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.zeros(shape, dtype=dtype, device=device)
    try:
        pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"not enough memory for {size / 1e9:.1f} GB: {error}") from error
    return torch.frombuffer(pages, dtype=dtype).reshape(shape)


def resident_memory() -> int:
    """Bytes of this process in memory; where a system does not tell, the most that it ever had."""
    try:
        return 1024 * _numbers(_ROOT / "proc/self/status")["VmRSS"]
    except (OSError, KeyError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


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
    """Bytes that new tensors on `device` can take.

    On the CPU, the limits of the process (`ulimit -d`, `ulimit -v`) and those of its control
    groups, as of a container or a SLURM job, count as well as the memory of the machine.
    """
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return max(min([_of_machine(), *_of_groups(), *_of_process()]), 0)


def _of_machine() -> int:
    try:  # what Linux would give up of its file cache counts as free
        return 1024 * _numbers(_ROOT / "proc/meminfo")["MemAvailable"]
    except (OSError, KeyError):
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) // 2


def _of_groups() -> Iterator[int]:
    """Bytes left in each of the control groups that this process is in and that have a limit."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    mounts = _ROOT / "sys/fs/cgroup"
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if not controllers:  # version 2, perhaps beside version 1
            roots, names = (mounts, mounts / "unified"), ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            files = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
            roots, names = (mounts / "memory", mounts / controllers), files
        else:
            continue
        # Inside of a container, the path may be one of the host's, and only its end is there.
        inner = Path(path.lstrip("/"))
        for root, group in product(roots, (inner, *inner.parents)):
            if (room := _of_group(root / group, *names)) is not None:
                yield room


def _of_group(folder: Path, limit: str, usage: str, total: str) -> int | None:
    """Bytes left in a control group, what it keeps of files counted as free; None: no limit."""
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        if most == "max":
            return None
        used = int((folder / usage).read_text(encoding="ascii"))
        kept = _numbers(folder / "memory.stat")
        files = kept[f"{total}inactive_file"] + kept[f"{total}active_file"]
        return int(most) - used + files
    except (OSError, ValueError, KeyError):
        return None


def _of_process() -> Iterator[int]:
    """Bytes up to each limit of this process."""
    try:
        import resource

        taken = _numbers(_ROOT / "proc/self/status")
        limits = (resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")
        for limit, name in limits:
            most, _ = resource.getrlimit(limit)
            if most != resource.RLIM_INFINITY:
                yield most - 1024 * taken[name]
    except (ImportError, OSError, KeyError):
        return


def _numbers(path: Path) -> dict[str, int]:
    """Numbers of a file of the kernel, by the names in front of them."""
    words = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = ((some[0].rstrip(":"), some[1]) for some in words if len(some) > 1)
    return {name: int(number) for name, number in pairs if number.isdecimal()}
