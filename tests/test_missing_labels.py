"""Cases in which nobody looked for some of the labels: they may be anywhere in the background."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import SHAPE, ball_plan, ball_training, draw_ball, write_balls
from commands import complaint
from numpy.typing import NDArray

from medseg import Case, Dataset, Labels, Model, Plan, evaluate_cases, train, write
from medseg.learning import LOSSES
from medseg.learning.batches import Batches, read_cases
from medseg.learning.losses.targets import planned
from medseg.learning.partial import Unsure
from medseg.learning.validation import Validation
from medseg.sampling import SAMPLERS

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
REGIONS = {"regions": {"whole": (1, 2), "core": (2,)}, "written": (1, 2)}
CORE_MISSING = Unsure(((2,),), 4)  # class 4 is background or core


def without(label: int, array: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.where(array == label, 0, array)


def partial_balls(folder: Path, annotated: Sequence[tuple[int, ...]]) -> Dataset:
    """Balls in whose annotation only some labels are; listed in a CSV file."""
    write_balls(folder, len(annotated))
    cases = []
    for seed, known in enumerate(annotated):
        labels, file = draw_ball(seed)[1], folder / "labels" / f"ball_{seed}.nii.gz"
        array = np.where(np.isin(labels.array, known or (1, 2)), labels.array, 0)
        write(Labels(array, labels.grid), file)
        image = folder / "images" / file.name
        cases.append(Case(f"ball_{seed}", (image,), file, annotated=known))
    Dataset(tuple(cases)).save(folder / "cases.csv")
    return Dataset.read(folder / "cases.csv")


# The data set


def test_a_column_says_what_was_looked_for(tmp_path: Path) -> None:
    data = partial_balls(tmp_path, [(), (1,), (1, 2)])
    assert [case.annotated for case in data.cases] == [(), (1,), (1, 2)]
    assert data.problems() == ()


@pytest.mark.parametrize(
    ("cell", "problem"),
    [("1", r"has labels \[2\], and only \[1\] were looked for"), ("1 x", "labels with spaces")],
)
def test_what_does_not_agree_is_refused(tmp_path: Path, cell: str, problem: str) -> None:
    write_balls(tmp_path, 1)
    row = f"a,images/ball_0.nii.gz,labels/ball_0.nii.gz,{cell}\n"
    (tmp_path / "cases.csv").write_text("case,image:MR,label,annotated\n" + row)
    with pytest.raises(ValueError, match=problem):
        Dataset.read(tmp_path / "cases.csv").check()


def test_the_command_line_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path, 1)
    row = "a,images/ball_0.nii.gz,labels/ball_0.nii.gz,1\n"
    (tmp_path / "cases.csv").write_text("case,image:MR,label,annotated\n" + row)
    given = ("train", tmp_path / "cases.csv", tmp_path / "run", "--steps", 1, "--fold", "all")
    err = complaint(capsys, *given)
    assert "and only [1] were looked for" in err


# The loss


@pytest.mark.parametrize("name", LOSSES)
def test_background_or_core_is_one_class_there(name: str) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn((1, 3, 4, 5, 6), generator=rng)
    shell = torch.rand((1, 4, 5, 6), generator=rng) > 0.5
    found = planned(name, ball_plan(), CORE_MISSING)(logits, torch.where(shell, 1, 4))
    # A network that gives all of the probability of a core to the background.
    merged = torch.stack([logits[:, [0, 2]].logsumexp(1), logits[:, 1]], 1)
    by_hand = torch.cat([merged, torch.full_like(merged[:, :1], -1e4)], 1)
    whole = torch.where(shell[:, None], logits, by_hand)
    torch.testing.assert_close(found, LOSSES[name](whole, shell.long()))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("regions", [{}, REGIONS], ids=["labels", "regions"])
def test_what_may_be_there_costs_nothing(name: str, regions: dict[str, object]) -> None:
    plan = ball_plan(**regions)
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(3, (2, 5, 6, 4), generator=rng)
    target[target == 2] = 4  # background, shell, or unsure
    logits = torch.randn((2, plan.outputs, 5, 6, 4), generator=rng)
    loss = planned(name, plan, CORE_MISSING)
    moved = logits.clone()
    unsure = target == 4
    if regions:
        moved[:, 1][unsure] += 2  # core, and so the whole, may be there
        moved[:, 0][unsure] -= 1
    else:
        both = moved[:, [0, 2]].logsumexp(1)
        moved[:, 0][unsure] = both[unsure] - np.log(4)
        moved[:, 2][unsure] = both[unsure] - np.log(4 / 3)
    torch.testing.assert_close(loss(logits, target), loss(moved, target))
    moved[:, 1 if not regions else 0][~unsure] += 3
    assert not torch.isclose(loss(logits, target), loss(moved, target))


def test_a_region_without_the_missing_label_is_learned_everywhere() -> None:
    plan = ball_plan(**REGIONS)
    unsure = Unsure(((1,),), 4)  # the shell is missing: the core is known
    logits = torch.zeros(1, 2, 4, 4, 4, requires_grad=True)
    planned("cross-entropy", plan, unsure)(logits, torch.full((1, 4, 4, 4), 4)).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] == 0).all()
    assert (logits.grad[:, 1] > 0).all()


# Learning


def test_background_is_of_a_class_of_its_own_but_no_place_to_look_for_labels(
    tmp_path: Path,
) -> None:
    data, plan = partial_balls(tmp_path, [(), (1,), (2,), (1,)]), ball_plan()
    assert Unsure.of(data.cases, plan).missing == ((1,), (2,))
    cases = read_cases(data.cases, plan, CPU, tmp_path / "cache", 0)
    found = [set(np.unique(case.classes)) for case in cases]
    assert found == [{0, 1, 2}, {1, 5}, {2, 4}, {1, 5}]
    assert [set(case.index.voxels) for case in cases] == [{0, 1, 2}, {0, 1}, {0, 2}, {0, 1}]


@pytest.mark.parametrize("name", ["rotation", "mirroring"])
def test_augmentation_takes_it_along(tmp_path: Path, name: str) -> None:
    data, plan = partial_balls(tmp_path, [(1,)]), ball_plan(mirror=(0, 1, 2))
    cases = read_cases(data.cases, plan, CPU, tmp_path / "cache", 0)
    batch = Batches(cases, plan, 2, SAMPLERS["uniform"], (name,), 0).at(0, CPU)
    assert {1, 4} <= set(batch.targets.unique().tolist()) <= {0, 1, 4}


@pytest.mark.parametrize("regions", [{}, REGIONS], ids=["labels", "regions"])
def test_cases_with_one_label_each_teach_both(tmp_path: Path, regions: dict[str, object]) -> None:
    data = partial_balls(tmp_path / "data", [(1,), (2,), (1, 2)])
    plan = ball_plan(**regions)
    model = train(data, plan, ball_training(steps=100, validations=1), tmp_path / "run")
    whole = Dataset.read(write_balls(tmp_path / "whole", 2))
    found = Validation(whole.cases, plan).dice(model)
    assert min(found.values()) > 0.6


# Judging


def untrained(plan: Plan) -> Model:
    torch.manual_seed(0)
    return Model.untrained(plan, "cpu")


@pytest.mark.parametrize("regions", [{}, REGIONS], ids=["labels", "regions"])
def test_what_nobody_looked_for_does_not_validate(
    tmp_path: Path, regions: dict[str, object]
) -> None:
    plan = ball_plan(**regions)
    model = untrained(plan)
    cases = partial_balls(tmp_path, [(2,)]).cases
    assert set(Validation(cases, plan).dice(model)) == {"core", "mean"}
    (whole,) = (replace(case, annotated=()) for case in cases)
    other = Validation([whole], plan).dice(model)
    assert Validation(cases, plan).dice(model)["core"] == pytest.approx(other["core"])
    assert len(other) == 3


def test_what_nobody_looked_for_is_not_scored(tmp_path: Path) -> None:
    partial_balls(tmp_path, [(1,), ()])
    for seed in range(2):
        write(draw_ball(seed)[1], tmp_path / "found" / f"ball_{seed}.nii.gz")
    scores = evaluate_cases(
        tmp_path / "found", tmp_path / "cases.csv", ("dice",), {"whole": (1, 2)}
    )
    found = {(row.case, row.label): row.value for row in scores}
    all_of_one = {("ball_1", label): 1 for label in (1, 2, "whole")}
    assert found == {("ball_0", 1): 1, **all_of_one}
    assert set(scores.records["ball_0"].counts) == {1}
    assert draw_ball(0)[1].array.shape == SHAPE
