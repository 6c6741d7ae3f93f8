"""Two networks: the second one also sees what the first, of lower resolution, has found."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import (
    SHAPE,
    assert_same_weights,
    ball_plan,
    ball_training,
    draw_ball,
    interrupted_at,
    write_balls,
)
from commands import command, complaint
from numpy.typing import NDArray
from test_choosing import as_drawn, run_that_says
from torch import Tensor

import medseg
from medseg import Case, Dataset, Image, Labels, Model, train
from medseg.learning.batches import Batches, read_cases
from medseg.learning.configurations import Configuration, planned_after, seen_after
from medseg.learning.damaging import damaged, grown, shrunk
from medseg.learning.preparing import prepare
from medseg.learning.run import Run
from medseg.learning.validation import Validation
from medseg.sampling import SAMPLERS

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
COARSE = (2.0, 2.0, 2.0)
REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}, "written": (1, 2)}


def folds(folder: Path, data: Dataset, **changes: object) -> Configuration:
    """Two runs at a low resolution that know nothing, but find what is drawn where they validate.

    Each holds out half of the cases.
    """
    halves = data.cases[::2], data.cases[1::2]
    for number, cases in enumerate(halves):
        run_that_says(
            folder / f"fold_{number}",
            replace(data, cases=cases),
            as_drawn,
            seed=number,
            spacing=COARSE,
            patch=(8, 8, 8),
            **changes,
        )
    return Configuration.named(str(folder))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return Dataset.read(write_balls(tmp_path / "data", 4))


def one_hot(labels: Labels) -> NDArray[np.bool_]:
    return np.stack([labels.array == 1, labels.array == 2])


# What the second network learns from


def test_each_case_comes_with_what_the_run_says_that_held_it_out(
    tmp_path: Path, data: Dataset
) -> None:
    found = seen_after(data, folds(tmp_path / "low", data), "cpu")
    for number, case in enumerate(found.cases):
        run = Run(tmp_path / "low" / f"fold_{number % 2}")
        assert case.earlier_file == run.predictions / f"{case.name}.nii.gz"


def test_a_case_that_all_runs_have_learned_from_is_refused(tmp_path: Path, data: Dataset) -> None:
    first = folds(tmp_path / "low", data)
    one, kept = Configuration("one", first.runs[:1]), Run(first.runs[0]).predictions
    shutil.rmtree(kept)
    with pytest.raises(ValueError, match=r"learned from 2 of 4 cases \(ball_1, ball_3\).*--fold"):
        seen_after(data, one, "cpu")
    assert not kept.exists()  # nothing has been predicted in vain


def test_both_networks_know_the_same_labels(tmp_path: Path, data: Dataset) -> None:
    first = folds(tmp_path / "low", data)
    assert planned_after(ball_plan(), first).earlier == (1, 2)
    assert planned_after(ball_plan(), first).inputs == 3
    with pytest.raises(ValueError, match="a cascade have the same labels"):
        planned_after(ball_plan(labels=(0, 1), names={}), first)


@pytest.mark.parametrize("augmentations", [(), ("brightness",)])
def test_the_network_sees_the_labels_beside_the_image(
    tmp_path: Path, data: Dataset, augmentations: tuple[str, ...]
) -> None:
    first = folds(tmp_path / "low", data)
    plan = planned_after(ball_plan(), first)
    cases = read_cases(seen_after(data, first, "cpu").cases, plan, CPU, tmp_path, 0)
    batches = Batches(cases, plan, 12, SAMPLERS["uniform"], augmentations, 0)
    batch = batches.at(0, CPU)
    assert batch.images.shape[1] == 3
    truth = torch.stack([batch.targets == 1, batch.targets == 2], 1)
    same = (batch.images[:, 1:] == truth).flatten(1).all(1)
    # Some are damaged, as what is found is never quite right; not all.
    assert same.all() if not augmentations else same.any() and not same.all()


def test_it_learns_from_them_where_the_image_shows_nothing(tmp_path: Path, data: Dataset) -> None:
    rng = np.random.default_rng(0)
    for case in data.cases:
        noise = Image(rng.normal(size=(1, *SHAPE)), case.image().grid)
        medseg.write(noise, case.channels[0])
    first = folds(tmp_path / "low", data)
    training = ball_training(steps=60, validations=1, after=str(tmp_path / "low"))
    train(data, ball_plan(), training, tmp_path / "run")
    model = Model.load(tmp_path / "run", "cpu")
    found = Validation(seen_after(data, first, "cpu").cases, model.plan).dice(model)
    assert found["mean"] > 0.9


# Damage


def cube(*ends: tuple[int, int], side: int = 16) -> Tensor:
    mask = torch.zeros(side, side, side, dtype=torch.bool)
    mask[tuple(slice(*pair) for pair in ends)] = True
    return mask


def test_borders_move_by_a_radius() -> None:
    point = cube((8, 9), (8, 9), (8, 9))
    assert grown(point, 1).sum() == 7
    assert grown(point, 1.5).sum() == 19
    assert torch.equal(shrunk(~point, 1), ~grown(point, 1))
    assert not grown(cube((0, 0), (0, 0), (0, 0)), 3).any()


def test_damaged_labels_differ_never_overlap_and_are_the_same_again() -> None:
    masks = torch.stack([cube((2, 7), (2, 14), (2, 14)), cube((7, 12), (2, 14), (2, 14))])
    batch = masks[None].repeat(40, 1, 1, 1, 1)

    def made() -> Tensor:
        return damaged(batch, [np.random.default_rng(k) for k in range(40)])

    found = made()
    assert torch.equal(found, made())
    assert torch.equal(batch[0], masks)
    assert not (found[:, 0] & found[:, 1]).any()
    changed = int((found != batch).flatten(1).any(1).sum())
    assert 8 <= changed <= 28  # of 40: 1 - (1 - 0.4 * 0.75) (1 - 0.2 * 0.75), or fewer


def test_a_small_part_gets_lost_as_a_whole_and_a_large_one_never() -> None:
    large, small = cube((0, 12), (0, 16), (0, 16)), cube((14, 16), (0, 3), (0, 3))
    both = torch.stack([large | small])
    lost = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        if rng.random() < 0.4:
            continue  # its borders move too
        (found,) = damaged(both[None], [np.random.default_rng(seed)])
        assert torch.equal(found[0], large) or torch.equal(found, both)
        lost += int(torch.equal(found[0], large))
    assert lost


# The folder that predicts with both


@pytest.mark.parametrize("changes", [{}, REGIONS], ids=["labels", "regions"])
def test_the_run_holds_both_networks(
    tmp_path: Path, data: Dataset, changes: dict[str, object]
) -> None:
    folds(tmp_path / "low", data, **changes)
    training = ball_training(steps=1, after=str(tmp_path / "low"))
    train(data, ball_plan(**changes), training, tmp_path / "run", validation=data)
    for number in range(2):  # no longer needed
        (tmp_path / "low" / f"fold_{number}" / "best.safetensors").unlink()
    model = Model.load(tmp_path / "run", "cpu")
    image = draw_ball(9)[0]
    first = [Model.load(tmp_path / "run" / "earlier" / f"fold_{k}", "cpu") for k in range(2)]
    each = [one.probabilities(image).array for one in first]
    merged = Image((each[0] + each[1]) / 2, image.grid)
    earlier = first[0].most_probable(merged)
    assert len(set(earlier.array.ravel().tolist())) > 1
    prepared = prepare(image, model.plan, None, earlier)
    np.testing.assert_array_equal(prepared.image[1:], one_hot(earlier))
    by_hand = np.array(model.plan.values)[model.classes(prepared)]
    np.testing.assert_array_equal(model.segment(image).array, by_hand)


def test_earlier_labels_at_another_spacing_stay_0_or_1() -> None:
    image, labels = draw_ball(0)
    plan = ball_plan(earlier=(2,), spacing=(0.7, 0.7, 0.7))
    found = prepare(image, plan, None, labels).image[1]
    assert set(np.unique(found)) == {0, 1}
    assert found.mean() == pytest.approx((labels.array == 2).mean(), rel=0.15)


def test_without_earlier_labels_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"also sees the labels \(1, 2\) of one before it"):
        Model.untrained(ball_plan(earlier=(1, 2)), "cpu").segment(draw_ball(0)[0])


def test_stopped_it_goes_on_as_if_it_had_not_been(tmp_path: Path, data: Dataset) -> None:
    folds(tmp_path / "low", data)
    training = ball_training(steps=4, after=str(tmp_path / "low"), augmentations=("mirroring",))
    arguments = (data, ball_plan(mirror=(1,)), training)
    train(*arguments, tmp_path / "whole")
    with interrupted_at(2), pytest.raises(KeyboardInterrupt):
        train(*arguments, tmp_path / "run")
    train(*arguments, tmp_path / "run")
    assert_same_weights(tmp_path / "whole", tmp_path / "run")
    Run(tmp_path / "run").clear()
    assert not list((tmp_path / "run").iterdir())


def test_what_a_case_brings_takes_the_place_of_the_first_network(
    tmp_path: Path, data: Dataset
) -> None:
    folds(tmp_path / "low", data)
    training = ball_training(steps=1, after=str(tmp_path / "low"))
    model = train(data, ball_plan(), training, tmp_path / "run", validation=data)
    listed = Dataset.read(Run(tmp_path / "run").held_out)
    assert all(case.earlier_file for case in listed.cases)
    medseg.predict(model, Run(tmp_path / "run").held_out, tmp_path / "out")
    case = listed.cases[0]
    found = medseg.read_labels(tmp_path / "out" / f"{case.name}.nii.gz")
    by_hand = model.classes(prepare(case.image(), model.plan, None, case.labels()))
    np.testing.assert_array_equal(found.array, by_hand)


def test_a_choice_of_it_is_whole(tmp_path: Path, data: Dataset) -> None:
    folds(tmp_path / "low", data)
    training = ball_training(steps=1, after=str(tmp_path / "low"))
    train(data, ball_plan(), training, tmp_path / "run", validation=data)
    medseg.choose([str(tmp_path / "run")], tmp_path / "chosen", device="cpu")
    one, other = (Model.load(tmp_path / name, "cpu") for name in ("run", "chosen"))
    image = draw_ball(9)[0]
    np.testing.assert_array_equal(one.segment(image).array, other.segment(image).array)


# The command line


def test_the_command_trains_the_second_network_and_predicts_with_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Dataset
) -> None:
    folds(tmp_path / "low", data, channels=("channel 0",))
    run = tmp_path / "run"
    arguments = ("train", tmp_path / "data", run, "--after", tmp_path / "low", "--steps", 1)
    tiny = ("--set", "network.features=[4,8]", "--set", "batch=2", "--set", "precision=float32")
    code, _, err = command(capsys, *arguments, *tiny, "--fold", "0/2")
    assert code == 0, err
    assert medseg.Plan.load(Run(run).plan).earlier == (1, 2)
    images = tmp_path / "data" / "images" / "ball_0.nii.gz"
    assert command(capsys, "predict", run, images, "-o", tmp_path / "out.nii.gz")[0] == 0
    again = ("train", tmp_path / "data", run, "--steps", 2, *tiny[2:], "--fold", "0/2")
    assert "say with --after which runs come before it" in complaint(capsys, *again)
    nowhere = ("train", tmp_path / "data", tmp_path / "b", "--after", tmp_path / "none")
    assert "none does not exist" in complaint(capsys, *nowhere, "--steps", 1, "--fold", "0/2")


def test_a_csv_file_keeps_what_was_found_earlier(tmp_path: Path) -> None:
    case = Case("a", (tmp_path / "a.nii.gz",), earlier_file=tmp_path / "b.nii.gz")
    Dataset((case,)).save(tmp_path / "cases.csv")
    assert Dataset.read(tmp_path / "cases.csv").cases[0].earlier_file == case.earlier_file
