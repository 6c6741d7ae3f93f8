"""What memory a prediction takes is said before it begins."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from balls import ball_plan, draw_ball, write_balls

from medseg import Grid, Model, predict, write
from medseg.dataset import Case
from medseg.io.nifti import outline
from medseg.learning import foreseeing
from medseg.learning.footprint import Volume, footprint
from medseg.learning.passes import Passes
from medseg.learning.trial import taken

pytestmark = pytest.mark.usefixtures("one_thread")
TRIAL = Passes.trial


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(patch=(8, 8, 8), spacing=(2.0, 1.0, 1.0)), "cpu")


@pytest.fixture(autouse=True)
def _passes_take_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Passes, "trial", lambda self, tiles, device: 1000)


def with_free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in ("foreseeing", "memory"):
        monkeypatch.setattr(f"medseg.learning.{module}.free_memory", lambda _: size)


def test_steps_by_hand(model: Model) -> None:
    volume = Volume(model.plan, Grid.from_spacing((10, 20, 30)), 2)
    voxels = 6000
    assert volume.shape_seen == (5, 20, 30)
    assert (volume.reading, volume.preparing) == ((4 + 2 * 2) * voxels, (2 * 4 + 3 * 4) * voxels)
    found = footprint(model, volume)
    sums = 4 * 3 * 8 * 20 * 30  # three classes, a tile of rows
    assert found.passing == (4 + 2 + 1) * voxels + sums + 1000
    assert found.writing == (4 + 2) * voxels
    assert found.peak == found.preparing
    assert found.overlapped == found.peak + found.reading + found.writing


def test_maps_take_what_all_their_numbers_take(model: Model) -> None:
    volume = Volume(model.plan, Grid.from_spacing((10, 20, 30)), 2)
    without, found = footprint(model, volume), footprint(model, volume, maps=3)
    assert found.passing - without.passing == (4 * 3 - 1) * 6000
    assert found.writing - without.writing == 3 * 4 * 3 * 6000


def test_the_less_there_is_the_less_it_takes(model: Model) -> None:
    volume = Volume(model.plan, Grid.from_spacing((10, 60, 30)), 2)
    wide, narrow = (footprint(model, volume, room=room) for room in (10**9, 250_000))
    assert narrow.passing < wide.passing


def test_a_header_says_grid_and_bytes(tmp_path: Path) -> None:
    image = draw_ball(0)[0]
    write(image, tmp_path / "a.nii.gz")
    grid, stored = outline(tmp_path / "a.nii.gz")
    assert grid.matches(image.grid)
    assert stored == 4
    (tmp_path / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is no NIfTI image"):
        outline(tmp_path / "a.nii.gz")


def test_it_is_said_of_the_largest_case(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = write_balls(tmp_path, 2) / "images"
    write(draw_ball(5, (30, 14, 12))[0], images / "ball_0.nii.gz")
    with caplog.at_level(logging.INFO, "medseg"):
        predict(model, images, tmp_path / "out")
    assert caplog.text.count("memory: about") == 1
    assert "GB at the most, for 30 x 14 x 12 voxels" in caplog.text


def test_cases_follow_on_each_other_where_there_is_no_memory_for_three(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_balls(tmp_path, 2) / "images"
    cases = [Case(path.stem, (path,)) for path in sorted(images.iterdir())]
    assert foreseeing.foresee(model, cases).overlap
    grid, stored = outline(cases[0].channels[0])
    peak = footprint(model, Volume(model.plan, grid, stored)).peak
    with_free(monkeypatch, int(1.2 * peak))
    assert not foreseeing.foresee(model, cases).overlap
    assert foreseeing.foresee(model, cases[:1]).overlap
    found = predict(model, images, tmp_path / "out")
    assert found.done == ("ball_0", "ball_1")


def test_an_only_case_that_does_not_fit_is_refused(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_balls(tmp_path, 1) / "images"
    with_free(monkeypatch, 20_000)
    with pytest.raises(ValueError, match=r"an image of \(16, 14, 12\) voxels takes 0.0 GB"):
        predict(model, images, tmp_path / "out")


def test_of_several_cases_only_those_that_do_not_fit_fail(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_balls(tmp_path, 2) / "images"
    write(draw_ball(5, (60, 40, 40))[0], images / "large.nii.gz")
    with_free(monkeypatch, 20 * 60 * 40 * 40 - 1)
    found = predict(model, images, tmp_path / "out")
    assert found.done == ("ball_0", "ball_1")
    assert "an image of (60, 40, 40) voxels" in found.failed["large"]


def test_nothing_is_known_of_other_files(model: Model) -> None:
    assert foreseeing.outlined(model.plan, Case("a", (Path("a.nrrd"),))) is None
    assert foreseeing.outlined(model.plan, Case("a", (Path("missing.nii.gz"),))) is None
    assert foreseeing.foresee(model, [Case("a", (Path("a.nrrd"),))]) == foreseeing.Foreseen()


def test_a_trial_sees_what_is_taken() -> None:
    size = 2**27
    found = taken(lambda: np.ones(size, np.uint8).sum(), torch.device("cpu"))
    assert 0.9 * size < found < 1.5 * size


@pytest.mark.parametrize(("at_once", "seen"), [(1, [1, 1]), (3, [3, 1]), (8, [8])])
def test_a_trial_sees_no_more_mirror_images_than_take_all_memory(
    model: Model, monkeypatch: pytest.MonkeyPatch, at_once: int, seen: list[int]
) -> None:
    monkeypatch.setattr(Passes, "at_once", lambda self, tile, device: at_once)
    passes, found = replace(model.passes, mirrored=(0, 1, 2)), []
    hook = model.network.register_forward_hook(lambda _, given, __: found.append(len(given[0])))
    with hook, torch.inference_mode():
        TRIAL(passes, passes.tiles((8, 8, 8), model.device), model.device)
    assert found == seen
