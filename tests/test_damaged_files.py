"""Damaged files are refused by name, never read in part."""

import struct
from pathlib import Path

import pytest
from drawn import some_image, some_labels
from hypothesis import given, settings
from hypothesis import strategies as st

from medseg.io import read_image, read_labels, write

SUFFIXES = [".nii", ".nii.gz"]


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.nii does not exist"):
        read_image(tmp_path / "gone.nii")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder, expected an image file"):
        read_image(tmp_path)


def test_another_kind_of_file_is_refused_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"table\.csv is no image that medseg reads.*\.nii\.gz"):
        read_image(tmp_path / "table.csv")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"a scan, but in words\n" * 40])
def test_a_file_that_is_no_nifti_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    file = tmp_path / f"image{suffix}"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"image\{suffix} is (no NIfTI image|truncated)"):
        read_image(file)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    file = tmp_path / f"image{suffix}"
    write(some_image((12, 12, 12)), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"image.* is (truncated|no NIfTI image)"):
        read_image(file)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path: Path, bit: int) -> None:
    file = tmp_path / "image.nii.gz"
    write(some_image((8, 8, 8)), file)
    content = file.read_bytes()
    # The first ten bytes are flags and a time; flipping those changes no voxel.
    for place in range(10, len(content), 61):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"image\.nii\.gz is truncated or damaged"):
            read_image(file)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(offset=st.integers(0, 351), value=st.integers(0, 255))
def test_a_damaged_header_is_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, offset: int, value: int
) -> None:
    content = bytearray(some_labels().to_nibabel().to_bytes())
    content[offset] = value
    file = tmp_path_factory.getbasetemp() / "damaged.nii"
    file.write_bytes(content)
    for read in (read_image, read_labels):
        try:
            assert read(file).array.size > 0
        except ValueError as error:
            assert "damaged.nii" in str(error)  # noqa: PT017


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path: Path) -> None:
    content = bytearray(some_labels().to_nibabel().to_bytes())
    struct.pack_into("<4h", content, 40, 3, 32767, 32767, 32767)
    (tmp_path / "huge.nii").write_bytes(content)
    with pytest.raises(ValueError, match=r"huge\.nii is truncated: its header speaks of"):
        read_image(tmp_path / "huge.nii")
