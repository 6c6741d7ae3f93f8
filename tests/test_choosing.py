"""Which configuration is best on held-out cases, and which clean-ups help it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball, write_balls
from commands import command, complaint

import medseg
from medseg import Dataset, Labels, Model, read_labels, write
from medseg.choosing.polishing import helps
from medseg.cleanup.islands import DropSmall, FillHoles, KeepLargest
from medseg.cleanup.saved import load_cleanups, save_cleanups
from medseg.evaluation import Score, Scores
from medseg.learning.ensemble import Ensemble
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

Change = Callable[[np.ndarray], None]


def as_drawn(array: np.ndarray) -> None:
    """A perfect prediction."""


def with_specks(array: np.ndarray) -> None:
    array[0, 0, 0] = array[-1, 0, :2] = 1


def with_holes(array: np.ndarray) -> None:
    array[tuple(np.argwhere(array == 2).mean(0).round().astype(int))] = 0


def in_halves(array: np.ndarray) -> None:
    """A slice is missing in the middle, so that the largest component is half of it."""
    array[array.shape[0] // 2] = 0


def some_run(folder: Path, dataset: Dataset, seed: int = 0, **changes: Any) -> Run:
    """A run of random weights that was validated on these cases."""
    torch.manual_seed(seed)
    model, run = Model.untrained(ball_plan(**changes), "cpu"), Run(folder)
    model.plan.save(run.plan)
    save_tensors(model.network.state_dict(), run.best, {"step": 1})
    run.training.write_text("{}")
    dataset.save(run.held_out)
    return run


def run_that_says(folder: Path, dataset: Dataset, change: Change, **changes: Any) -> Path:
    """A run that seems to have predicted what is annotated, but for a change."""
    run = some_run(folder, dataset, **changes)
    for case in dataset.cases:
        labels = case.labels()
        array = labels.array.copy()
        change(array)
        write(Labels(array, labels.grid), run.predictions / f"{case.name}.nii.gz")
    digest = hashlib.sha256(run.best.read_bytes()).hexdigest()
    (run.predictions / "weights.sha256").write_text(digest)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset.read(write_balls(tmp_path / "data", 4))


# The rule


def scored(*values: float) -> Scores:
    """A case with these Dice values of labels 1, 2, ..."""
    return Scores(tuple(Score("a", k, "", "dice", v, "ok") for k, v in enumerate(values, 1)))


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ((0.8, 0.6), (0.8, 0.7), True),
        ((0.8, 0.6), (0.8, 0.6), False),  # nothing is better
        ((0.8, 0.6), (0.79, 0.9), False),  # a label falls
        ((0.8, 0.6), (0.7, 0.6), False),
        ((0.8, 0.0), (0.8, float("nan")), True),  # what was spurious is gone
    ],
)
def test_the_mean_rises_and_no_label_falls(
    before: tuple[float, ...], after: tuple[float, ...], *, kept: bool
) -> None:
    assert helps(scored(*before), scored(*after)) == kept


# Clean-ups


def polished(tmp_path: Path, dataset: Dataset, change: Change) -> medseg.Choice:
    run = run_that_says(tmp_path / "run", dataset, change)
    return medseg.choose([str(run)], tmp_path / "chosen", device="cpu")


def test_specks_are_what_the_largest_component_is_for(tmp_path: Path, dataset: Dataset) -> None:
    (found,) = polished(tmp_path, dataset, with_specks).polished
    assert found.cleanups == (KeepLargest("all", device="cpu"),)
    assert found.before.mean("dice", 1) < 1
    assert found.after.mean("dice", 1) == 1


def test_holes_are_filled_of_the_label_that_has_some(tmp_path: Path, dataset: Dataset) -> None:
    (found,) = polished(tmp_path, dataset, with_holes).polished
    assert found.cleanups == (FillHoles(only=(2,), device="cpu"),)
    assert found.after.mean("dice") == 1


def test_what_does_not_help_is_left_out(tmp_path: Path, dataset: Dataset) -> None:
    for k, change in enumerate((as_drawn, in_halves)):
        (found,) = polished(tmp_path / str(k), dataset, change).polished
        assert not any(isinstance(each, KeepLargest) for each in found.cleanups)
        assert found.after.mean("dice") >= found.before.mean("dice")


def test_small_parts_go_where_a_label_has_several(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for k in range(2):  # two lumps of 36 mm³; the largest component would lose one of them
        image, labels = draw_ball(k)
        array = np.zeros_like(labels.array)
        array[1:4, 1:4, 1:5] = array[10:13, 9:12, 6:10] = 1
        write(image, folder / "images" / f"c{k}.nii.gz")
        write(Labels(array, labels.grid), folder / "labels" / f"c{k}.nii.gz")

    def speck(array: np.ndarray) -> None:
        array[7, 7, 0] = 1

    (found,) = polished(tmp_path, Dataset.read(folder), speck).polished
    assert found.cleanups == (DropSmall(10.0, only=(1,), device="cpu"),)
    assert found.after.mean("dice", 1) == 1


# Which configuration


def test_the_best_is_left_as_one_folder(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    good = run_that_says(tmp_path / "good", dataset, with_specks, seed=1)
    poor = run_that_says(tmp_path / "poor", dataset, in_halves, seed=2)
    code, out, _ = command(
        capsys, "choose", poor, good, "-o", tmp_path / "chosen", "--device", "cpu"
    )
    assert code == 0
    assert "good has the highest mean Dice, 1.0000; the next, poor, " in out
    for name in ("plan.json", "best.safetensors"):
        assert (tmp_path / "chosen" / name).read_bytes() == (good / name).read_bytes()
    assert load_cleanups(tmp_path / "chosen", "cpu") == (KeepLargest("all", device="cpu"),)
    told = json.loads((tmp_path / "chosen" / "choice.json").read_text())
    assert told["chosen"] == "good"
    assert told["cases"] == [case.name for case in dataset.cases]
    assert [each["name"] for each in told["configurations"]] == ["poor", "good"]


def test_clean_ups_are_done_by_whoever_uses_the_folder(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    run = some_run(tmp_path / "run", dataset)
    save_cleanups([KeepLargest("all"), DropSmall(5.0, only=(2,))], run.folder)
    model = Model.load(run.folder, "cpu")
    raw = model.segment(dataset.cases[0].image())
    wanted = raw
    for cleanup in load_cleanups(run.folder, "cpu"):
        wanted = cleanup(wanted)
    assert (wanted.array != raw.array).any()
    image, given = dataset.cases[0].channels[0], ("--device", "cpu")
    for arguments in (
        ("predict", run.folder, image, "-o", tmp_path / "a.nii"),
        ("segment", image, "-m", run.folder, "-o", tmp_path / "b.nii"),
    ):
        assert command(capsys, *arguments, *given)[0] == 0
        np.testing.assert_array_equal(read_labels(arguments[-1]).array, wanted.array)


def test_of_equals_the_simpler_is_chosen(tmp_path: Path, dataset: Dataset) -> None:
    halves = dataset.folds(2)
    for k, (_, held_out) in enumerate(halves):
        run_that_says(tmp_path / "folds" / f"fold_{k}", held_out, as_drawn)
    one = run_that_says(tmp_path / "one", dataset, as_drawn)
    found = medseg.choose([str(tmp_path / "folds"), str(one)], tmp_path / "chosen", device="cpu")
    assert [len(each.runs) for each in found.configurations] == [2, 1]
    assert found.configurations[found.best].name == "one"


REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}, "written": (1, 2)}


def without_shell(array: np.ndarray) -> None:
    array[array == 1] = 0


def test_where_one_knows_regions_all_are_judged_by_them(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = run_that_says(tmp_path / "labels", dataset, without_shell)
    regions = run_that_says(tmp_path / "regions", dataset, with_specks, **REGIONS)
    chosen = tmp_path / "chosen"
    code, out, err = command(capsys, "choose", labels, regions, "-o", chosen, "--device", "cpu")
    assert code == 0, err
    assert "whole" in out
    assert "shell" not in out
    found = json.loads((chosen / "choice.json").read_text())["configurations"]
    sizes = [np.array([(c.labels().array == k).sum() for k in (1, 2)]) for c in dataset.cases]
    by_hand = np.mean([2 * core / (shell + 2 * core) for shell, core in sizes])
    assert found[0]["dice"] == pytest.approx(
        {"whole": by_hand, "core": 1, "mean": (by_hand + 1) / 2}
    )
    assert found[1]["dice_after_cleanups"] == {"whole": 1, "core": 1, "mean": 1}
    assert medseg.Plan.load(chosen / "plan.json").regions == REGIONS["regions"]


def test_other_regions_and_what_nobody_looked_for_are_not_compared(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    one = run_that_says(tmp_path / "one", dataset, as_drawn, **REGIONS)
    other = {"regions": {"core": (2,)}, "written": (2,)}
    two = run_that_says(tmp_path / "two", dataset, as_drawn, **other)
    given = ("-o", tmp_path / "chosen", "--device", "cpu")
    assert "one and two know other regions" in complaint(capsys, "choose", one, two, *given)
    half = Dataset(tuple(replace(case, annotated=(2,)) for case in dataset.cases))
    for name, changes in (("a", REGIONS), ("b", {})):
        run = run_that_says(tmp_path / name, half, without_shell, **changes)
        found = medseg.choose([str(run)], tmp_path / f"chosen {name}", device="cpu")
        assert found.polished[0].before.labels == (("core",) if changes else (2,))


def test_each_fold_of_the_best_is_left_as_a_model(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for k, (_, held_out) in enumerate(dataset.folds(2)):
        run_that_says(tmp_path / "folds" / f"fold_{k}", held_out, with_specks, seed=k)
    chosen = tmp_path / "chosen"
    code, out, _ = command(capsys, "choose", tmp_path / "folds", "-o", chosen, "--device", "cpu")
    assert code == 0
    for k in range(2):
        place = chosen / f"fold_{k}"
        assert f"medseg predict {place} IMAGES" in out
        wanted = (tmp_path / "folds" / f"fold_{k}" / "best.safetensors").read_bytes()
        assert (place / "best.safetensors").read_bytes() == wanted
        assert load_cleanups(place, "cpu") == (KeepLargest("all", device="cpu"),)


def test_the_folds_of_the_best_are_an_ensemble(tmp_path: Path, dataset: Dataset) -> None:
    for k in range(2):
        held_out = Dataset(dataset.cases[k : k + 1])
        run_that_says(tmp_path / "folds" / f"fold_{k}", held_out, with_specks, seed=k)
    chosen = tmp_path / "chosen"
    medseg.choose([str(tmp_path / "folds")], chosen, device="cpu")
    image, _ = draw_ball(0)
    members = tuple(Model.load(chosen / f"fold_{k}", "cpu") for k in range(2))
    found = Ensemble.load(chosen, "cpu").segment(image)
    assert (found.array == Ensemble(members).segment(image).array).all()
    assert load_cleanups(chosen, "cpu") == load_cleanups(chosen / "fold_0", "cpu") != ()


# Predictions of held-out cases


def test_they_are_made_by_the_run_and_kept(tmp_path: Path, dataset: Dataset) -> None:
    run = some_run(tmp_path / "run", dataset)
    medseg.choose([f"mine={run.folder}"], tmp_path / "chosen", device="cpu")
    model = Model.load(run.folder, "cpu")
    for case in dataset.cases:
        found = read_labels(run.predictions / f"{case.name}.nii.gz")
        np.testing.assert_array_equal(found.array, model.segment(case.image()).array)


def test_other_weights_make_them_anew(tmp_path: Path, dataset: Dataset) -> None:
    place = run_that_says(tmp_path / "run", dataset, as_drawn)
    configuration = medseg.Configuration.named(str(place))
    configuration.held_out(device="cpu")
    kept = (Run(place).predictions / "ball_0.nii.gz").read_bytes()
    some_run(place, dataset, seed=5)
    configuration.held_out(device="cpu")
    assert (Run(place).predictions / "ball_0.nii.gz").read_bytes() != kept


def test_the_data_may_have_moved(tmp_path: Path, dataset: Dataset) -> None:
    run = some_run(tmp_path / "run", dataset)
    moved = (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"4 cases can't be predicted; ball_0: .*does not exist"):
        medseg.choose([str(run.folder)], tmp_path / "chosen", device="cpu")
    data = Dataset.read(moved)
    found = medseg.choose([str(run.folder)], tmp_path / "chosen", data=data, device="cpu")
    assert len(found.cases) == 4


# What is refused


def test_what_can_not_be_compared_is_refused_in_one_line(
    tmp_path: Path, dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_that_says(tmp_path / "run", dataset, as_drawn)
    fewer = run_that_says(tmp_path / "fewer", dataset.fold(0, 2)[0], as_drawn)
    other = run_that_says(tmp_path / "other", dataset, as_drawn, labels=(0, 1))
    alone = run_that_says(tmp_path / "alone", dataset, as_drawn)
    Run(alone).held_out.unlink()
    (tmp_path / "empty").mkdir()
    for runs, message in (
        ([run, fewer], "run and fewer were not validated on the same cases"),
        ([f"{run},{fewer}"], "two runs of run were validated on ball_"),
        ([f"{run},{other}"], "the runs of run have other channels or labels"),
        ([run, run], "two configurations are called run; say NAME=RUN"),
        ([alone], "does not say which cases validated; train it with --fold i/n"),
        ([tmp_path / "empty"], "empty holds no run of medseg train"),
        ([tmp_path / "nowhere"], "nowhere does not exist; expected a run"),
    ):
        given = ("choose", *runs, "-o", tmp_path / "chosen", "--device", "cpu")
        assert message in complaint(capsys, *given)
        assert not (tmp_path / "chosen").exists()


def test_only_a_choice_is_replaced(tmp_path: Path, dataset: Dataset) -> None:
    run = str(run_that_says(tmp_path / "run", dataset, as_drawn))
    medseg.choose([run], tmp_path / "chosen", device="cpu")
    with pytest.raises(FileExistsError, match="chosen exists already"):
        medseg.choose([run], tmp_path / "chosen", device="cpu")
    medseg.choose([run], tmp_path / "chosen", device="cpu", overwrite=True)
    with pytest.raises(FileExistsError, match="data holds no choice of medseg"):
        medseg.choose([run], tmp_path / "data", device="cpu", overwrite=True)


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"name": "relabeling"}]', '[{"below": 3}]'])
def test_damaged_clean_ups_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "cleanups.json").write_text(text)
    with pytest.raises(ValueError, match=r"cleanups\.json"):
        load_cleanups(tmp_path)
