"""`medseg segment` with chains and clean-ups, and `medseg predict` with clean-ups."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from balls import ball_plan, draw_ball, write_balls
from commands import command, complaint

import medseg
from medseg import Chain, Labels, Model
from medseg.cleanup import cleanup_called
from medseg.crf import REFINEMENTS
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], one_thread: None) -> Command:
    return partial(command, capsys)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    medseg.write(draw_ball(0)[0], tmp_path / "in" / "ball.nii.gz")
    return tmp_path / "in" / "ball.nii.gz"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Folder of a run whose weights nobody trained."""
    folder = tmp_path / "runs" / "a+b"
    model = Model.untrained(ball_plan(), "cpu")
    model.plan.save(Run(folder).plan)
    save_tensors(model.network.state_dict(), Run(folder).last, {})
    return folder


def segmented(run: Command, image: Path, *arguments: object) -> np.ndarray:
    out = image.parent.parent / "out.nii.gz"
    code, _, err = run("segment", image, "-o", out, "--overwrite", *arguments)
    assert code == 0, err
    return medseg.read_labels(out).array


def test_a_chain_is_named_and_its_parts_are_set(run: Command, image: Path) -> None:
    arguments = ("--set", "classes=3", "--set", "gaussian.sigma=0.7", "--set", "open.radius=1")
    found = segmented(run, image, "-m", "gaussian+otsu+open", *arguments)
    parameters = {"classes": 3, "gaussian.sigma": 0.7, "open.radius": 1}
    wanted = Chain.parse("gaussian+otsu+open", parameters).segment(medseg.read_image(image))
    np.testing.assert_array_equal(found, wanted.array)


def test_the_example_of_the_design_works(run: Command, image: Path) -> None:
    found = segmented(run, image, "-m", "n4+otsu+keep-largest")
    assert set(np.unique(found)) == {0, 1}


def test_a_saved_chain_is_a_method_too(run: Command, image: Path, tmp_path: Path) -> None:
    Chain.parse("median+otsu", {"classes": 4}).save(tmp_path / "params.json")
    found = segmented(run, image, "-m", tmp_path / "params.json", "--set", "classes=3")
    np.testing.assert_array_equal(
        found, segmented(run, image, "-m", "median+otsu", "--set", "otsu.classes=3")
    )


def test_cleanups_come_after_those_of_the_chain(run: Command, image: Path) -> None:
    found = segmented(
        run, image, "-m", "otsu+fill-holes", "--set", "classes=3",
        "--cleanup", "open:radius=4", "--cleanup", "keep-largest:of=all,connectivity=3",
    )  # fmt: skip
    labels = Chain.parse("otsu+fill-holes", {"classes": 3}).segment(medseg.read_image(image))
    for cleanup in (
        cleanup_called("open", radius=4),
        cleanup_called("keep-largest", of="all", connectivity=3),
    ):
        labels = cleanup(labels)
    np.testing.assert_array_equal(found, labels.array)
    assert (found != segmented(run, image, "-m", "otsu", "--set", "classes=3")).any()


def test_a_trained_model_is_cleaned_up_by_both_commands(
    run: Command, image: Path, trained: Path, tmp_path: Path
) -> None:
    wanted = cleanup_called("keep-largest")(
        Model.load(trained, "cpu").segment(medseg.read_image(image))
    )
    cleaned = ("--cleanup", "keep-largest")
    np.testing.assert_array_equal(segmented(run, image, "-m", trained, *cleaned), wanted.array)
    code, _, err = run("predict", trained, image, "-o", tmp_path / "p.nii.gz", *cleaned)
    assert code == 0, err
    np.testing.assert_array_equal(medseg.read_labels(tmp_path / "p.nii.gz").array, wanted.array)


def test_a_model_may_stand_in_a_chain(run: Command, image: Path, trained: Path) -> None:
    plain = trained.rename(trained.with_name("a"))
    found = segmented(run, image, "-m", f"median+{plain}+keep-largest", "--set", "overlap=0.25")
    chain = Chain.parse("median+otsu+keep-largest")
    wanted = Chain(Model.load(plain, "cpu", overlap=0.25), chain.filters, chain.cleanups)
    np.testing.assert_array_equal(found, wanted.segment(medseg.read_image(image)).array)


def test_probabilities_stay_as_they_are_and_the_mask_holds(tmp_path: Path, trained: Path) -> None:
    folder = write_balls(tmp_path / "data", cases=1)
    mask = np.zeros(draw_ball(0)[0].grid.shape, np.uint8)
    mask[3:12] = 1
    ball = medseg.read_image(folder / "images" / "ball_0.nii.gz")
    medseg.write(Labels(mask, ball.grid), folder / "mask.nii.gz")
    (tmp_path / "cases.csv").write_text(
        f"case,image:MR,mask\nb,{folder}/images/ball_0.nii.gz,{folder}/mask.nii.gz\n"
    )
    model = Model.load(trained, "cpu")
    for out, cleanups in (("plain", ()), ("clean", (lambda x: x.on(x.array * 0 + 2, x.grid),))):
        medseg.predict(
            model, tmp_path / "cases.csv", tmp_path / out / "b.nii.gz",
            probabilities=True, cleanups=cleanups,
        )  # fmt: skip
    found = medseg.read_labels(tmp_path / "clean" / "b.nii.gz").array
    np.testing.assert_array_equal(found, 2 * mask)
    plain, clean = (tmp_path / out / "b_probabilities.nii.gz" for out in ("plain", "clean"))
    np.testing.assert_array_equal(medseg.read_image(plain).array, medseg.read_image(clean).array)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "normalize+otsu"], "did you mean 'normalise'?"),
        (["-m", "n4+keep-largest"], "a chain is filters, one method, crf if wished"),
        (["-m", "n4+otsu+crf"], "a CRF refines probabilities, and Otsu gives none"),
        (["-m", "no.json"], "no.json does not exist"),
        (["-m", "n4+runs/no"], "runs/no does not exist"),
        (["-m", "otsu", "--set", "n4.shrink=2"], "otsu has no parameter n4.shrink"),
        (["-m", "otsu", "--cleanup", "keep-larges"], "did you mean 'keep-largest'?"),
        (["-m", "otsu", "--cleanup", "open:radus=2"], "did you mean 'radius'?"),
        (["-m", "otsu", "--cleanup", "open:2"], "--cleanup open takes key=value, got '2'"),
        (["-m", "otsu", "--cleanup", "open:radius=x"], "open can't be built"),
        (["-m", "otsu", "--cleanup", "otsu"], "no clean-up is called 'otsu'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
    image: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert message in complaint(capsys, "segment", image, "-o", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == [image.parent]


def test_methods_lists_filters_refinements_and_cleanups(run: Command) -> None:
    listed = json.loads(run("methods", "--json")[1])
    families = (
        ("filters", medseg.FILTERS),
        ("refinements", REFINEMENTS),
        ("clean-ups", medseg.CLEANUPS),
    )
    for family, registry in families:
        summaries = {name: entry["summary"] for name, entry in listed[family].items()}
        assert summaries == {name: registry.summary(name) for name in registry}
