"""A run folder or a data set in which somebody changed something: one clear line, exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from balls import ball_plan, ball_training, balls, write_balls
from commands import command, complaint

from medseg import Dataset, Model, strict_json, train
from medseg.learning import memory
from medseg.learning.run import Run
from medseg.learning.weights import load_tensors, save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with data and a run of two steps."""
    folder = tmp_path_factory.mktemp("tampered")
    train(balls(folder / "data", 2), ball_plan(), ball_training(steps=2), folder / "run")
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """Copy of it that may be tampered with."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def predicting(capsys: Capture, place: Path) -> str:
    images, out = place / "data" / "images", place / "out"
    line = complaint(capsys, "predict", place / "run", images, "-o", out, "--device", "cpu")
    assert not out.exists()
    return line


def going_on(capsys: Capture, place: Path) -> str:
    settings = {"batch": 2, "learning_rate": 0.03, "validations": 2, "precision": "float32"}
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    given += ["--set", "augmentations=[]", "--steps", 3, "--fold", "all", "--device", "cpu"]
    return complaint(capsys, "train", place / "data", place / "run", "-q", *given)


# The plan


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["network", "features"], [10**6, 8], "the network of the plan takes"),
        (["network", "features"], [2**31, 2**31], "the network of the plan can't be built"),
        (["network", "features"], [4, 8.5], "features is made of int, got 8.5"),
        (["network", "features"], [10**30, 8], "features is a finite number below 2^63"),
        (["network", "features"], [8, 8], "does not fit"),
        (["network", "features"], [4] * 10**5, "up to 10 levels"),
        (["network", "convolutions"], 10**9, "a U-Net has up to"),
        (["network", "kernels"], [[2, 2, 2], [3, 3, 3]], "a U-Net has odd kernels"),
        (["network", "strides"], [[1, 1, 1], [10**9] * 3], "strides have 3 positive numbers up to"),
        (["network", "name"], "os.system", "no network is called 'os.system'"),
        (["network", "name"], "../../unet", "no network is called '../../unet'"),
        (["network", "__class__"], "x", "network has no parameter __class__"),
        (["network"], "unet", "a network is an object with a name, got 'unet'"),
        (["network"], None, "a network is an object with a name, got None"),
        (["normalisations"], [{"name": "window", "low": "a"}], "low is made of float, got 'a'"),
        (["patch"], [10**6] * 3, "a batch of 1 patches of (1000000, 1000000, 1000000) voxels"),
        (["patch"], [16, 14], "a positive spacing and patch side an axis"),
        (["patch"], "16", "patch is a list, got '16'"),
        (["spacing"], [1e-8] * 3, "a positive spacing and patch side an axis"),
        (["spacing"], [1, 1, "1"], "spacing is made of float, got '1'"),
        (["labels"], [0, 1, 2**40], "labels are at most"),
        (["labels"], [0, 1, True], "labels is made of int, got True"),
        (["labels"], list(range(10**5)), "labels are at most 65536 numbers"),
        (["names"], {"one": "ball"}, "is no plan: invalid literal"),
        (["channels"], ["MR", "CT"], "2 channels need as many normalisations, got 1"),
        (["mirror"], [10**9], "mirror names axes below 3"),
        (["pickle"], "os.system", "check ['pickle']"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_plan_that_was_changed(
    place: Path, capsys: Capture, path: list[str], value: Any, message: str
) -> None:
    file = Run(place / "run").plan
    plan = json.loads(file.read_text())
    within = plan
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = value
    file.write_text(json.dumps(plan))
    assert message in predicting(capsys, place)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.0", "NaN", "NaN is no number in JSON"),
        ("1.0", "-Infinity", "-Infinity is no number in JSON"),
        ("1.0", "1e999", "the number 1e999 is too large"),
        ('"shell"', '"shell", "1": "core"', "the key '1' comes twice"),
        ('"shell"', '"\\ud800"', "surrogates not allowed"),
        ('"MR"', "[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
        ("{", "", "plan.json is no plan"),
    ],
    ids=lambda value: value[:20],
)
def test_a_plan_that_is_hardly_json(
    place: Path, capsys: Capture, old: str, new: str, message: str
) -> None:
    file = Run(place / "run").plan
    file.write_text(file.read_text().replace(old, new, 1))
    assert message in predicting(capsys, place)


def test_a_spacing_too_fine_for_an_image(place: Path, capsys: Capture) -> None:
    file = Run(place / "run").plan
    file.write_text(json.dumps(json.loads(file.read_text()) | {"spacing": [1e-3] * 3}))
    image = place / "data" / "images" / "ball_0.nii.gz"
    line = complaint(capsys, "predict", place / "run", image, "-o", place / "out.nii.gz", "-q")
    assert "an image of (16, 14, 12) voxels at the spacing of the plan" in line


def test_a_plan_in_another_encoding(place: Path, capsys: Capture) -> None:
    file = Run(place / "run").plan
    file.write_bytes(file.read_text().encode("utf-16"))
    assert "is no plan" in predicting(capsys, place)


def test_names_that_a_terminal_would_obey_are_written_out(place: Path, capsys: Capture) -> None:
    file = Run(place / "run").plan
    file.write_text(file.read_text().replace('"unet"', '"\\u001b[2Junet"'))
    assert "\x1b" not in predicting(capsys, place)


# The weights


def with_header(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a safetensors file and nothing else."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def head(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = header["heads.0.bias"]
    return entry


@pytest.mark.parametrize(
    "change",
    [
        lambda header: head(header).update(shape=[10**12]),
        lambda header: head(header).update(shape=[-3]),
        lambda header: head(header).update(shape=[10**9, 0]),
        lambda header: head(header).update(shape=3),
        lambda header: head(header).update(dtype="F64"),
        lambda header: head(header).update(dtype="PICKLE"),
        lambda header: head(header).update(data_offsets=[0, 10**12]),
        lambda header: head(header).update(data_offsets=[0, 12]),
        lambda header: head(header).update(data_offsets=[-12, 0]),
        lambda header: head(header).update(data_offsets=[0.5, 12.5]),
        lambda header: header.update({f"more{k}": head(header) for k in range(1000)}),
        lambda header: header.update(more=3),
        lambda header: header.update(__metadata__=[]),
        lambda header: header["__metadata__"].update(facts="[1]"),
        lambda header: header["__metadata__"].update(facts='{"step": NaN}'),
    ],
)
def test_a_header_that_lies(
    place: Path, capsys: Capture, change: Callable[[dict[str, Any]], object]
) -> None:
    with_header(Run(place / "run").last, change)
    assert "is damaged, or no safetensors file" in predicting(capsys, place)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**63])
def test_a_length_of_the_header_that_lies(place: Path, capsys: Capture, length: int) -> None:
    file = Run(place / "run").last
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    assert "its header claims" in predicting(capsys, place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("heads.0.bias"), "1 names differ; it lacks heads.0.bias"),
        (lambda weights: weights.update(more=torch.zeros(1)), "it does not have more"),
        (lambda weights: weights["heads.0.bias"].fill_(torch.nan), "NaN or infinite"),
        (
            lambda weights: weights.update({"heads.0.bias": torch.zeros(3, dtype=torch.int32)}),
            "heads.0.bias is (3,) of torch.int32, expected (3,) of torch.float32",
        ),
        (
            lambda weights: weights.update({"heads.0.bias": torch.zeros(2)}),
            "heads.0.bias is (2,) of torch.float32, expected (3,)",
        ),
    ],
)
def test_other_weights(
    place: Path,
    capsys: Capture,
    change: Callable[[dict[str, torch.Tensor]], object],
    message: str,
) -> None:
    file = Run(place / "run").last
    tensors, facts = load_tensors(file)
    change(tensors)
    save_tensors(tensors, file, facts)
    line = predicting(capsys, place)
    assert "does not fit" in line
    assert message in line


# What training goes on from


def test_a_training_goes_on_where_nothing_was_changed(place: Path, capsys: Capture) -> None:
    with pytest.raises(AssertionError):
        going_on(capsys, place)  # there is nothing to complain of
    assert load_tensors(Run(place / "run").last)[1]["step"] == 3


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"step": -1}, "counts and times are 0 or more"),
        ({"step": "3"}, "step is made of int, got '3'"),
        ({"precision": "load"}, "precision is float32 or bfloat16, got 'load'"),
        ({"seconds": "many"}, "seconds is made of float"),
        ({"command": "rm"}, "a checkpoint has no parameter command"),
    ],
    ids=str,
)
def test_facts_of_a_checkpoint_that_were_changed(
    place: Path, capsys: Capture, facts: dict[str, Any], message: str
) -> None:
    file = Run(place / "run").checkpoint
    tensors, known = load_tensors(file)
    save_tensors(tensors, file, known | facts)
    assert message in going_on(capsys, place)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("optimizer.0.exp_avg", torch.zeros(2), "optimizer.0.exp_avg is (2,)"),
        ("optimizer.0.more", torch.zeros(2), "does not fit the plan"),
        ("optimizer.-1.step", torch.zeros(()), "which is no state of the optimiser"),
        ("optimizer.99.step", torch.zeros(()), "does not fit the plan"),
        ("pickle", torch.zeros(()), "which is no state of the optimiser"),
    ],
)
def test_a_state_of_the_optimiser_that_was_changed(
    place: Path, capsys: Capture, name: str, tensor: torch.Tensor, message: str
) -> None:
    file = Run(place / "run").checkpoint
    tensors, facts = load_tensors(file)
    save_tensors(tensors | {name: tensor}, file, facts)
    assert message in going_on(capsys, place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": "two"}, "batch is made of int, got 'two'"),
        ({"seed": -1}, "seed is 0 to"),
        ({"path": "../../x"}, "a training has no parameter path"),
        ({"loss": "../dice"}, "no loss is called '../dice'"),
    ],
    ids=str,
)
def test_a_training_json_that_was_changed(
    place: Path, capsys: Capture, change: dict[str, Any], message: str
) -> None:
    file = Run(place / "run").training
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert message in going_on(capsys, place)


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"step": "a"}', '{"step": 1, "seconds": 1e999}', "not even JSON"]
)
def test_a_log_that_was_changed(place: Path, capsys: Capture, line: str) -> None:
    with Run(place / "run").log.open("a") as file:
        file.write(line + "\n")
    assert "log.jsonl is damaged; move it away and go on" in going_on(capsys, place)


def test_a_batch_larger_than_memory_is_refused_before_anything_is_written(
    place: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**6)
    arguments = ("--set", "batch=1000", "--fold", "all", "--steps", 1, "-q")
    line = complaint(capsys, "train", place / "data", place / "new", *arguments)
    assert "a batch of 1000 patches" in line
    assert not (place / "new").exists()


# Data sets


def decathlon(folder: Path, **changes: Any) -> Path:
    """Decathlon folder whose dataset.json was changed."""
    write_balls(folder, 1)
    entry = {"image": "./images/ball_0.nii.gz", "label": "./labels/ball_0.nii.gz"}
    content = {"labels": {"0": "background", "1": "ball"}, "training": [entry]}
    (folder / "dataset.json").write_text(json.dumps(content | changes))
    return folder


def of(image: object, label: object = "./labels/ball_0.nii.gz") -> list[dict[str, object]]:
    return [{"image": image, "label": label}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": of("../x.nii.gz")}, "names '../x.nii.gz'; the files of a Decathlon folder"),
        ({"training": of("./images/../../x.nii.gz")}, "lie in it"),
        ({"training": of("/etc/passwd")}, "names '/etc/passwd'"),
        ({"training": of("./images/ball_0.nii.gz", "../../l.nii.gz")}, "names '../../l.nii.gz'"),
        ({"training": of(["a", "b"])}, "names ['a', 'b']"),
        ({"training": of(None)}, "names None"),
        ({"training": 3}, 'each entry of "training" names an image and a label, got 3'),
        ({"training": ["a"]}, 'each entry of "training" names an image and a label, got a'),
        ({"training": []}, "is a data set without cases"),
        ({"training": 2 * of("a.nii.gz")}, "a data set has each case once, got two of a"),
        ({"modality": ["MR"]}, '"modality" is an object, got'),
        ({"modality": {"zero": "MR"}}, '"modality" numbers the channels from 0'),
        ({"labels": ["ball"]}, '"labels" is an object, got'),
        ({"labels": {"ball": 1.5}}, "a label is a whole number or a list of some, got 1.5"),
        ({"labels": {"ball": "one"}}, "a label is a whole number or a list of some, got 'one'"),
        ({"labels": {"ball": [[1]]}}, "a label is a whole number or a list of some"),
        ({"labels": {"ball": None}}, "a label is a whole number or a list of some, got None"),
        ({"labels": {"ball": 10**30}}, "a label is a whole number or a list of some"),
    ],
    ids=str,
)
def test_a_dataset_json_that_was_changed(
    tmp_path: Path, capsys: Capture, changes: dict[str, Any], message: str
) -> None:
    assert message in complaint(capsys, "plan", decathlon(tmp_path, **changes))


def test_letters_of_all_kinds_are_welcome(tmp_path: Path) -> None:
    folder = decathlon(tmp_path / "Größe 大きさ", labels={"0": "fond", "1": "tête"})
    assert Dataset.read(folder).names == {1: "tête"}


def test_links_out_of_a_decathlon_folder_are_welcome(tmp_path: Path) -> None:
    folder = decathlon(tmp_path / "data")
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "images").symlink_to(tmp_path / "elsewhere")
    assert Dataset.read(folder).cases[0].image().channels == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,image:MR\n../../up,images/ball_0.nii.gz\n", "a case has a name that a file can"),
        ("case,image:MR\n,images/ball_0.nii.gz\n", "a case has a name that a file can have"),
        ("case,image:MR\na,images/ball_0.nii.gz,labels\n", "row 2 has more than the 2 columns"),
        ("case,image:MR,case\na,b,c\n", "has the columns case twice"),
        ("case,image:MR\n\udcff,b\n", "is no CSV file in UTF-8"),
        ("case,image:MR\n" + "a" * 200_000 + ",b\n", "field larger than field limit"),
    ],
    ids=["up", "nameless", "long row", "twice", "latin", "huge"],
)
def test_a_csv_file_that_was_changed(
    tmp_path: Path, capsys: Capture, text: str, message: str
) -> None:
    write_balls(tmp_path, 1)
    (tmp_path / "cases.csv").write_bytes(text.encode(errors="surrogateescape"))
    assert message in complaint(capsys, "plan", tmp_path / "cases.csv")


def test_a_csv_file_may_name_files_anywhere(tmp_path: Path) -> None:
    write_balls(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cases.csv").write_text("case,image:MR\nx,../a/images/ball_0.nii.gz\n")
    assert Dataset.read(tmp_path / "b" / "cases.csv").cases[0].image().channels == 1


def test_many_cases_are_told_apart_at_once(tmp_path: Path) -> None:
    lines = "".join(f"case{k},{k}.nii.gz\n" for k in range(100_000))
    (tmp_path / "cases.csv").write_text("case,image:MR\n" + lines)
    assert len(Dataset.read(tmp_path / "cases.csv")) == 100_000


# What a killed process leaves


def test_what_a_killed_training_left_is_cleared_and_nothing_else(
    place: Path, capsys: Capture
) -> None:
    run, hexadecimal = place / "run", "0123456789abcdef" * 2
    left = [run / f".{name}.{hexadecimal}" for name in ("plan.json", "checkpoint.safetensors")]
    others = [run / f".other.{hexadecimal}", run / ".plan.json.old"]
    for file in (*left, *others):
        file.write_text("half")
    train(Dataset.read(place / "data"), ball_plan(), ball_training(steps=3), run)
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in others)


def test_a_training_killed_while_it_was_described_begins_anew(tmp_path: Path) -> None:
    data = balls(tmp_path / "data", 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f".plan.json.{'0' * 32}").write_text("half")
    assert isinstance(train(data, ball_plan(), ball_training(steps=1), tmp_path / "run"), Model)


def test_what_a_killed_prediction_left_is_cleared(place: Path, capsys: Capture) -> None:
    out = place / "out"
    out.mkdir()
    names = ("ball_0.nii.gz", "ball_1_probabilities.nii.gz")
    for name in names:
        (out / f".{name}.{'0' * 32}").write_text("half")
    images = place / "data" / "images"
    given = ("--probabilities", "--skip-existing", "--device", "cpu", "-q")
    assert command(capsys, "predict", place / "run", images, "-o", out, *given)[0] == 0
    assert {file.name for file in out.iterdir()} == {
        f"ball_{k}{end}.nii.gz" for k in range(2) for end in ("", "_probabilities")
    }


def test_json_that_is_fine_is_read(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text('{"a": [1, 2.5, "\\ud83e\\uddea", null, true]}')
    assert strict_json.read(tmp_path / "file.json") == {"a": [1, 2.5, "🧪", None, True]}
