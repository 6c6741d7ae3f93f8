"""Figures of labels: by hand, then as a table of many cases."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balls import write_balls
from commands import command, complaint

from medseg import Grid, Image, Labels, label_statistics, read_image, read_labels, reorient

SPACING = (1.0, 2.0, 3.0)


def drawn(spacing: Any = SPACING) -> tuple[Image, Labels]:
    """Label 2 in a box of 2 x 3 x 1 voxels of intensities 1 to 6, label 7 in a corner."""
    labels, image = np.zeros((6, 7, 8), np.uint8), np.zeros((2, 6, 7, 8))
    labels[2:4, 1:4, 5] = 2
    image[0, 2:4, 1:4, 5] = [[1, 2, 3], [4, 5, 9]]
    image[1] = 10
    labels[0, 6, 7] = 7
    grid = Grid.from_spacing(labels.shape, spacing)
    return Image(image, grid), Labels(labels, grid, {2: "box", 4: "nowhere"})


def test_a_box_by_hand() -> None:
    box = label_statistics(*drawn())[0]
    assert (box.label, box.name, box.voxels) == (2, "box", 6)
    assert (box.size, box.unit) == (pytest.approx(6 * 6 / 1000), "ml")
    assert not box.border
    assert (box.low, box.high) == ((2, 1, 5), (3, 3, 5))
    assert (box.low_mm, box.high_mm) == ((1.5, 1.0, 13.5), (3.5, 7.0, 16.5))
    assert box.mean == (4.0, 10.0)
    assert box.median == (3.5, 10.0)


def test_a_label_that_is_named_and_does_not_occur_has_no_voxels() -> None:
    found = label_statistics(*drawn())
    assert [(each.label, each.voxels) for each in found] == [(2, 6), (4, 0), (7, 1)]
    assert (found[1].name, found[1].low, found[1].mean) == ("nowhere", (), ())


def test_a_single_voxel_in_a_corner_touches_the_border() -> None:
    corner = label_statistics(*drawn())[2]
    assert corner.border
    assert corner.low == corner.high == (0, 6, 7)
    assert corner.median == corner.mean == (0.0, 10.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_each_face_is_a_border(axis: int, end: int) -> None:
    array = np.zeros((5, 5, 5), np.uint8)
    array[2, 2, 2] = 1
    array[tuple(end if k == axis else 2 for k in range(3))] = 3
    grid = Grid.from_spacing(array.shape)
    found = label_statistics(Image(array[None], grid), Labels(array, grid))
    assert [each.border for each in found] == [False, True]


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1)])
def test_a_slice_touches_the_border_at_its_edges_alone(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.uint8)
    array[2, 3] = 1
    grid = Grid.from_spacing(shape, 5.0)
    (found,) = label_statistics(Image(array[None], grid), Labels(array, grid))
    assert not found.border
    size, unit = (0.25, "cm2") if len(shape) == 2 else (0.125, "ml")
    assert (found.size, found.unit) == (pytest.approx(size), unit)


@pytest.mark.parametrize("way", ["RAS", "LPI", "SRA", "AIL"])
def test_the_box_in_the_world_is_the_same_however_it_is_stored(way: str) -> None:
    image, labels = drawn()
    stored = label_statistics(reorient(image, way), reorient(labels, way))
    for found, wanted in zip(stored, label_statistics(image, labels), strict=True):
        assert found.low_mm == pytest.approx(wanted.low_mm)
        assert found.high_mm == pytest.approx(wanted.high_mm)
        assert (found.size, found.border, found.median) == (
            wanted.size,
            wanted.border,
            wanted.median,
        )


def test_labels_of_any_value_and_order_in_memory() -> None:
    array = np.zeros((4, 5, 6), np.int64, order="F")
    array[1, 2, 3], array[2:, 4, 5] = -7, 2**40
    grid = Grid.from_spacing(array.shape)
    image = Image(np.asfortranarray(np.arange(120.0).reshape(1, 4, 5, 6)), grid)
    found = label_statistics(image, Labels(array, grid))
    assert [(each.label, each.voxels) for each in found] == [(-7, 1), (2**40, 2)]
    assert found[0].mean == (45.0,)


def test_nothing_gives_nothing_and_another_grid_is_refused() -> None:
    image, labels = drawn()
    empty = Labels(np.zeros_like(labels.array), labels.grid)
    assert label_statistics(image, empty) == ()
    with pytest.raises(ValueError, match="the label map lies on another grid"):
        label_statistics(image, drawn(2.0)[1])


# As a table


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_balls(tmp_path / "data", 3) / "images"


def segmented(tmp_path: Path, *more: object) -> tuple[object, ...]:
    table = ("--statistics", tmp_path / "s.csv")
    return (
        "segment",
        tmp_path / "data/images",
        "-o",
        tmp_path / "out",
        "-m",
        "otsu",
        *table,
        *more,
    )


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_says_what_the_figures_are(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, *segmented(tmp_path))[0] == 0
    found = rows(tmp_path / "s.csv")
    assert [row["case"] for row in found] == ["ball_0", "ball_1", "ball_2"]
    for row in found:
        labels = read_labels(tmp_path / "out" / f"{row['case']}.nii.gz")
        (wanted,) = label_statistics(read_image(images / f"{row['case']}.nii.gz"), labels)
        assert int(row["voxels"]) == wanted.voxels
        assert float(row["volume_ml"]) == pytest.approx(wanted.size, rel=1e-5)
        assert tuple(int(row[f"high_{axis}"]) for axis in "ijk") == wanted.high
        assert tuple(float(row[f"low_{axis}_mm"]) for axis in "xyz") == wanted.low_mm
        assert float(row["median_0"]) == pytest.approx(wanted.median[0], rel=1e-5)
        assert row["touches_border"] == "no"


def test_cases_that_are_done_keep_their_lines(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, *segmented(tmp_path))[0] == 0
    whole = (tmp_path / "s.csv").read_text()
    (tmp_path / "out" / "ball_1.nii.gz").unlink()
    (images / "ball_0.nii.gz").write_bytes(b"")  # which is not needed once more
    assert command(capsys, *segmented(tmp_path, "--skip-existing"))[0] == 0
    assert (tmp_path / "s.csv").read_text() == whole


def test_lines_that_are_missing_come_from_the_files(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(capsys, *segmented(tmp_path))[0] == 0
    whole = (tmp_path / "s.csv").read_text()
    (tmp_path / "s.csv").unlink()
    assert command(capsys, *segmented(tmp_path, "--skip-existing"))[0] == 0
    assert (tmp_path / "s.csv").read_text() == whole


def test_shards_write_a_table_each(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("0/2", "1/2"):
        assert command(capsys, *segmented(tmp_path, "--shard", part))[0] == 0
    cases = [[row["case"] for row in rows(tmp_path / f"s_{k}_of_2.csv")] for k in range(2)]
    assert cases == [["ball_0", "ball_2"], ["ball_1"]]


def test_tables_are_not_lost_by_accident(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.csv").write_text("mine,all\n1,2\n")
    assert "s.csv exists already" in complaint(capsys, *segmented(tmp_path))
    refused = complaint(capsys, *segmented(tmp_path, "--skip-existing"))
    assert "s.csv is no table of statistics" in refused
    assert not (tmp_path / "out").exists()
    assert command(capsys, *segmented(tmp_path, "--overwrite"))[0] == 0
    assert len(rows(tmp_path / "s.csv")) == 3


def test_a_table_is_a_csv_file(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("segment", images, "-o", tmp_path / "out", "-m", "otsu", "--statistics", "s.txt")
    assert "statistics are written as .csv, got s.txt" in complaint(capsys, *given)


# Cases that failed


def test_failures_are_listed_and_gone_once_they_are_mended(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (images / "ball_1.nii.gz").read_bytes()
    (images / "ball_1.nii.gz").write_bytes(whole[:-30])
    assert command(capsys, *segmented(tmp_path))[0] == 3
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert failure["case"] == "ball_1"
    assert "ball_1.nii.gz" in failure["what happened"]
    assert [row["case"] for row in rows(tmp_path / "s.csv")] == ["ball_0", "ball_2"]
    (images / "ball_1.nii.gz").write_bytes(whole)
    assert command(capsys, *segmented(tmp_path, "--skip-existing"))[0] == 0
    assert not (tmp_path / "out" / "failures.csv").exists()
    assert len(rows(tmp_path / "s.csv")) == 3


def test_a_folder_of_results_with_failures_is_still_evaluated(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write = (images / "ball_1.nii.gz").write_bytes
    write(b"none")
    assert command(capsys, *segmented(tmp_path, "--shard", "0/1"))[0] == 3
    assert (tmp_path / "out" / "failures_0_of_1.csv").is_file()
    (tmp_path / "data" / "labels" / "ball_1.nii.gz").unlink()
    assert command(capsys, "evaluate", tmp_path / "out", tmp_path / "data/labels")[0] == 0


def test_cases_that_can_not_be_scored_are_listed(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "data" / "labels"
    broken = shutil.copytree(labels, tmp_path / "predicted") / "ball_2.nii.gz"
    broken.write_bytes(b"none")
    given = ("evaluate", tmp_path / "predicted", labels, "-o", tmp_path / "scores")
    assert command(capsys, *given)[0] == 3
    assert [row["case"] for row in rows(tmp_path / "scores" / "failures.csv")] == ["ball_2"]
