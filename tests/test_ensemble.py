"""Several segmenters as one, in Python and as a folder."""

import json
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball
from commands import command, complaint

from medseg import Image, Labels, Model, method, read_labels, write
from medseg.info import EnsembleInfo, info
from medseg.learning import stored
from medseg.learning.ensemble import Ensemble, save_ensemble
from medseg.learning.merging import MERGES
from medseg.learning.run import Run
from medseg.learning.stored import Stored
from medseg.learning.weights import save_tensors
from medseg.networks.unet import UNet
from medseg.segmenter import labels_of_channels

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Says:
    """A member that says the same of every voxel."""

    probabilities_of: tuple[float, ...]
    names: tuple[str, ...] = ("background", "label 1", "label 2")

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probabilities of all voxels; outside the mask, background is certain."""
        values = np.float32(self.probabilities_of)
        array = np.empty((len(values), *image.grid.shape), np.float32)
        array.T[:] = values
        if mask is not None:
            array[:, mask.array == 0] = np.eye(len(values))[0][:, None]
        return Image(array, image.grid, self.names)


def some_run(folder: Path, seed: int, **changes: Any) -> Path:
    """A run of random weights."""
    torch.manual_seed(seed)
    model = Model.untrained(ball_plan(**changes), "cpu")
    model.plan.save(Run(folder).plan)
    save_tensors(model.network.state_dict(), Run(folder).last, {"step": 1})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Three runs, one of them of another architecture."""
    changes: list[dict[str, Any]] = [{}, {}, {"network": UNet(3, (6, 8, 12))}]
    return [some_run(tmp_path / "runs" / f"run_{k}", k, **changes[k]) for k in range(3)]


def first_voxel(image: Image) -> list[float]:
    return [float(channel.flat[0]) for channel in image.array]


SURE, UNSURE = Says((0.0, 1.0, 0.0)), Says((0.0, 0.3, 0.7))
BALL, _ = draw_ball(0)

# How members are merged, by hand


def test_the_mean_is_that_of_the_probabilities() -> None:
    found = Ensemble((SURE, UNSURE)).probabilities(BALL)
    assert first_voxel(found) == pytest.approx([0, 0.65, 0.35])


def test_a_weight_counts_a_member_that_often() -> None:
    found = Ensemble((SURE, UNSURE), weights=(1, 3)).probabilities(BALL)
    often = Ensemble((SURE, UNSURE, UNSURE, UNSURE)).probabilities(BALL)
    assert first_voxel(found) == pytest.approx([0, 0.475, 0.525])
    np.testing.assert_allclose(found.array, often.array, atol=1e-6)


def test_the_geometric_mean_has_a_sum_of_one() -> None:
    found = Ensemble((Says((0.5, 0.5, 0.0)), Says((0.2, 0.8, 0.0))), "geometric")
    # sqrt(0.1) and sqrt(0.4) are as 1 to 2.
    assert first_voxel(found.probabilities(BALL)) == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-6)


def test_no_member_is_so_sure_that_it_overrules_all_others() -> None:
    others = Says((0.0, 1e-4, 1 - 1e-4))
    found = Ensemble((SURE, others, others, others), "geometric").segment(BALL)
    assert found.array.flat[0] == 2


def test_votes_are_counted_whatever_their_margin() -> None:
    members = (SURE, Says((0.0, 0.45, 0.55)), Says((0.0, 0.45, 0.55)))
    assert Ensemble(members).segment(BALL).array.flat[0] == 1
    assert Ensemble(members, "vote").segment(BALL).array.flat[0] == 2
    found = Ensemble(members, "vote").probabilities(BALL)
    assert first_voxel(found) == pytest.approx([0, 1 / 3, 2 / 3])


