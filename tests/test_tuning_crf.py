"""A CRF is tuned to what a method says of held-out cases, and says whether it helps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balls import draw_ball, untrained_run, write_balls
from commands import command, complaint

import medseg
from medseg import Dataset, DenseCRF, Image, Labels, Refined, Search, read_labels
from medseg.cli.tune import _show_crf
from medseg.crf.saved import load_crf
from medseg.learning.run import Run
from medseg.tuning import TunedCRF, not_trained_on, tune_crf

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (9, 8, 7)
AFFINE = np.array([[0.0, 2, 0, 5], [-1, 0, 0, 7], [0, 0, 3, 1], [0, 0, 0, 1]])
QUICK = Search(trials=4, folds=2, device="cpu")


class Noisy:
    """Knows the ball by its intensities, but for a share of the voxels; counts its cases."""

    def __init__(self, share: float) -> None:
        self.share, self.asked = share, 0

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probabilities of 0.6 and 0.2; the background is certain outside the mask."""
        self.asked += 1
        rng = np.random.default_rng(0)
        wrong = rng.random(image.grid.shape) < self.share
        right = np.clip(np.rint(image.array[0] / 100), 0, 2)
        said = np.where(wrong, rng.integers(0, 3, wrong.shape), right)
        array = np.float32(0.2) + np.float32(0.4) * (said == np.arange(3)[:, None, None, None])
        if mask is not None:
            array[:, mask.array == 0] = np.float32([1, 0, 0])[:, None]
        return Image(array, image.grid, ("background", "label 1", "label 2"))


@pytest.fixture
def cases(tmp_path: Path) -> Dataset:
    """Four balls, stored turned, with masks that cut the labels."""
    found = Dataset.read(write_balls(tmp_path / "data", 4, shape=SHAPE, affine=AFFINE))
    inside = np.ones(SHAPE, np.uint8)
    inside[:3] = 0
    medseg.write(Labels(inside, draw_ball(0, SHAPE, AFFINE)[1].grid), tmp_path / "mask.nii.gz")
    return replace(
        found, cases=tuple(replace(c, mask_file=tmp_path / "mask.nii.gz") for c in found.cases)
    )


def dice_of(method: Refined, cases: Dataset) -> float:
    scores = medseg.Scores()
    for case in cases.cases:
        labels = method.segment(case.image(), mask=case.mask())
        scores += medseg.evaluate(labels, case.labels(), case.name, ("dice",))
    return scores.mean("dice")


def test_what_is_found_does_as_well_as_was_said_and_each_case_is_asked_once(
    cases: Dataset,
) -> None:
    noisy = Noisy(0.3)
    search = replace(QUICK, fixed={"smooth_weight": 1.0}, ranges={"crf.smooth_mm": (0.5, 2.0)})
    found = tune_crf(noisy, cases, search)
    assert noisy.asked == len(cases)
    assert found.crf.smooth_weight == 1
    assert (found.trials, len(found.settings)) == (4, 2)
    assert found.score_before < found.training_score
    assert set(found.scores) == set(found.before) == {case.name for case in cases.cases}
    assert found.training_score == pytest.approx(dice_of(Refined(noisy, found.crf), cases))
    off = DenseCRF(iterations=0, device="cpu")
    assert found.score_before == pytest.approx(dice_of(Refined(noisy, off), cases))
    assert tune_crf(noisy, cases, search) == found


def test_the_best_setting_wins(cases: Dataset) -> None:
    ranges: Any = {"smooth_weight": [0.0, 500.0]}  # the second leaves a single label
    fixed = {"iterations": 2, "mode": "multiclass", "alike_weight": 0.0, "smooth_mm": 4.0}
    fixed |= {"alike_mm": 1.0, "intensity": 1.0}
    found = tune_crf(Noisy(0), cases, replace(QUICK, ranges=ranges, fixed=fixed))
    assert found.crf.smooth_weight == 0
    assert found.gains == dict.fromkeys(found.before, 0)
    assert found.interval == (0, 0)


def test_less_is_a_gain_of_a_distance() -> None:
    found = TunedCRF(
        DenseCRF(), {"a": 5.0, "b": 4.0}, 1.0, {"a": 3.0, "b": 2.0}, search=Search(metric="hd95")
    )
    assert found.gains == {"a": 2, "b": 2}
    assert found.interval == (2, 2)
    assert found.to_json()["gain"] == 2


