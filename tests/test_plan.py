"""Plans: what is decided from the training images, by hand, and how it is written down."""

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from balls import ball_plan, balls, write_balls
from commands import command, complaint
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medseg import Case, Dataset, Grid, Image, Labels, Plan, make_plan, reorient, write
from medseg.intensity import Identity, Window, ZScore
from medseg.learning.conventions import Conventions
from medseg.learning.patches import PATCH_VOXELS, patch_of
from medseg.networks.from_monai import MonaiNetwork
from medseg.networks.topology import topology
from medseg.networks.unet import UNet

AXES = (0, 1, 2)
pytestmark = pytest.mark.usefixtures("one_thread")


def cohort(
    folder: Path, *grids: tuple[tuple[int, ...], tuple[float, ...]], **options: Any
) -> Dataset:
    """A case for each (shape, spacing)."""
    cases = []
    for k, (shape, spacing) in enumerate(grids):
        grid = Grid.from_spacing(shape, spacing)
        array = np.random.default_rng(k).normal(100, 20, (1, *shape)).astype(np.float32)
        labels = np.zeros(shape, np.uint8)
        labels[tuple(slice(0, max(n // 2, 1)) for n in shape)] = 1
        write(Image(array, grid), folder / f"image_{k}.nii.gz")
        write(Labels(labels, grid), folder / f"labels_{k}.nii.gz")
        files = (folder / f"image_{k}.nii.gz",), folder / f"labels_{k}.nii.gz"
        cases.append(Case(f"case_{k}", *files))
    return Dataset(tuple(cases), **options)


# Written down and read again


PLANS = {
    "3d": ball_plan(),
    "2d": ball_plan(network=UNet(2, (4, 8)), patch=(16, 1, 12), mirror=(0, 2)),
    "window": ball_plan(normalisations=(Window(-5, 5, 0.5, 2),)),
    "batch": ball_plan(batch=3, notes={"why": ["because", {"x": 0.5}]}),
    "labels": ball_plan(labels=(0, 7, 3), names={3: "núcleo", 7: "b"}),
    "monai": ball_plan(network=MonaiNetwork("BasicUNet", 3, (), {"features": (4,) * 6})),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_read_again_is_the_same(name: str, tmp_path: Path) -> None:
    PLANS[name].save(tmp_path / "plan.json")
    found = Plan.load(tmp_path / "plan.json")
    assert found == PLANS[name]
    assert found.to_json() == PLANS[name].to_json()


@pytest.mark.parametrize("name", PLANS)
def test_its_json_is_plain(name: str) -> None:
    content = PLANS[name].to_json()
    assert json.loads(json.dumps(content)) == content


def test_notes_are_kept_and_make_no_other_plan(tmp_path: Path) -> None:
    noted = ball_plan(notes={"seconds_per_step": 0.5})
    noted.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").notes == {"seconds_per_step": 0.5}
    assert noted == ball_plan()
    assert noted.agrees(ball_plan())
    assert not noted.agrees(ball_plan(batch=2))


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    content = ball_plan().to_json() | {"colour": "red"}
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"plan\.json is no plan: .* check \['colour'\]"):
        Plan.load(tmp_path / "plan.json")


LATER = {"conventions", "batch", "notes", "regions", "written", "ignore", "earlier"}


@pytest.mark.parametrize("field", sorted(ball_plan().to_json().keys() - LATER))
def test_a_missing_field_is_refused(field: str) -> None:
    content = ball_plan().to_json()
    del content[field]
    with pytest.raises(ValueError, match=rf"a plan has the fields .*; check \['{field}'\]"):
        Plan.from_json(content)


@pytest.mark.parametrize("field", sorted(LATER))
def test_a_plan_from_before_there_was_a_field_has_that_of_medseg(field: str) -> None:
    content = ball_plan().to_json()
    del content[field]
    assert Plan.from_json(content) == ball_plan()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("spacing", [1, "wide", 1]),
        ("spacing", 1),
        ("names", ["shell"]),
        ("network", {"name": "unte"}),
        ("network", {"name": "unet", "widths": [1]}),
        ("network", None),
        ("normalisations", [{"name": "zscore", "mean": 1}]),
        ("normalisations", None),
        ("batch", "many"),
        ("batch", 1.5),
        ("notes", None),
    ],
    ids=str,
)
def test_a_field_of_another_kind_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(ball_plan().to_json() | {field: value}))
    with pytest.raises(ValueError, match=r"plan\.json is no plan: "):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(ValueError, match=r"plan\.json is no plan: "):
        Plan.load(tmp_path / "plan.json")


def test_a_plan_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"plan\.json does not exist"):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": (8, 8)}, "a positive spacing and patch side an axis"),
        ({"patch": (8, 8, 0)}, "a positive spacing and patch side an axis"),
        ({"spacing": (1, 1, -1)}, "a positive spacing and patch side an axis"),
        ({"patch": (8, 8, 1)}, "a network of 3 axes needs a patch with as many sides over 1"),
        ({"network": UNet(2, (4,))}, "a network of 2 axes needs a patch"),
        ({"channels": ("a", "b")}, "2 channels need as many normalisations, got 1"),
        ({"channels": (), "normalisations": ()}, "0 channels need"),
        ({"labels": (1, 2)}, "labels are 0 and at least one other, each once"),
        ({"labels": (0,)}, "labels are 0 and at least one other, each once"),
        ({"labels": (0, 1, 1)}, "labels are 0 and at least one other, each once"),
        ({"mirror": (3,)}, "mirror names axes below 3"),
        ({"batch": -1}, "a batch of 0 or more"),
        ({"notes": "quick"}, "notes by name"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ball_plan(**changes)


# Decided from the images


def test_spacing_is_the_median_of_each_axis(tmp_path: Path) -> None:
    spacings = [(1, 1, 5), (2, 1, 3), (3, 1.5, 3), (9, 1, 1), (1.5, 1, 8)]
    plan = make_plan(cohort(tmp_path, *(((4, 5, 6), spacing) for spacing in spacings)))
    assert plan.spacing == (2, 1, 3)


def test_axes_are_compared_in_the_same_orientation(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, *[((12, 10, 8), (1, 2, 4))] * 3)
    for k, way in enumerate(("PSR", "SRA", "LAS")):
        for path in (tmp_path / f"image_{k}.nii.gz", tmp_path / f"labels_{k}.nii.gz"):
            _store(path, way)
    plan = make_plan(dataset)
    assert plan.spacing == (1, 2, 4)
    assert plan.patch == (12, 10, 8)


def _store(path: Path, way: str) -> None:
    from medseg import read_image, read_labels

    volume = read_image(path) if "image" in path.name else read_labels(path)
    write(reorient(volume, way), path)


def test_a_small_volume_is_one_patch(tmp_path: Path) -> None:
    plan = make_plan(cohort(tmp_path, ((32, 40, 24), (1, 1, 1))))
    assert plan.patch == (32, 40, 24)


def test_the_patch_has_the_median_size_in_mm(tmp_path: Path) -> None:
    plan = make_plan(cohort(tmp_path, ((16, 16, 16), (1, 1, 1))), settings={"spacing": [2, 1, 0.5]})
    assert plan.patch == (8, 16, 32)


@settings(max_examples=200, deadline=2000, derandomize=True)
@example(spacing=(0.5, 1.0, 2.0), size=(15, 1, 13), slices=None)
@given(
    spacing=st.tuples(*[st.floats(0.1, 10)] * 3),
    size=st.tuples(*[st.integers(1, 700)] * 3),
    slices=st.sampled_from([None, 0, 1, 2]),
)
def test_any_patch_keeps_to_the_budget_and_to_the_strides(
    spacing: tuple[float, ...], size: tuple[int, ...], slices: int | None
) -> None:
    patch = patch_of(spacing, np.array(size, float), slices)
    assert prod(patch) <= PATCH_VOXELS
    axes = [axis for axis in range(3) if axis != slices]
    sides = tuple(patch[axis] for axis in axes)
    assert min(sides) >= 2
    shape = topology(tuple(spacing[axis] for axis in axes), sides, width=1, levels=5)
    assert all(side % m == 0 for side, m in zip(sides, shape.multiple, strict=True))
    if slices is not None:
        assert patch[slices] == 1


def test_a_large_patch_is_shrunk_in_proportion() -> None:
    patch = patch_of((1.0, 1.0, 1.0), np.array([400.0, 200.0, 200.0]), None)
    assert patch[0] == pytest.approx(2 * patch[1], rel=0.25)
    assert prod(patch) > PATCH_VOXELS / 2


def test_levels_follow_the_patch(tmp_path: Path) -> None:
    plan = make_plan(cohort(tmp_path, ((32, 40, 6), (1, 1, 4))))
    assert plan.network.multiple[2] == 1
    assert plan.network.multiple[0] == plan.network.multiple[1] > 4


@pytest.mark.parametrize("coarse", [0, 1, 2])
def test_a_2d_network_has_its_slices_along_the_coarsest_axis(tmp_path: Path, coarse: int) -> None:
    spacing = tuple(3.0 if axis == coarse else 1.0 for axis in range(3))
    plan = make_plan(cohort(tmp_path, ((24, 24, 24), spacing)), ndim=2)
    assert [axis for axis, side in enumerate(plan.patch) if side == 1] == [coarse]
    assert plan.network.ndim == 2


@pytest.mark.parametrize("thin", [0, 1, 2])
def test_of_single_slices_the_thin_axis_is_the_slice_axis(tmp_path: Path, thin: int) -> None:
    shape = tuple(1 if axis == thin else 24 for axis in range(3))
    plan = make_plan(cohort(tmp_path, (shape, (1, 1, 1))), ndim=2)
    assert plan.patch == shape


def test_labels_that_are_found_are_named_by_number(tmp_path: Path) -> None:
    plan = make_plan(cohort(tmp_path, ((8, 8, 8), (1, 1, 1))))
    assert (plan.labels, plan.names) == ((0, 1), {1: "label 1"})
    assert plan.channels == ("channel 0",)


def test_labels_that_are_named_are_taken_whether_they_occur_or_not(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)), names={7: "b", 1: "a"}, channels=("T1",))
    plan = make_plan(dataset)
    assert (plan.labels, plan.names, plan.channels) == ((0, 1, 7), {7: "b", 1: "a"}, ("T1",))


