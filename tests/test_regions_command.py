"""Regions, and voxels that nobody has annotated, on the command line."""

from pathlib import Path

import numpy as np
import pytest
from balls import draw_ball, write_balls
from commands import command, complaint

from medseg import Labels, Plan, read_labels, write
from medseg.learning.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("--set", "network.features=[4,8]", "--set", "batch=2", "--set", "precision=float32")
NESTED = ("--region", "whole=1,2", "--region", "core=2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Balls of which the last slice is marked with a 9, as not annotated."""
    folder = write_balls(tmp_path / "data", 2)
    for seed in range(2):
        labels = draw_ball(seed)[1]
        array = labels.array.copy()
        array[..., -1] = 9
        write(Labels(array, labels.grid), folder / "labels" / f"ball_{seed}.nii.gz")
    return folder


def test_regions_are_learned_and_written_beside_the_labels(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    trained = ("train", data, run, *NESTED, "--ignore", 9, "--steps", 2, *TINY)
    code, _, err = command(capsys, *trained)
    assert code == 0, err
    plan = Plan.load(Run(run).plan)
    assert plan.regions == {"whole": (1, 2), "core": (2,)}
    assert (plan.written, plan.ignore, plan.labels) == ((1, 2), 9, (0, 1, 2))
    assert command(capsys, *trained)[0] == 0  # it goes on, and is finished
    code, _, err = command(capsys, "predict", run, data / "images", "-o", out, "--masks")
    assert code == 0, err
    for seed in range(2):
        whole, core = (
            read_labels(out / f"ball_{seed}_{name}.nii.gz").array for name in plan.regions
        )
        labels = read_labels(out / f"ball_{seed}.nii.gz").array
        np.testing.assert_array_equal(labels, np.where(core, 2, whole))


def test_a_plan_tells_of_them(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "plan", data, *NESTED, "--ignore", 9, *TINY[:2])
    assert code == 0, err
    assert "whole (1 + 2), written as 1; core (2), written as 2" in err
    assert "9 is ignored" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--region", "whole"), "a region is NAME=LABEL,LABEL,..., as whole=1,2,3; got 'whole'"),
        (("--region", "=1"), "a region is NAME=LABEL"),
        (("--region", "whole=1,x"), "got 'whole=1,x'"),
        (("--region", "a=1", "--region", "a=2"), "the region 'a' is given twice"),
        (("--region", "core=2", "--region", "whole=1,2"), "name larger regions before those"),
        (("--region", "whole=0,1"), "made of labels other than 0"),
        (("--region", "probabilities=1"), "a name that a file can have"),
        (("--region", "odd=7", "--ignore", "9"), "regions are made of and written as labels"),
        (("--ignore", "0"), "the label to ignore is not 0"),
        (("--ignore", "9", "--plan", "plan.json", "--region", "a=1"), "leave out"),
    ],
    ids=str,
)
@pytest.mark.parametrize("what", ["train", "plan"])
def test_what_makes_no_sense_is_refused_in_one_line(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    what: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    if what == "plan" and "--plan" in options:
        return
    place = (tmp_path / "run", "--steps", 1) if what == "train" else ()
    assert message in complaint(capsys, what, data, *place, *options, "--fold", "all")


def test_a_model_of_labels_has_no_masks_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_balls(tmp_path / "data", 1)
    run = tmp_path / "run"
    assert command(capsys, "train", folder, run, "--steps", 1, *TINY)[0] == 0
    given = ("predict", run, folder / "images", "-o", tmp_path / "out", "--masks")
    assert "has no masks of them" in complaint(capsys, *given)