def test_only_cases_that_validated_are_tuned_to(
    cases: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = untrained_run(tmp_path / "run")
    assert not_trained_on(tmp_path / "run", cases) == cases
    assert "no case validated" in caplog.text
    replace(cases, cases=cases.cases[1:3]).save(Run(tmp_path / "run").held_out)
    assert not_trained_on(tmp_path / "run", cases).cases == cases.cases[1:3]
    assert run.plan.labels == (0, 1, 2)


def test_what_cannot_be_tuned_is_refused(cases: Dataset) -> None:
    with pytest.raises(ValueError, match="Otsu gives none"):
        tune_crf(medseg.method("otsu"), cases, QUICK)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"did you mean 'crf\.smooth_mm'"):
        tune_crf(Noisy(0), cases, replace(QUICK, ranges={"smoth_mm": (1.0, 2.0)}))
    with pytest.raises(ValueError, match="leave them out"):
        tune_crf(Noisy(0), cases, replace(QUICK, seeds="reference"))
    bare = replace(cases, cases=(replace(cases.cases[0], reference=None),))
    with pytest.raises(ValueError, match=r"ball_0 can't be tuned to: .*no annotation"):
        tune_crf(Noisy(0), bare, QUICK)


def test_a_new_training_forgets_the_crf_of_the_old_weights(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.crf.write_text("{}")
    run.clear()
    assert not run.crf.exists()


# --- the command


def test_tuned_on_the_command_line_then_used_by_predict_and_segment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data = tmp_path / "run", write_balls(tmp_path / "data", 2)
    model, image = untrained_run(run), data / "images" / "ball_1.nii.gz"
    given = ("tune", "crf", run, data, "--device", "cpu", "--trials", "2", "--folds")
    code, out, err = command(capsys, *given, "2", "--range", "alike_mm=1:2")
    assert code == 0, err
    assert "dice " in out
    assert "held out, 2 cases in 2 folds" in out
    told = json.loads((run / "crf.json").read_text())
    assert told["tuned"]["data"] == str(data)
    assert set(told["tuned"]["before"]) == {"ball_0", "ball_1"}
    crf = load_crf(run, "cpu")
    assert crf == DenseCRF(**told["crf"], device="cpu")
    assert "exists already" in complaint(capsys, *given, "0")
    code, out, _ = command(capsys, *given, "0", "--overwrite", "--set", "iterations=0")
    assert code == 0
    assert "Nothing was held out" in out
    crf = load_crf(run, "cpu", {"smooth_weight": 2.0, "iterations": 1})
    wanted = Refined(model, crf).segment(medseg.read_image(image)).array
    more = ("--device", "cpu", "--set", "crf.smooth_weight=2", "--set", "crf.iterations=1")
    assert (
        command(capsys, "predict", run, image, "-o", tmp_path / "p.nii.gz", "--crf", *more)[0] == 0
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "p.nii.gz").array, wanted)
    named = ("-m", f"{run}+crf", *more)
    assert command(capsys, "segment", image, "-o", tmp_path / "s.nii.gz", *named)[0] == 0
    np.testing.assert_array_equal(read_labels(tmp_path / "s.nii.gz").array, wanted)


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ([0.1] * 4, "may help, or it is chance"),
        ([0.1] * 5, "The CRF helps"),
        ([0.1] * 4 + [-0.3], "may help, or it is chance"),
        ([-0.1] * 5, "does not help"),
    ],
)
def test_it_helps_if_enough_cases_say_so(
    capsys: pytest.CaptureFixture[str], gains: list[float], said: str
) -> None:
    before = {str(case): 0.5 for case in range(len(gains))}
    after = {case: 0.5 + gain for case, gain in zip(before, gains, strict=True)}
    _show_crf(TunedCRF(DenseCRF(), before, 0.6, after), Path("run"))
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("crf", "run"), "tune crf takes a run and a data set, RUN DATA, got 1"),
        (("crf", "run", "data", "-o", "crf.json"), "leave out -o"),
        (("otsu", "run", "data", "-o", "p.json"), "tune otsu takes one data set, got 2"),
        (("otsu", "data"), "to -o FILE.json"),
        (("crf", "nowhere", "data"), "nowhere does not exist"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    untrained_run(tmp_path / "run")
    write_balls(tmp_path / "data", 1)
    places = {"run", "data", "nowhere"}
    given = [tmp_path / each if each in places else each for each in arguments]
    assert message in complaint(capsys, "tune", *given)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ("[]", "holds no CRF"),
        ('{"crf": 3}', "holds no CRF"),
        ('{"crf": {"smoth_mm": 3}}', "did you mean 'smooth_mm'"),
        ('{"crf": {"smooth_mm": "3"}}', "crf can't be built"),
        ('{"crf": {"smooth_mm": -3}}', "smooth_mm is a number above 0"),
        ('{"crf": {"intensity": [0.1, -1]}}', "intensity is a number above 0"),
    ],
)
def test_a_file_with_something_else_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "crf.json").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_crf(tmp_path)
    assert "crf.json" in str(caught.value)
