"""Odd files, through the command: one clear line, or handled right; nothing half written."""

import errno
import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands import command, complaint
from drawn import oblique_affine, some_image, some_labels

from medseg import read_image, read_labels, write
from medseg.info import info
from medseg.io import replace_file
from medseg.volume import Image

Capture = pytest.CaptureFixture[str]
SHAPE = (6, 7, 8)


def two_parts() -> np.ndarray:
    """Dark and bright, so that otsu has something to do."""
    array = np.zeros(SHAPE, np.float32)
    array[3:] = 100
    return array


def stored(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    image = nib.Nifti1Image(array, oblique_affine() if affine is None else affine)
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def patched(path: Path, kind: str, offset: int, *values: float) -> Path:
    """Write numbers over those of the header of an uncompressed file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(kind, content, offset, *values)
    path.write_bytes(content)
    return path


def segmented(capsys: Capture, file: Path, *options: object) -> np.ndarray:
    """Labels that otsu finds in a file."""
    output = file.parent / "out" / "labels.nii.gz"
    code, _, err = command(capsys, "segment", file, "-m", "otsu", "-o", output, *options)
    assert code == 0, err
    return read_labels(output).array


def refusal(capsys: Capture, file: Path, *options: object) -> str:
    """What segment and info say of a file, which leave nothing behind."""
    before = sorted(file.parent.rglob("*"))
    output = file.parent / "out" / "labels.nii.gz"
    said = complaint(capsys, "segment", file, "-m", "otsu", "-o", output, *options)
    assert not [path for path in output.parent.rglob("*") if path.is_file()]
    assert [path for path in sorted(file.parent.rglob("*")) if path != output.parent] == before
    return said


# Damaged


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-30] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _text(file: Path) -> None:
    file.write_text("T1 of the patient of yesterday\n" * 30)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("i.nii.gz", _truncated, "truncated or damaged"),
        ("i.nii", _truncated, "is truncated: its header speaks of"),
        ("i.nii.gz", _flipped, "truncated or damaged"),
        ("i.nii.gz", _empty, "is no NIfTI image"),
        ("i.nii", _empty, "is no NIfTI image"),
        ("i.nii.gz", _text, "is no NIfTI image"),
        ("i.nii", _text, "is no NIfTI image"),
        ("i.nrrd", _truncated, "truncated"),
        ("i.nrrd", _flipped, "truncated or damaged"),
        ("i.nrrd", _empty, "is no NRRD file"),
        ("i.nrrd", _text, "is no NRRD file"),
        ("i.mha", _truncated, "truncated"),
        ("i.mha", _flipped, "truncated or damaged"),
        ("i.mha", _empty, "is no MetaImage file"),
        ("i.mha", _text, "is no MetaImage file"),
        ("i.tif", _truncated, "is damaged"),
        ("i.tif", _empty, "is no picture"),
        ("i.tif", _text, "is no picture"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, capsys: Capture, name: str, damage: Callable[[Path], None], message: str
) -> None:
    file = tmp_path / name
    write(some_image(SHAPE), file)
    damage(file)
    said = refusal(capsys, file)
    assert message in said
    assert str(file) in said
    assert message in complaint(capsys, "info", file)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "i.nii.gz").mkdir()
    assert "holds no image that medseg reads" in refusal(capsys, tmp_path / "i.nii.gz")
    assert "is a folder" in complaint(capsys, "convert", tmp_path / "i.nii.gz", tmp_path / "o.nii")


def test_no_permission_is_said(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = stored(tmp_path / "i.nii", two_parts())

    def denied(path: Path) -> bytes:  # root may read everything, so permissions can't be taken
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refusal(capsys, file) == f"medseg: {file}: permission denied\n"


# Where it is


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([1.0, 2, 0, 1]), "voxel size of 0 mm"),
        (np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "collapses an axis"),
        (np.diag([1.0, np.nan, 3, 1]), "no numbers"),
        (np.diag([1.0, np.inf, 3, 1]), "no numbers"),
    ],
    ids=["zero spacing", "singular", "nan", "infinite"],
)
def test_an_affine_that_is_none_is_refused(
    tmp_path: Path, capsys: Capture, affine: np.ndarray, message: str
) -> None:
    file = patched(stored(tmp_path / "i.nii", two_parts()), "<12f", 280, *affine[:3].ravel())
    patched(file, "<2h", 252, 0, 1)  # the sform alone
    assert message in refusal(capsys, file)


def test_spacing_of_zero_without_an_sform_is_refused(tmp_path: Path, capsys: Capture) -> None:
    file = patched(stored(tmp_path / "i.nii", two_parts()), "<2h", 252, 1, 0)  # the qform alone
    patched(file, "<3f", 80, 1, 0, 1)  # pixdim
    assert "0 mm" in refusal(capsys, file)


def test_a_code_that_nifti_does_not_have_is_refused(tmp_path: Path, capsys: Capture) -> None:
    file = patched(stored(tmp_path / "i.nii", two_parts()), "<h", 254, 77)
    assert "sform and qform codes (77, 0), expected 0 to 5" in refusal(capsys, file)


def test_what_nibabel_mends_is_said_by_info_and_by_nothing_else(tmp_path: Path) -> None:
    file = patched(stored(tmp_path / "i.nii", two_parts()), "<f", 80, -1)
    main = "import medseg.cli; medseg.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", main, "info", str(file)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "in its header, pixdim[1,2,3] should be positive" in done.stdout
    healthy = stored(tmp_path / "j.nii", two_parts())
    assert not [line for line in info(healthy).odd if "header" in line]


def test_of_two_forms_the_sform_counts_and_info_says_so(tmp_path: Path, capsys: Capture) -> None:
    image = nib.Nifti1Image(two_parts(), np.diag([2.0, 2, 2, 1]))
    image.set_sform(np.diag([2.0, 2, 2, 1]), 1)
    image.set_qform(np.diag([3.0, 3, 3, 1]), 1)
    (tmp_path / "i.nii").write_bytes(image.to_bytes())
    assert read_image(tmp_path / "i.nii").grid.spacing == (2, 2, 2)
    _, out, _ = command(capsys, "info", tmp_path / "i.nii")
    assert "sform and qform disagree" in out
    assert "the sform counts" in out
    stored(tmp_path / "j.nii", two_parts())
    assert "disagree" not in command(capsys, "info", tmp_path / "j.nii")[1]


# What it holds


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_or_replaced(
    tmp_path: Path, capsys: Capture, odd: float
) -> None:
    array = two_parts()
    array[0, 0, 0] = odd
    file = stored(tmp_path / "i.nii.gz", array)
    assert "1 voxels are NaN or infinite" in refusal(capsys, file)
    assert "1 voxels are NaN or infinite" in info(file).odd[-1]  # type: ignore[union-attr]
    np.testing.assert_array_equal(segmented(capsys, file, "--nan", 0), two_parts() > 0)


@pytest.mark.parametrize(("value", "said"), [(0, "0 everywhere"), (7.5, "7.5 everywhere")])
def test_a_constant_image_is_refused_by_a_method_and_info_says_so(
    tmp_path: Path, capsys: Capture, value: float, said: str
) -> None:
    file = stored(tmp_path / "i.nii", np.full(SHAPE, value, np.float32))
    assert "otsu" in refusal(capsys, file)
    assert said in command(capsys, "info", file)[1]


def test_one_voxel_is_read_and_said(tmp_path: Path, capsys: Capture) -> None:
    file = stored(tmp_path / "i.nii", np.full((1, 1, 1), 7, np.float32))
    assert read_image(file).array.shape == (1, 1, 1, 1)
    assert "single voxel" in command(capsys, "info", file)[1]
    assert "otsu" in refusal(capsys, file)


@pytest.mark.parametrize("sizes", [(32767, 32767, 32767), (32767, 32767, 1), (-4, 5, 6), (0, 5, 6)])
@pytest.mark.parametrize("name", ["i.nii", "i.nii.gz"])
def test_sizes_that_the_file_does_not_have_take_no_memory(
    tmp_path: Path, capsys: Capture, name: str, sizes: tuple[int, ...]
) -> None:
    file = patched(stored(tmp_path / "plain.nii", two_parts()), "<3h", 42, *sizes)
    content = file.read_bytes()
    file.unlink()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert str(tmp_path / name) in refusal(capsys, tmp_path / name)


def test_a_series_over_time_is_refused_by_a_method_of_one_channel(
    tmp_path: Path, capsys: Capture
) -> None:
    file = stored(tmp_path / "i.nii", np.stack([two_parts()] * 20, axis=-1))
    assert "one channel" in refusal(capsys, file)
    said = command(capsys, "info", file)[1]
    assert "20 channels" in said
    assert "channel 1 is the same as channel 0" in said
    assert "is it a series over time?" in said


def test_five_axes_are_refused(tmp_path: Path, capsys: Capture) -> None:
    file = stored(tmp_path / "i.nii", np.zeros((4, 5, 6, 2, 3), np.uint8))
    assert "a volume has 3 axes and perhaps channels" in refusal(capsys, file)


def test_complex_numbers_are_refused(tmp_path: Path, capsys: Capture) -> None:
    file = stored(tmp_path / "i.nii", two_parts().astype(np.complex64))
    assert "take the magnitude" in refusal(capsys, file)
    assert "take the magnitude" in complaint(capsys, "info", file)


def test_colours_are_three_channels(tmp_path: Path, capsys: Capture) -> None:
    array = np.zeros(SHAPE, np.dtype([(letter, np.uint8) for letter in "RGB"]))
    array["G"] = 9
    file = stored(tmp_path / "i.nii", array)
    assert read_image(file).array[:, 0, 0, 0].tolist() == [0, 9, 0]
    assert ", 3 channels" in command(capsys, "info", file)[1]
    code, _, _ = command(capsys, "convert", file, tmp_path / "o.nrrd")
    assert code == 0
    assert read_image(tmp_path / "o.nrrd").channels == 3


# Labels


def evaluated(capsys: Capture, file: Path, other: Path | None = None) -> tuple[int, str, str]:
    return command(capsys, "evaluate", file, other or file, "--metric", "dice")


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float32, ">i4", np.uint16])
def test_whole_numbers_of_any_type_are_labels(tmp_path: Path, capsys: Capture, dtype: str) -> None:
    labels = some_labels().array.astype(dtype)
    endian = ">" if str(dtype).startswith(">") else "<"
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(dtype)
    image = nib.Nifti1Image(labels, oblique_affine(), header, dtype=labels.dtype)
    (tmp_path / "l.nii").write_bytes(image.to_bytes())
    assert read_labels(tmp_path / "l.nii").values() == (1, 2, 3, 4)
    code, out, err = evaluated(capsys, tmp_path / "l.nii")
    assert code == 0, err
    assert "1.000" in out


def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, capsys: Capture) -> None:
    file = stored(tmp_path / "l.nii", some_labels().array + np.float32(0.5))
    assert "fractions; is it an image?" in complaint(capsys, "evaluate", file, file)
    target = tmp_path / "o.nii"
    assert "fractions" in complaint(capsys, "convert", file, target, "--labels")
    assert not target.exists()


def test_negative_labels_are_read_and_said(tmp_path: Path, capsys: Capture) -> None:
    file = stored(tmp_path / "l.nii", (some_labels().array - 2).astype(np.int16))
    assert read_labels(file).values() == (-2, -1, 1, 2)
    assert "labels below 0: -2, -1" in command(capsys, "info", file)[1]


def test_seventy_thousand_labels_are_handled(tmp_path: Path, capsys: Capture) -> None:
    array = np.arange(70_000, dtype=np.int32).reshape(70, 100, 10)
    file = stored(tmp_path / "l.nii.gz", array)
    assert len(read_labels(file).values()) == 69_999
    code, _, _ = command(capsys, "convert", file, tmp_path / "o.mha", "--labels")
    assert code == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "o.mha").array, array)
    assert command(capsys, "info", file)[0] == 0


# Names and places


@pytest.mark.parametrize("name", ["Kopf von Müller", "頭部 1", "a'b\"c", "-v", "[x]*?", "a.b.c"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".NII", ".Nii.GZ", ".NRRD"])
def test_any_name_and_upper_case_are_names(
    tmp_path: Path, capsys: Capture, name: str, suffix: str
) -> None:
    file = tmp_path / "in" / f"{name}{suffix}"
    write(Image(two_parts()[None], some_image(SHAPE).grid), file)
    code, _, err = command(capsys, "segment", file.parent, "-m", "otsu", "-o", tmp_path / "out")
    assert code == 0, err
    assert read_labels(tmp_path / "out" / f"{name}.nii.gz").values() == (1,)


def test_links_are_followed_and_those_to_nowhere_are_said(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.nii").symlink_to(stored(tmp_path / "real.nii", two_parts()))
    np.testing.assert_array_equal(segmented(capsys, folder / "link.nii"), two_parts() > 0)
    (folder / "lost.nii").symlink_to(tmp_path / "nowhere.nii")
    output = tmp_path / "results"
    code, _, err = command(capsys, "segment", folder, "-m", "otsu", "-o", output, "-q")
    assert code == 3
    assert "lost.nii does not exist" in err
    assert sorted(path.name for path in output.iterdir()) == ["failures.csv", "link.nii.gz"]


def test_a_link_in_place_of_the_output_is_replaced_not_followed(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "o.nii").symlink_to(tmp_path / "precious")
    file = stored(tmp_path / "i.nii", two_parts())
    assert command(capsys, "convert", file, tmp_path / "o.nii", "--overwrite")[0] == 0
    assert (tmp_path / "precious").read_text() == "kept"


def test_two_files_for_one_case_are_refused(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.nii", "a.nii.gz"):
        stored(folder / name, two_parts())
    said = complaint(capsys, "segment", folder, "-m", "otsu", "-o", tmp_path / "out")
    assert "a.nii.gz are two files for one case" in said


def test_two_label_maps_for_one_case_are_refused(tmp_path: Path, capsys: Capture) -> None:
    for place in ("images/a.nii", "labels/a.nii", "labels/a.nrrd"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        write(some_labels(), tmp_path / place)
    assert "are two files for one case" in complaint(capsys, "info", tmp_path)


def test_a_pair_of_files_is_one_case(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    nib.save(nib.Nifti1Pair(two_parts(), oblique_affine()), folder / "a.img")
    code, _, err = command(capsys, "segment", folder, "-m", "otsu", "-o", tmp_path / "out")
    assert code == 0, err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii.gz"]


# Writing


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "read-only file system")]
)
@pytest.mark.parametrize("name", ["o.nii.gz", "o.mha", "o.nrrd", "o.tif"])
def test_a_full_or_read_only_disk_leaves_nothing_behind(
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: int,
    said: str,
) -> None:
    file = stored(tmp_path / "i.nii", two_parts())

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as opened:
            opened.write(content[: len(content) // 2])
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    message = complaint(capsys, "convert", file, tmp_path / name)
    assert said in message.lower()
    assert [path.name for path in tmp_path.iterdir()] == ["i.nii"]


def test_what_was_there_survives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file(tmp_path / "o.txt", "before")

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "o.txt", "after")
    assert (tmp_path / "o.txt").read_text() == "before"
