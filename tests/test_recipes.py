"""Recipes: those there are make sense, and a budget takes the place of theirs."""

from pathlib import Path

import numpy as np
import pytest

import medseg
from medseg import NETWORKS, Training
from medseg.learning import RECIPES
from medseg.learning.recipes import Recipe
from medseg.learning.schedules import rate


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_for_a_network_that_there_is(name: str) -> None:
    recipe = RECIPES[name]
    assert isinstance(recipe, Recipe)
    assert recipe.network in NETWORKS


def test_without_changes_it_is_its_training() -> None:
    for name in RECIPES:
        assert RECIPES[name].trained_with({"minutes": None, "device": "auto"}) == (
            RECIPES[name].training
        )


@pytest.mark.parametrize("budget", [{"minutes": 3.0}, {"steps": 7}], ids=str)
def test_a_budget_takes_the_place_of_its_own(budget: dict[str, float]) -> None:
    training = Recipe("unet", Training(steps=9, batch=3)).trained_with(budget)
    assert (training.minutes, training.steps) == (budget.get("minutes"), budget.get("steps"))
    assert training.batch == 3


def test_two_budgets_are_refused() -> None:
    with pytest.raises(ValueError, match="in minutes or in steps, got both"):
        Recipe("unet", Training(steps=9)).trained_with({"minutes": 1.0, "steps": 2})


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="a training has no parameter bath; did you mean 'batch'"):
        Recipe("unet", Training()).trained_with({"bath": 2})


def test_deepmedic_is_trained_as_published() -> None:
    training = RECIPES["deepmedic"].training
    # Halved after epochs 17, 22, 27, 30 and 33 of 35, each of 20 times 1000 segments.
    assert training.steps == 35 * 20 * 100
    assert [share * 35 for share in training.halvings] == pytest.approx([17, 22, 27, 30, 33])
    assert (training.batch, training.learning_rate, training.momentum) == (10, 1e-3, 0.6)
    assert (training.l1, training.l2) == (1e-6, 1e-4)


def test_the_first_unet_is_trained_as_published() -> None:
    training = RECIPES["unet-2015"].training
    assert (training.batch, training.momentum) == (1, 0.99)
    assert (training.loss, training.voxel_weights) == ("cross-entropy", "unet-2015")
    assert "elastic-2015" in training.augmentations


def test_the_vnet_is_trained_as_published() -> None:
    training = RECIPES["vnet"].training
    assert (training.batch, training.learning_rate, training.momentum) == (2, 1e-4, 0.99)
    assert training.loss == "squared-dice"
    rates = [1e-4 * rate(training, step / 30_000) for step in (0, 24_999, 25_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 1.25e-5])


@pytest.mark.parametrize("name", ["unet-2015", "vnet"])
def test_two_steps_after_a_recipe(name: str, tmp_path: Path, one_thread: None) -> None:
    recipe, shape = RECIPES[name], {"unet-2015": (24, 20), "vnet": (16, 16, 8)}[name]
    rng = np.random.default_rng(0)
    for case in "ab":
        image = medseg.Image.from_array(
            rng.normal(size=shape).astype(np.float32), (1.0,) * len(shape)
        )
        cells = np.zeros(shape, np.uint8)
        cells[2:8, 2:12], cells[10:14, 4:9] = 1, 1
        medseg.write(image, tmp_path / "images" / f"{case}.nii.gz")
        medseg.write(medseg.Labels(cells, image.grid), tmp_path / "labels" / f"{case}.nii.gz")
    data = medseg.Dataset.read(tmp_path)
    small = {f"network.{key}": value for key, value in NETWORKS[recipe.network].small().items()}
    plan = medseg.make_plan(data, recipe.network, settings={**small, **recipe.plan})
    two = {"steps": 2, "precision": "float32"}
    model = medseg.train(data, plan, recipe.trained_with(two), tmp_path / "run")
    assert model.segment(data.cases[0].image()).grid.shape == data.cases[0].image().grid.shape
