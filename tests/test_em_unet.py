"""The U-Net on cells under the electron microscope, with the pipeline that trains it."""

from pathlib import Path

import numpy as np
import pytest
from test_pipelines import pipeline

import medseg

pytestmark = pytest.mark.usefixtures("one_thread")


def draw_slices(folder: Path, count: int) -> None:
    """Bright rectangular cells between dark membranes, and which pixels are cells."""
    rng = np.random.default_rng(0)
    for number in range(count):
        cells = np.full((48, 48), 255, np.uint8)
        for line in rng.integers(8, 40, 2):
            cells[line - 1 : line + 2] = 0
            cells[:, line - 1 : line + 2] = 0
        picture = np.where(cells > 0, 180, 60) + rng.normal(scale=10, size=cells.shape)
        image = medseg.Image.from_array(picture.astype(np.uint8))
        medseg.write(image, folder / "image" / f"{number}.png")
        medseg.write(medseg.Labels(cells, image.grid), folder / "label" / f"{number}.png")


def test_the_pipeline_finds_drawn_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None
) -> None:
    draw_slices(tmp_path / "data", 4)

    pipeline("em_unet.py").main(tmp_path / "data", tmp_path / "run", "2,3", steps=25)

    known, others = capsys.readouterr().out.splitlines()
    assert known.startswith("2 slices trained on: V_rand ")
    assert others.startswith("2 slices held out: V_rand ")
    assert float(others.split("V_rand ")[1].split(",")[0]) > 0.9
    assert medseg.Model.load(tmp_path / "run").plan.labels == (0, 255)


def test_cells_grow_until_membranes_have_no_width() -> None:
    probability = np.zeros((1, 5, 9), np.float32)
    probability[0, 1:4, 1:4], probability[0, 1:4, 6:8] = 0.9, 0.8
    image = medseg.Image(probability, medseg.Grid.from_spacing((5, 9), 1))
    em_unet = pipeline("em_unet.py")
    assert set(np.unique(em_unet.cells(image, 0.5))) == {1, 2}
    assert set(np.unique(em_unet.cells(image, 0.85))) == {1}
