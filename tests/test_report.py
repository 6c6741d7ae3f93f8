"""The report: one valid page that needs nothing else and hides nothing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from commands import command, complaint
from scored import TWO_CASES, drawn, folders

from medseg.evaluation import Rules, Score, Scores, evaluate_cases
from medseg.evaluation.reliability import BAND_MM, reliability_of, save_reliability
from medseg.io import write
from medseg.learning.predicting import write_shares
from medseg.metrics.calibration import Reliability, band
from medseg.report import write_report
from medseg.report.confusion import confusion
from medseg.report.worst import worst_first
from medseg.volume import Image, Labels

THREE_CASES = {**TWO_CASES, "c": (drawn((2, 2)), drawn((1, 2)))}
EMPTY_TAGS = {"meta", "img", "br"}


class Checked(HTMLParser):
    """Sees that what is opened is closed, and collects words, sources and tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """What is opened must be closed."""
        self.tags.append(tag)
        given = dict(attributes)
        self.sources += [given[key] or "" for key in ("src", "href", "data") if key in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag == "img":
            assert given["alt"]
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """What is closed at once."""
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must be what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Words."""
        self.words.append(data)


def written(scores: Scores, place: Path, **options: object) -> str:
    write_report(scores, place / "report.html", **options)  # type: ignore[arg-type]
    return (place / "report.html").read_text(encoding="utf-8")


# the page


def test_a_report_is_one_valid_page_that_needs_nothing_else(tmp_path: Path) -> None:
    scores = evaluate_cases(*folders(tmp_path, THREE_CASES), regions={"whole": (1, 2)})
    text = written(scores, tmp_path)
    page = Checked(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert set(re.findall(r"https?://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == len(scores.metrics) + 1


def test_a_report_of_odd_names_is_valid_too(tmp_path: Path) -> None:
    odd = '<script>alert("&")</script>'
    row = Score(odd, 1, odd, "dice", 0.5, "ok")
    page = Checked(written(Scores((row,), {odd: odd}), tmp_path))
    assert "script" not in page.tags
    assert any(odd in words for words in page.words)


def test_a_report_names_failures_and_missing_predictions(tmp_path: Path) -> None:
    predicted, reference = folders(tmp_path, THREE_CASES)
    (predicted / "a.nii.gz").unlink()
    (predicted / "c.nii.gz").write_bytes(b"nothing that is an image")
    rules = Rules(missing="worst")
    scores = evaluate_cases(predicted, reference, ["dice"], rules=rules)
    words = " ".join(Checked(written(scores, tmp_path, rules=rules)).words)
    assert "c was not scored" in words
    assert "Without a prediction, and scored as the worst: a." in words


def test_scores_from_a_csv_file_have_a_report_without_pictures(tmp_path: Path) -> None:
    evaluate_cases(*folders(tmp_path, THREE_CASES), ["hd"]).save(tmp_path / "scores.csv")
    page = Checked(written(Scores.read(tmp_path / "scores.csv"), tmp_path))
    assert page.sources == []
    assert page.tags.count("svg") == 1
    assert any("1 missed" in words for words in page.words)


def test_the_same_scores_give_the_same_report(tmp_path: Path) -> None:
    scores = evaluate_cases(*folders(tmp_path, THREE_CASES), ["dice", "hd"])
    assert written(scores, tmp_path) == written(scores, tmp_path)


@pytest.mark.parametrize(
    ("scores", "name", "message"),
    [(Scores(), "r.html", "needs scores"), (Scores(), "r.pdf", r"written as \.html")],
)
def test_what_can_not_be_reported_is_refused(
    tmp_path: Path, scores: Scores, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_report(scores, tmp_path / name)


# the worst


def test_the_worst_case_comes_first(tmp_path: Path) -> None:
    scores = evaluate_cases(*folders(tmp_path, THREE_CASES), ["dice", "hd"])
    assert worst_first(scores, "dice") == ["c", "b", "a"]
    assert worst_first(scores, "hd") == ["c", "b", "a"]
    text = written(scores, tmp_path)
    assert re.findall(r'alt="(\w)', text) == ["c", "b", "a"]


def test_a_miss_is_worse_than_any_distance(tmp_path: Path) -> None:
    reference = drawn((1, 2), (2, 6))
    cases = {"missed": (drawn((2, 6)), reference), "far": (drawn((1, 0), (2, 7)), reference)}
    scores = evaluate_cases(*folders(tmp_path, cases), ["hd"])
    assert worst_first(scores, "hd") == ["missed", "far"]


def test_of_many_labels_the_worst_of_each_case_are_named(tmp_path: Path) -> None:
    reference = np.arange(60).reshape(3, 4, 5)
    predicted = np.where(reference == 17, 18, reference)
    predicted[0, 0, 0] = 5
    cases = {"a": (Labels.from_array(predicted), Labels.from_array(reference))}
    scores = evaluate_cases(*folders(tmp_path, cases), ["dice"])
    words = " ".join(Checked(written(scores, tmp_path)).words)
    assert "its 4 worst labels" in words
    assert "17: missed; 5: 0.667; 18: 0.667; 1: 1.000" in words


def test_images_stand_behind_the_worst_cases(tmp_path: Path) -> None:
    scores = evaluate_cases(*folders(tmp_path, TWO_CASES), ["dice"])
    noise = np.random.default_rng(0).normal(size=(1, 5, 5, 9))
    for case in TWO_CASES:
        write(Image(noise, drawn().grid), tmp_path / "images" / f"{case}.nii.gz")
    plain = Checked(written(scores, tmp_path)).sources
    shown = Checked(written(scores, tmp_path, images=tmp_path / "images")).sources
    assert len(plain) == len(shown) == 2
    assert all(a != b for a, b in zip(plain, shown, strict=True))


# confusion


def test_the_matrix_is_that_of_the_voxels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 3, (2, 3, 4, 5)) for _ in range(3)]
    cases = {
        f"{k}": (Labels.from_array(p), Labels.from_array(r)) for k, (p, r) in enumerate(arrays)
    }
    text = confusion(evaluate_cases(*folders(tmp_path, cases), ["dice"]))
    predicted, reference = np.stack(arrays, axis=1).reshape(2, -1)
    for annotated, name in enumerate(("background", "1", "2")):
        right = (predicted[reference == annotated] == annotated).mean()
        assert f"{name}: {100 * right:.1f} % right" in text
        for other, called in enumerate(("background", "1", "2")):
            share = (predicted[reference == annotated] == other).mean()
            assert f"{name} → {called}: {100 * share:.0f} %" in text


def test_of_many_labels_the_most_mistaken_are_shown(tmp_path: Path) -> None:
    reference = np.arange(60).reshape(3, 4, 5)
    predicted = np.where(reference >= 50, 49, reference)
    cases = {"a": (Labels.from_array(predicted), Labels.from_array(reference))}
    text = confusion(evaluate_cases(*folders(tmp_path, cases), ["dice"]))
    assert "Of 60 labels, the 40 with the most mistaken voxels" not in text  # 11 are mistaken
    assert "59: 0.0 % right" in text
    assert "the 11 with mistaken voxels" in text


# probabilities


def probable(labels: Labels, seed: int) -> Image:
    """Probabilities of 0, 1 and 2, of which the labels are the most likely but for noise."""
    rng = np.random.default_rng(seed)
    sharp = (labels.array == np.arange(3)[:, None, None, None]) + rng.gamma(
        1, 0.5, (3, *labels.grid.shape)
    )
    return Image(sharp / sharp.sum(axis=0), labels.grid)


def test_the_table_of_several_cases_is_that_of_all_their_voxels(tmp_path: Path) -> None:
    where = folders(tmp_path, THREE_CASES)
    images = {case: probable(pair[1], k) for k, (case, pair) in enumerate(THREE_CASES.items())}
    for case, image in images.items():
        write(image, tmp_path / "p" / f"{case}_probabilities.nii.gz")
    tables = reliability_of(evaluate_cases(*where, ["dice"]), tmp_path / "p")
    inside = [band(r.array > 0, (1, 2, 3), BAND_MM) for _, r in THREE_CASES.values()]
    said = np.concatenate(
        [image.array[:, i] for image, i in zip(images.values(), inside, strict=True)], axis=1
    )
    pairs = zip(THREE_CASES.values(), inside, strict=True)
    true = np.concatenate([r.array[i] for (_, r), i in pairs])
    assert list(tables) == [1, 2]
    for label, table in tables.items():
        expected = Reliability.of(said, true, label)
        assert table.counts.tolist() == expected.counts.tolist()
        np.testing.assert_allclose(table.confidence, expected.confidence)
        np.testing.assert_allclose(table.frequency, expected.frequency)
        assert (table.brier, table.nll) == pytest.approx((expected.brier, expected.nll))


def test_calibration_is_saved_and_reported(tmp_path: Path) -> None:
    where = folders(tmp_path, TWO_CASES)
    for case, (_, reference) in TWO_CASES.items():
        two = probable(reference, 0).array[:2]
        write_shares(
            Image(two / two.sum(axis=0), reference.grid), tmp_path / "p" / f"{case}.nii.gz"
        )
    scores = evaluate_cases(*where, ["dice"])
    tables = reliability_of(scores, tmp_path / "p")
    save_reliability(tables, tmp_path / "calibration.json")
    found = json.loads((tmp_path / "calibration.json").read_text())["labels"]["1"]
    assert 0 < found["ece"] < 1
    assert sum(found["counts"]) == tables[1].counts.sum()
    assert "Reliability" in written(scores, tmp_path, reliability=tables)


def test_probabilities_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    where = folders(tmp_path, TWO_CASES)
    scores = evaluate_cases(*where, ["dice"])
    write(probable(drawn(), 0), tmp_path / "p" / "a_probabilities.nii.gz")
    with pytest.raises(FileNotFoundError, match="has no probabilities of b"):
        reliability_of(scores, tmp_path / "p")
    write(probable(drawn(), 0), tmp_path / "p" / "b_probabilities.nii.gz")
    with pytest.raises(ValueError, match="3 channels, expected 2, of the labels 0, 1"):
        reliability_of(scores, tmp_path / "p")


# the command


def test_neither_the_report_nor_a_comparison_imports_torch(tmp_path: Path) -> None:
    where = folders(tmp_path, THREE_CASES)
    code = (
        "import sys, medseg, medseg.cli\n"
        f"scores = medseg.evaluate_cases({str(where[0])!r}, {str(where[1])!r})\n"
        f"medseg.write_report(scores, {str(tmp_path / 'r.html')!r})\n"
        f"medseg.compare({{'a': scores, 'b': scores}}).save({str(tmp_path / 'c.svg')!r})\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_command_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = folders(tmp_path, TWO_CASES)
    for case, (predicted, _) in TWO_CASES.items():
        two = probable(predicted, 0).array[:2]
        image = Image(two / two.sum(axis=0), predicted.grid)
        write_shares(image, where[0] / f"{case}_probabilities.nii.gz")
    options = ("-o", tmp_path / "out", "--metric", "dice", "--probabilities", where[0], "--quiet")
    code, out, err = command(capsys, "evaluate", *where, *options)
    assert (code, err) == (0, "")
    assert "dice" in out
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {"scores.csv", "summary.json", "report.html", "calibration.json"}
    assert "Reliability" in (tmp_path / "out" / "report.html").read_text()


def test_pictures_without_a_folder_for_the_report_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = folders(tmp_path, TWO_CASES)
    assert "with -o" in complaint(capsys, "evaluate", *where, "--images", tmp_path)
