"""An evaluation that several machines share, or that goes on where it was."""

import json
from pathlib import Path

import numpy as np
import pytest
from balls import write_balls
from commands import command, complaint

from medseg import read_labels, write
from medseg.evaluation import Rules, Scores, evaluate_cases, scored_before

METRICS = ("--metric", "dice", "--metric", "hd95")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions that miss something, and references of 5 cases; one has no core."""
    write_balls(tmp_path, 5)
    for file in sorted((tmp_path / "labels").iterdir()):
        labels = read_labels(file)
        array = labels.array.copy()
        if file.name == "ball_2.nii.gz":
            array[array == 2] = 1
            write(labels.on(array, labels.grid), file)
        array[: len(array) // 2] = 0
        write(labels.on(array, labels.grid), tmp_path / "found" / file.name)
    return tmp_path / "found", tmp_path / "labels"


def content(folder: Path) -> tuple[str, dict[str, object], bool]:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    scores = (folder / "scores.csv").read_text(encoding="utf-8")
    return scores, summary, (folder / "report.html").is_file()


def test_shards_become_the_evaluation_of_all_cases(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folders: tuple[Path, Path],
) -> None:
    arguments = ("evaluate", *folders, *METRICS, "--region", "whole=1,2")
    assert command(capsys, *arguments, "-o", tmp_path / "one")[0] == 0
    out = tmp_path / "shared"
    for part in ("0/3", "2/3", "1/3"):
        assert command(capsys, *arguments, "-o", out, "--shard", part)[0] == 0
    names = {path.name for path in out.iterdir()}
    assert names == {
        f"{kind}_{k}_of_3.{ending}"
        for k in range(3)
        for kind, ending in (("scores", "csv"), ("summary", "json"))
    }
    assert Scores.read(out / "scores_1_of_3.csv").cases == ("ball_1", "ball_4")
    monkeypatch.delattr("medseg.evaluation.cases.read_labels")  # nothing is scored again
    code, _, err = command(capsys, *arguments, "-o", out, "--skip-existing", "--quiet")
    assert code == 0, err
    assert content(out) == content(tmp_path / "one")


def test_it_goes_on_with_cases_that_are_new_or_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: tuple[Path, Path]
) -> None:
    bad = folders[0] / "ball_3.nii.gz"
    whole, out = bad.read_bytes(), tmp_path / "out"
    bad.write_bytes(b"damaged")
    arguments = ("evaluate", *folders, *METRICS, "-o", out)
    assert command(capsys, *arguments)[0] == 3
    assert "ball_3" in (out / "failures.csv").read_text()
    bad.write_bytes(whole)
    assert "--skip-existing goes on" in complaint(capsys, *arguments)
    assert command(capsys, *arguments, "--skip-existing")[0] == 0
    assert not (out / "failures.csv").exists()
    assert Scores.read(out / "scores.csv").cases == tuple(f"ball_{k}" for k in range(5))
    everything = evaluate_cases(*folders, ("dice", "hd95"))
    everything.save(tmp_path / "all.csv")
    assert (out / "scores.csv").read_text() == (tmp_path / "all.csv").read_text()


def test_only_the_predictions_of_a_shard_must_be_there(folders: tuple[Path, Path]) -> None:
    (folders[0] / "ball_1.nii.gz").unlink()
    assert evaluate_cases(*folders, ("dice",), shard=(0, 5)).cases == ("ball_0",)
    with pytest.raises(FileNotFoundError, match="for 1 of 1 references: ball_1"):
        evaluate_cases(*folders, ("dice",), shard=(1, 5))
    assert len(evaluate_cases(*folders, ("dice",), shard=(7, 8))) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--metric", "dice"), "that are scored have dice, hd95, asked for dice"),
        ((*METRICS, "--region", "all=1,2"), "ball_0 is scored with the regions {}, asked for"),
        ((*METRICS, "--ignore", 2), "was made by other rules"),
    ],
)
def test_what_was_scored_otherwise_is_not_gone_on_with(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    folders: tuple[Path, Path],
    more: tuple[object, ...],
    message: str,
) -> None:
    arguments = ("evaluate", *folders, "-o", tmp_path / "out")
    assert command(capsys, *arguments, *METRICS, "--shard", "0/5")[0] == 0
    assert message in complaint(capsys, *arguments, *more, "--skip-existing")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shard", "0/2"), "are for files; name their folder with -o"),
        (("--skip-existing",), "are for files; name their folder with -o"),
        (("-o", "out", "--shard", "2/2"), "a shard is i/n"),
        (("-o", "out", "--shard", "0/2", "--images", "found"), "a shard has no report"),
        (("-o", "out", "--skip-existing", "--overwrite"), "contradict each other"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    capsys: pytest.CaptureFixture[str],
    folders: tuple[Path, Path],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert message in complaint(capsys, "evaluate", *folders, *options)


@pytest.mark.parametrize("text", ["[]", "{}", '{"records": {"a": {}}, "rules": {}}', "{"])
def test_a_damaged_summary_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "scores_0_of_1.csv").write_text("case,label,name,status,dice\n")
    (tmp_path / "summary_0_of_1.json").write_text(text)
    with pytest.raises(ValueError, match=r"summary_0_of_1\.json"):
        scored_before(tmp_path, Rules())


def test_records_come_back_as_they_were(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    scores = evaluate_cases(*folders, ("dice",), {"whole": (1, 2)})
    for name in ("scores.csv", "summary.json"):
        scores.save(tmp_path / "out" / name)
    found = scored_before(tmp_path / "out", Rules())
    assert found.records == scores.records
    values = [[row.value for row in some] for some in (found, scores)]
    np.testing.assert_array_equal(*values)
