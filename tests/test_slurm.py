"""The same command as an array of jobs."""

from pathlib import Path

import pytest
from balls import write_balls
from commands import command, complaint

from medseg.cli.slurm import Array, _without_slurm

OTSU = ("-m", "otsu", "--device", "cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_balls(tmp_path / "data", 3) / "images"


def test_keys_are_shards_submitits_and_slurms() -> None:
    array = Array.parse("shards=8,partition=gpu,timeout_min=240,array_parallelism=4")
    assert (array.shards, array.cluster) == (8, "slurm")
    assert array.settings == {
        "timeout_min": 240,
        "name": "medseg",
        "slurm_partition": "gpu",
        "slurm_array_parallelism": 4,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition=gpu", "takes shards=N of at least 1, got shards=0"),
        ("shards=0", "of at least 1, got shards=0"),
        ("shards=many", "got shards=many"),
        ("shards=2.5", "got shards=2.5"),
        ("shards=2,shards=3", "--slurm gives shards twice"),
        ("shards", "--slurm takes key=value, got 'shards'"),
        ("shards=2,cluster=cloud", "a cluster is slurm or local, got 'cloud'"),
    ],
)
def test_what_is_no_array_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Array.parse(text)


@pytest.mark.parametrize("option", [("--slurm", "shards=2"), ("--slurm=shards=2",)])
def test_jobs_get_all_but_the_option(option: tuple[str, ...]) -> None:
    assert _without_slurm(["segment", "a.nii", *option, "-o", "out"]) == [
        "segment",
        "a.nii",
        "-o",
        "out",
    ]


def test_shards_of_ones_own_are_refused(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--slurm", "shards=2,cluster=local", "--shard", "0/2")
    refused = complaint(capsys, "segment", images, "-o", tmp_path / "out", *OTSU, *more)
    assert "leave out --shard" in refused
    assert not (tmp_path / "out").exists()


def test_a_single_file_is_not_submitted(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("segment", images / "ball_0.nii.gz", "-o", tmp_path / "a.nii.gz", *OTSU)
    refused = complaint(capsys, *given, "--slurm", "shards=2,cluster=local")
    assert "many cases, which go into a folder; got" in refused


def test_a_machine_without_slurm_is_told_so(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = complaint(
        capsys, "segment", images, "-o", tmp_path / "out", *OTSU, "--slurm", "shards=2"
    )
    assert "--slurm can't submit" in refused


def test_jobs_share_the_cases(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("submitit")
    (images / "ball_1.nii.gz").write_bytes(b"none")
    table, array = ("--statistics", tmp_path / "s.csv"), ("--slurm", "shards=2,cluster=local")
    code, out, _ = command(capsys, "segment", images, "-o", tmp_path / "out", *OTSU, *table, *array)
    assert "they log to" in out
    assert code == 3
    assert "ball_1" in (tmp_path / "out" / "failures_1_of_2.csv").read_text()
    assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {
        "ball_0.nii.gz",
        "ball_2.nii.gz",
    }
    assert (tmp_path / "s_0_of_2.csv").read_text().count("ball_") == 2
