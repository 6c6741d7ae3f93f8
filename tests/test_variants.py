"""Several members made of one model: its image moved, or its dropout left on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from balls import SHAPE, ball_plan, draw_ball
from commands import command, complaint
from drawn import oblique_affine

from medseg import Grid, Image, Labels, Model, method, read_labels, reorient, write
from medseg.info import EnsembleInfo, info
from medseg.intensity import ZScore
from medseg.learning.dropping import Dropping
from medseg.learning.ensemble import Ensemble, save_ensemble, with_variants
from medseg.learning.moving import Flipped, Turned
from medseg.learning.run import Run
from medseg.learning.stored import Stored
from medseg.learning.variants import Augmented, Dropout
from medseg.learning.weights import save_tensors
from medseg.networks.unet_2015 import UNet2015

pytestmark = pytest.mark.usefixtures("one_thread")
BALL, TRUTH = draw_ball(0)


def some_model(**changes: Any) -> Model:
    torch.manual_seed(0)
    return Model.untrained(ball_plan(**{"mirror": (1, 2)} | changes), "cpu")


def dropping_model() -> Model:
    """A 2D network with dropout."""
    network = UNet2015(features=(4, 8), padding="same")
    return some_model(network=network, patch=(16, 14), spacing=(1.0, 1.0), mirror=())


def saved(model: Model, folder: Path) -> Path:
    model.plan.save(Run(folder).plan)
    save_tensors(model.network.state_dict(), Run(folder).last, {"step": 1})
    return folder


class Brightness:
    """Says label 1 as far as a voxel is bright: whatever moves the image moves what it says."""

    plan = ball_plan(mirror=(1, 2), labels=(0, 1), names={1: "ball"})

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Probabilities of the background and the ball."""
        bright = np.clip(image.array[0] / 300, 0, 1)
        if mask is not None:
            bright = np.where(mask.array != 0, bright, 0)
        return Image(np.stack([1 - bright, bright]), image.grid, ("background", "ball"))


def bump(at: float = 0.45, width_mm: float = 7.0) -> Image:
    """A bump of brightness, voxels of 1, 2 and 3 mm."""
    grid = Grid.from_spacing((24, 14, 10), (1, 2, 3))
    away = [(np.arange(n) - n * at) * mm for n, mm in zip(grid.shape, grid.spacing, strict=True)]
    squares = np.add.outer(np.add.outer(away[0] ** 2, away[1] ** 2), away[2] ** 2)
    return Image(300 * np.exp(-squares / (2 * width_mm**2))[None], grid)


# Moved images


def test_the_plan_says_how_images_are_mirrored() -> None:
    made = Augmented(degrees=0)(Brightness())
    assert isinstance(made[0], Brightness)
    assert [each.axes for each in made[1:] if isinstance(each, Flipped)] == [(1,), (2,), (1, 2)]
    turned = Augmented(degrees=10)(Brightness())[4:]
    planes = [(each.plane, each.degrees) for each in turned if isinstance(each, Turned)]
    assert planes == [(p, a) for p in ((0, 1), (0, 2), (1, 2)) for a in (-10, 10)]


def test_a_2d_network_turns_images_in_the_plane_that_it_sees() -> None:
    model = some_model(
        network=UNet2015(features=(4, 8), padding="same"), patch=(16, 14, 1), mirror=()
    )
    made = Augmented()(model)[1:]
    assert [each.plane for each in made if isinstance(each, Turned)] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("stored", ["RAS", "PSL"])
def test_a_flip_is_undone(stored: str) -> None:
    image = reorient(draw_ball(0, affine=oblique_affine())[0], stored)
    expected = Brightness().probabilities(image)
    found = Flipped(Brightness(), (0, 2)).probabilities(image)
    np.testing.assert_array_equal(found.array, expected.array)
    assert found.grid is image.grid


