"""What `info` and `convert` say and do, in Python and on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from balls import write_balls
from commands import command, complaint
from dicoms import write_series
from drawn import some_image, some_labels
from test_dataset import decathlon

from medseg import Grid, Image, Labels, orientation, read_image, read_labels, write
from medseg.info import DatasetInfo, RunInfo, VolumeInfo, info
from medseg.info.volume import looks_like_labels

Capture = pytest.CaptureFixture[str]


def two_boxes() -> Labels:
    """Label 1 with 8 voxels of 6 mm3, label 5 with one."""
    array = np.zeros((9, 9, 9), np.uint8)
    array[1:3, 1:3, 1:3], array[6, 6, 6] = 1, 5
    return Labels(array, Grid.from_spacing(array.shape, (1, 2, 3)))


# Volumes


def test_a_label_map_has_labels_with_volumes(tmp_path: Path) -> None:
    write(two_boxes(), tmp_path / "l.nii.gz")
    found = info(tmp_path / "l.nii.gz")
    assert isinstance(found, VolumeInfo)
    assert [(one.label, one.voxels, one.size, one.unit) for one in found.labels] == [
        (1, 8, 0.048, "ml"),
        (5, 1, 0.006, "ml"),
    ]
    assert (found.shape, found.spacing, found.orientation) == ((9, 9, 9), (1, 2, 3), "RAS")
    assert (found.low, found.high, found.dtype) == (0, 5, "uint8")
    assert "labels of a single voxel: 5" in found.odd
    assert any(line.startswith("it is anisotropic: 3.0 times") for line in found.odd)


def test_an_image_has_a_range_and_no_labels(tmp_path: Path) -> None:
    image = some_image((9, 10, 11), 2)
    write(image, tmp_path / "i.nrrd")
    found = info(tmp_path / "i.nrrd")
    assert isinstance(found, VolumeInfo)
    assert (found.channels, found.labels, found.is_labels) == (2, (), False)
    assert (found.low, found.high) == (image.array.min(), image.array.max())
    assert not [line for line in found.odd if "channel" in line]


def test_areas_are_areas(tmp_path: Path) -> None:
    labels = Labels(two_boxes().array[:, :, 1], Grid.from_spacing((9, 9), 10.0))
    write(labels, tmp_path / "l.png")
    (one,) = info(tmp_path / "l.png").labels  # type: ignore[union-attr]
    assert (one.voxels, one.size, one.unit) == (4, 4.0, "cm2")


def test_names_come_from_the_data_set_around(tmp_path: Path) -> None:
    decathlon(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    names = {int(label): name for label, name in content["labels"].items()}
    found = info(tmp_path / "labelsTr" / "a.nii.gz")
    assert isinstance(found, VolumeInfo)
    assert {one.label: one.name for one in found.labels}.items() <= names.items()
    assert found.labels


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((5, 5), np.uint8), True),
        (np.arange(100).reshape(10, 10) // 5, False),
        (np.repeat(np.arange(100), 10).reshape(1000, 1), True),
        (np.random.default_rng(0).integers(0, 1000, (30, 30)), False),
        (np.random.default_rng(0).normal(size=(5, 5)), False),
        (np.ones((5, 5), np.float32), True),
        (np.full((5, 5), np.inf), False),
    ],
    ids=["zeros", "ramp of pairs", "patches", "noise", "fractions", "whole floats", "infinite"],
)
def test_labels_are_few_or_lie_in_patches(array: np.ndarray, expected: bool) -> None:  # noqa: FBT001
    assert looks_like_labels(array) is expected


def test_a_dicom_folder_is_a_volume(tmp_path: Path) -> None:
    found = info(write_series(tmp_path / "scan", some_image((9, 9, 9))))
    assert isinstance(found, VolumeInfo)
    assert (found.format, found.shape) == ("DICOM series", (9, 9, 9))


def test_all_that_is_no_number_is_counted(tmp_path: Path) -> None:
    import nibabel as nib

    array = np.ones((9, 9, 9), np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "i.nii")
    found = info(tmp_path / "i.nii")
    assert isinstance(found, VolumeInfo)
    assert (found.low, found.high) == (1, 1)
    assert any(line.startswith("3 voxels are NaN") for line in found.odd)


@pytest.mark.parametrize(("voxels", "said"), [(1, "single voxel"), (5, "fewer than 8 voxels")])
def test_what_is_tiny_is_said(tmp_path: Path, voxels: int, said: str) -> None:
    write(Image.from_array(np.ones((voxels,) * 3)), tmp_path / "i.nii")
    assert any(said in line for line in info(tmp_path / "i.nii").odd)  # type: ignore[union-attr]


def test_a_strange_unit_is_said(tmp_path: Path) -> None:
    write(Image.from_array(np.ones((9, 9, 9)), 700.0), tmp_path / "i.nii")
    assert any("unit" in line for line in info(tmp_path / "i.nii").odd)  # type: ignore[union-attr]


# Data sets and runs


def test_a_data_set_has_cases_labels_and_problems(tmp_path: Path) -> None:
    write_balls(tmp_path)
    found = info(tmp_path)
    assert isinstance(found, DatasetInfo)
    assert found.layout == "images/ beside labels/"
    assert found.problems == ()
    assert [share.cases for share in found.labels] == [found.cases] * len(found.labels)
    assert len(found.shapes) == len(found.spacings) == 3
    victim = next((tmp_path / "labels").iterdir())
    victim.write_text("nothing")
    damaged = info(tmp_path)
    assert isinstance(damaged, DatasetInfo)
    assert damaged.cases == found.cases
    assert len(damaged.problems) == 1
    assert victim.name in damaged.problems[0]


def test_a_run_has_its_plan_its_steps_and_its_best_dice(tmp_path: Path) -> None:
    from balls import ball_plan

    from medseg.learning.run import Run

    run = Run(tmp_path / "run")
    ball_plan().save(run.plan)
    run.training.write_text('{"batch": 2}')
    lines = [
        {"step": 5, "seconds": 1.5, "share": 0.1, "loss": 0.9},
        {"step": 10, "seconds": 3.0, "dice": {"mean": 0.75, "1": 0.75}},
        {"step": 20, "seconds": 6.0, "dice": {"mean": 0.5, "1": 0.5}},
    ]
    half = '{"step": 30, "sec'
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines) + half)
    found = info(run.folder)
    assert isinstance(found, RunInfo)
    assert (found.steps, found.seconds, found.best_dice, found.best_step) == (20, 6.0, 0.75, 10)
    assert (found.plan, found.training) == (ball_plan().to_json(), {"batch": 2})
    assert found.weights == ()
    run.log.write_text('{"step": "many"}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl is no log of a training"):
        info(run.folder)


def test_a_run_is_told_in_words(tmp_path: Path, capsys: Capture) -> None:
    from balls import ball_plan

    ball_plan().save(tmp_path / "plan.json")
    code, out, _ = command(capsys, "info", tmp_path)
    assert code == 0
    assert "steps       0 in 0 s" in out
    assert "weights     none yet" in out


def test_what_is_none_of_them_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert "is no data set, DICOM series or run" in complaint(capsys, "info", tmp_path)
    assert "does not exist" in complaint(capsys, "info", tmp_path / "gone.nii")


# The command


def test_info_speaks_json(tmp_path: Path, capsys: Capture) -> None:
    array = np.ones((9, 9, 9), np.float32)
    array[0, 0] = np.nan
    import nibabel as nib

    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "i.nii")
    code, out, _ = command(capsys, "info", tmp_path / "i.nii", "--json")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (code, found["shape"], found["high"]) == (0, [9, 9, 9], 1)
    assert any("NaN" in line for line in found["odd"])


def test_info_of_a_nifti_needs_neither_torch_nor_scipy(tmp_path: Path) -> None:
    import subprocess
    import sys

    write(two_boxes(), tmp_path / "l.nii.gz")
    check = (
        "import sys, medseg.cli\n"
        "try: medseg.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'PIL', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, "info", str(tmp_path / "l.nii.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "label 1     0.048 ml, 8 voxels" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".tif"])
def test_convert_keeps_numbers_and_place(tmp_path: Path, capsys: Capture, suffix: str) -> None:
    image, labels = some_image(), some_labels(high=300)
    write(image, tmp_path / "image.nii.gz")
    write(labels, tmp_path / "labels.nii.gz")
    for name in ("image", "labels"):
        target = tmp_path / "new" / f"{name}{suffix}"
        assert command(capsys, "convert", tmp_path / f"{name}.nii.gz", target)[0] == 0
    back = read_image(tmp_path / "new" / f"image{suffix}")
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid, 1e-4)
    found = read_labels(tmp_path / "new" / f"labels{suffix}")
    np.testing.assert_array_equal(found.array, labels.array)
    assert info(tmp_path / "new" / f"labels{suffix}").dtype == "uint16"  # type: ignore[union-attr]


def test_convert_takes_a_series(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "scans"
    for number in (3, 8):
        image = Image(
            np.round(50 * some_image((4, 5, number)).array), some_image((4, 5, number)).grid
        )
        write_series(folder, image, number=number)
    target = tmp_path / "o.nii.gz"
    assert "holds 2 DICOM series" in complaint(capsys, "convert", folder, target)
    assert command(capsys, "convert", folder, target, "--series", 8)[0] == 0
    np.testing.assert_array_equal(read_image(target).array, image.array)
    assert read_image(target).grid.matches(image.grid, 1e-3)


def test_convert_replaces_nothing_unasked(tmp_path: Path, capsys: Capture) -> None:
    write(some_image(), tmp_path / "i.nii")
    (tmp_path / "o.nii").write_text("old")
    arguments = ("convert", tmp_path / "i.nii", tmp_path / "o.nii")
    assert "exists already" in complaint(capsys, *arguments)
    assert (tmp_path / "o.nii").read_text() == "old"
    assert command(capsys, *arguments, "--overwrite")[0] == 0
    assert read_image(tmp_path / "o.nii").grid.shape == (4, 5, 6)


@pytest.mark.parametrize("name", ["o.gif", "o", "o.mhd", "o.dcm"])
def test_convert_names_what_it_writes(tmp_path: Path, capsys: Capture, name: str) -> None:
    write(some_image(), tmp_path / "i.nii")
    said = complaint(capsys, "convert", tmp_path / "i.nii", tmp_path / name)
    assert "volumes are written as .nii.gz" in said


def test_a_grey_picture_may_become_a_jpeg(tmp_path: Path, capsys: Capture) -> None:
    write(Labels(np.full((16, 16), 90), Grid.from_spacing((16, 16))), tmp_path / "i.png")
    assert command(capsys, "convert", tmp_path / "i.png", tmp_path / "o.jpg")[0] == 0
    assert np.abs(read_image(tmp_path / "o.jpg").array - 90).max() < 3
    arguments = ("convert", tmp_path / "i.png", tmp_path / "p.jpg", "--labels")
    assert "JPEG changes labels" in complaint(capsys, *arguments)


def test_a_picture_is_segmented_into_a_picture(tmp_path: Path, capsys: Capture) -> None:
    array = np.zeros((16, 12))
    array[5:9, 4:8] = 200
    image = Image.from_array(array)
    for name in ("a", "b"):
        write(image, tmp_path / "in" / f"{name}.png")
    output = tmp_path / "out"
    assert command(capsys, "segment", tmp_path / "in", "-m", "otsu", "-o", output)[0] == 0
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png"]
    found = read_labels(output / "a.png")
    np.testing.assert_array_equal(found.array, array > 0)
    assert found.grid.matches(image.grid)


def test_membranes_of_real_slices_are_segmented(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "out.png"
    slice_ = data / "em2012" / "image" / "1.png"
    assert command(capsys, "segment", slice_, "-m", "otsu", "-o", target)[0] == 0
    labels = read_labels(target)
    assert labels.values() == (1,)
    cells = read_labels(data / "em2012" / "label" / "1.png").array == 255
    assert (labels.array[cells] == 1).mean() > (labels.array[~cells] == 1).mean() + 0.3


def test_a_real_dicom_series_is_segmented(data: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = data / "dicom" / "Study1" / "36459-FLAIRreg-76244"
    target = tmp_path / "out.nrrd"
    assert command(capsys, "segment", folder, "-m", "otsu", "-o", target)[0] == 0
    assert read_labels(target).grid.matches(read_image(folder).grid)
    assert orientation(read_labels(target).grid) == "LPS"
