"""The pipelines run from end to end, on drawn data."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest

import medseg
from medseg.phantom import draw_case, draw_cohort

PIPELINES = Path(__file__).parent.parent / "pipelines"


def pipeline(name: str) -> ModuleType:
    """Return the module of a pipeline, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, PIPELINES / name)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_hippocampus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = draw_cohort(tmp_path / "data", cases=5, shape=(16, 16, 8))

    pipeline("hippocampus.py").main(data, tmp_path / "run", steps=2)

    printed = capsys.readouterr().out
    assert "best weights, 1 cases" in printed
    assert "last weights, 1 cases" in printed
    assert (tmp_path / "run" / "curve.png").stat().st_size > 0


def test_brats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, seed in (("train", 1), ("validation", 2)):
        folder = tmp_path / side / f"patient{seed}"
        image, lesion = draw_case(seed, (32, 32, 16))
        values = np.where(lesion.array > 0, np.arange(32)[:, None, None] % 4 + 1, 0)
        medseg.write(image.channel(0), folder / "t1c.nii.gz")
        medseg.write(image.channel(1), folder / "flair.nii.gz")
        medseg.write(lesion.on(values, lesion.grid), folder / "label.nii.gz")
        brain = (image.array[0] > 0.1).astype(np.uint8)
        medseg.write(lesion.on(brain, lesion.grid), folder / "brainmask.nii.gz")

    pipeline("brats.py").main(tmp_path, tmp_path / "run", steps=2, patch=16)

    assert "whole" in capsys.readouterr().out
    predicted = medseg.read_labels(tmp_path / "run" / "predictions" / "patient2.nii.gz")
    mask = medseg.read_labels(tmp_path / "validation" / "patient2" / "brainmask.nii.gz")
    assert not predicted.array[mask.array == 0].any()


def test_classical_benchmarks(capsys: pytest.CaptureFixture[str], one_thread: None) -> None:
    benchmark = pipeline("benchmarks/classical.py")

    benchmark.main(repeats=1, device="cpu", quick=True)

    printed = capsys.readouterr().out
    assert all(name in printed for name in benchmark.ROWS)
    assert printed.count("medseg") == len(benchmark.ROWS)


def test_killed_at_random_all_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.dict(os.environ):
        pipeline("benchmarks/kill.py").main(kills=2, steps=4, cases=6)
    printed = capsys.readouterr().out
    assert "2 kills of a training" in printed
    assert "2 kills of a prediction" in printed


def test_commands_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline("benchmarks/commands.py").main(repeats=1, dearest=1)
    assert "medseg evaluate A B" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.py")), ids=lambda p: p.name)
def test_pipelines_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
