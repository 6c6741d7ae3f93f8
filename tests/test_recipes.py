"""Recipes: those there are make sense, and a budget takes the place of theirs."""

import pytest

from medseg import NETWORKS, Training
from medseg.learning import RECIPES
from medseg.learning.recipes import Recipe


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
