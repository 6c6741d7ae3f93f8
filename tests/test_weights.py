"""Weights on disk: the safetensors format, held against the library of that name."""

from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.learning.weights import load_tensors, save_tensors

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
SHAPES = {"scalar": (), "vector": (5,), "matrix": (3, 4), "empty": (2, 0, 3)}


def some_tensors(dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.manual_seed(0)
    return {
        name: torch.randint(0, 2, shape, generator=generator).to(dtype)
        for name, shape in SHAPES.items()
    }


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_library_reads_what_we_write(tmp_path: Path, dtype: torch.dtype) -> None:
    save_tensors(some_tensors(dtype), tmp_path / "ours", {"step": 3})
    assert_equal(safetensors.torch.load_file(tmp_path / "ours"), some_tensors(dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_we_read_what_the_library_writes(tmp_path: Path, dtype: torch.dtype) -> None:
    safetensors.torch.save_file(some_tensors(dtype), tmp_path / "theirs")
    tensors, facts = load_tensors(tmp_path / "theirs")
    assert_equal(tensors, some_tensors(dtype))
    assert facts == {}


def test_facts_come_back(tmp_path: Path) -> None:
    facts = {"step": 3, "dice": {"núcleo": 0.25}, "precision": "float32"}
    save_tensors({}, tmp_path / "file", facts)
    assert load_tensors(tmp_path / "file") == ({}, facts)


def test_a_view_is_written_as_what_it_shows(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(2, 3, 4)
    views = {"turned": whole.permute(2, 0, 1), "part": whole[:, 1], "flipped": whole.flip(0)}
    save_tensors(views, tmp_path / "file", {})
    assert_equal(load_tensors(tmp_path / "file")[0], views)


def test_what_is_read_may_be_written_to(tmp_path: Path) -> None:
    save_tensors(some_tensors(), tmp_path / "file", {})
    tensors, _ = load_tensors(tmp_path / "file")
    tensors["vector"] += 1
    assert torch.equal(tensors["vector"], some_tensors()["vector"] + 1)
    assert torch.equal(tensors["matrix"], some_tensors()["matrix"])


def test_no_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="file does not exist"):
        load_tensors(tmp_path / "file")


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    save_tensors(some_tensors(), tmp_path / "file", {})
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="file is damaged, or no safetensors file"):
        load_tensors(tmp_path / "file")


@pytest.mark.parametrize(
    "content", [b"weights", b"\xff" * 64, (4).to_bytes(8, "little") + b"null", b"\x80\x04\x95" * 30]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file is damaged, or no safetensors file"):
        load_tensors(tmp_path / "file")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(offset=st.integers(0, 399), value=st.integers(0, 255))
def test_a_damaged_header_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, offset: int, value: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged"
    save_tensors(some_tensors(), file, {"step": 3})
    content = bytearray(file.read_bytes())
    content[offset] = value
    file.write_bytes(content)
    try:
        load_tensors(file)
    except ValueError as error:
        assert "damaged" in str(error)  # noqa: PT017