def test_nothing_is_mirrored_unless_the_user_says_so(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)))
    assert make_plan(dataset).mirror == ()
    assert make_plan(dataset, settings={"mirror": [1, 2]}).mirror == (1, 2)


# Normalisation


def test_channels_are_brought_to_their_zscore(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)), channels=("T1",))
    assert make_plan(dataset).normalisations == (ZScore(),)


@pytest.mark.parametrize("name", ["CT", "ct"])
def test_of_ct_a_window_holds_the_structures(tmp_path: Path, name: str) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)), channels=(name,))
    (window,) = make_plan(dataset).normalisations
    case = dataset.cases[0]
    inside = case.image().array[0][case.labels().array > 0]
    low, high = np.percentile(inside, [0.5, 99.5])
    found = [window.low, window.high, window.mean, window.deviation]
    np.testing.assert_allclose(found, [low, high, inside.mean(), inside.std()], rtol=1e-5)


def test_ct_without_any_structure_is_brought_to_its_zscore(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)), channels=("CT",), names={1: "a"})
    empty = Labels(np.zeros((8, 8, 8), np.uint8), Grid.from_spacing((8, 8, 8)))
    write(empty, tmp_path / "labels_0.nii.gz")
    assert make_plan(dataset, allow_empty=True).normalisations == (ZScore(),)


