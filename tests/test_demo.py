"""The study in small, smaller still."""

from pathlib import Path

import pytest

import medseg
from medseg.cli import main
from medseg.demo import clear, demo


def test_scores_three_methods_on_the_same_held_out_cases(tmp_path: Path, float32: None) -> None:
    scores = demo(tmp_path / "demo", minutes=0.02, cases=5)

    assert list(scores) == ["otsu", "region-growing", "unet"]
    assert {row.case for each in scores.values() for row in each} == {"phantom_001"}
    for name in scores:
        written = medseg.read_labels(tmp_path / "demo" / name / "phantom_001.nii.gz")
        reference = medseg.read_labels(tmp_path / "demo/data/labelsTr/phantom_001.nii.gz")
        assert written.grid.matches(reference.grid)
    pictures = sorted(path.name for path in (tmp_path / "demo" / "pictures").iterdir())
    assert pictures[:2] == ["mosaic.png", "phantom_001.png"]  # no step was worth a line in the log


def test_is_refused_where_something_is_and_clears_only_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "otsu").mkdir()
    (tmp_path / "pictures").mkdir()
    with pytest.raises(SystemExit) as stop:
        main(["demo", str(tmp_path)])
    assert stop.value.code == 2
    assert "--overwrite" in capsys.readouterr().err
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_needs_five_cases_to_hold_one_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 5"):
        demo(tmp_path, cases=4)
