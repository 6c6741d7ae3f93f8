"""Devices by name, and what they have to give."""

import os

import pytest
import torch

from medseg.device import available_threads, fast_precision, free_memory, resolve


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
