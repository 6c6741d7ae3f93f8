"""Regions that overlap: learned one by one, and written into one label map in their order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from balls import SHAPE, ball_plan, ball_training, balls, draw_ball
from torch import Tensor
from torch.nn import functional

from medseg import (
    Image,
    Labels,
    Model,
    Plan,
    evaluate,
    make_plan,
    predict,
    read_image,
    read_labels,
    train,
)
from medseg.dataset.regions import written_as
from medseg.learning import LOSSES
from medseg.learning.conventions import Conventions
from medseg.learning.losses.targets import planned
from medseg.learning.preparing import prepare
from medseg.tiling import last_positive

REGIONS = {"whole": (1, 2), "core": (2,)}
LOSS = "dice+cross-entropy"


def region_plan(**changes: object) -> Plan:
    return ball_plan(**{"regions": REGIONS, "written": (1, 2)} | changes)


def region_model(**changes: object) -> Model:
    """Random weights, some of whose voxels are in each region."""
    torch.manual_seed(0)
    return Model.untrained(region_plan(**changes), "cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("regions")
    data = balls(folder / "data", 2)
    training = ball_training(steps=150, validations=1)
    return train(data, region_plan(), training, folder / "run", validation=data)


# what they are written as


def test_a_region_is_written_as_what_no_later_one_has() -> None:
    assert written_as({"whole": (1, 2, 3), "core": (1, 3), "enhancing": (3,)}) == (2, 1, 3)


def test_a_region_under_those_behind_it_is_refused() -> None:
    with pytest.raises(ValueError, match="'core' has no label that no later region has"):
        written_as({"core": (1, 3), "whole": (1, 2, 3)})


@pytest.mark.parametrize(
    ("regions", "written", "said"),
    [
        ({"a/b": (1, 2)}, (1,), "a name that a file can have"),
        ({"": (1, 2)}, (1,), "a name that a file can have"),
        ({"probabilities": (1, 2)}, (1,), "none of probabilities"),
        ({"none": ()}, (1,), "'none' has"),
        ({"all": (0, 1)}, (1,), "labels other than 0"),
        ({"twice": (1, 1)}, (1,), "each once"),
        ({"whole": (1, 2), "core": (2,)}, (1,), "2 regions are written as as many labels"),
        ({"whole": (1, 2), "core": (2,)}, (1, 1), "each once"),
        ({"whole": (1, 7)}, (1,), r"got \[7\]"),
        ({"whole": (1, 2)}, (9,), r"got \[9\]"),
    ],
)
def test_other_regions_are_refused(
    regions: dict[str, tuple[int, ...]], written: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        ball_plan(regions=regions, written=written)
    assert "\n" not in str(caught.value)


def test_a_plan_keeps_its_regions_in_their_order(tmp_path: Path) -> None:
    regions = {"Ödem und Kern": (2, 1), "a core": (2,)}
    plan = ball_plan(regions=regions, written=(1, 2), ignore=9)
    plan.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again == plan
    assert list(again.regions.items()) == list(regions.items())


def test_the_plan_of_a_data_set_has_its_regions(tmp_path: Path) -> None:
    data = balls(tmp_path, 2)
    plan = make_plan(data.on_regions(REGIONS))
    assert (plan.regions, plan.written, plan.outputs) == (REGIONS, (1, 2), 2)
    assert make_plan(data).outputs == 3


# losses


def some_logits() -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    target = torch.randint(3, (2, 4, 5), generator=rng)
    weights = torch.rand((2, 4, 5), generator=rng) * (torch.rand((2, 4, 5), generator=rng) < 0.7)
    return torch.randn((2, 2, 4, 5), generator=rng), target, weights


def test_the_loss_is_binary_cross_entropy_and_the_dice_of_sigmoids() -> None:
    logits, target, weights = some_logits()
    found = planned(LOSS, region_plan())(logits, target, weights)
    truth = torch.stack([target > 0, target == 2], 1).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    share = weights[:, None] / weights.sum()
    shared, sizes = (
        (x * weights[:, None]).sum((0, 2, 3))
        for x in (logits.sigmoid() * truth, logits.sigmoid() + truth)
    )
    by_hand = (entropy * share).sum() / 2 + 1 - ((2 * shared + 1) / (sizes + 1)).mean()
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_falls_as_regions_come_to_be_right(name: str) -> None:
    target = torch.tensor(draw_ball(0)[1].array.astype(int))[None]
    truth = torch.stack([target > 0, target == 2], 1)
    loss = planned(name, region_plan())
    wrong, unsure, right = (loss(z * (2.0 * truth - 1), target) for z in (-4, 0.5, 8))
    assert right < unsure < wrong
    assert right < 0.05


# prediction


@pytest.mark.parametrize("count", [1, 3, 300])
def test_the_last_positive_is_found(count: int) -> None:
    logits = torch.randn((count, 7, 3), generator=torch.Generator().manual_seed(0)) - 2
    by_hand = np.zeros((7, 3), int)
    for number, positive in enumerate(logits.numpy() > 0, start=1):
        by_hand[positive] = number
    np.testing.assert_array_equal(last_positive(iter(logits), count), by_hand)


def test_regions_are_learned(trained: Model) -> None:
    image, labels = draw_ball(0)
    scores = evaluate(trained.segment(image), labels, metrics=["dice"], regions=REGIONS)
    for region in REGIONS:
        (value,) = (row.value for row in scores if row.label == region)
        assert value >= 0.95


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 1.0, 0.75)])
@pytest.mark.parametrize("crop", ["none", "nonzero"])
def test_masks_probabilities_and_labels_agree(spacing: tuple[float, ...], crop: str) -> None:
    model = region_model(spacing=spacing, conventions=Conventions(crop=crop))
    plain, labels = draw_ball(3)
    kept = np.where(np.indices(SHAPE)[0] < 3, 0, plain.array)
    image = Image(kept, plain.grid)
    mask = Labels(np.indices(SHAPE)[1] < 9, labels.grid)
    masks, shares = model.masks(image, mask), model.probabilities(image, mask=mask)
    assert shares.names == ("whole", "core")
    inside = {name: one.array.astype(bool) for name, one in masks.items()}
    assert any(one.any() for one in inside.values())
    for name, share in zip(REGIONS, shares.array, strict=True):
        clear = np.abs(share - 0.5) > 1e-4
        np.testing.assert_array_equal((share > 0.5)[clear], inside[name][clear])
        assert not inside[name][mask.array == 0].any()
        assert not share[mask.array == 0].any()
    written = np.where(inside["core"], 2, np.where(inside["whole"], 1, 0))
    for found in (model.written(masks), model.segment(image, mask=mask)):
        np.testing.assert_array_equal(found.array, written)


def test_the_order_says_which_region_is_on_top() -> None:
    image, _ = draw_ball(0)
    other = {"core": (2,), "whole": (1, 2)}
    model = region_model()
    swapped = Model(model.network, region_plan(regions=other, written=(2, 1)))
    first, second = (one.array for one in model.masks(image).values())
    on_top = np.where(second != 0, 1, np.where(first != 0, 2, 0))
    np.testing.assert_array_equal(swapped.segment(image).array, on_top)


def test_the_dice_of_a_validation_is_that_of_its_regions(trained: Model, tmp_path: Path) -> None:
    from medseg.learning.validation import Validation

    data = balls(tmp_path, 2)
    found = Validation(data.cases, trained.plan).dice(trained)
    assert set(found) == {*REGIONS, "mean"}
    values: dict[str, list[float]] = {name: [] for name in REGIONS}
    for case in data.cases:
        said = trained.inside(prepare(case.image(), trained.plan))
        for (name, members), one in zip(REGIONS.items(), said, strict=True):
            drawn = np.isin(case.labels().array, members)
            values[name].append(2 * (one & drawn).sum() / (one.sum() + drawn.sum()))
    for name in REGIONS:
        assert found[name] == pytest.approx(np.mean(values[name]))


@pytest.mark.parametrize("also", [{}, {"probabilities": True}])
def test_masks_are_written_beside_the_labels(
    trained: Model, tmp_path: Path, also: dict[str, bool]
) -> None:
    balls(tmp_path / "data", 1)
    predict(trained, tmp_path / "data" / "images", tmp_path / "out", masks=True, **also)  # type: ignore[arg-type]
    image = read_image(tmp_path / "data" / "images" / "ball_0.nii.gz")
    for name, mask in trained.masks(image).items():
        found = read_labels(tmp_path / "out" / f"ball_0_{name}.nii.gz")
        np.testing.assert_array_equal(found.array, mask.array)
    labels = read_labels(tmp_path / "out" / "ball_0.nii.gz")
    np.testing.assert_array_equal(labels.array, trained.segment(image).array)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert ("ball_0_probabilities.nii.gz" in names) == bool(also)


def test_a_model_of_labels_has_no_masks(tmp_path: Path) -> None:
    model = Model.untrained(ball_plan(), "cpu")
    with pytest.raises(ValueError, match="no regions"):
        predict(model, tmp_path, tmp_path / "out", masks=True)
    with pytest.raises(ValueError, match="do not overlap"):
        model.masks(draw_ball(0)[0])
