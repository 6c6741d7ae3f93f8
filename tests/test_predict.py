"""Segmenting many files with one model, from Python and from the command line."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball, write_balls
from commands import command, complaint
from drawn import oblique_affine

from medseg import Image, Labels, Model, Plan, predict, read_image, read_labels, reorient, write
from medseg.intensity import ZScore
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


def some_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(**changes), "cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return some_model()


@pytest.fixture
def run(tmp_path: Path, model: Model) -> Path:
    """Folder of a run, as training leaves it."""
    return save_run(model, tmp_path / "run")


def save_run(model: Model, folder: Path) -> Path:
    model.plan.save(Run(folder).plan)
    save_tensors(model.network.state_dict(), Run(folder).last, {"step": 1})
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder of three images, stored in other ways."""
    for seed, way in enumerate(("RAS", "PSR", "LAI")):
        image = reorient(draw_ball(seed, affine=oblique_affine())[0], way)
        write(image, tmp_path / "images" / f"ball_{seed}.nii.gz")
    return tmp_path / "images"


def break_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def found_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


ALL = ["ball_0.nii.gz", "ball_1.nii.gz", "ball_2.nii.gz"]


# From Python


def test_one_file_gives_one_file(model: Model, images: Path, tmp_path: Path) -> None:
    outcome = predict(model, images / "ball_1.nii.gz", tmp_path / "new" / "out.nii")
    assert outcome.done == ("ball_1",)
    assert found_in(tmp_path / "new") == ["out.nii"]


def test_a_folder_gives_a_folder(model: Model, images: Path, tmp_path: Path) -> None:
    outcome = predict(model, images, tmp_path / "out")
    assert outcome.done == ("ball_0", "ball_1", "ball_2")
    assert found_in(tmp_path / "out") == ALL


def test_files_hold_what_the_model_says(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, images, tmp_path / "out")
    for name in ALL:
        wanted = model.segment(read_image(images / name))
        np.testing.assert_array_equal(read_labels(tmp_path / "out" / name).array, wanted.array)


def test_geometry_and_dtype_are_those_of_the_image(
    model: Model, images: Path, tmp_path: Path
) -> None:
    predict(model, images, tmp_path / "out", probabilities=True)
    for name in ALL:
        image, labels = nib.load(images / name), nib.load(tmp_path / "out" / name)
        stem = name.removesuffix(".nii.gz")
        probabilities = nib.load(tmp_path / "out" / f"{stem}_probabilities.nii.gz")
        for volume in (labels, probabilities):
            np.testing.assert_array_equal(volume.affine, image.affine)
            assert volume.shape[:3] == image.shape
            assert volume.header["sform_code"] == image.header["sform_code"]
        assert labels.get_data_dtype() == np.uint8


def test_a_data_set_is_segmented_inside_its_masks(model: Model, tmp_path: Path) -> None:
    folder = write_balls(tmp_path / "data", 2)
    for seed in range(2):
        labels = draw_ball(seed)[1]
        write(labels, folder / "masks" / f"ball_{seed}.nii.gz")
    predict(model, folder, tmp_path / "out")
    for seed in range(2):
        found = read_labels(tmp_path / "out" / f"ball_{seed}.nii.gz")
        mask = draw_ball(seed)[1].array > 0
        assert not found.array[~mask].any()
        assert found.array[mask].any()


def test_several_channels_come_from_numbered_files(tmp_path: Path) -> None:
    model = some_model(channels=("T1", "T2"), normalisations=(ZScore(), ZScore()))
    for channel in range(2):
        write(draw_ball(channel)[0], tmp_path / "images" / f"x_000{channel}.nii.gz")
    outcome = predict(model, tmp_path / "images", tmp_path / "out")
    assert outcome.done == ("x",)
    both = read_image([tmp_path / "images" / f"x_000{k}.nii.gz" for k in range(2)])
    found = read_labels(tmp_path / "out" / "x.nii.gz")
    np.testing.assert_array_equal(found.array, model.segment(both).array)


# Probabilities


def test_probabilities_are_uint16_with_a_slope(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, images / "ball_1.nii.gz", tmp_path / "out", probabilities=True)
    file = nib.load(tmp_path / "out" / "ball_1_probabilities.nii.gz")
    assert file.get_data_dtype() == np.uint16
    assert file.dataobj.slope == pytest.approx(1 / 65535)
    assert file.dataobj.inter == 0
    assert file.shape == (*nib.load(images / "ball_1.nii.gz").shape, 3)


def test_probabilities_are_those_of_the_model_and_sum_to_one(
    model: Model, images: Path, tmp_path: Path
) -> None:
    predict(model, images, tmp_path / "out", probabilities=True)
    for name in ("ball_0", "ball_1", "ball_2"):
        found = read_image(tmp_path / "out" / f"{name}_probabilities.nii.gz").array
        wanted = model.probabilities(read_image(images / f"{name}.nii.gz")).array
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=3e-5)


