"""The pipelines run from end to end, on drawn data."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from scipy.sparse import csgraph

import medseg
from medseg.crf.saved import load_crf
from medseg.learning.ensemble import save_ensemble
from medseg.phantom import draw_case, draw_cohort

PIPELINES = Path(__file__).parent.parent / "pipelines"


def pipeline(name: str) -> ModuleType:
    """Return the module of a pipeline, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, PIPELINES / name)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # As when it is run as a script, which finds what lies beside it.
    with mock.patch.object(sys, "path", [str((PIPELINES / name).parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


def test_hippocampus(tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None) -> None:
    data = draw_cohort(tmp_path / "data", cases=5, shape=(16, 16, 8))

    pipeline("hippocampus.py").main(data, tmp_path / "run", steps=2)

    printed = capsys.readouterr().out
    assert "best weights, 1 cases" in printed
    assert "last weights, 1 cases" in printed
    assert (tmp_path / "run" / "curve.png").stat().st_size > 0


def draw_brats(folder: Path, shape: tuple[int, ...] = (32, 32, 16)) -> Path:
    """A case with four labels for training, and one for validation."""
    for side, seed in (("train", 1), ("validation", 2)):
        place = folder / side / f"patient{seed}"
        image, lesion = draw_case(seed, shape)
        values = np.where(lesion.array > 0, np.arange(shape[0])[:, None, None] % 4 + 1, 0)
        medseg.write(image.channel(0), place / "t1c.nii.gz")
        medseg.write(image.channel(1), place / "flair.nii.gz")
        medseg.write(lesion.on(values, lesion.grid), place / "label.nii.gz")
        brain = (image.array[0] > 0.1).astype(np.uint8)
        medseg.write(lesion.on(brain, lesion.grid), place / "brainmask.nii.gz")
    return folder


def test_brats(tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None) -> None:
    pipeline("brats.py").main(draw_brats(tmp_path), tmp_path / "run", steps=2, patch=16)

    assert "whole" in capsys.readouterr().out
    predicted = medseg.read_labels(tmp_path / "run" / "predictions" / "patient2.nii.gz")
    mask = medseg.read_labels(tmp_path / "validation" / "patient2" / "brainmask.nii.gz")
    assert not predicted.array[mask.array == 0].any()


def test_crf_after_deepmedic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None, float32: None
) -> None:
    data, run = draw_brats(tmp_path, (24, 24, 12)), tmp_path / "run"

    pipeline("crf_after_deepmedic.py").main(data, run, steps=2, trials=2)

    printed = capsys.readouterr().out
    assert "train: " in printed
    assert "before  whole" in printed
    assert "after   whole" in printed
    model = medseg.Model.load(run)
    case = medseg.Dataset.read(data / "validation").cases[0]
    wanted = medseg.Refined(model, load_crf(run)).segment(case.image(), mask=case.mask())
    after = medseg.read_labels(run / "after" / "patient2.nii.gz")
    np.testing.assert_array_equal(after.array, wanted.array)
    assert (run / "pictures" / "patient2.png").stat().st_size > 0


def drawn_head(spacing: float = 4.0) -> tuple[medseg.Image, medseg.Labels]:
    """Scalp, dark skull and a brain of two tissues, as balls in one another, and the brain."""
    grid = medseg.Grid.from_spacing((44, 44, 44), spacing)
    away = np.linalg.norm(np.indices(grid.shape).T - 21.5, axis=-1).T * spacing
    brain = np.where(np.indices(grid.shape).sum(axis=0) % 12 < 3, 120, 150)
    shells = np.select([away < 58, away < 70, away < 79], [brain, 20, 80], 0)
    noise = np.random.default_rng(0).normal(scale=3, size=grid.shape)
    return medseg.Image((shells + noise)[None], grid), medseg.Labels(away < 58, grid)


def test_brain_extraction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    head, brain = drawn_head()
    medseg.write(head, tmp_path / "head.nii.gz")
    medseg.write(brain, tmp_path / "brain.nii.gz")

    pipeline("brain_extraction.py").main(tmp_path / "head.nii.gz", tmp_path / "brain.nii.gz")

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[-1].startswith("as it is")
    assert min(float(line.split()[-1]) for line in lines) > 0.95


def test_ct_body_and_bones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = (40, 36, 10)
    x, y, _ = np.indices(shape)
    # In the air: a body with a lung that goes through, a bone and a table.
    ct = np.full(shape, -1000)
    ct[np.hypot(x - 18, y - 18) < 15] = 40
    ct[np.hypot(x - 12, y - 18) < 4] = -800
    bone = np.hypot(x - 25, y - 18) < 4
    ct[bone] = 400
    ct[38] = 200
    grid = medseg.Grid.from_spacing(shape, 3)
    medseg.write(medseg.Image(ct[None], grid), tmp_path / "ct.nii.gz")
    medseg.write(medseg.Labels(np.where(bone, 30, 0), grid), tmp_path / "known.nii.gz")

    pipeline("ct_body_and_bones.py").main(
        tmp_path / "ct.nii.gz", tmp_path / "out", tmp_path / "known.nii.gz"
    )

    assert "dice 1.0000" in capsys.readouterr().out
    found = medseg.read_labels(tmp_path / "out" / "body_and_bones.nii.gz").array
    assert (found[bone] == 2).all()
    assert found[12, 18, 5] == 1, "the lung is inside the body"
    assert not found[38].any(), "the table is outside"
    assert (tmp_path / "out" / "body_and_bones.png").stat().st_size > 0


def test_em_membranes(tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None) -> None:
    for number in range(5):
        rng = np.random.default_rng(number)
        cells = np.full((48, 48), 255, np.uint8)
        for line in rng.integers(8, 40, 2):
            cells[line - 1 : line + 2] = 0
            cells[:, line - 1 : line + 2] = 0
        picture = np.where(cells > 0, 180, 60) + rng.normal(scale=10, size=cells.shape)
        image = medseg.Image.from_array(picture.astype(np.uint8))
        medseg.write(image, tmp_path / "data" / "image" / f"{number}.png")
        medseg.write(
            medseg.Labels(cells, image.grid), tmp_path / "data" / "label" / f"{number}.png"
        )

    pipeline("em_membranes.py").main(tmp_path / "data", tmp_path / "out", "3,4", trials=3)

    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert float(printed[1].split("others V_rand ")[1].split(",")[0]) > 0.8
    assert medseg.Chain.load(tmp_path / "out" / "watershed.json").filters
    assert (tmp_path / "out" / "cells.png").stat().st_size > 0


def test_lecture_regions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, _ = drawn_head()
    medseg.write(head, tmp_path / "head.nii.gz")

    pipeline("lecture_regions.py").main(tmp_path / "head.nii.gz", tmp_path / "all.png")

    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines()] == list(medseg.METHODS)
    assert (tmp_path / "all.png").stat().st_size > 0


def test_classical_benchmarks(capsys: pytest.CaptureFixture[str], one_thread: None) -> None:
    benchmark = pipeline("benchmarks/classical.py")

    benchmark.main(repeats=1, device="cpu", quick=True)

    printed = capsys.readouterr().out
    assert all(name in printed for name in benchmark.ROWS)
    assert printed.count("medseg") == len(benchmark.ROWS)


def test_the_benchmark_of_the_graph_cut_costs_the_largest_flow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = pipeline("benchmarks/graph_cut.py")
    volume = benchmark.Volume.of(draw_case(0, (8, 9, 8))[0], "cpu")
    costs, preferences = benchmark.network(volume, 8)
    np.savez(tmp_path / "network.npz", costs=costs, preferences=preferences)

    benchmark.own_side(tmp_path / "network.npz", 1)

    graph = pipeline("benchmarks/_interactive_rows.py").network(costs, preferences)
    flow = csgraph.maximum_flow(graph, preferences.size, preferences.size + 1).flow_value
    assert int(capsys.readouterr().out.split()[2]) == flow > 0


def test_killed_at_random_all_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with mock.patch.dict(os.environ):
        pipeline("benchmarks/kill.py").main(kills=2, steps=4, cases=6)
    printed = capsys.readouterr().out
    assert "2 kills of a training" in printed
    assert "2 kills of a prediction" in printed


def test_commands_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline("benchmarks/commands.py").main(repeats=1, dearest=1)
    assert "medseg evaluate A B" in capsys.readouterr().out


def test_emma(tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None) -> None:
    data = draw_cohort(tmp_path / "data", cases=10, shape=(16, 16, 8))
    emma = pipeline("emma.py")
    emma.MEMBERS = {"unet": ""}

    emma.main(data, tmp_path / "runs", steps=1)

    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["unet", *emma.PAIR, "ensemble"]
    assert lines[0].split()[1:] == lines[3].split()[1:]  # an ensemble of one
    assert [line.split()[-1].endswith(")") for line in lines[4:]] == [True] * 4
    assert (tmp_path / "runs" / "reliability-lesion.svg").is_file()
    assert (tmp_path / "runs" / "ensemble.html").is_file()


def test_the_memory_of_an_ensemble(tmp_path: Path, one_thread: None) -> None:
    benchmark = pipeline("benchmarks/ensemble.py")
    runs = [benchmark.make_run(tmp_path / f"run_{k}", k, 2, 3) for k in range(2)]
    save_ensemble(tmp_path / "both", runs)
    for measure, folder in (("member", runs[0]), ("uncertainty", tmp_path / "both")):
        assert getattr(benchmark, f"peak_of_{measure}")(folder, (30, 30, 19), 2) > 0


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.py")), ids=lambda p: p.name)
def test_pipelines_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


def test_the_benchmark_of_the_dense_crf(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline("benchmarks/crf.py").main(repeats=1)

    before, after = (line.split()[2] for line in capsys.readouterr().out.splitlines()[-2:])
    assert float(before) < float(after)


def test_labels_are_those_of_interpolating_all_classes() -> None:
    export = pipeline("benchmarks/export.py")
    logits = export.smooth_noise(5, (12, 10, 9))
    ours, theirs = (way(logits, (17, 15, 8)) for way in export.WAYS.values())
    assert (ours == theirs).mean() > 0.999


def test_the_benchmark_of_memory_says_what_was_foreseen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline("benchmarks/memory.py").main("20,18,22", classes=5, patch=16, spacing=1.5)
    printed = capsys.readouterr().out
    assert "(20, 18, 22) voxels of 1 mm, 5 classes" in printed
    foreseen = float(printed.partition("memory: about ")[2].split()[0])
    taken = float(printed.rpartition("took ")[2].split()[0])
    assert abs(foreseen / taken - 1) < 0.25


def test_what_a_network_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, seed in (("train", 1), ("validation", 2)):
        folder = tmp_path / side / f"patient{seed}"
        image, lesion = draw_case(seed, (16, 16, 12))
        medseg.write(image.channel(0), folder / "t1c.nii.gz")
        medseg.write(image.channel(1), folder / "flair.nii.gz")
        medseg.write(lesion, folder / "label.nii.gz")

    # As good as untrained, it finds its labels anywhere.
    pipeline("what_it_sees.py").main(tmp_path, tmp_path / "run", steps=1, blocks=4, ascent=1)

    printed = capsys.readouterr().out
    assert "flair    its mean everywhere  probability 0." in printed
    assert "t1c      its voxels permuted  probability 0." in printed
    page = (tmp_path / "run" / "what_it_sees" / "1" / "index.html").read_text()
    assert "Left out" not in page
