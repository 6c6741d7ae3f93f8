"""Contours of snakes, written by the command and by a study."""

from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from commands import command, complaint
from test_level_sets import ball, dice
from test_pipelines import pipeline
from test_snakes import radii

from medseg import read_labels, write
from medseg.phantom import draw_cohort


def test_the_command_writes_the_surface_and_the_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, seeds, wanted = ball((16, 18, 12), (1.0, 1.0, 2.0), 5)
    write(image, tmp_path / "image.nii.gz")
    write(seeds, tmp_path / "seeds.nii.gz")
    given = ["segment", tmp_path / "image.nii.gz", "-o", tmp_path / "found.nii.gz", "-m", "snake"]
    given += ["--seeds", tmp_path / "seeds.nii.gz", "--set", "scale=0.5", "--device", "cpu"]
    code, _, err = command(capsys, *given, "--contour", tmp_path / "surface.gii")
    assert code == 0, err
    assert dice(read_labels(tmp_path / "found.nii.gz").array == 1, wanted) > 0.85
    surface: Any = nib.load(tmp_path / "surface.gii")
    assert radii(surface.agg_data("pointset")).mean() == pytest.approx(5, rel=0.1)


def test_the_command_writes_no_contour_of_what_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, _, _ = ball((12, 12), (1.0, 1.0), 4)
    write(image, tmp_path / "image.nii.gz")
    given = ("segment", tmp_path / "image.nii.gz", "-o", tmp_path / "found.nii.gz")
    refused = complaint(capsys, *given, "-m", "otsu", "--contour", tmp_path / "contour.vtk")
    assert "--contour is for methods that move one of points; use -m snake" in refused
    refused = complaint(capsys, *given, "-m", "snake", "--contour", tmp_path / "contour.stl")
    assert "contours are written as .vtk, .gii" in refused
    (tmp_path / "contour.vtk").touch()
    refused = complaint(capsys, *given, "-m", "snake", "--contour", tmp_path / "contour.vtk")
    assert "contour.vtk exists; --overwrite replaces it" in refused


def test_hippocampus_snake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = draw_cohort(tmp_path / "data", cases=5, shape=(20, 20, 16))

    pipeline("hippocampus_snake.py").main(data, tmp_path / "surface.vtk", radius=2)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "mean of 1 cases   Dice" in lines[-1]
    assert "of the spheres alone" in lines[-1]
    assert (tmp_path / "surface.vtk").read_bytes().startswith(b"# vtk")
