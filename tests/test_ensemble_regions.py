"""Several models that know the same regions, as one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball, write_balls
from commands import command
from test_choosing import as_drawn, run_that_says

from medseg import Dataset, Labels, Model, method, read_labels
from medseg.learning.ensemble import Ensemble

pytestmark = pytest.mark.usefixtures("one_thread")
REGIONS: dict[str, Any] = {"regions": {"whole": (1, 2), "core": (2,)}, "written": (1, 2)}


def member(seed: int, **changes: Any) -> Model:
    torch.manual_seed(seed)
    return Model.untrained(ball_plan(**REGIONS | changes), "cpu")


def test_each_region_is_as_probable_as_to_all_in_the_mean() -> None:
    image = draw_ball(0)[0]
    mask = Labels(np.indices(image.grid.shape)[0] > 5, image.grid)
    members = member(0), member(1)
    found = Ensemble(members, weights=(3, 1)).probabilities(image, mask=mask)
    one, other = (each.probabilities(image, mask=mask).array for each in members)
    np.testing.assert_allclose(found.array, (3 * one + other) / 4, atol=1e-6)
    assert (found.array[:, mask.array == 0] == 0).all()
    assert found.names == ("whole", "core")


def test_it_writes_later_regions_on_top() -> None:
    image = draw_ball(0)[0]
    ensemble = Ensemble((member(0), member(1)))
    whole, core = (one.array for one in ensemble.masks(image).values())
    assert 0 < whole.mean() < 1
    assert 0 < core.mean() < 1
    np.testing.assert_array_equal(
        ensemble.segment(image).array, np.where(core == 1, 2, np.where(whole == 1, 1, 0))
    )


@pytest.mark.parametrize("merge", ["geometric", "vote", "staple"])
def test_other_ways_to_merge_are_of_labels(merge: str) -> None:
    with pytest.raises(ValueError, match=f"merged by their mean, without a scaling, got '{merge}'"):
        Ensemble((member(0), member(1)), merge)


def test_all_members_know_the_same_regions() -> None:
    with pytest.raises(ValueError, match="members have the same regions"):
        Ensemble((member(0), member(1, regions={}, written=())))
    with pytest.raises(ValueError, match="members have the same written"):
        Ensemble((member(0), member(1, written=(2, 1))))
    with pytest.raises(ValueError, match="another one is no trained model"):
        Ensemble((member(0), method("gaussian-mixture", classes=3)))


def test_the_folds_of_a_choice_are_one_folder_that_predicts_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Dataset.read(write_balls(tmp_path / "data", 2))
    for k in range(2):
        held_out = Dataset(data.cases[k : k + 1])
        run_that_says(tmp_path / "folds" / f"fold_{k}", held_out, as_drawn, seed=k, **REGIONS)
    chosen, out = tmp_path / "chosen", tmp_path / "out"
    code, _, err = command(capsys, "choose", tmp_path / "folds", "-o", chosen, "--device", "cpu")
    assert code == 0, err
    image = tmp_path / "data" / "images" / "ball_0.nii.gz"
    given = ("predict", chosen, image, "-o", out, "--masks", "--device", "cpu")
    code, _, err = command(capsys, *given)
    assert code == 0, err
    members = tuple(Model.load(chosen / f"fold_{k}", "cpu") for k in range(2))
    for name, mask in Ensemble(members).masks(data.cases[0].image()).items():
        found = read_labels(out / f"ball_0_{name}.nii.gz")
        np.testing.assert_array_equal(found.array, mask.array)