def test_a_flipped_network_sees_what_it_would_see_of_a_flipped_image() -> None:
    model = some_model()
    mirrored = Image(np.ascontiguousarray(np.flip(BALL.array, 2)), BALL.grid)
    found = Flipped(model, (1,)).probabilities(BALL)
    np.testing.assert_array_equal(np.flip(found.array, 2), model.probabilities(mirrored).array)


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("stored", ["RAS", "IPR"])
def test_a_turn_is_undone(plane: tuple[int, int], stored: str) -> None:
    image = reorient(bump(), stored)
    expected = Brightness().probabilities(image).array
    found = Turned(Brightness(), plane, 8).probabilities(image)
    np.testing.assert_allclose(found.array, expected, atol=0.05)  # smoothed a little
    np.testing.assert_allclose(found.array.sum(0), 1, atol=1e-5)
    assert found.grid is image.grid


def test_it_is_turned_by_the_angle_that_is_said() -> None:
    seen: list[Image] = []

    class Watching(Brightness):
        def probabilities(self, image: Image, *rest: Any, **mask: Any) -> Image:
            """Probabilities, the image kept."""
            seen.append(image)
            return super().probabilities(image, *rest, **mask)

    image = bump(at=0.35, width_mm=2.5)
    Turned(Watching(), (0, 1), 30).probabilities(image)
    places = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip((24, 14), (1, 2), strict=True)]
    ways = []
    for each in (image, seen[0]):
        mass = each.array[0].sum(2)
        ways.append(np.array([mass.sum(1) @ places[0], mass.sum(0) @ places[1]]) / mass.sum())
    (a, b), (c, d) = ways
    turned_by = np.rad2deg(np.arctan2(a * d - b * c, a * c + b * d))
    assert abs(turned_by) == pytest.approx(30, abs=3)


def test_outside_the_mask_background_is_certain() -> None:
    image = bump()
    inside = np.zeros(image.grid.shape, np.uint8)
    inside[6:15, 3:9, 3:7] = 1
    mask = Labels(inside, image.grid)
    found = Turned(Brightness(), (0, 1), 10).probabilities(image, mask=mask)
    assert (found.array[0][inside == 0] == 1).all()
    expected = Brightness().probabilities(image).array[1]
    middle = (slice(8, 13), slice(4, 8), slice(4, 6))
    np.testing.assert_allclose(found.array[1][middle], expected[middle], atol=0.06)


@pytest.mark.parametrize("degrees", [-1, 90, float("nan")])
def test_angles_are_small(degrees: float) -> None:
    with pytest.raises(ValueError, match="turned by 0 to 45 degrees"):
        Augmented(degrees)


def test_what_has_no_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="GaussianMixture has none"):
        Augmented()(method("gaussian-mixture", classes=2))


# Dropout


def slice_of_ball() -> Image:
    return Image(BALL.array[..., 6], Grid.from_spacing(SHAPE[:2]))


def test_dropout_differs_by_its_seed_alone() -> None:
    model, image = dropping_model(), slice_of_ball()
    plain = model.probabilities(image).array
    first, second = (each.probabilities(image).array for each in Dropout(2)(model))
    again = Dropping(model, 0).probabilities(image).array
    np.testing.assert_array_equal(first, again)
    assert abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(model.probabilities(image).array, plain)


def test_the_random_numbers_of_others_go_on_as_they_would_have() -> None:
    model, image = dropping_model(), slice_of_ball()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    Dropping(model, 3).probabilities(image)
    assert torch.rand(1) == expected


def test_only_dropout_is_left_on() -> None:
    from torch import nn

    model = dropping_model()
    layers = nn.Sequential(model.network, nn.BatchNorm2d(3))
    modes: list[tuple[bool, ...]] = []
    watched = Model(layers, model.plan)
    layers[1].register_forward_hook(
        lambda *_: modes.append(
            tuple(
                x.training for x in layers.modules() if isinstance(x, nn.Dropout | nn.BatchNorm2d)
            )
        )
    )
    layers.train()
    Dropping(watched).probabilities(slice_of_ball())
    assert set(modes) == {(True, True, False)}
    assert all(layer.training for layer in layers.modules())


