"""Training: what it learns, that it is repeatable, what it leaves and what it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import (
    EVERYTHING,
    assert_same_weights,
    ball_plan,
    ball_training,
    balls,
    draw_ball,
    last_weights,
    log_of,
    validations_of,
)

from medseg import Dataset, Labels, Model, Training, evaluate, train, write
from medseg.learning import batches, loop
from medseg.learning.batches import Batch, Batches
from medseg.learning.run import Run
from medseg.learning.validation import Validation
from medseg.learning.weights import load_tensors
from medseg.networks.unet import UNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"))


# What it learns


def test_learns_to_find_balls(data: Dataset, tmp_path: Path) -> None:
    model = train(data, ball_plan(), ball_training(steps=100), tmp_path / "run")
    image, truth = draw_ball(99)
    scores = evaluate(model.segment(image), truth, metrics=("dice",))
    assert min(row.value for row in scores.rows) > 0.9


def test_a_training_that_diverges_stops_and_keeps_no_broken_weights(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", 0)
    training = ball_training(steps=200, learning_rate=1e30)
    with pytest.raises(ValueError, match="diverged before step"):
        train(data, ball_plan(), training, tmp_path / "run")
    stored, _ = load_tensors(Run(tmp_path / "run").checkpoint)
    assert all(bool(weight.isfinite().all()) for weight in stored.values())


@pytest.mark.parametrize("sampler", ["uniform", "foreground", "balanced", "weighted"])
def test_every_sampler_feeds_it(data: Dataset, tmp_path: Path, sampler: str) -> None:
    weighted = tuple(replace(case, weight_file=case.reference) for case in data.cases[:2])
    training = ball_training(steps=2, sampler=sampler)
    train(Dataset(weighted), ball_plan(patch=(8, 8, 8)), training, tmp_path / "run")
    assert last_weights(tmp_path / "run")


@pytest.mark.parametrize("loss", ["cross-entropy", "dice", "squared-dice+cross-entropy"])
def test_every_loss_trains_it(data: Dataset, tmp_path: Path, loss: str) -> None:
    train(data, ball_plan(), ball_training(steps=12, loss=loss), tmp_path / "run")
    losses = [line["loss"] for line in log_of(tmp_path / "run") if "loss" in line]
    assert losses[-1] < losses[0]


def test_deep_supervision_trains_every_head(data: Dataset, tmp_path: Path) -> None:
    plan = ball_plan(network=UNet(3, (4, 4, 4, 4), deep_supervision=True))
    torch.manual_seed(ball_training().seed)
    before = plan.network.build(1, 3).state_dict()
    train(data, plan, ball_training(steps=1), tmp_path / "run")
    after = last_weights(tmp_path / "run")
    heads = [name for name in before if name.startswith("heads") and name.endswith("weight")]
    assert len(heads) == 2
    assert not any(torch.equal(before[name], after[name]) for name in heads)


def test_a_2d_network_trains_on_slices(data: Dataset, tmp_path: Path) -> None:
    plan = ball_plan(network=UNet(2, (4, 8)), patch=(16, 14, 1))
    model = train(data, plan, ball_training(steps=2, augmentations=EVERYTHING), tmp_path / "run")
    image, _ = draw_ball(0)
    assert model.segment(image).array.shape == image.grid.shape


def test_images_are_resampled_to_the_plan(data: Dataset, tmp_path: Path) -> None:
    plan = ball_plan(spacing=(2.0, 1.5, 1.0), patch=(8, 8, 12))
    train(data, plan, ball_training(steps=2), tmp_path / "run", validation=data)
    assert log_of(tmp_path / "run")[-1]["dice"].keys() <= {"shell", "core", "mean"}


def test_patches_are_centred_inside_the_mask(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masked = tuple(replace(case, mask_file=case.reference) for case in data.cases)
    seen = _centre_classes(monkeypatch)
    train(Dataset(masked), ball_plan(), ball_training(sampler="uniform"), tmp_path / "run")
    assert len(seen) >= 12  # and perhaps those of the step that would follow
    assert 0 not in seen


def _centre_classes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Class of the voxel in the middle of each patch from now on."""
    seen: list[int] = []
    at = Batches.at

    def watched(self: Batches, *arguments: Any) -> Batch:
        found = at(self, *arguments)
        middle = tuple(size // 2 for size in found.targets.shape[1:])
        seen.extend(found.targets[(slice(None), *middle)].tolist())
        return found

    monkeypatch.setattr(Batches, "at", watched)
    return seen


# Repeatable


def test_same_seed_and_steps_give_the_same_weights(data: Dataset, tmp_path: Path) -> None:
    training = ball_training(augmentations=EVERYTHING, steps=4)
    for name in "ab":
        train(data, ball_plan(mirror=(0, 1)), training, tmp_path / name)
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_what_was_drawn_before_changes_nothing(data: Dataset, tmp_path: Path) -> None:
    for name in "ab":
        train(data, ball_plan(), ball_training(steps=2), tmp_path / name)
        torch.rand(3)
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_it_leaves_the_random_state_of_torch_alone(data: Dataset, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_other_weights(data: Dataset, tmp_path: Path) -> None:
    for seed in (0, 1):
        train(data, ball_plan(), ball_training(steps=1, seed=seed), tmp_path / str(seed))
    first, second = (last_weights(tmp_path / name) for name in "01")
    assert not torch.equal(first["heads.0.weight"], second["heads.0.weight"])


def test_validating_more_often_changes_no_weights(data: Dataset, tmp_path: Path) -> None:
    train(data, ball_plan(), ball_training(validations=1), tmp_path / "a")
    train(data, ball_plan(), ball_training(validations=6), tmp_path / "b", validation=data)
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_cases_too_large_for_memory_are_read_from_files(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, ball_plan(), ball_training(), tmp_path / "memory")
    monkeypatch.setattr(batches, "free_memory", lambda device: 0)
    train(data, ball_plan(), ball_training(), tmp_path / "files")
    assert len(list(Run(tmp_path / "files").cache.iterdir())) == 2 * len(data)
    assert_same_weights(tmp_path / "memory", tmp_path / "files")


# What it leaves


def test_the_best_weights_are_those_of_the_best_validation(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr(Validation, "dice", lambda self, model: {"mean": next(means)})
    train(data, ball_plan(), ball_training(validations=3), tmp_path / "run", validation=data)
    found = validations_of(tmp_path / "run")
    _, facts = load_tensors(Run(tmp_path / "run").best)
    assert [dice["mean"] for dice in found.values()] == [0.2, 0.9, 0.5]
    assert facts == {"step": list(found)[1], "mean": 0.9}


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.6, 1.4, 2.0)], ids=str)
def test_the_dice_of_the_validation_is_that_of_the_model(
    data: Dataset, tmp_path: Path, spacing: tuple[float, ...]
) -> None:
    masked = _with_masks(data, tmp_path)
    plan = ball_plan(spacing=spacing, patch=(8, 8, 8))
    model = train(data, plan, ball_training(steps=30), tmp_path / "run", validation=masked)
    scores = [
        evaluate(model.segment(case.image(), mask=case.mask()), case.labels(), metrics=("dice",))
        for case in masked.cases
    ]
    (*_, logged) = validations_of(tmp_path / "run").values()
    for name, label in (("shell", 1), ("core", 2)):
        values = [row.value for each in scores for row in each.rows if row.label == label]
        assert logged[name] == pytest.approx(np.mean(values), abs=1e-4)


