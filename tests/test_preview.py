"""The picture beside each result, from Python and from the command line."""

from pathlib import Path

import numpy as np
import pytest
from balls import ball_plan, draw_ball
from commands import command, complaint
from PIL import Image as Picture
from test_predict import save_run

from medseg import Labels, Model, evaluate_cases, predict, read_labels, write
from medseg.dataset import Dataset, find_cases
from medseg.dataset.layouts import volumes_in
from medseg.phantom import draw_cohort
from medseg.pictures.paper import colour_of, lighter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder of two images."""
    for seed in range(2):
        write(draw_ball(seed)[0], tmp_path / "images" / f"ball_{seed}.nii.gz")
    return tmp_path / "images"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.untrained(ball_plan(), "cpu")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


BOTH = ["ball_0.nii.gz", "ball_0_preview.png", "ball_1.nii.gz", "ball_1_preview.png"]


def test_segment_draws_a_picture_of_each_case(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = command(
        capsys, "segment", images, "-o", tmp_path / "out", "-m", "otsu", "--preview"
    )
    assert (code, err.strip()) == (0, "2 done")
    assert names_in(tmp_path / "out") == BOTH
    with Picture.open(tmp_path / "out" / "ball_0_preview.png") as picture:
        assert picture.width >= 1200


def test_predict_draws_a_picture_of_each_case(model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, images, tmp_path / "out", preview=True)
    assert names_in(tmp_path / "out") == BOTH


def test_the_command_predict_draws_too_beside_a_file(
    model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_run(model, tmp_path / "run")
    out = tmp_path / "out" / "mine.nii"
    arguments = ("predict", run, images / "ball_0.nii.gz", "-o", out)
    assert command(capsys, *arguments, "--preview", "--probabilities")[0] == 0
    assert names_in(tmp_path / "out") == [
        "mine.nii",
        "mine_preview.png",
        "mine_probabilities.nii.gz",
    ]


def test_the_annotation_of_a_data_set_is_drawn_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw_cohort(tmp_path / "data", 1, shape=(24, 28, 12))
    (case,) = Dataset.read(data).cases
    image = tmp_path / "flair.nii.gz"
    write(case.image().channel(1), image)
    csv = tmp_path / "cases.csv"
    csv.write_text(f"case,image:FLAIR,label\none,{image},{case.reference}\n")
    arguments = ("segment", csv, "-o", tmp_path / "out", "-m", "otsu", "--preview")
    assert command(capsys, *arguments)[0] == 0
    with Picture.open(tmp_path / "out" / "one_preview.png") as picture:
        pixels = np.asarray(picture).astype(int)
    assert (np.abs(pixels - lighter(colour_of(1))).max(axis=2) < 12).sum() > 100


def test_a_picture_that_is_there_is_refused_skipped_or_replaced(
    model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mine = out / "ball_1_preview.png"
    mine.write_text("mine")
    said = complaint(capsys, "segment", images, "-o", out, "-m", "otsu", "--preview")
    assert "ball_1_preview.png exists already" in said
    with pytest.raises(FileExistsError, match="ball_1_preview"):
        predict(model, images, out, preview=True)
    assert names_in(out) == ["ball_1_preview.png"]

    predict(model, images, out)
    predict(model, images, out, preview=True, existing="skip")
    assert mine.read_text() == "mine"
    predict(model, images, out, preview=True, existing="overwrite")
    assert mine.read_bytes().startswith(b"\x89PNG")


def test_a_picture_in_the_place_of_an_input_is_refused(model: Model, tmp_path: Path) -> None:
    image, _ = draw_ball(0)
    path = tmp_path / "a_preview.png"
    write(image, tmp_path / "a.nii.gz")
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is an input and would be overwritten"):
        predict(model, [tmp_path / "a.nii.gz", path], tmp_path, preview=True, existing="overwrite")


def test_pictures_are_neither_cases_nor_predictions(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(2):
        labels = draw_ball(seed)[1]
        for folder in ("out", "labels"):
            write(labels, tmp_path / folder / f"ball_{seed}.nii.gz")
    (tmp_path / "out" / "ball_0_preview.png").write_bytes(b"")
    assert len(volumes_in(tmp_path / "out")) == 2
    assert len(find_cases(tmp_path / "out")) == 2
    assert evaluate_cases(tmp_path / "out", tmp_path / "labels").mean("dice") == 1
    assert "not scored" not in caplog.text


def test_a_damaged_annotation_is_named_and_leaves_nothing(
    model: Model, images: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "label.nii.gz"
    write(Labels(draw_ball(0)[1].array, draw_ball(0)[1].grid), labels)
    labels.write_bytes(labels.read_bytes()[:-30])
    csv = tmp_path / "cases.csv"
    csv.write_text(f"case,image:MR,label\none,{images / 'ball_0.nii.gz'},{labels}\n")
    with pytest.raises(ValueError, match=r"label\.nii\.gz is truncated"):
        predict(model, csv, tmp_path / "out", preview=True)
    assert not (tmp_path / "out").exists()
    predict(model, csv, tmp_path / "out")
    assert read_labels(tmp_path / "out" / "one.nii.gz").grid.shape
