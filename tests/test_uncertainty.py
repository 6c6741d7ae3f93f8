"""Maps of how unsure a segmenter is, by hand and in files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball
from commands import command, complaint

from medseg import Image, Labels, Model, evaluate_cases, method, predict, read_image, write
from medseg.dataset.beside import BESIDE
from medseg.learning.confidence import expected_dice
from medseg.learning.ensemble import Ensemble
from medseg.learning.run import Run
from medseg.learning.uncertainty import entropy, uncertainty_of
from medseg.learning.variants import Augmented
from medseg.learning.weights import save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")
BALL, TRUTH = draw_ball(0)


@dataclass(frozen=True)
class Says:
    """A member that says the same of every voxel."""

    shares: tuple[float, ...]

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probabilities of all voxels."""
        array = np.empty((len(self.shares), *image.grid.shape), np.float32)
        array.T[:] = np.float32(self.shares)
        names = ("background", *(f"label {k}" for k in range(1, len(self.shares))))
        return Image(array, image.grid, names)


def first(maps: Any, name: str) -> float:
    return float(maps.maps[name].array.flat[0])


def of(*members: Sequence[float], merge: str = "mean", weights: Any = None) -> Any:
    return Ensemble(tuple(Says(tuple(m)) for m in members), merge, weights).uncertain(BALL)


def some_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(**{"mirror": (1,)} | changes), "cpu")


# By hand


def test_entropy_is_in_nats_and_0_of_what_is_certain() -> None:
    shares = np.float32([[1, 0.5, 0.25, 0], [0, 0.5, 0.25, 1], [0, 0, 0.5, 0]])
    np.testing.assert_allclose(entropy(shares), [0, np.log(2), 1.5 * np.log(2), 0], atol=1e-6)


def test_members_that_are_sure_of_different_things_disagree() -> None:
    found = of((1, 0), (0, 1))
    assert first(found, "entropy") == pytest.approx(np.log(2))
    assert first(found, "mutual_information") == pytest.approx(np.log(2))
    assert first(found, "variance") == pytest.approx(0.5)  # 0.25 of each of the two classes


def test_members_that_are_unsure_alike_agree() -> None:
    found = of((0.5, 0.5), (0.5, 0.5), (0.5, 0.5))
    assert first(found, "entropy") == pytest.approx(np.log(2))
    assert first(found, "mutual_information") == pytest.approx(0, abs=1e-6)
    assert first(found, "variance") == pytest.approx(0, abs=1e-6)


def test_a_weight_counts_a_member_that_often() -> None:
    weighted = of((0.9, 0.1), (0.3, 0.7), weights=(1, 3))
    often = of((0.9, 0.1), (0.3, 0.7), (0.3, 0.7), (0.3, 0.7))
    for name in weighted.maps:
        assert first(weighted, name) == pytest.approx(first(often, name), abs=1e-6)


def test_disagreement_is_that_of_the_members_whatever_merges_them() -> None:
    members = (0.9, 0.1), (0.8, 0.2), (0.3, 0.7)
    mean, vote = of(*members), of(*members, merge="vote")
    for name in ("mutual_information", "variance"):
        assert first(vote, name) == pytest.approx(first(mean, name), abs=1e-6)
    assert vote.probabilities.array[:, 0, 0, 0] == pytest.approx([2 / 3, 1 / 3])


def test_information_and_entropy_add_up() -> None:
    rng = np.random.default_rng(0)
    members = [tuple(rng.dirichlet([0.5, 0.5, 0.5])) for _ in range(5)]
    found = of(*members)
    each = np.mean([float(entropy(np.float32(one)[:, None])[0]) for one in members])
    total = first(found, "mutual_information") + each
    assert first(found, "entropy") == pytest.approx(total, abs=1e-6)
    variance = np.var(members, axis=0).sum()
    assert first(found, "variance") == pytest.approx(variance, abs=1e-6)


def test_a_model_alone_has_entropy_alone() -> None:
    model = some_model()
    found = uncertainty_of(model, BALL)
    assert list(found.maps) == ["entropy"]
    expected = model.probabilities(BALL).array
    np.testing.assert_allclose(
        found.maps["entropy"].array[0], -(expected * np.log(expected)).sum(0), atol=1e-5
    )
    assert list(uncertainty_of(method("gaussian-mixture", classes=2), BALL).maps) == ["entropy"]