def _with_masks(data: Dataset, folder: Path) -> Dataset:
    """Masks that leave out a part of each ball."""
    cases = []
    for case in data.cases:
        file = folder / f"mask_{case.name}.nii.gz"
        labels = case.labels()
        inside = np.indices(labels.grid.shape)[0] < 8
        write(Labels(inside, labels.grid), file)
        cases.append(replace(case, mask_file=file))
    return Dataset(tuple(cases))


def test_without_validation_cases_there_are_only_the_last_weights(
    data: Dataset, tmp_path: Path
) -> None:
    train(data, ball_plan(), ball_training(steps=1), tmp_path / "run")
    assert not Run(tmp_path / "run").best.exists()
    assert Model.load(tmp_path / "run").plan == ball_plan()


def test_it_returns_the_model_that_is_in_the_folder(data: Dataset, tmp_path: Path) -> None:
    returned = train(data, ball_plan(), ball_training(), tmp_path / "run", validation=data)
    loaded = Model.load(tmp_path / "run", "cpu")
    torch.testing.assert_close(
        returned.network.state_dict(), loaded.network.state_dict(), rtol=0, atol=0
    )


def test_after_each_validation_it_calls_back(data: Dataset, tmp_path: Path) -> None:
    called = []
    train(data, ball_plan(), ball_training(), tmp_path / "run", after_validation=called.append)
    assert called[0] == Run(tmp_path / "run")


# What is refused before it begins


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"minutes": 1, "steps": 1}, "in minutes or in steps, got both"),
        ({"minutes": -1}, "a positive budget"),
        ({"steps": 0}, "a positive budget"),
        ({"warm_up": 1}, r"a warm-up in \[0, 1\)"),
        ({"batch": -1}, "batch is 0 or more"),
        ({"learning_rate": 0}, "learning_rate over 0"),
        ({"validations": 0}, "validations at least 1"),
        ({"precision": "float16"}, "precision is auto, float32 or bfloat16, got 'float16'"),
        ({"sampler": "balances"}, "did you mean 'balanced'"),
        ({"loss": "dise"}, "did you mean 'dice'"),
        ({"augmentations": ("rotate",)}, "did you mean 'rotation'"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"schedule": "polly"}, "did you mean 'poly'"),
        ({"voxel_weights": "unet"}, "did you mean 'unet-2015'"),
        ({"l1": -1}, "l1 is 0 or more, got -1"),
        ({"longest_gradient": -1}, "longest_gradient is 0 or more"),
        ({"momentum": 1}, r"momentum is in \[0, 1\), got 1"),
        ({"schedule": "halving"}, "halvings belong to the schedule 'halving', got"),
        ({"halvings": (0.5,)}, "halvings belong to the schedule 'halving', got"),
        ({"schedule": "halving", "halvings": (0.5, 0.2)}, "halvings are rising shares"),
        ({"schedule": "halving", "halvings": (1,)}, "halvings are rising shares"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_training_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**fields)


def test_a_case_with_other_channels_is_refused(data: Dataset, tmp_path: Path) -> None:
    case = data.cases[0]
    two = Dataset((replace(case, channels=case.channels * 2),))
    with pytest.raises(ValueError, match=r"the model takes 1 channels \(MR\), got 2"):
        train(two, ball_plan(), ball_training(), tmp_path / "run")


def test_a_label_that_the_plan_has_not_is_refused(data: Dataset, tmp_path: Path) -> None:
    plan = ball_plan(labels=(0, 2, 7), names={2: "core", 7: "rim"})
    with pytest.raises(
        ValueError, match=r"labels \[1\] are not in the plan, which has \[0, 2, 7\]"
    ):
        train(data, plan, ball_training(), tmp_path / "run")