def test_the_mean_of_many_is_near_what_the_network_says_without_dropout() -> None:
    model, image = dropping_model(), slice_of_ball()
    plain = model.probabilities(image).array
    few, many = (
        abs(with_variants(model, [Dropout(n)]).probabilities(image).array - plain).mean()
        for n in (1, 16)
    )
    assert many < 0.6 * few


def test_a_network_without_dropout_is_refused(tmp_path: Path) -> None:
    model = some_model()
    for member in (model, Stored(saved(model, tmp_path / "run"))):
        with pytest.raises(ValueError, match="UNet has no dropout"):
            Dropout()(member)
    with pytest.raises(ValueError, match="GaussianMixture is none"):
        Dropout()(method("gaussian-mixture", classes=2))


# As members of an ensemble


def test_variants_of_a_member_count_together_as_much_as_it_does() -> None:
    one, other = some_model(mirror=(1,)), some_model(mirror=(1, 2))
    both = Ensemble((one, other), weights=(1, 3)).varied([Augmented(degrees=0)])
    assert len(both.members) == 6
    assert both.weights == (0.5, 0.5, 0.75, 0.75, 0.75, 0.75)


def test_they_are_members_of_a_folder_that_predict_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = saved(some_model(), tmp_path / "run")
    write(BALL, tmp_path / "ball.nii.gz")
    way = "augmented:degrees=0"
    code, out, err = command(capsys, "ensemble", run, "-o", tmp_path / "tta", "--variants", way)
    assert code == 0, err
    assert "4 members" in out
    expected = with_variants(Model.load(run, "cpu"), [Augmented(0)]).segment(BALL).array
    for name, model in {"a": (tmp_path / "tta",), "b": (run, "--variants", way)}.items():
        place = tmp_path / f"{name}.nii.gz"
        folder, *rest = model
        options = ("-o", place, "--device", "cpu", "--quiet")
        code, _, err = command(capsys, "predict", folder, tmp_path / "ball.nii.gz", *rest, *options)
        assert code == 0, err
        np.testing.assert_array_equal(read_labels(place).array, expected)
    found = info(tmp_path / "tta")
    assert isinstance(found, EnsembleInfo)
    assert found.variants == ("Augmented(degrees=0)",)


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        ("dropout", "UNet has no dropout"),
        ("mirrored", "no kind of variants is called 'mirrored'"),
        ("augmented:angle=3", "augmented has no parameter angle"),
        ("dropout:samples=0", "1 to 10000 samples"),
    ],
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], variants: str, said: str
) -> None:
    run = saved(some_model(), tmp_path / "run")
    write(BALL, tmp_path / "ball.nii.gz")
    given = ("predict", run, tmp_path / "ball.nii.gz", "-o", tmp_path / "out.nii.gz")
    assert said in complaint(capsys, *given, "--device", "cpu", "--variants", variants)


def test_a_damaged_list_of_variants_is_refused(tmp_path: Path) -> None:
    run = saved(some_model(), tmp_path / "run")
    save_ensemble(tmp_path / "tta", [run], variants=[Augmented()])
    file = tmp_path / "tta" / "ensemble.json"
    file.write_text(file.read_text().replace("degrees", "angle"))
    with pytest.raises(ValueError, match=r"ensemble\.json: .* no parameter angle"):
        Ensemble.load(tmp_path / "tta")


def test_a_plan_of_other_channels_is_still_checked() -> None:
    one = some_model()
    two = some_model(channels=("A", "B"), normalisations=(ZScore(), ZScore()))
    with pytest.raises(ValueError, match="the same channels"):
        Ensemble((*Augmented(0)(one), *Augmented(0)(two)))
