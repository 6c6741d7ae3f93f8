"""Annotations as people have them: odd numbers, voxels that nobody has looked at, bare cases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import SHAPE, assert_same_weights, ball_plan, ball_training, draw_ball, write_balls

from medseg import Dataset, Labels, Model, make_plan, train, write
from medseg.cli.train import learnable
from medseg.learning import LOSSES
from medseg.learning.batches import read_cases
from medseg.learning.fingerprint import fingerprint_of
from medseg.learning.losses.targets import planned
from medseg.learning.preparing import class_indices
from medseg.learning.validation import Validation
from medseg.sampling import SAMPLERS

UNSEEN = 7
CPU = torch.device("cpu")
REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}, "written": (1, 2)}


def sparse_balls(folder: Path, value: int = UNSEEN, cases: int = 2) -> Dataset:
    """Balls of which every fifth slice is annotated."""
    write_balls(folder, cases)
    for seed in range(cases):
        labels = draw_ball(seed)[1]
        sliced = np.where(np.indices(SHAPE)[2] % 5 == 1, labels.array.astype(int), value)
        write(Labels(sliced, labels.grid), folder / "labels" / f"ball_{seed}.nii.gz")
    return replace(Dataset.read(folder), ignore=value)


# labels


@pytest.mark.parametrize("ignore", [None, -1, 2**31 - 1])
def test_any_numbers_are_labels(ignore: int | None) -> None:
    labels = (0, 2**31 - 2, -5, 30_000)
    plan = ball_plan(labels=labels, names={}, ignore=ignore)
    known = [*labels, *([] if ignore is None else [ignore])]
    classes = np.random.default_rng(0).integers(len(known), size=(3, 4, 5))
    found = class_indices(Labels.from_array(np.array(known)[classes]), plan)
    np.testing.assert_array_equal(found, classes)


def test_a_label_that_is_not_in_the_plan_is_named() -> None:
    with pytest.raises(ValueError, match=r"labels \[5, 9\] are not in the plan.*\[0, 1, 2, 7\]"):
        class_indices(Labels.from_array(np.array([[[0, 9, 5, 7]]])), ball_plan(ignore=7))


@pytest.mark.parametrize("ignore", [0, 1, 2])
def test_a_label_that_stands_for_something_is_not_ignored(ignore: int) -> None:
    with pytest.raises(ValueError, match="the label to ignore is none of"):
        ball_plan(ignore=ignore)


# the data set


def test_what_is_ignored_is_in_no_statistics(tmp_path: Path) -> None:
    data = sparse_balls(tmp_path)
    found = fingerprint_of(data)
    slices = draw_ball(0)[1].array[:, :, 1::5]
    assert set(found.names) == {1, 2}
    assert found.cases[0].labels[2].voxels == (slices == 2).sum()
    assert found.cases[0].ignored == np.prod(SHAPE) - slices.size
    plan = make_plan(data)
    assert (plan.labels, plan.ignore) == ((0, 1, 2), UNSEEN)
    counted = sum((draw_ball(k)[1].array[:, :, 1::5] == 0).sum() for k in range(2))
    shell = sum((draw_ball(k)[1].array[:, :, 1::5] == 1).sum() for k in range(2))
    weights = plan.notes["class_weights"]
    assert weights["0"] / weights["1"] == pytest.approx(shell / counted, rel=1e-3)


def test_an_annotation_that_is_ignored_throughout_is_refused(tmp_path: Path) -> None:
    data = sparse_balls(tmp_path)
    labels = draw_ball(1)[1]
    write(Labels(np.full(SHAPE, UNSEEN), labels.grid), tmp_path / "labels" / "ball_1.nii.gz")
    (line,) = data.problems()
    assert line.endswith("ball_1.nii.gz is 7 throughout, which is ignored")


def test_cases_without_annotation_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path, 3)
    (tmp_path / "labels" / "ball_1.nii.gz").unlink()
    data = learnable(tmp_path, None, None)
    assert [case.name for case in data.cases] == ["ball_0", "ball_2"]
    assert capsys.readouterr().err == ("1 of 3 cases have no annotation and are left out: ball_1\n")


# learning


@pytest.mark.parametrize("regions", [{}, REGIONS], ids=["labels", "regions"])
@pytest.mark.parametrize("name", LOSSES)
def test_ignored_voxels_have_no_gradient(name: str, regions: dict[str, object]) -> None:
    plan = ball_plan(ignore=UNSEEN, **regions)
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(4, (2, 5, 6, 4), generator=rng)
    logits = torch.randn((2, plan.outputs, 5, 6, 4), generator=rng, requires_grad=True)
    planned(name, plan)(logits, target).backward()
    slope = logits.grad
    assert slope is not None
    ignored = target == plan.ignored
    assert (slope.movedim(1, -1)[ignored] == 0).all()
    assert (slope.movedim(1, -1)[~ignored] != 0).any()


def test_weights_of_voxels_count_beside() -> None:
    plan = ball_plan(ignore=UNSEEN)
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(4, (1, 5, 6, 4), generator=rng)
    logits, weights = torch.randn((1, 3, 5, 6, 4), generator=rng), torch.rand(target.shape)
    known = weights * (target != 3)
    by_hand = LOSSES["dice+cross-entropy"](logits, target.where(target != 3, 0), known)
    found = planned("dice+cross-entropy", plan)(logits, target, weights)
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "weighted"])
def test_no_patch_is_centred_on_what_is_ignored(sampler: str, tmp_path: Path) -> None:
    data = sparse_balls(tmp_path / "data")
    cases = read_cases(data.cases, ball_plan(ignore=UNSEEN), CPU, tmp_path / "cache", 0)
    indices = [case.index for case in cases]
    centres = SAMPLERS[sampler](indices, 40, np.random.default_rng(0))
    assert {centre.voxel[2] % 5 for centre in centres} == {1}


def test_which_number_is_ignored_changes_nothing(tmp_path: Path) -> None:
    for value in (UNSEEN, -3):
        data = sparse_balls(tmp_path / f"data{value}", value)
        plan = ball_plan(ignore=value)
        augmented = ball_training(steps=3, augmentations=("rotation", "scaling"))
        train(data, plan, augmented, tmp_path / f"run{value}")
    assert_same_weights(tmp_path / "run7", tmp_path / "run-3")


@pytest.mark.parametrize("regions", [{}, REGIONS], ids=["labels", "regions"])
def test_some_slices_teach_whole_volumes(tmp_path: Path, regions: dict[str, object]) -> None:
    sparse = sparse_balls(tmp_path / "data")
    plan = ball_plan(ignore=UNSEEN, **regions)
    model = train(sparse, plan, ball_training(steps=200, validations=1), tmp_path / "run")
    whole = Dataset.read(write_balls(tmp_path / "whole", 2))
    assert Validation(whole.cases, plan).dice(model)["mean"] > 0.75


def test_what_is_ignored_does_not_validate(tmp_path: Path) -> None:
    plan = ball_plan(ignore=UNSEEN)
    torch.manual_seed(0)
    model = Model.untrained(plan, "cpu")
    data = sparse_balls(tmp_path)
    found = Validation(data.cases[:1], plan).dice(model)
    said, drawn = (
        one.array[:, :, 1::5] for one in (model.segment(draw_ball(0)[0]), draw_ball(0)[1])
    )
    for label, name in plan.names.items():
        shared = 2 * ((said == label) & (drawn == label)).sum()
        by_hand = shared / ((said == label).sum() + (drawn == label).sum())
        assert found[name] == pytest.approx(by_hand)
