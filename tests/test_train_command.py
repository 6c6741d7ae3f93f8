"""The command train."""

import json
from pathlib import Path

import pytest
from balls import draw_ball, interrupted_at, write_balls
from commands import command, complaint

from medseg import Labels, write
from medseg.learning.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("--set", "network.features=[4,8]", "--set", "batch=2", "--set", "precision=float32")


def test_the_command_trains_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    run = tmp_path / "run"
    code, out, _ = command(capsys, "train", tmp_path / "data", run, "--steps", 2, *TINY)
    assert (code, out.count("\n")) == (0, 1)
    assert f"medseg predict {run} IMAGES -o FOLDER" in out
    assert {path.name for path in run.iterdir()} == {
        *("plan.json", "training.json", "validation.csv", "log.jsonl", "curve.png"),
        *("best.safetensors", "last.safetensors", "checkpoint.safetensors"),
    }


def test_the_same_command_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_balls(tmp_path / "data", 5)
    arguments = ("train", tmp_path / "data", tmp_path / "run", "--steps", 4, *TINY)
    with interrupted_at(2):
        code, _, err = command(capsys, *arguments)
    assert code == 130
    assert "stopped at step 2; the same command goes on from there" in err
    code, _, err = command(capsys, *arguments)
    assert code == 0
    assert "going on at step 2" in err


def test_a_run_goes_on_without_naming_its_network_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    assert (
        command(capsys, "train", tmp_path / "data", tmp_path / "run", "--steps", 1, *TINY)[0] == 0
    )
    code, _, err = command(
        capsys, "train", tmp_path / "data", tmp_path / "run", "--steps", 2, *TINY[2:]
    )
    assert code == 0
    assert "going on at step 1" in err


def test_other_settings_are_refused_in_one_line_and_overwrite_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    arguments = ("train", tmp_path / "data", tmp_path / "run", "--steps", 1, *TINY)
    assert command(capsys, *arguments)[0] == 0
    changed = (*arguments, "--set", "seed=5")
    assert "holds a training with another seed" in complaint(capsys, *changed)
    assert command(capsys, *changed, "--overwrite")[0] == 0
    assert json.loads(Run(tmp_path / "run").training.read_text())["seed"] == 5


@pytest.mark.parametrize(
    ("cases", "fold", "validating"),
    [(4, (), 0), (5, (), 1), (5, ("--fold", "all"), 0), (4, ("--fold", "1/2"), 2)],
    ids=["few", "fifth", "all", "half"],
)
def test_the_fold_says_who_validates(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cases: int,
    fold: tuple[str, ...],
    validating: int,
) -> None:
    seen = []
    monkeypatch.setattr("medseg.train", lambda *given, **named: seen.append((given[0], named)))
    write_balls(tmp_path / "data", cases)
    code, _, err = command(capsys, "train", tmp_path / "data", tmp_path / "run", *fold)
    ((fitting, named),) = seen
    assert code == 0
    assert (len(fitting), len(named["validation"])) == (cases - validating, validating)
    assert ("nothing validates" in err) == (cases == 4 and not fold)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", 1, "--minutes", 1), "in minutes or in steps, got both"),
        (("--fold", "5/5"), "the folds are 0/5 to 4/5, got 5/5"),
        (("--fold", "first"), "--fold is i/n, counted from 0, or all; got 'first'"),
        (("--set", "rate=3"), "a training has no parameter rate"),
        (("--set", "network.width=3"), "network unet has no parameter width"),
        (("--set", "plan.size=3"), "a plan has no setting size"),
        (("--network", "unett"), "did you mean 'unet'?"),
        (("--network", "monai:SegResNett"), "did you mean 'SegResNet'?"),
        (("--device", "cuda:99"), "this machine has"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(map(str, value)),
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    message: str,
) -> None:
    write_balls(tmp_path / "data", 5)
    assert message in complaint(
        capsys, "train", tmp_path / "data", tmp_path / "run", "--quiet", *arguments
    )


def test_a_data_set_with_problems_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_balls(tmp_path / "data", 5)
    for case in (1, 3):
        image, _ = draw_ball(case)
        write(Labels(image.array[0] > 1e9, image.grid), folder / "labels" / f"ball_{case}.nii.gz")
    line = complaint(capsys, "train", folder, tmp_path / "run")
    assert "2 problems in the data set" in line
    assert not (tmp_path / "run").exists()


def test_a_recipe_says_how_and_what_is_trained_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 2)
    recipe = ("--recipe", "deepmedic", "--steps", 1, "--set", "batch=2", "--set", "l1=0.5")
    smaller = ("--network", "deepmedic-tiny", "--set", "plan.patch=[6,6,6]")
    for _ in range(2):  # the second time, it finds that it is finished
        command_line = ("train", tmp_path / "data", tmp_path / "run", *recipe, *smaller)
        code, _, err = command(capsys, *command_line)
        assert code == 0, err
    training = json.loads((tmp_path / "run" / "training.json").read_text())
    assert (training["steps"], training["batch"], training["l1"]) == (1, 2, 0.5)
    assert (training["optimizer"], training["sampler"]) == ("rmsprop", "balanced")
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["network"]["name"], plan["mirror"]) == ("deepmedic-tiny", [0])


def test_an_unknown_recipe_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = complaint(capsys, "train", tmp_path, tmp_path / "run", "--recipe", "deepmedics")
    assert "no recipe is called 'deepmedics'; did you mean 'deepmedic'?" in err