def test_labels_beside_probabilities_are_the_same_as_without(
    model: Model, images: Path, tmp_path: Path
) -> None:
    predict(model, images, tmp_path / "with", probabilities=True)
    predict(model, images, tmp_path / "without")
    for name in ALL:
        first, second = (read_labels(tmp_path / way / name) for way in ("with", "without"))
        np.testing.assert_array_equal(first.array, second.array)


def test_probabilities_of_a_file_lie_beside_it(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, images / "ball_0.nii.gz", tmp_path / "a" / "x.nii", probabilities=True)
    assert found_in(tmp_path / "a") == ["x.nii", "x_probabilities.nii.gz"]


# What exists already


def test_what_exists_is_refused_before_any_work(model: Model, images: Path, tmp_path: Path) -> None:
    write(draw_ball(9)[1], tmp_path / "out" / "ball_2.nii.gz")
    before = (tmp_path / "out" / "ball_2.nii.gz").read_bytes()
    with pytest.raises(FileExistsError, match=r"ball_2\.nii\.gz exists already"):
        predict(model, images, tmp_path / "out")
    assert found_in(tmp_path / "out") == ["ball_2.nii.gz"]
    assert (tmp_path / "out" / "ball_2.nii.gz").read_bytes() == before


def test_probabilities_that_exist_are_refused_too(
    model: Model, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out" / "ball_2_probabilities.nii.gz"
    write(draw_ball(9)[1], file)
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match=r"ball_2_probabilities\.nii\.gz exists already"):
        predict(model, images, tmp_path / "out", probabilities=True)
    assert file.read_bytes() == before


def test_probabilities_never_take_the_place_of_an_input(
    model: Model, images: Path, tmp_path: Path
) -> None:
    write(draw_ball(3)[0], tmp_path / "x_probabilities.nii.gz")
    with pytest.raises(ValueError, match=r"x_probabilities\.nii\.gz is an input"):
        predict(
            model,
            tmp_path / "x_probabilities.nii.gz",
            tmp_path / "x.nii.gz",
            probabilities=True,
            existing="overwrite",
        )


def test_what_exists_may_be_skipped(model: Model, images: Path, tmp_path: Path) -> None:
    write(draw_ball(9)[1], tmp_path / "out" / "ball_2.nii.gz")
    before = (tmp_path / "out" / "ball_2.nii.gz").read_bytes()
    outcome = predict(model, images, tmp_path / "out", existing="skip")
    assert (outcome.done, outcome.skipped) == (("ball_0", "ball_1"), ("ball_2",))
    assert (tmp_path / "out" / "ball_2.nii.gz").read_bytes() == before


def test_what_exists_may_be_overwritten(model: Model, images: Path, tmp_path: Path) -> None:
    write(draw_ball(9)[1], tmp_path / "out" / "ball_2.nii.gz")
    predict(model, images, tmp_path / "out", existing="overwrite")
    wanted = model.segment(read_image(images / "ball_2.nii.gz"))
    found = read_labels(tmp_path / "out" / "ball_2.nii.gz")
    np.testing.assert_array_equal(found.array, wanted.array)


def test_shards_share_the_cases(model: Model, images: Path, tmp_path: Path) -> None:
    done = [predict(model, images, tmp_path / "out", shard=(k, 2)).done for k in range(2)]
    assert done == [("ball_0", "ball_2"), ("ball_1",)]


# What goes wrong


def test_one_bad_case_stops_no_other(model: Model, images: Path, tmp_path: Path) -> None:
    break_file(images / "ball_1.nii.gz")
    outcome = predict(model, images, tmp_path / "out")
    assert outcome.done == ("ball_0", "ball_2")
    assert "truncated or damaged" in outcome.failed["ball_1"]
    assert found_in(tmp_path / "out") == ["ball_0.nii.gz", "ball_2.nii.gz"]


def test_the_error_of_an_only_case_is_raised(model: Model, images: Path, tmp_path: Path) -> None:
    break_file(images / "ball_1.nii.gz")
    with pytest.raises(ValueError, match=r"ball_1\.nii\.gz is truncated or damaged"):
        predict(model, images / "ball_1.nii.gz", tmp_path / "out")
    assert found_in(tmp_path / "out") == []


def test_nan_is_refused_or_replaced(model: Model, tmp_path: Path) -> None:
    array = draw_ball(0)[0].array[0].copy()
    array[2, 3, 4] = np.nan
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "x.nii.gz")
    with pytest.raises(ValueError, match="1 voxels are NaN or infinite"):
        predict(model, tmp_path / "x.nii.gz", tmp_path / "out")
    assert predict(model, tmp_path / "x.nii.gz", tmp_path / "out", nan=0).done == ("x",)


# The command


