"""The curve of a training, read back pixel by pixel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from medseg.pictures.curve import _COLOURS, _place, _ticks, draw_curve


def curve_of(tmp_path: Path, *lines: dict[str, Any]) -> np.ndarray:
    """Pixels (rows, columns, 3) of the curve of a log."""
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_curve(log, tmp_path / "curve.png")
    with Picture.open(tmp_path / "curve.png") as picture:
        return np.asarray(picture.convert("RGB"))


def colour(index: int) -> np.ndarray:
    text = _COLOURS[index]
    return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)])


def where(pixels: np.ndarray, index: int) -> np.ndarray:
    """(n, 2) columns and rows inside the axes that have this colour."""
    rows, columns = np.nonzero((pixels == colour(index)).all(axis=2))
    inside = rows > 80  # below the legend
    return np.stack([columns[inside], rows[inside]], axis=1)


def loss(minutes: float, value: float) -> dict[str, Any]:
    return {"step": 1, "seconds": 60 * minutes, "loss": value}


def dice(minutes: float, **values: float) -> dict[str, Any]:
    return {"step": 1, "seconds": 60 * minutes, "dice": values}


def test_the_loss_runs_to_its_last_value_and_is_cut_off_at_the_top(tmp_path: Path) -> None:
    pixels = curve_of(tmp_path, loss(1, 2.0), loss(2, 1.0), loss(4, 0.5))
    found = where(pixels, 0)
    for point in (_place(0.25, 1.0), _place(0.5, 1.0), _place(1.0, 0.5)):
        assert np.abs(found - point).max(axis=1).min() <= 3
    assert found[:, 0].min() >= _place(0.25, 0)[0] - 4
    assert found[:, 0].max() <= _place(1, 0)[0] + 4


def test_the_dice_is_marked_where_it_was_measured(tmp_path: Path) -> None:
    pixels = curve_of(tmp_path, dice(1, mean=0.2), dice(2, mean=0.8))
    found = where(pixels, 0)
    for x, y in (_place(0.5, 0.2), _place(1.0, 0.8)):
        near = (np.abs(found - (x, y)) <= 5).all(axis=1)
        assert near.sum() > 50


def test_each_curve_has_a_colour_of_its_own(tmp_path: Path) -> None:
    pixels = curve_of(
        tmp_path, loss(1, 0.9), dice(1, a=0.2, mean=0.4), loss(2, 0.8), dice(2, a=0.3, mean=0.6)
    )
    for index in range(3):
        assert len(where(pixels, index)) > 50
    assert len(where(pixels, 3)) == 0


@pytest.mark.parametrize(
    "lines",
    [
        (loss(0.05, 1.5),),
        (dice(3, mean=0.0),),
        (loss(1, 1e4), loss(2, 1e-4)),
        tuple(dice(k, **{f"label {n}": 0.1 * n for n in range(9)}) for k in (1, 2)),
    ],
    ids=["one loss", "one score", "huge", "more labels than colours"],
)
def test_any_log_gives_a_picture(tmp_path: Path, lines: tuple[dict[str, Any], ...]) -> None:
    assert curve_of(tmp_path, *lines).shape == (700, 1200, 3)


def test_labels_beyond_the_colours_are_drawn_too(tmp_path: Path) -> None:
    names = {f"label {n}": 0.1 * n for n in range(10)}
    pixels = curve_of(tmp_path, dice(1, **names), dice(2, **names))
    for n in range(10):
        column, row = map(round, _place(1.0, 0.1 * n))
        assert (pixels[row, column] == colour(n % len(_COLOURS))).all()


def test_a_log_without_figures_gives_no_picture(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    draw_curve(tmp_path / "log.jsonl", tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()


def test_same_log_gives_the_same_picture(tmp_path: Path) -> None:
    first, second = (curve_of(tmp_path, loss(1, 2.0), loss(2, 1.0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_nothing_is_drawn_beyond_the_picture(tmp_path: Path) -> None:
    names = {f"a label with a rather long name, number {n}": 0.5 for n in range(6)}
    pixels = curve_of(tmp_path, dice(1, **names), dice(2, **names))
    frame = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert all((side == 255).all() for side in frame)


@pytest.mark.parametrize(
    ("end", "ticks"),
    [
        (1.9, [0, 0.5, 1, 1.5]),
        (3, [0, 1, 2, 3]),
        (0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
        (10, [0, 2, 4, 6, 8, 10]),
        (1440, [0, 200, 400, 600, 800, 1000, 1200, 1400]),
    ],
)
def test_ticks_are_round_and_say_where_they_stand(end: float, ticks: list[float]) -> None:
    assert _ticks(end) == pytest.approx(ticks)