def test_staple_says_what_its_definition_in_simpleitk_says() -> None:
    sitk = pytest.importorskip("SimpleITK")

    rng = np.random.default_rng(0)
    truth = draw_ball(1)[1].array
    members = []
    for share in (0.05, 0.1, 0.2, 0.3):
        wrong = rng.random(truth.shape) < share
        members.append(np.where(wrong, rng.integers(0, 3, truth.shape), truth).astype(np.uint8))
    expected = sitk.GetArrayFromImage(
        sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(one) for one in members], 255)
    )
    merging = MERGES["staple"](3, truth.size)
    for one in members:
        merging.begin(1)
        merging.add(0, np.eye(3, dtype=np.float32)[one.ravel()].T)
    probabilities = merging.merged()
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-6)
    agree = probabilities.argmax(0) == expected.ravel()
    assert agree[expected.ravel() < 3].mean() > 0.999
    errors = [(one != truth).mean() for one in members]
    assert (probabilities.argmax(0) != truth.ravel()).mean() < min(errors)


@pytest.mark.parametrize("merge", MERGES)
def test_members_that_agree_are_not_changed(merge: str) -> None:
    mixture = method("gaussian-mixture", classes=3, device="cpu")
    found = Ensemble((mixture, mixture, mixture), merge)
    np.testing.assert_array_equal(found.segment(BALL).array, mixture.segment(BALL).array)


@pytest.mark.parametrize("merge", MERGES)
def test_the_order_of_the_members_changes_nothing(merge: str) -> None:
    mixtures = [method("gaussian-mixture", classes=3, smoothness=s) for s in (0.0, 1.0, 2.0)]
    one = Ensemble(tuple(mixtures), merge).probabilities(BALL)
    other = Ensemble(tuple(reversed(mixtures)), merge).probabilities(BALL)
    np.testing.assert_allclose(one.array, other.array, atol=1e-4)


@pytest.mark.parametrize("merge", MERGES)
def test_outside_the_mask_background_is_certain(merge: str) -> None:
    inside = np.zeros(BALL.grid.shape, np.uint8)
    inside[4:12, 3:9, 2:10] = 1
    mask = Labels(inside, BALL.grid)
    found = Ensemble((SURE, SURE), merge)
    probabilities = found.probabilities(BALL, mask=mask)
    np.testing.assert_array_equal(found.segment(BALL, mask=mask).array, inside)
    np.testing.assert_allclose(probabilities.array[0], inside == 0, atol=1e-6)


# Members of any kind


def test_channels_are_matched_by_their_labels() -> None:
    turned = Says((0.0, 0.7, 0.3), ("background", "label 2", "label 1"))
    found = Ensemble((SURE, turned)).probabilities(BALL)
    assert first_voxel(found) == pytest.approx([0, 0.65, 0.35])


def test_a_network_and_a_classical_method_decide_together(runs: list[Path]) -> None:
    model = Model.load(runs[0], "cpu")
    mixture = method("gaussian-mixture", classes=3, device="cpu")
    found = Ensemble((model, mixture))
    both = (model.probabilities(BALL).array + mixture.probabilities(BALL).array) / 2
    np.testing.assert_allclose(found.probabilities(BALL).array, both, atol=1e-6)
    assert found.plan == model.plan


def test_labels_that_differ_are_refused() -> None:
    other = Says((0.5, 0.5, 0.0), ("background", "label 1", "label 3"))
    with pytest.raises(ValueError, match="the same labels"):
        Ensemble((SURE, other)).segment(BALL)


def test_a_channel_without_a_label_is_refused() -> None:
    named = Says((0.0, 1.0), ("background", "tumour")).probabilities(BALL)
    assert labels_of_channels(named, {4: "tumour"}) == (0, 4)
    with pytest.raises(ValueError, match="no label is called 'tumour'"):
        labels_of_channels(named, {})


def test_plans_that_differ_are_refused_before_any_image_is_read(runs: list[Path]) -> None:
    other = some_run(runs[0].parent / "other", 3, channels=("CT",))
    with pytest.raises(ValueError, match="the same channels"):
        Ensemble((Stored(runs[0]), Stored(other)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((),), "at least one member"),
        (((SURE,), "median"), "no way to merge is called 'median'"),
        (((SURE, SURE), "mean", (1.0,)), "one a member"),
        (((SURE, SURE), "mean", (1.0, 0.0)), "above 0"),
        (((SURE, SURE), "staple", (1.0, 2.0)), "give no weights"),
        (((method("otsu"),),), "Otsu does not"),
    ],
)
def test_what_makes_no_ensemble_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ensemble(*arguments)