def test_the_command_segments_a_folder(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(capsys, "predict", run, images, "-o", tmp_path / "out")
    assert (code, out) == (0, "")
    assert "3 done" in err
    assert found_in(tmp_path / "out") == ALL


def test_the_command_gives_what_python_gives(
    run: Path, model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", run, images, "-o", tmp_path / "out", "--probabilities", "--quiet")
    assert command(capsys, *given) == (0, "", "")
    predict(model, images, tmp_path / "python", probabilities=True)
    assert len(found_in(tmp_path / "out")) == 6
    for name in found_in(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "python" / name).read_bytes()


def test_the_command_takes_settings_of_the_model(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", run, images / "ball_0.nii.gz", "-o", tmp_path / "x.nii.gz")
    assert command(capsys, *given, "--set", "overlap=0", "--set", "weights=last")[0] == 0
    wanted = Model.load(run, "cpu", overlap=0).segment(read_image(images / "ball_0.nii.gz"))
    np.testing.assert_array_equal(read_labels(tmp_path / "x.nii.gz").array, wanted.array)


def test_one_bad_case_among_three_gives_exit_code_3_and_the_others(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_file(images / "ball_1.nii.gz")
    code, out, err = command(capsys, "predict", run, images, "-o", tmp_path / "out", "--quiet")
    assert (code, out) == (3, "")
    assert err.startswith("ball_1 failed: ")
    assert err.count("\n") == 1
    assert found_in(tmp_path / "out") == ["ball_0.nii.gz", "ball_2.nii.gz", "failures.csv"]


def test_what_exists_is_refused_skipped_or_overwritten(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", run, images, "-o", tmp_path / "out")
    assert command(capsys, *given)[0] == 0
    assert "go on with --skip-existing, replace with --overwrite" in complaint(capsys, *given)
    assert "3 skipped" in command(capsys, *given, "--skip-existing")[2]
    assert "3 done" in command(capsys, *given, "--overwrite")[2]


def two_channels(tmp_path: Path) -> Path:
    array = np.repeat(draw_ball(0)[0].array, 2, axis=0)
    write(Image(array, draw_ball(0)[0].grid), tmp_path / "two.nii.gz")
    return tmp_path / "two.nii.gz"


def test_wrong_channels_are_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", run, two_channels(tmp_path), "-o", tmp_path / "out")
    assert "is a series of 2 volumes, expected 1 channels" in complaint(capsys, *given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "overlap=1"), "overlap is a share in [0, 1), got 1"),
        (("--set", "overlap=half"), "loading a trained model"),
        (("--set", "weights=latest"), "weights are best, last, auto, got 'latest'"),
        (("--set", "weights=best"), "there is no best.safetensors"),
        (("--set", "patch=3"), "loading a trained model has no parameter patch"),
        (("--device", "cuda:99"), "this machine has"),
        (("--shard", "2/2"), "a shard is i/n"),
        (("--skip-existing", "--overwrite"), "contradict each other"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_the_command_refuses_in_one_line(
    run: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    given = ("predict", run, images, "-o", tmp_path / "out", *arguments)
    assert message in complaint(capsys, *given)
    assert found_in(tmp_path / "out") == []


def test_inputs_that_are_not_there_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", run, tmp_path / "nowhere", "-o", tmp_path / "out")
    assert "nowhere does not exist" in complaint(capsys, *given)


def test_an_only_file_that_is_truncated_is_refused_in_one_line(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_file(images / "ball_0.nii.gz")
    given = ("predict", run, images / "ball_0.nii.gz", "-o", tmp_path / "out")
    assert "ball_0.nii.gz is truncated or damaged" in complaint(capsys, *given)


def damage_nothing(run: Path) -> str:
    Run(run).last.unlink()
    return "holds no trained model: there is no best.safetensors; train one with medseg train"


def damage_weights(run: Path) -> str:
    break_file(Run(run).last)
    return "last.safetensors is damaged, or no safetensors file"


def damage_plan(run: Path) -> str:
    break_file(Run(run).plan)
    return "plan.json is no plan"


def lose_plan(run: Path) -> str:
    Run(run).plan.unlink()
    return "plan.json does not exist"


def exchange_plan(run: Path) -> str:
    other: Plan = ball_plan(network=UNet(3, (2, 2)))
    other.save(Run(run).plan)
    return "last.safetensors does not fit"


@pytest.mark.parametrize(
    "damage", [damage_nothing, damage_weights, damage_plan, lose_plan, exchange_plan]
)
def test_a_run_that_is_no_model_is_refused_in_one_line(
    run: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any
) -> None:
    message = damage(run)
    assert message in complaint(capsys, "predict", run, images, "-o", tmp_path / "out")


def test_a_folder_that_is_no_run_is_refused_in_one_line(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("predict", tmp_path / "nowhere", images, "-o", tmp_path / "out")
    assert "expected a run of medseg train" in complaint(capsys, *given)
    assert "holds no trained model" in complaint(capsys, "predict", images, *given[2:])


def test_labels_of_any_value_are_written(tmp_path: Path) -> None:
    model = some_model(labels=(0, 3, 700), names={3: "shell", 700: "core"})
    write(draw_ball(0)[0], tmp_path / "x.nii.gz")
    predict(model, tmp_path / "x.nii.gz", tmp_path / "out.nii.gz")
    found: Labels = read_labels(tmp_path / "out.nii.gz")
    assert found.values() == (3, 700)