@pytest.mark.parametrize(("share", "nonzero"), [(0.2, False), (0.3, True)])
def test_where_much_was_set_to_zero_it_does_not_count(
    tmp_path: Path, share: float, *, nonzero: bool
) -> None:
    dataset = cohort(tmp_path, ((10, 8, 8), (1, 1, 1)))
    image = dataset.cases[0].image()
    array = image.array.copy()
    array[:, : int(10 * share)] = 0
    write(Image(array, image.grid), tmp_path / "image_0.nii.gz")
    assert make_plan(dataset).normalisations == (ZScore(nonzero=nonzero),)


# Settings


def test_settings_of_the_plan_are_taken(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((24, 24, 24), (1, 1, 1)))
    plan = make_plan(dataset, settings={"spacing": [2, 2, 1], "patch": [8, 16, 8]})
    assert (plan.spacing, plan.patch) == ((2, 2, 1), (8, 16, 8))


def test_settings_of_the_network_are_taken(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)))
    changes = {"network.features": [4, 6, 8], "network.deep_supervision": True}
    plan = make_plan(dataset, settings=changes)
    assert plan.network.features == (4, 6, 8)
    assert plan.network.deep_supervision


def test_fewer_features_are_fewer_levels(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)))
    plan = make_plan(dataset, settings={"network.features": [4, 8]})
    assert (plan.network.features, plan.network.multiple) == ((4, 8), (2, 2, 2))


