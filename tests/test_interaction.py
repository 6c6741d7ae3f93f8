"""The user who is played by the computer: where the clicks fall, and what comes of them."""

from pathlib import Path

import numpy as np
import pytest
from commands import command, complaint
from scipy import ndimage
from test_pipelines import drawn_head, pipeline

import medseg
from medseg import Grid, Image, Labels
from medseg.distance import deepest
from medseg.interaction import rounds


class Finds:
    """A method that gives what it is told, one after the other, and keeps the seeds it got."""

    def __init__(self, *results: np.ndarray) -> None:
        self.results, self.seeds = list(results), []

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Give the next result."""
        assert seeds is not None
        self.seeds.append(seeds.array)
        return Labels(self.results.pop(0), image.grid)


def box(value: int, *ends: tuple[int, int], shape: tuple[int, ...] = (20, 24)) -> np.ndarray:
    array = np.zeros(shape, np.int16)
    array[tuple(slice(*each) for each in ends)] = value
    return array


def empty(shape: tuple[int, ...] = (20, 24), spacing: float = 1.0) -> Image:
    return Image(np.zeros((1, *shape)), Grid.from_spacing(shape, spacing))


def test_clicks_fall_in_the_middle_of_the_largest_error() -> None:
    image, wanted = empty(), box(4, (2, 9), (3, 10))
    spilled = wanted + box(7, (10, 19), (12, 21))
    method = Finds(spilled, wanted)
    one, two = rounds(method, image, Labels(wanted, image.grid), radius=0)
    assert (str(one.click), str(two.click)) == ("5,6=4", "14,16=-1")
    assert two.dice == 1
    assert [np.count_nonzero(seeds) for seeds in method.seeds] == [1, 2]
    assert method.seeds[1][14, 16] == -1


def test_the_middle_of_an_error_is_found_in_mm() -> None:
    image = Image(np.zeros((1, 24, 20)), Grid.from_spacing((24, 20), (1.0, 4.0)))
    # Over 9 x 12 mm that are joined to 5 x 36 mm: 7 mm deep, but 2 voxels; in the others, 3.
    wanted = box(1, (3, 12), (4, 7), shape=(24, 20)) + box(1, (12, 17), (4, 13), shape=(24, 20))
    (first,) = rounds(Finds(wanted), image, Labels(wanted, image.grid))
    assert str(first.click) == "9,5=1"


def test_an_error_of_another_label_counts_as_one_of_its_own() -> None:
    image = empty()
    wanted = box(1, (2, 9), (3, 10)) + box(2, (9, 14), (3, 10))
    clicks = [
        each.click.label
        for each in rounds(
            Finds(np.minimum(wanted, 1), wanted), image, Labels(wanted, image.grid), clicks=9
        )
    ]
    assert clicks == [1, 2]


def test_dice_is_the_mean_over_the_labels_of_the_reference() -> None:
    image = empty()
    wanted = box(1, (0, 4), (0, 4)) + box(2, (10, 14), (0, 4))
    half = box(1, (0, 2), (0, 4)) + box(2, (10, 14), (0, 4))
    (first,) = rounds(Finds(half), image, Labels(wanted, image.grid), clicks=1)
    assert first.dice == pytest.approx((2 * 8 / 24 + 1) / 2)
    assert "dice 0.8333" in str(first)


@pytest.mark.parametrize(("radius", "reach"), [(0.0, 0.0), (3.0, 3.0), (100.0, 6.0)])
def test_a_brush_keeps_clear_of_the_border(radius: float, reach: float) -> None:
    image = empty((30, 30), spacing=2.0)
    wanted = box(1, (5, 16), (5, 16), shape=(30, 30))  # its middle lies 12 mm deep
    method = Finds(wanted)
    list(rounds(method, image, Labels(wanted, image.grid), clicks=1, radius=radius))
    away = 2 * np.hypot(*(np.indices((30, 30)) - 10))
    np.testing.assert_array_equal(method.seeds[0] == 1, away <= reach)


@pytest.mark.parametrize("shape", [(9, 11), (9, 1, 11), (9, 11, 1)], ids=str)
def test_the_deepest_voxel_of_a_slice_is_that_of_its_plane(shape: tuple[int, ...]) -> None:
    spacing = tuple({9: 6.0, 11: 5.0, 1: 2.0}[size] for size in shape)
    place, depth = deepest(np.ones(shape, bool), spacing)
    assert [index for index, size in zip(place, shape, strict=True) if size > 1] == [4, 5]
    assert depth == 30


def test_a_click_on_what_is_marked_already_is_not_given_again() -> None:
    image, wanted = empty(), box(1, (2, 9), (3, 10))
    method = Finds(np.zeros_like(wanted))
    found = list(rounds(method, image, Labels(wanted, image.grid), clicks=3))
    assert [each.dice for each in found] == [0, 0, 0]
    assert len(method.seeds) == 1


def test_outside_the_mask_nothing_is_wrong() -> None:
    image = empty()
    wanted = box(1, (2, 9), (3, 10)) + box(1, (10, 20), (0, 24))
    mask = Labels(box(1, (0, 10), (0, 24)), image.grid)
    seen = wanted * mask.array
    (first,) = rounds(Finds(seen), image, Labels(wanted, image.grid), mask)
    assert (str(first.click), first.dice) == ("5,6=1", 1)
    nowhere = Labels(box(1, (15, 20), (0, 24)), image.grid)
    with pytest.raises(ValueError, match="no label inside the mask"):
        next(rounds(Finds(), image, nowhere, mask))


def blob(affine: np.ndarray | None = None) -> tuple[Image, Labels]:
    """A bright blob with a dark hole."""
    shape = (22, 20, 18)
    away = np.linalg.norm(np.indices(shape).T - [10, 9, 8], axis=-1).T
    inside = (away < 6) & ~(np.linalg.norm(np.indices(shape).T - [12, 9, 8], axis=-1).T < 2)
    noise = np.random.default_rng(0).normal(scale=0.1, size=shape)
    grid = Grid(shape, np.eye(4) if affine is None else affine)
    return Image((ndimage.gaussian_filter(inside.astype(float), 0.5) + noise)[None], grid), Labels(
        inside, grid
    )


@pytest.mark.parametrize("name", ["random-walker", "geodesic", "grow-cut", "graph-cut"])
def test_clicks_lead_every_interactive_method_to_the_object(name: str) -> None:
    image, wanted = blob()
    found = list(rounds(medseg.method(name), image, wanted, clicks=6))
    dices = [each.dice for each in found]
    assert dices[-1] > max(0.9, dices[0])
    assert min(np.diff(dices)) > -0.02


def test_a_flipped_file_gets_the_same_clicks_in_the_world() -> None:
    image, wanted = blob()
    flipped, turned = (medseg.reorient(each, "LIP") for each in (image, wanted))
    pairs = zip(
        rounds(medseg.method("geodesic"), image, wanted, clicks=4),
        rounds(medseg.method("geodesic"), flipped, turned, clicks=4),
        strict=True,
    )
    for one, other in pairs:
        places = [
            each.labels.grid.affine @ [*each.click.voxel(each.labels.grid), 1]
            for each in (one, other)
        ]
        np.testing.assert_allclose(*places)
        assert one.dice == other.dice


# The command


def files(folder: Path) -> tuple[Path, Path]:
    image, wanted = blob()
    medseg.write(image, folder / "images" / "case.nii.gz")
    medseg.write(wanted, folder / "labels" / "case.nii.gz")
    return folder / "images" / "case.nii.gz", folder / "labels"


def test_the_command_prints_the_dice_of_each_click(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labels = files(tmp_path)
    out = tmp_path / "out.nii.gz"
    code, printed, _ = command(
        capsys,
        *("segment", image, "-o", out, "-m", "geodesic"),
        *("--simulate-clicks", labels / "case.nii.gz", "-n", 3),
    )
    lines = printed.splitlines()
    assert (code, len(lines)) == (0, 3)
    assert lines[0].startswith("case  click  1  ")
    found, wanted = medseg.read_labels(out).array, medseg.read_labels(labels / "case.nii.gz").array
    dice = medseg.metrics.binary.dc(found, wanted)
    assert f"dice {dice:.4f}" in lines[-1]


def test_clicks_and_seeds_at_once_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labels = files(tmp_path)
    start = ("segment", image, "-o", tmp_path / "o.nii.gz", "-m", "geodesic")
    both = (*start, "--simulate-clicks", labels, "--seed", "1,2,3=1")
    assert "leave out --seed" in complaint(capsys, *both)
    assert "no.nii does not exist" in complaint(capsys, *start, "--simulate-clicks", "no.nii")


# The pipelines


def test_tumour_interactive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
) -> None:
    for side in ("train", "validation"):
        folder = tmp_path / side / f"patient_{side}"
        image, wanted = blob()
        medseg.write(image, folder / "flair.nii.gz")
        medseg.write(image.on(1 - image.array, image.grid), folder / "t1c.nii.gz")
        medseg.write(wanted, folder / "label.nii.gz")
        inside = np.pad(np.ones((20, 18, 16), np.uint8), 1)
        medseg.write(wanted.on(inside, wanted.grid), folder / "brainmask.nii.gz")

    pipeline("tumour_interactive.py").main(tmp_path, tmp_path / "out", clicks=2, spacing=2.0)

    names = [name for name, kind in medseg.METHODS.items() if hasattr(kind, "begin")]
    printed = capsys.readouterr().out
    assert all(printed.count(f",{name},") == 2 for name in (*names, "snake", "chan-vese"))
    lines = (tmp_path / "out" / "dice.csv").read_text().splitlines()[1:]
    assert lines == printed.splitlines()
    assert all(len(line.split(",")) == 5 for line in lines)
    assert "random-walker" in (tmp_path / "out" / "dice.svg").read_text()


def test_lecture_contours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, _ = drawn_head()
    medseg.write(head, tmp_path / "head.nii.gz")

    pipeline("lecture_contours.py").main(tmp_path / "head.nii.gz", tmp_path / "ways.png")

    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == [name for name, kind in medseg.METHODS.items() if hasattr(kind, "states")]
    assert (tmp_path / "ways.png").stat().st_size > 0


def test_a_way_is_measured_in_voxels_that_change() -> None:
    sizes = [0, 4, 8, 10, 10, 10]
    grid = Grid.from_spacing((12, 1), 1.0)
    states = [Labels((np.arange(12) < size)[:, None], grid) for size in sizes]
    shown = pipeline("lecture_contours.py").along(states)
    assert [int(each.array.sum()) for each in shown] == [0, 4, 8, 8, 10]