# As a folder


def test_stored_members_say_what_those_in_memory_say(runs: list[Path]) -> None:
    waiting = Ensemble(tuple(Stored(run, "cpu") for run in runs))
    loaded = Ensemble(tuple(Model.load(run, "cpu") for run in runs))
    assert (waiting.probabilities(BALL).array == loaded.probabilities(BALL).array).all()
    assert (waiting.segment(BALL).array == loaded.segment(BALL).array).all()


def test_only_one_stored_member_is_in_memory(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[Any] = []
    most = 0

    class Watched(Model):
        def stream(self, *arguments: Any) -> None:
            nonlocal most
            alive.append(weakref.ref(self.network))
            most = max(most, sum(each() is not None for each in alive))
            super().stream(*arguments)

    monkeypatch.setattr(stored, "Model", Watched)
    Ensemble(tuple(Stored(run, "cpu") for run in runs)).segment(BALL)
    assert (len(alive), most) == (3, 1)


def test_a_folder_and_its_runs_can_be_moved_together(runs: list[Path], tmp_path: Path) -> None:
    save_ensemble(tmp_path / "both", runs, weights=(1, 2, 3))
    before = Ensemble.load(tmp_path / "both", "cpu").segment(BALL)
    (tmp_path / "new").mkdir()
    for name in ("runs", "both"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    after = Ensemble.load(tmp_path / "new" / "both", "cpu")
    assert after.weights == (1, 2, 3)
    assert (after.segment(BALL).array == before.array).all()


@pytest.mark.parametrize(
    "content",
    [
        {"members": ["../runs/run_0"]},
        {"members": "run_0", "merge": "mean", "weights": None},
        {"members": ["../runs/run_0"], "merge": 1, "weights": None},
        {"members": ["../runs/run_0"], "merge": "mean", "weights": ["1"]},
        [],
    ],
)
def test_a_damaged_file_is_refused(runs: list[Path], tmp_path: Path, content: Any) -> None:
    file = tmp_path / "both" / "ensemble.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="holds no ensemble"):
        Ensemble.load(file.parent)


def test_a_member_that_moved_away_is_named(runs: list[Path], tmp_path: Path) -> None:
    save_ensemble(tmp_path / "both", runs)
    shutil.rmtree(runs[1])
    with pytest.raises(FileNotFoundError, match="run_1 is no run"):
        Ensemble.load(tmp_path / "both")


def test_the_commands_take_it_like_a_run(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = tmp_path / "both"
    code, out, _ = command(capsys, "ensemble", tmp_path / "runs", "-o", both)
    assert code == 0, out
    assert "3 members" in out
    write(BALL, tmp_path / "ball.nii.gz")
    expected = Ensemble.load(both, "cpu").segment(BALL).array
    for name, arguments in {
        "predict": ("predict", both, tmp_path / "ball.nii.gz", "--probabilities"),
        "segment": ("segment", tmp_path / "ball.nii.gz", "-m", both),
    }.items():
        place = tmp_path / f"{name}.nii.gz"
        code, _, err = command(capsys, *arguments, "-o", place, "--device", "cpu", "--quiet")
        assert code == 0, err
        assert (read_labels(place).array == expected).all()
    assert (tmp_path / "predict_probabilities.nii.gz").is_file()
    assert "holds an ensemble already" in complaint(capsys, "ensemble", *runs, "-o", both)


def test_info_lists_its_members(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_ensemble(tmp_path / "both", runs[:2], merge="geometric", weights=(1, 2))
    found = info(tmp_path / "both")
    assert isinstance(found, EnsembleInfo)
    assert [Path(member.path).name for member in found.members] == ["run_0", "run_1"]
    code, out, _ = command(capsys, "info", tmp_path / "both")
    assert code == 0
    assert "geometric" in out
    assert out.count("unet, weight") == 2
