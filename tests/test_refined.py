"""A dense CRF as a step after anything that gives probabilities."""

from pathlib import Path

import numpy as np
import pytest
from balls import draw_ball, untrained_run
from commands import command, complaint

from medseg import Image, Labels, method, read_labels, write
from medseg.crf import DenseCRF, Refined

pytestmark = pytest.mark.usefixtures("one_thread")

BALL, TRUTH = draw_ball(0)
MIXTURE = method("gaussian-mixture", classes=3, device="cpu")


class Speckled:
    """Is right about the ball, but for a tenth of the voxels."""

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probabilities of 0.6 and 0.2."""
        rng = np.random.default_rng(0)
        wrong = rng.random(TRUTH.array.shape) < 0.1
        said = np.where(wrong, rng.integers(0, 3, wrong.shape), TRUTH.array)
        array = np.float32(0.2) + np.float32(0.4) * (said == np.arange(3)[:, None, None, None])
        return Image(array, image.grid, ("background", "label 1", "label 2"))


def test_without_iterations_nothing_changes() -> None:
    found = Refined(MIXTURE, DenseCRF(iterations=0, device="cpu"))
    np.testing.assert_array_equal(found.segment(BALL).array, MIXTURE.segment(BALL).array)


def test_specks_of_noise_go() -> None:
    found = Refined(Speckled(), DenseCRF(smooth_mm=1, smooth_weight=1, device="cpu")).segment(BALL)
    before = Speckled().probabilities(BALL).array.argmax(0) != TRUTH.array
    assert (found.array != TRUTH.array).mean() < 0.5 * before.mean()


@pytest.mark.parametrize(("mode", "label"), [("multiclass", 0), ("whole-foreground", 2)])
def test_the_whole_foreground_counts_together(mode: str, label: int) -> None:
    array = np.float32([0.4, 0.25, 0.35])[:, None, None]
    probabilities = Image(array, draw_ball(0, (1, 1))[0].grid, ("background", "label 1", "label 2"))
    found = Refined(MIXTURE, DenseCRF(mode=mode)).most_probable(probabilities)  # type: ignore[arg-type]
    assert found.array.item() == label


def test_a_method_without_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match="Otsu gives none"):
        Refined(method("otsu"))  # type: ignore[arg-type]


def test_predict_refines_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = untrained_run(tmp_path / "run")
    write(BALL, tmp_path / "ball.nii.gz")
    given = (tmp_path / "run", tmp_path / "ball.nii.gz", "--device", "cpu", "--quiet")
    place = tmp_path / "out.nii.gz"
    more = ("-o", place, "--set", "crf.smooth_mm=2")
    code, _, err = command(capsys, "predict", *given, "--crf", *more)
    assert code == 0, err
    expected = Refined(model, DenseCRF(smooth_mm=2, device="cpu")).segment(BALL).array
    assert (expected != model.segment(BALL).array).any()
    assert (read_labels(place).array == expected).all()
    assert "needs --crf" in complaint(capsys, "predict", *given, *more, "--overwrite")
