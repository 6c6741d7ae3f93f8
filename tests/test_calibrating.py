"""Calibrating a model: scalings by hand, fitted to drawn truths, stored and loaded."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, balls, draw_ball
from commands import command, complaint

from medseg import Dataset, Model, calibrate, read_image
from medseg.calibrating import calibrate_folder, write_calibration_report
from medseg.calibrating.fitting import fit
from medseg.calibrating.judging import correlations, judged_in_halves
from medseg.calibrating.seeing import Seen, seen
from medseg.learning.ensemble import Ensemble, save_ensemble
from medseg.learning.run import Run
from medseg.learning.scaling import Scaling
from medseg.learning.weights import save_tensors
from medseg.metrics import CALIBRATION
from medseg.metrics.calibration import band

pytestmark = pytest.mark.usefixtures("one_thread")
BALL, TRUTH = draw_ball(0)


def drawn(case: str, change: Callable[[np.ndarray], np.ndarray], voxels: int = 20_000) -> Seen:
    """What was said of voxels, whose classes are drawn after a change of its logarithms."""
    rng = np.random.default_rng(ord(case))
    said = np.exp(rng.normal(scale=2, size=(3, voxels)))
    said /= said.sum(0)
    true = np.exp(change(np.log(said)))
    true /= true.sum(0)
    classes = (rng.random(voxels) > true.cumsum(0)[:2]).sum(0)
    dice = {1: rng.random(), 2: rng.random()}
    return Seen(case, said.astype(np.float32), classes, dice, dice)


def some_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(**changes), "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return balls(tmp_path_factory.mktemp("balls"), 4)


@pytest.fixture
def run(tmp_path: Path, data: Dataset) -> Path:
    """A run of random weights that validated on all cases but the last."""
    model, run = some_model(), Run(tmp_path / "run")
    model.plan.save(run.plan)
    save_tensors(model.network.state_dict(), run.best, {"step": 7})
    save_tensors(model.network.state_dict(), run.last, {"step": 9})
    replace(data, cases=data.cases[:-1]).save(run.held_out)
    return run.folder


# Scalings


def test_a_temperature_divides_logits() -> None:
    scaling = Scaling((0.5, 0.5, 0.5), (0, 0, 0))
    shares = np.float32([[0.64], [0.32], [0.04]])
    expected = np.sqrt(shares) / np.sqrt(shares).sum(0)
    np.testing.assert_allclose(scaling.of_probabilities(shares), expected, rtol=1e-5)
    assert scaling.temperature == pytest.approx(2)
    assert scaling.keeps_order
    assert not Scaling((0.5, 0.5, 0.5), (0, 0, 1)).keeps_order
    assert not Scaling((0.5, 0.6, 0.5), (0, 0, 0)).keeps_order


def test_what_is_impossible_stays_a_number() -> None:
    found = Scaling((0.01, 0.01), (0, 0)).of_probabilities(np.float32([[1.0], [0.0]]))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("factors", "offsets"), [((), ()), ((1,), (0, 0)), ((np.nan, 1), (0, 0)), ((1, 1), (0, 1e9))]
)
def test_other_numbers_are_refused(factors: tuple, offsets: tuple) -> None:
    with pytest.raises(ValueError, match=r"a factor and an offset|up to a million"):
        Scaling(factors, offsets)


def test_a_model_scales_its_logits_and_a_temperature_keeps_its_labels() -> None:
    model = some_model(spacing=(1.5, 1.0, 1.0))
    mild = replace(model, scaling=Scaling((0.25,) * 3, (0,) * 3))
    plain = model.probabilities(BALL).array.reshape(3, -1)
    expected = mild.scaling.of_probabilities(plain) if mild.scaling else plain
    found = mild.probabilities(BALL)
    np.testing.assert_allclose(found.array.reshape(3, -1), expected, atol=1e-4)
    np.testing.assert_array_equal(mild.segment(BALL).array, model.segment(BALL).array)


@pytest.mark.parametrize("spacing", [1.0, 1.5])
def test_a_vector_changes_the_labels_with_the_probabilities(spacing: float) -> None:
    model = some_model(spacing=(spacing, 1.0, 1.0))
    shares = model.probabilities(BALL).array
    least = shares.mean((1, 2, 3)).argmin()
    offsets = np.zeros(3)
    offsets[least] = np.median(np.log(shares.max(0) / shares[least])) + 1e-3
    turned = replace(model, scaling=Scaling((1, 1, 1), tuple(offsets)))
    labels = turned.segment(BALL)
    assert (labels.array != model.segment(BALL).array).mean() > 0.2
    np.testing.assert_array_equal(
        labels.array, turned.most_probable(turned.probabilities(BALL)).array
    )


def test_a_scaling_of_other_classes_or_of_regions_is_refused() -> None:
    with pytest.raises(ValueError, match="of 2 classes is not of 3"):
        replace(some_model(), scaling=Scaling((1, 1), (0, 0)))
    regions = some_model(regions={"all": (1, 2), "core": (2,)}, written=(1, 2))
    with pytest.raises(ValueError, match="the model knows regions"):
        replace(regions, scaling=Scaling((1, 1), (0, 0)))


# Fitting


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_the_temperature_of_what_was_drawn_is_found(temperature: float) -> None:
    found = fit([drawn("a", lambda logs: logs / temperature)], "temperature")
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.keeps_order


def test_factors_and_offsets_of_what_was_drawn_are_found() -> None:
    factors, offsets = np.array([[2.0], [0.5], [1.0]]), np.array([[0.5], [-1.0], [0.5]])
    found = fit([drawn("a", lambda logs: logs * factors + offsets)], "vector")
    np.testing.assert_allclose(found.factors, factors[:, 0], rtol=0.1)
    np.testing.assert_allclose(found.offsets, offsets[:, 0], atol=0.1)


def test_cases_are_judged_by_what_was_fitted_to_others() -> None:
    cases = [drawn(name, lambda logs: logs / 3) for name in "abcd"]
    # The second half is not over-confident, so what is fitted to it does not mend the first.
    other = [drawn(name, lambda logs: logs) if k % 2 else cases[k] for k, name in enumerate("abcd")]
    for seen_cases, mended in ((cases, True), (other, False)):
        first = judged_in_halves(seen_cases, "temperature")[0]
        assert (first.mean("ece", "after") < 0.5 * first.mean("ece", "before")) is mended


def test_one_case_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 2 or more; got 1"):
        judged_in_halves([drawn("a", lambda logs: logs)], "vector")


def test_correlations_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 9))
    pearson, spearman, count = correlations([*one, np.nan], [*other, 0.5])
    assert count == 9
    assert pearson == pytest.approx(stats.pearsonr(one, other)[0])
    assert spearman == pytest.approx(stats.spearmanr(one, other)[0])
    assert np.isnan(correlations([1, 1, 1], [1, 2, 3])[0])


# Models and data


def test_voxels_are_those_near_what_is_annotated(data: Dataset) -> None:
    model = some_model()
    case = data.cases[0]
    near = seen(model, case, 1.0, 0)
    border = case.labels().array
    assert len(near.classes) == band(border > 0, (1, 1, 1), 1.0).sum() < border.size
    everything = seen(model, case, 50.0, 0)
    assert len(everything.classes) == border.size
    np.testing.assert_array_equal(everything.classes, border.ravel())
    said = model.probabilities(read_image(case.channels[0])).array
    np.testing.assert_array_equal(everything.probabilities, said.reshape(3, -1))


def test_a_calibrated_model_is_nearer_to_the_truth(run: Path, data: Dataset) -> None:
    found = calibrate_folder(run, data, method="vector", device="cpu")
    assert [case.case for case in found.cases] == ["ball_0", "ball_1", "ball_2"]
    nll = [found.of_cases("nll", when).mean() for when in ("before", "after")]
    assert nll[1] < 0.8 * nll[0]
    model = Model.load(run, "cpu")
    assert model.scaling == found.scaling
    assert model.scaling.fitted_to == "best.safetensors of step 7"
    assert Model.load(run, "cpu", scaling="none").scaling is None
    with pytest.raises(ValueError, match="calibrated already"):
        calibrate(model, data)


def test_a_scaling_is_for_the_weights_that_it_was_fitted_to(run: Path, data: Dataset) -> None:
    calibrate_folder(run, data, device="cpu")
    with pytest.raises(ValueError, match=r"fitted to best\S+ of step 7, not to last\S+ of step 9"):
        Model.load(run, "cpu", weights="last")
    Run(run).clear()
    assert not Run(run).scaling.exists()


def test_an_ensemble_is_calibrated_as_a_whole(run: Path, data: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "both"
    save_ensemble(place, [run, run])
    plain = Ensemble.load(place, "cpu").probabilities(BALL)
    calibrate_folder(run, data, method="vector", device="cpu")
    of_run = Model.load(run, "cpu").probabilities(BALL)
    mild = Ensemble.load(place, "cpu").probabilities(BALL)
    np.testing.assert_allclose(mild.array, of_run.array, atol=1e-6)
    found = calibrate_folder(place, data, device="cpu")
    ensemble = Ensemble.load(place, "cpu")
    assert ensemble.scaling == found.scaling
    expected = found.scaling.of_probabilities(plain.array.reshape(3, -1))
    said = ensemble.probabilities(BALL)
    np.testing.assert_allclose(said.array.reshape(3, -1), expected, atol=1e-6)
    unsure = ensemble.uncertain(BALL)
    np.testing.assert_array_equal(unsure.probabilities.array, said.array)
    save_ensemble(place, [run, run], merge="vote")
    with pytest.raises(ValueError, match="run medseg calibrate again"):
        Ensemble.load(place, "cpu")


def test_cases_that_did_not_validate_are_asked_for_by_name(run: Path, data: Dataset) -> None:
    trained_on = replace(data, cases=data.cases[-1:])
    with pytest.raises(ValueError, match="no case of the data set validated"):
        calibrate_folder(run, trained_on, device="cpu")
    Run(run).held_out.unlink()
    with pytest.raises(ValueError, match="--cases all"):
        calibrate_folder(run, data, device="cpu")
    assert len(calibrate_folder(run, data, cases="all", device="cpu").cases) == 4


def test_regions_are_refused(data: Dataset) -> None:
    model = some_model(regions={"all": (1, 2), "core": (2,)}, written=(1, 2))
    with pytest.raises(ValueError, match="knows regions that overlap"):
        calibrate(model, data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "holds no scaling"),
        ({"factors": [1, 1, 1]}, "holds no scaling"),
        ({"factors": "111", "offsets": [0, 0, 0], "fitted_to": "", "notes": {}}, "are lists"),
        ({"factors": [1, 1], "offsets": [0], "fitted_to": "", "notes": {}}, "a factor and an"),
        ({"factors": [1] * 3, "offsets": [0] * 3, "fitted_to": 1, "notes": {}}, "is text"),
        ({"factors": [1] * 3, "offsets": [0] * 3, "fitted_to": "", "notes": {}}, "not to best"),
    ],
)
def test_a_damaged_scaling_is_refused(run: Path, content: Any, said: str) -> None:
    Run(run).scaling.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=said):
        Model.load(run, "cpu")


# The report and the command


def test_the_command_calibrates_and_reports(
    run: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.save(tmp_path / "data.csv")
    given = ("calibrate", run, tmp_path / "data.csv", "-o", tmp_path / "out", "--device", "cpu")
    code, out, err = command(capsys, *given, "--quiet")
    assert code == 0, err
    assert all(word in out for word in ("shell", "core", "ece", "3 cases"))
    page = (tmp_path / "out" / "calibration.html").read_text()
    assert page.count("<svg") == 3
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert content["cases"] == ["ball_0", "ball_1", "ball_2"]
    assert set(content["labels"]["1"]["after"]) == set(CALIBRATION)
    assert "scaling.json" in complaint(capsys, *given)
    assert "no way to calibrate" in complaint(capsys, *given, "--overwrite", "--method", "beta")
    assert "validation or all" in complaint(capsys, *given, "--overwrite", "--cases", "some")


def test_a_report_is_html(run: Path, data: Dataset, tmp_path: Path) -> None:
    found = calibrate(Model.load(run, "cpu"), data)
    with pytest.raises(ValueError, match=r"written as \.html"):
        write_calibration_report(found, tmp_path / "report.pdf")