def test_another_network_is_planned_by_its_name(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)))
    plan = make_plan(dataset, "monai:DynUNet")
    assert plan.network.network == "DynUNet"
    assert plan.network.parameters["filters"] == (16, 32, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 3}, "a plan has no setting size; it has spacing, patch, mirror"),
        ({"spacing": 1}, r"plan\.spacing is a list of 3 numbers over 0, got 1"),
        ({"spacing": [1, 1]}, r"plan\.spacing is a list of 3 numbers over 0, got \[1, 1\]"),
        ({"spacing": [1, 0, 1]}, r"plan\.spacing is a list of 3 numbers over 0"),
        ({"spacing": "fine"}, r"plan\.spacing is a list of 3 numbers over 0, got 'fine'"),
        ({"patch": 32}, r"plan\.patch is a list of 3 numbers over 0, got 32"),
        ({"patch": [16, 1, 1]}, r"plan\.patch has at least two sides over 1"),
        ({"mirror": 0}, r"plan\.mirror is a list of axes, got 0"),
        ({"mirror": [3]}, "mirror names axes below 3"),
        ({"network.width": 3}, "network unet has no parameter width"),
        ({"network.features": 16}, "network unet can't be built"),
        ({"network.features": [2] * 9}, "9 levels"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)))
    with pytest.raises(ValueError, match=message):
        make_plan(dataset, settings=changes)


def test_a_patch_of_other_axes_than_were_asked_for_is_refused(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((16, 16, 16), (1, 1, 1)))
    with pytest.raises(ValueError, match=r"a 2D network needs a patch with 2 sides over 1"):
        make_plan(dataset, ndim=2, settings={"patch": [8, 8, 8]})


@pytest.mark.parametrize("ndim", [1, 4])
def test_networks_of_other_axes_are_refused(tmp_path: Path, ndim: int) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)))
    with pytest.raises(
        ValueError, match=f"3D volumes take networks of 2 or 3 axes, got ndim={ndim}"
    ):
        make_plan(dataset, ndim=ndim)


def test_a_data_set_with_problems_is_refused(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)))
    (tmp_path / "labels_0.nii.gz").unlink()
    with pytest.raises(ValueError, match="1 problems in the data set"):
        make_plan(dataset)


def test_a_data_set_without_any_label_is_refused(tmp_path: Path) -> None:
    dataset = cohort(tmp_path, ((8, 8, 8), (1, 1, 1)))
    empty = Labels(np.zeros((8, 8, 8), np.uint8), Grid.from_spacing((8, 8, 8)))
    write(empty, tmp_path / "labels_0.nii.gz")
    with pytest.raises(ValueError, match="labels are 0 and at least one other"):
        make_plan(dataset, allow_empty=True)


def test_a_data_set_without_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="a plan is made from at least one case"):
        make_plan(Dataset(()))


# The command


def test_the_command_prints_what_python_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = balls(tmp_path / "data", 5)
    code, out, err = command(capsys, "plan", tmp_path / "data", "--quiet")
    assert (code, err) == (0, "")
    assert Plan.from_json(json.loads(out)) == make_plan(dataset.split()[0])


def test_the_command_writes_a_file_and_does_not_replace_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    file = tmp_path / "plan.json"
    assert command(capsys, "plan", tmp_path / "data", "-o", file, "-q") == (0, "", "")
    before = Plan.load(file)
    again = ("plan", tmp_path / "data", "-o", file, "--set", "plan.spacing=[2,2,2]")
    assert "exists already; replace it with --overwrite" in complaint(capsys, *again)
    assert Plan.load(file) == before
    assert command(capsys, *again, "--overwrite")[0] == 0
    assert Plan.load(file).spacing == (2, 2, 2)


