"""How sure a network becomes that makes a loss as small as it gets: the table of the EMMA study.

Eleven groups of voxels, in which the rate of lesion is 0, 0.1, ..., 1, have one probability
each. The sizes of the groups are chosen such that ECE and Brier score come out as published.
"""

import pytest
import torch
from torch import Tensor

from medseg.learning import LOSSES

pytestmark = pytest.mark.usefixtures("one_thread")

RATES = torch.linspace(0, 1, 11, dtype=torch.float64)
SIZES = torch.tensor([348, 256, 34, 18, 17, 22, 22, 14, 16, 133, 120], dtype=torch.float64)
SIZES /= SIZES.sum()
# In voxels; so many that what is added on both sides of a Dice does not show.
MANY = 1e9


def loss_of(logits: Tensor, name: str) -> Tensor:
    """Loss of eleven logits; each is that of two voxels, one of either label, weighing its rate."""
    lesion = logits.expand(2, -1)
    pairs = torch.stack([torch.zeros_like(lesion), lesion])[None]  # (1, classes, labels, groups)
    target = torch.tensor([[0], [1]]).expand(1, 2, 11)
    weights = MANY * torch.stack([SIZES * (1 - RATES), SIZES * RATES])[None]
    return LOSSES[name](pairs, target, weights)


def best_probabilities(name: str) -> Tensor:
    logits = torch.zeros(11, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(logits, name)
        loss.backward()
        return loss

    optimizer.step(closure)
    return logits.detach().sigmoid()


@pytest.mark.parametrize(
    ("name", "wanted", "error", "brier"),
    [
        ("cross-entropy", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0, 0.0647),
        ("dice", [0, 0, 0, 0, 1, 1, 1, 1, 1], 0.0848, 0.0851),
        ("iou", [0, 0, 0, 0, 1, 1, 1, 1, 1], 0.0848, 0.0851),
        (
            "squared-dice",
            [0.11, 0.22, 0.34, 0.45, 0.56, 0.67, 0.78, 0.89, 1],
            0.0240,
            0.0663,
        ),
        (
            "dice+cross-entropy",
            [0.05, 0.13, 0.24, 0.39, 0.56, 0.71, 0.82, 0.90, 0.96],
            0.0310,
            0.0666,
        ),
    ],
)
def test_the_best_probabilities_are_those_of_the_table(
    name: str, wanted: list[float], error: float, brier: float
) -> None:
    found = best_probabilities(name)
    missed = (SIZES * (found - RATES).abs()).sum()
    squared = (SIZES * (RATES * (1 - found) ** 2 + (1 - RATES) * found**2)).sum()
    assert found[1:-1].tolist() == pytest.approx(wanted, abs=0.01)
    assert float(missed) == pytest.approx(error, abs=5e-4)
    assert float(squared) == pytest.approx(brier, abs=5e-4)
