"""Devices by name, and what they have to give."""

import os
from pathlib import Path

import pytest
import torch

from medseg import device as devices
from medseg.device import (
    available_threads,
    fast_precision,
    free_memory,
    resident_memory,
    resolve,
    zeros_apart,
)


def test_auto_is_cuda_where_there_is_one() -> None:
    assert resolve("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_auto_takes_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve("auto") == torch.device("cuda")


def test_the_cpu_is_always_there() -> None:
    assert resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "mps", "AUTO"])
def test_a_name_of_no_device_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a device is auto, cpu, cuda or cuda:N, got"):
        resolve(name)


def test_a_gpu_beyond_the_last_is_refused_with_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="cuda:1 was asked for, but this machine has 1 CUDA"):
        resolve("cuda:1")


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match="has 0 CUDA devices; use auto or cpu"):
        resolve("cuda")


def test_the_fast_precision_is_one_that_training_takes() -> None:
    assert fast_precision(torch.device("cpu")) in (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, torch.float32),
        ({"cpu_name": "AMD EPYC 9R14", "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"cpu_name": "AMD EPYC 7R13", "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"cpu_name": "Apple M2", "neon": True, "bf16": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_only_where_the_cpu_is_faster_in_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, object], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert fast_precision(torch.device("cpu")) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_only_where_the_gpu_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, *, native: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert fast_precision(torch.device("cuda")) == expected


def test_threads_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert available_threads() == 3


def test_threads_where_a_system_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert available_threads() == os.cpu_count()


def test_some_memory_is_free() -> None:
    assert free_memory(torch.device("cpu")) > 2**20


@pytest.mark.cuda
def test_a_gpu_has_free_memory_and_a_fast_precision() -> None:
    device = resolve("cuda")
    assert free_memory(device) > 2**20
    ones = torch.ones(4, 4, device=device, dtype=fast_precision(device))
    assert (ones @ ones).sum().item() == 64


# Limits


def system(root: Path, **files: str) -> None:
    """Files of a kernel, `/` in their names written as `__`; 9,000 of 10,000 kB are free."""
    given = {"proc__meminfo": "MemTotal: 10000 kB\nMemAvailable: 9000 kB\n", **files}
    for name, text in given.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def free_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(devices, "_ROOT", root)
    return free_memory(torch.device("cpu"))


STAT = "anon 5\ninactive_file 300\nactive_file 200\ntotal_inactive_file 3000\ntotal_active_file 0\n"


def test_without_limits_all_that_is_available_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, proc__self__cgroup="0::/\n")
    assert free_in(tmp_path, monkeypatch) == 9000 * 1024


def test_a_control_group_limits_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, proc__self__cgroup="0::/job/step\n")
    group = tmp_path / "sys/fs/cgroup/job/step"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("70000\n")
    (group / "memory.stat").write_text(STAT)
    assert free_in(tmp_path, monkeypatch) == 9000 * 1024
    (group / "memory.max").write_text("100000\n")
    assert free_in(tmp_path, monkeypatch) == 100_000 - 70_000 + 500  # what is kept of files is free


def test_the_group_around_a_group_limits_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(tmp_path, proc__self__cgroup="0::/job/step\n")
    for folder, most in (("job", 50_000), ("job/step", 100_000)):
        group = tmp_path / "sys/fs/cgroup" / folder
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{most}\n")
        (group / "memory.current").write_text("20000\n")
        (group / "memory.stat").write_text(STAT)
    assert free_in(tmp_path, monkeypatch) == 30_500


@pytest.mark.parametrize("folder", ["memory/job", "memory"])
def test_groups_of_version_1_limit_it_even_where_a_container_hides_their_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    system(tmp_path, proc__self__cgroup="5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
    group = tmp_path / "sys/fs/cgroup" / folder
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("100000\n")
    (group / "memory.usage_in_bytes").write_text("40000\n")
    (group / "memory.stat").write_text(STAT)
    assert free_in(tmp_path, monkeypatch) == 63_000


def test_more_than_the_limit_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(
        tmp_path,
        proc__self__cgroup="0::/\n",
        **{
            "sys__fs__cgroup__memory.max": "1000\n",
            "sys__fs__cgroup__memory.current": "2000\n",
            "sys__fs__cgroup__memory.stat": STAT,
        },
    )
    assert free_in(tmp_path, monkeypatch) == 0


def test_limits_of_the_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    limits = {resource.RLIMIT_DATA: 5_000_000, resource.RLIMIT_AS: resource.RLIM_INFINITY}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which], -1))
    system(tmp_path, proc__self__status="Name:\tx y\nVmSize:\t 4000 kB\nVmData:\t 1000 kB\n")
    assert free_in(tmp_path, monkeypatch) == 5_000_000 - 1000 * 1024
    limits[resource.RLIMIT_AS] = 4_500_000
    assert free_in(tmp_path, monkeypatch) == 4_500_000 - 4000 * 1024


def test_large_zeros_are_zeros_that_can_be_written() -> None:
    shape = 4, 2**22 + 1
    found = zeros_apart(shape, torch.float32, torch.device("cpu"))
    assert found.shape == shape
    assert not found[:, ::4096].any()
    found[-1, -1] = 1
    assert found[-1].sum() == 1


def test_large_zeros_go_back_to_the_system() -> None:
    before = resident_memory()
    some = zeros_apart((2**26,), torch.uint8, torch.device("cpu")).fill_(1)
    held = resident_memory()
    del some
    assert held - before > 2**25
    assert held - resident_memory() > 2**25


def test_zeros_for_which_there_is_no_memory_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("cannot allocate memory")

    monkeypatch.setattr(devices.mmap, "mmap", none)
    with pytest.raises(MemoryError, match="not enough memory for"):
        zeros_apart((2**26,), torch.uint8, torch.device("cpu"))