def test_the_command_takes_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_balls(tmp_path / "data", 5)
    changes = ("--2d", "--set", "plan.mirror=[0]", "--set", "network.features=[4, 8]")
    code, out, _ = command(capsys, "plan", tmp_path / "data", *changes)
    plan = Plan.from_json(json.loads(out))
    assert code == 0
    assert plan.network == UNet(2, (4, 8), plan.network.kernels, plan.network.strides)
    assert plan.mirror == (0,)


def test_the_command_says_what_it_decided_and_what_is_odd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 4)
    for folder in ("images", "labels"):
        first, second = (tmp_path / "data" / folder / f"ball_{k}.nii.gz" for k in (0, 1))
        second.write_bytes(first.read_bytes())
    file = tmp_path / "plan.json"
    code, out, err = command(capsys, "plan", tmp_path / "data", "-o", file, "--fold", "all")
    assert (code, err) == (0, "look at this: the same image: ball_0, ball_1\n")
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert told["spacing"] == "1 x 1 x 1 mm (the median of the cases)"
    assert told["patch"] == "16 x 14 x 12 voxels, 100 % of the median size; 64 in a batch"
    assert told["labels"] == "1 label 1, 2 label 2"
    assert float(told["step"].split()[0]) == Plan.load(file).notes["seconds_per_step"] > 0
    found = json.loads((tmp_path / "plan-fingerprint.json").read_text())
    assert [case["name"] for case in found["cases"]] == [f"ball_{k}" for k in range(4)]


def test_a_folder_takes_a_plan_of_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 1)
    given = ("plan", tmp_path / "data", "-o", tmp_path / "plans", "--fold", "all")
    given = (*given, "--preset", "nnunet", "--set", "network.features=[2, 4]")
    assert "a folder takes the plans of 2D and of 3D" in complaint(capsys, *given, "--2d")
    assert command(capsys, *given)[0] == 0
    names = sorted(path.name for path in (tmp_path / "plans").iterdir())
    assert names == ["2d.json", "3d.json", "fingerprint.json"]
    assert Plan.load(tmp_path / "plans" / "2d.json").network.ndim == 2
    assert Plan.load(tmp_path / "plans" / "3d.json").batch == 2
    assert "exists already" in complaint(capsys, *given)


def test_a_plan_as_nnunet_makes_it_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_balls(tmp_path / "data", 5)
    given = ("train", tmp_path / "data", tmp_path / "run", "--preset", "nnunet", "--steps", 1)
    narrow = ("--set", "network.features=[2, 4]", "--set", "batch=1", "-q")
    assert command(capsys, *given, *narrow)[0] == 0
    plan = Plan.load(tmp_path / "run" / "plan.json")
    assert plan.network.features == (2, 4)
    assert plan.conventions == Conventions("RAS", "nonzero", "cubic", "kept", "patch", "half", AXES)
    assert plan.mirror == AXES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "batch=3"), "a plan has no setting batch; name it as plan.KEY or network.KEY"),
        (("--set", "plan.spacing=1"), "plan.spacing is a list of 3 numbers"),
        (("--set", "plan.spacing"), "--set takes key=value"),
        (("--network", "wnet"), "no network is called 'wnet'"),
        (("--fold", "7/5"), "the folds are 0/5 to 4/5"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(map(str, value)),
)
def test_the_command_refuses_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    write_balls(tmp_path / "data", 5)
    assert message in complaint(capsys, "plan", tmp_path / "data", *arguments)


def test_an_edited_plan_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_balls(tmp_path / "data", 5)
    changed = ball_plan(normalisations=(Identity(),), channels=("photons",))
    changed.save(tmp_path / "mine.json")
    given = ("--plan", tmp_path / "mine.json", "--steps", 1, "--set", "batch=2")
    code, *_ = command(capsys, "train", tmp_path / "data", tmp_path / "run", *given)
    assert code == 0
    assert Plan.load(tmp_path / "run" / "plan.json") == changed