def test_outside_the_mask_nothing_is_unsure() -> None:
    mask = Labels(TRUTH.array > 0, TRUTH.grid)
    outside = mask.array == 0
    ensemble = Ensemble(Augmented()(some_model()))
    for segmenter in (some_model(), ensemble):
        for name, values in uncertainty_of(segmenter, BALL, mask=mask).maps.items():
            assert not values.array[0][outside].any(), name
            assert values.array[0][~outside].max() > 0, name


def test_a_model_of_regions_is_refused_in_one_line() -> None:
    model = some_model(regions={"all": (1, 2), "core": (2,)}, written=(1, 2))
    with pytest.raises(ValueError, match="knows regions that overlap"):
        uncertainty_of(model, BALL)


# The Dice that is expected


def test_expected_dice_by_hand() -> None:
    image = Image.from_array(np.zeros((1, 1, 4, 1), np.float32), (1, 1, 1))
    said = np.float32([[0.9, 0.2, 0.4, 1.0], [0.1, 0.8, 0.6, 0.0], [0, 0, 0, 0]])
    shares = Image(said.reshape(3, 1, 4, 1), image.grid, ("background", "label 1", "label 2"))
    labels = Labels(np.array([0, 1, 1, 0]).reshape(1, 4, 1), image.grid)
    found = expected_dice(shares, labels)
    assert found[1] == pytest.approx(2 * 1.4 / (1.5 + 2))
    assert np.isnan(found[2])


def test_what_is_certain_is_expected_to_be_right() -> None:
    shares = np.eye(3, dtype=np.float32)[TRUTH.array].transpose(3, 0, 1, 2)
    names = ("background", "label 1", "label 2")
    assert expected_dice(Image(shares, BALL.grid, names), TRUTH) == {1: 1.0, 2: 1.0}


# In files


def test_maps_are_written_beside_the_prediction(tmp_path: Path) -> None:
    ensemble = Ensemble(Augmented(degrees=0)(some_model()))
    write(BALL, tmp_path / "images" / "ball.nii.gz")
    table = tmp_path / "volumes.csv"
    predict(ensemble, tmp_path / "images", tmp_path / "out", uncertainty=True, statistics=table)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    maps = ("entropy", "mutual_information", "variance")
    assert names == ["ball.nii.gz", *(f"ball_{name}.nii.gz" for name in maps)]
    found = ensemble.uncertain(BALL)
    for name in maps:
        stored = read_image(tmp_path / "out" / f"ball_{name}.nii.gz")
        np.testing.assert_allclose(stored.array, found.maps[name].array, atol=2e-5)
    labels = ensemble.most_probable(found.probabilities)
    expected = expected_dice(found.probabilities, labels)
    header, *rows = (line.split(",") for line in table.read_text().splitlines())
    at = header.index("expected_dice")
    assert [float(row[at]) for row in rows] == pytest.approx(
        [dice for label, dice in expected.items() if (labels.array == label).any()], abs=1e-5
    )


def test_all_that_stands_beside_predictions_is_no_prediction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for case in ("a", "b"):
        write(TRUTH, tmp_path / "found" / f"{case}.nii.gz")
        for what in (*BESIDE, "core"):
            write(TRUTH, tmp_path / "found" / f"{case}_{what}.nii.gz")
    write(TRUTH, tmp_path / "known" / "a.nii.gz")
    scores = evaluate_cases(tmp_path / "found", tmp_path / "known", ("dice",), {"core": (2,)})
    assert scores.cases == ("a",)
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.endswith("no reference: b")


def test_the_command_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = some_model()
    model.plan.save(Run(tmp_path / "run").plan)
    save_tensors(model.network.state_dict(), Run(tmp_path / "run").last, {"step": 1})
    write(BALL, tmp_path / "ball.nii.gz")
    place = tmp_path / "out" / "found.nii.gz"
    given = ("predict", tmp_path / "run", tmp_path / "ball.nii.gz", "-o", place, "--uncertainty")
    code, _, err = command(capsys, *given, "--device", "cpu", "--quiet")
    assert code == 0, err
    assert (place.parent / "found_entropy.nii.gz").is_file()
    assert not (place.parent / "found_variance.nii.gz").exists()
    place.unlink()
    assert "found_entropy.nii.gz exists already" in complaint(capsys, *given, "--device", "cpu")
