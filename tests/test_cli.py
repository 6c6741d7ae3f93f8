"""The command: what it does on small files, and what it says when something is wrong."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn import oblique_affine

from medseg import Grid, Image, Labels, cli, read_labels, write
from medseg.cli.options import assignments, shard_of
from medseg.dataset import place_outputs

Run = Callable[..., tuple[int, str, str]]
HEAVY = {"torch", "monai", "scipy", "nibabel", "numpy", "skimage", "SimpleITK", "rich"}
NETWORKS_ONLY = {"torch", "monai"}
COMMANDS = [command.callback.__name__ for command in cli.app.registered_commands]
GRID = Grid((8, 9, 10), oblique_affine())


@pytest.fixture(autouse=True)
def _leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command sets threads and logging for its process, which here is that of the tests."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    log = logging.getLogger("medseg")
    level, handlers = log.level, list(log.handlers)
    yield
    log.level, log.handlers = level, handlers


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def invoke(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return invoke


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return _write_image(tmp_path / "image.nii.gz")


def _write_image(path: Path, value: float = 100) -> Path:
    array = np.random.default_rng(0).normal(size=(1, *GRID.shape))
    array[0, 2:6, 3:7, 2:8] += value
    write(Image(array, GRID), path)
    return path


def _write_seeds(path: Path, grid: Grid = GRID) -> Path:
    seeds = np.zeros(GRID.shape, np.uint8)
    seeds[3:5, 4:6, 3:6], seeds[0] = 1, 4
    write(Labels(seeds, grid), path)
    return path


def _complaint(result: tuple[int, str, str]) -> str:
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("medseg: ")
    assert err.count("\n") == 1
    return err


# What it does


def test_segment_writes_labels_where_the_image_is(run: Run, image: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "labels.nii.gz"
    code, out, err = run("segment", image, "-o", output, "-m", "otsu")
    labels = read_labels(output)
    assert (code, out) == (0, "")
    assert "1 done" in err
    assert labels.grid.matches(GRID)
    assert labels.array.sum() == 4 * 4 * 6


def test_one_case_and_a_folder_gives_a_file_of_its_name(
    run: Run, image: Path, tmp_path: Path
) -> None:
    assert run("segment", image, "-o", tmp_path / "out", "-m", "otsu")[0] == 0
    assert (tmp_path / "out" / "image.nii.gz").is_file()


def test_a_folder_in_gives_a_folder_out(run: Run, tmp_path: Path) -> None:
    for name in "abc":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
    assert run("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", "otsu")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.nii.gz",
        "b.nii.gz",
        "c.nii.gz",
    ]


def test_parameters_reach_the_method(run: Run, image: Path, tmp_path: Path) -> None:
    output = tmp_path / "labels.nii.gz"
    arguments = ("segment", image, "-o", output, "-m", "otsu", "--set", "classes=3", "--set")
    assert run(*arguments, "bins=64")[0] == 0
    assert read_labels(output).values() == (1, 2)


def test_seeds_and_mask_are_used(run: Run, image: Path, tmp_path: Path) -> None:
    seeds = _write_seeds(tmp_path / "seeds.nii.gz")
    inside = np.zeros(GRID.shape, np.uint8)
    inside[:, :, :5] = 1
    write(Labels(inside, GRID), tmp_path / "mask.nii.gz")
    output = tmp_path / "labels.nii.gz"
    arguments = ("-m", "region-growing", "--seeds", seeds, "--mask", tmp_path / "mask.nii.gz")
    code, _, _ = run("segment", image, "-o", output, *arguments, "--background-seed", "4")
    labels = read_labels(output)
    assert code == 0
    assert labels.values() == (1,)
    assert not labels.array[:, :, 5:].any()


def test_seeds_of_several_cases_come_from_a_folder(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
        _write_seeds(tmp_path / "seeds" / f"{name}.nii")
    common = ("-m", "region-growing", "--seeds", tmp_path / "seeds")
    assert run("segment", tmp_path / "in", "-o", tmp_path / "out", *common)[0] == 0
    (tmp_path / "seeds" / "b.nii").unlink()
    code, _, err = run("segment", tmp_path / "in", "-o", tmp_path / "out", *common, "--overwrite")
    assert code == 3
    assert "b failed: " in err
    assert "holds nothing for case b, expected" in err


def test_seeds_can_be_given_by_place(run: Run, image: Path, tmp_path: Path) -> None:
    x, y, z = (GRID.affine @ [3, 4, 5, 1])[:3]
    output, common = tmp_path / "labels.nii.gz", ("-m", "connected-threshold", "--set", "lower=50")
    for place in ("3,4,5=6", f"{x}mm,{y}mm,{z}mm=6"):
        more = ("--seed", place, "--seed", "0,0,0=-1", "--overwrite")
        assert run("segment", image, "-o", output, *common, *more)[0] == 0
        labels = read_labels(output)
        assert labels.values() == (6,)
        assert (labels.array == 6).sum() == 4 * 4 * 6


def test_seeds_by_place_that_make_no_sense_are_refused(
    run: Run, image: Path, tmp_path: Path
) -> None:
    start = ("segment", image, "-o", tmp_path / "o.nii.gz", "-m", "region-growing", "--seed")
    assert "a seed is written x,y,z=label" in _complaint(run(*start, "3,4,5"))
    seeds = _write_seeds(tmp_path / "seeds.nii.gz")
    assert "not by both" in _complaint(run(*start, "3,4,5=1", "--seeds", seeds))
    for name in "ab":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
    several = ("segment", tmp_path / "in", "-o", tmp_path / "out", *start[4:])
    assert "--seed of 2 cases is in mm" in _complaint(run(*several, "3,4,5=1"))


def test_nan_is_replaced_when_asked(run: Run, tmp_path: Path) -> None:
    import nibabel as nib

    array = np.zeros(GRID.shape, np.float32)
    array[0, 0, 0], array[4:] = np.nan, 5
    nib.save(nib.Nifti1Image(array, GRID.affine), tmp_path / "image.nii.gz")
    arguments = ("segment", tmp_path / "image.nii.gz", "-o", tmp_path / "o.nii.gz", "-m", "otsu")
    assert "--nan 0" in _complaint(run(*arguments))
    assert run(*arguments, "--nan", "0")[0] == 0


def test_what_is_there_can_be_skipped_or_replaced(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.nii.gz").write_text("old")
    arguments = ("segment", tmp_path / "in", "-o", out, "-m", "otsu")
    assert "a.nii.gz exists already" in _complaint(run(*arguments))
    assert not (out / "b.nii.gz").exists()
    assert run(*arguments, "--skip-existing")[0] == 0
    assert (out / "a.nii.gz").read_text() == "old"
    assert run(*arguments, "--overwrite")[0] == 0
    assert read_labels(out / "a.nii.gz").values() == (1,)


def test_a_shard_does_its_share(run: Run, tmp_path: Path) -> None:
    for name in "abc":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
    arguments = ("segment", tmp_path / "in", "-o", tmp_path / "out", "-m", "otsu")
    assert run(*arguments, "--shard", "1/2")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.nii.gz"]


@pytest.mark.parametrize("place", [0, 6], ids=["before", "after"])
def test_quiet_may_stand_before_or_after_the_command(
    run: Run, image: Path, tmp_path: Path, place: int
) -> None:
    command = ["segment", image, "-o", tmp_path / "o.nii.gz", "-m", "otsu"]
    assert run(*command[:place], "-q", *command[place:]) == (0, "", "")


@pytest.mark.parametrize("place", [0, 6], ids=["before", "after"])
def test_threads_may_stand_before_or_after_the_command(
    run: Run, image: Path, tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    command = ["segment", image, "-o", tmp_path / "o.nii.gz", "-m", "otsu"]
    assert run(*command[:place], "--threads", "1", *command[place:])[0] == 0
    assert used[-1] == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_methods_lists_every_family(run: Run) -> None:
    code, out, _ = run("methods")
    assert code == 0
    for name in ("otsu", "region-growing", "unet", "dice", "balanced"):
        assert f"  {name} " in out


def test_methods_can_be_read_by_programs(run: Run) -> None:
    listed = json.loads(run("methods", "--json")[1])
    assert list(listed) == [
        "methods",
        "filters",
        "refinements",
        "clean-ups",
        "networks",
        "metrics",
        "samplers",
        "losses",
        "augmentations",
        "recipes",
        "optimizers",
        "schedules",
        "voxel weights",
    ]
    otsu = listed["methods"]["otsu"]
    assert "thresholds" in otsu["summary"]
    assert otsu["parameters"]["classes"] == {
        "kind": "int",
        "default": 2,
        "legal": "[2, 4096]",
        "usual": [2, 6],
        "log": False,
    }
    assert "parameters" not in listed["metrics"]["dice"]


def test_one_method_is_shown_with_what_its_parameters_may_be(run: Run) -> None:
    code, out, _ = run("methods", "region-growing")
    assert code == 0
    assert "region-growing (method): what touches a seed" in out
    assert "doi:10.1109/34.295913" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("tolerance  "))
    assert row == ["tolerance", "2.5", "(0,", "inf)", "0.5", "to", "10", "standard", "deviations"]


def test_a_name_of_several_families_is_shown_for_each(run: Run) -> None:
    out = run("methods", "dice")[1]
    assert "dice (metric): twice the overlap" in out
    assert "dice (loss):" in out
    listed = json.loads(run("methods", "dice", "--json")[1])
    assert {family: list(names) for family, names in listed.items()} == {
        "metrics": ["dice"],
        "losses": ["dice"],
    }


def test_version_is_said(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "medseg")


def test_without_arguments_there_is_help(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "segment" in out


def test_a_trained_model_segments_like_a_method(run: Run, image: Path, tmp_path: Path) -> None:
    folder = _write_run(tmp_path / "run")
    command = ("segment", image, "-m", folder, "--set", "overlap=0.25")
    assert run(*command, "-o", tmp_path / "a.nii.gz")[0] == 0
    predicted = run("predict", folder, image, "-o", tmp_path / "b.nii.gz", "--set", "overlap=0.25")
    assert predicted[0] == 0
    found, wanted = (read_labels(tmp_path / name) for name in ("a.nii.gz", "b.nii.gz"))
    np.testing.assert_array_equal(found.array, wanted.array)


def test_a_trained_model_refuses_seeds_and_odd_channels(
    run: Run, image: Path, tmp_path: Path
) -> None:
    command = ("-m", _write_run(tmp_path / "run"), "-o", tmp_path / "o.nii.gz")
    seeds = _write_seeds(tmp_path / "seeds.nii.gz")
    assert "seeds" in _complaint(run("segment", image, *command, "--seeds", seeds))
    two = f"{image},{_write_image(tmp_path / 'other.nii.gz')}"
    assert "expected 1 channels, got 2" in _complaint(run("segment", two, *command))


def _write_run(folder: Path) -> Path:
    from medseg import Model, Plan
    from medseg.intensity import ZScore
    from medseg.learning.run import Run as RunFolder
    from medseg.learning.weights import save_tensors
    from medseg.networks.unet import UNet

    place = RunFolder(folder)
    plan = Plan(
        network=UNet(features=(2, 4)),
        channels=("t1",),
        normalisations=(ZScore(),),
        spacing=(1.0, 2.0, 3.0),
        patch=(8, 8, 8),
        labels=(0, 1),
        names={1: "lesion"},
    )
    plan.save(place.plan)
    save_tensors(Model.untrained(plan, "cpu").network.state_dict(), place.last, {})
    return folder


@pytest.mark.parametrize(
    ("commands", "unwanted"),
    [
        ([["--help"], ["nosuch"], *([name, "--help"] for name in COMMANDS)], HEAVY),
        ([["methods"]], NETWORKS_ONLY),
    ],
    ids=["help", "methods"],
)
def test_what_computes_nothing_imports_nothing_heavy(
    commands: list[list[str]], unwanted: set[str]
) -> None:
    check = (
        "import sys, medseg.cli\n"
        f"for arguments in {commands}:\n"
        "    try: medseg.cli.main(arguments)\n"
        "    except SystemExit: pass\n"
        f"    found = sorted({unwanted} & set(sys.modules))\n"
        "    assert not found, (arguments, found)\n"
        "print('done', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "done"


def test_an_interruption_ends_in_one_line(
    run: Run, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medseg.io.write", stop)
    code, _, err = run("segment", image, "-o", tmp_path / "o.nii.gz", "-m", "otsu", "-q")
    assert (code, err) == (130, "medseg: interrupted; what is done is kept\n")


def test_our_own_bugs_show_where_they_are(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("medseg.io.write", stumble)
    with pytest.raises(KeyError):
        cli.main(["segment", str(image), "-o", str(tmp_path / "o.nii.gz"), "-m", "otsu"])


# What it says when something is wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segmnt"], "Did you mean 'segment'?"),
        (["segment"], "Missing argument 'INPUT'"),
        (["segment", "x.nii.gz", "-m", "otsu"], "Missing option '--output'"),
        (["segment", "x.nii.gz", "--outptu", "y"], "--output"),
        (["segment", "x", "-o", "y", "-m", "otsu", "--threads", "0"], "--threads"),
        (["segment", "x", "-o", "y", "-m", "otsu", "--nan", "zero"], "--nan"),
        (["segment", "no.nii.gz", "-o", "y", "-m", "otsu"], "no.nii.gz does not exist"),
        (["segment", "no*.nii.gz", "-o", "y", "-m", "otsu"], "no file matches no*.nii.gz"),
        (["segment", "{image}", "-o", "y", "-m", "otso"], "did you mean 'otsu'?"),
        (["segment", "{image}", "-o", "y", "-m", "runs/no"], "runs/no does not exist"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--set", "clases=3"], "'classes'?"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--set", "classes"], "key=value"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--set", "classes=x"], "classes"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--device", "gpu"], "auto, cpu, cuda"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--shard", "4/4"], "a shard is i/n"),
        (["segment", "{image}", "-o", "y.gif", "-m", "otsu"], ".tiff, got y.gif"),
        (["segment", "{image}", "-o", "y.png", "-m", "otsu"], "PNG holds one slice"),
        (["segment", "{image}", "-o", "{folder}", "-m", "otsu"], "is an input and would be"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--seeds", "{image}"], "whole numbers"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--seeds", "no.nii"], "no.nii does not"),
        (["segment", "{image}", "-o", "y", "-m", "otsu", "--background-seed", "4"], "give --seeds"),
        (["segment", "{image}", "-o", "y", "-m", "region-growing"], "needs seeds"),
        (
            ["segment", "{image}", "-o", "y", "-m", "otsu", "--overwrite", "--skip-existing"],
            "contradict each other",
        ),
        (["methods", "--jsn"], "--json"),
        (["methods", "otzu"], "did you mean 'otsu'?"),
    ],
    ids=lambda value: " ".join(value[:9]) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_writes_nothing(
    run: Run,
    image: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(image.parent)
    known = {"{image}": str(image), "{folder}": str(image.parent)}
    said = _complaint(run(*(known.get(argument, argument) for argument in arguments)))
    assert message in said
    assert list(image.parent.iterdir()) == [image]


def _text(path: Path) -> None:
    path.write_text("this is no image")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_text, _truncated, _empty])
def test_a_damaged_file_is_named(
    run: Run, image: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(image)
    assert str(image) in _complaint(run("segment", image, "-o", tmp_path / "o", "-m", "otsu"))
    assert list(tmp_path.iterdir()) == [image]


def test_seeds_on_another_grid_are_refused(run: Run, image: Path, tmp_path: Path) -> None:
    seeds = _write_seeds(tmp_path / "seeds.nii.gz", Grid(GRID.shape, np.diag([2.0, 2, 2, 1])))
    arguments = ("-o", tmp_path / "o.nii.gz", "-m", "region-growing", "--seeds", seeds)
    assert "the seed volume lies on another grid" in _complaint(run("segment", image, *arguments))


def test_a_background_label_that_no_seed_has_is_refused(
    run: Run, image: Path, tmp_path: Path
) -> None:
    seeds = _write_seeds(tmp_path / "seeds.nii.gz")
    arguments = ("-o", tmp_path / "o.nii.gz", "-m", "region-growing", "--seeds", seeds)
    said = _complaint(run("segment", image, *arguments, "--background-seed", "9"))
    assert "--background-seed 9 marks no voxel" in said
    assert "it has 1, 4" in said


def test_an_empty_folder_is_refused(run: Run, tmp_path: Path) -> None:
    said = _complaint(run("segment", tmp_path, "-o", tmp_path / "out", "-m", "otsu"))
    assert "holds no image" in said


def test_several_cases_do_not_go_into_a_file(run: Run, tmp_path: Path) -> None:
    inputs = [_write_image(tmp_path / f"{name}.nii.gz") for name in "ab"]
    said = _complaint(run("segment", *inputs, "-o", tmp_path / "o.nii.gz", "-m", "otsu"))
    assert "2 cases go into a folder" in said


def test_a_device_that_is_not_there_is_refused_before_any_case(run: Run, tmp_path: Path) -> None:
    inputs = [_write_image(tmp_path / f"{name}.nii.gz") for name in "ab"]
    arguments = ("-o", tmp_path / "o", "-m", "otsu", "--device", "cuda:99")
    assert "cuda:99 was asked for" in _complaint(run("segment", *inputs, *arguments))


def test_one_seed_file_does_not_serve_several_cases(run: Run, tmp_path: Path) -> None:
    inputs = [_write_image(tmp_path / f"{name}.nii.gz") for name in "ab"]
    seeds = _write_seeds(tmp_path / "seeds.nii.gz")
    arguments = ("-o", tmp_path / "o", "-m", "region-growing", "--seeds", seeds)
    assert "a folder with a file each" in _complaint(run("segment", *inputs, *arguments))


def test_one_bad_case_among_three_stops_no_other(run: Run, tmp_path: Path) -> None:
    for name in "abc":
        _write_image(tmp_path / "in" / f"{name}.nii.gz")
    _truncated(tmp_path / "in" / "b.nii.gz")
    out = tmp_path / "out"
    code, _, err = run("segment", tmp_path / "in", "-o", out, "-m", "otsu")
    assert code == 3
    assert "b failed: " in err
    assert "2 done; 1 failed (b)" in err
    written = sorted(path.name for path in out.iterdir())
    assert written == ["a.nii.gz", "c.nii.gz", "failures.csv"]


def test_a_folder_without_write_permission_is_named(run: Run, image: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    said = _complaint(run("segment", image, "-o", tmp_path / "out" / "o.nii.gz", "-m", "otsu"))
    assert str(tmp_path / "out") in said


# The parts


def test_assignments_are_python_literals_or_text() -> None:
    texts = ["classes=3", "rate=1e-3", "patch=(8, 8)", "name=a=b", "deep=false", "loss=dice"]
    assert assignments(texts) == {
        "classes": 3,
        "rate": 1e-3,
        "patch": (8, 8),
        "name": "a=b",
        "deep": False,
        "loss": "dice",
    }


@pytest.mark.parametrize("texts", [["classes"], ["=3"], ["a=1", "a=2"]])
def test_what_is_no_assignment_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="--set"):
        assignments(texts)


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "-1/4", "0/0", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        shard_of(text)


def test_shards_are_read() -> None:
    assert (shard_of("0/4"), shard_of(None)) == ((0, 4), None)


def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    assert place_outputs([], tmp_path / "v1.2")("a") == tmp_path / "v1.2" / "a.nii.gz"
    (tmp_path / "brain.done").mkdir()
    assert place_outputs([], tmp_path / "brain.done")("a") == tmp_path / "brain.done" / "a.nii.gz"
