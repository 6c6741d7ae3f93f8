"""Overlays and mosaics, judged by their pixels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn import oblique_affine, some_image
from PIL import Image as Picture

from medseg.io import write
from medseg.phantom import draw_case
from medseg.pictures import Compared, Tile, View, draw_comparison, draw_mosaic, draw_overlay
from medseg.pictures import draw_worst as worst
from medseg.pictures.outlines import dashes_of, length_of, outlines_of
from medseg.pictures.paper import colour_of, fitted, font_of, lighter
from medseg.pictures.planes import Panel, as_scanned, panels_of
from medseg.volume import Grid, Image, Labels, reorient

RADIOLOGICAL = View()


def corner(spacing: tuple[float, float, float] = (1, 2, 3)) -> tuple[Image, Labels]:
    """Dark volume with a bright block in the right, front, top corner, labelled 1."""
    shape = (12, 16, 10)
    array = np.zeros(shape, np.uint8)
    array[8:11, 12:15, 6:9] = 1
    image = 100 * array.astype(np.float32)
    return Image.from_array(image, spacing), Labels.from_array(array, spacing, {1: "block"})


def drawn(path: Path) -> np.ndarray:
    with Picture.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - colour).max(axis=-1) < 12).sum())


# Planes


def test_three_planes_go_through_the_structure_and_stand_upright() -> None:
    image, labels = corner()
    axial, coronal, sagittal = panels_of(image, labels, None, RADIOLOGICAL)
    assert [p.letters for p in (axial, coronal, sagittal)] == ["RLAP", "RLSI", "APSI"]
    assert axial.caption == "axial 8 of 10"
    assert coronal.caption == "coronal 14 of 16"
    assert sagittal.caption == "sagittal 10 of 12"
    for panel in (axial, coronal, sagittal):
        rows, columns = np.nonzero(panel.labels)
        assert rows.mean() < panel.labels.shape[0] / 2  # in front, or on top
        assert columns.mean() < panel.labels.shape[1] / 2  # on the patient's right, or in front


def test_the_neurological_view_has_the_right_on_the_right() -> None:
    image, labels = corner()
    view = View(convention="neurological")
    for panel, mirrored in zip(
        panels_of(image, labels, None, RADIOLOGICAL),
        panels_of(image, labels, None, view),
        strict=True,
    ):
        if "R" in panel.letters:
            assert mirrored.letters[:2] == "LR"
            np.testing.assert_array_equal(mirrored.labels, panel.labels[:, ::-1])
            np.testing.assert_array_equal(mirrored.shades, panel.shades[:, ::-1])
        else:
            np.testing.assert_array_equal(mirrored.labels, panel.labels)


@pytest.mark.parametrize("code", ["LPS", "PSR", "AIL", "SRA"])
def test_storage_changes_nothing(code: str) -> None:
    image, labels = draw_case(1, (20, 24, 12))
    for panel, again in zip(
        panels_of(image, labels, None, RADIOLOGICAL),
        panels_of(reorient(image, code), reorient(labels, code), None, RADIOLOGICAL),
        strict=True,
    ):
        np.testing.assert_array_equal(panel.shades, again.shades)
        np.testing.assert_array_equal(panel.labels, again.labels)
        assert (panel.caption, panel.letters) == (again.caption, again.letters)
        np.testing.assert_allclose(panel.extent, again.extent, rtol=1e-5)


def test_the_largest_section_is_chosen_and_small_labels_count_as_much() -> None:
    array = np.zeros((30, 8, 8), np.uint8)
    array[2:12] = 1
    array[5, 2:5, 2:5], array[20, 1:3, 1:3] = 2, 3
    array[20, 4:6, 4:6], array[8] = 4, 1
    sagittal = panels_of(None, Labels.from_array(array), None, RADIOLOGICAL)[2]
    assert sagittal.caption == "sagittal 21 of 30"  # two whole labels against one and nearly one
    assert sagittal.values() == {3, 4}


def test_of_equal_sections_the_middle_one_is_chosen() -> None:
    array = np.zeros((9, 9, 11), np.uint8)
    array[2:5, 2:5, 3:8] = 1
    assert panels_of(None, Labels.from_array(array), None, RADIOLOGICAL)[0].caption == (
        "axial 6 of 11"
    )


def test_the_reference_decides_unless_it_is_empty() -> None:
    image, reference = corner()
    array = np.zeros(reference.grid.shape, np.uint8)
    array[1:4, 1:6, 1] = 1
    other = Labels(array, reference.grid)
    assert panels_of(image, other, reference, RADIOLOGICAL)[0].caption == "axial 8 of 10"
    nothing = Labels(0 * array, reference.grid)
    assert panels_of(image, other, nothing, RADIOLOGICAL)[0].caption == "axial 2 of 10"
    assert panels_of(image, nothing, None, RADIOLOGICAL)[0].caption == "axial 6 of 10"


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_labels_of_any_size_and_sign_are_found(dtype: type) -> None:
    array = np.zeros((6, 6, 6), dtype)
    array[1:3, 1:3, 4] = -3
    array[3:5, 1:3, 4] = np.iinfo(dtype).max
    axial = panels_of(None, Labels.from_array(array), None, RADIOLOGICAL)[0]
    assert axial.caption == "axial 5 of 6"
    assert axial.values() == {-3, np.iinfo(dtype).max}


@pytest.mark.parametrize(("axis", "letters"), [(0, "APSI"), (1, "RLSI"), (2, "RLAP")])
def test_a_single_slice_is_one_panel(axis: int, letters: str) -> None:
    shape = [7, 8, 9]
    shape[axis] = 1
    labels = Labels.from_array(np.ones(shape, np.uint8))
    assert [p.letters for p in panels_of(None, labels, None, RADIOLOGICAL)] == [letters]


def test_2d_is_shown_as_it_is_stored_and_nobody_knows_the_side() -> None:
    array = np.arange(20, dtype=np.float32).reshape(5, 4)  # 5 columns, 4 rows
    labels = Labels.from_array(array == 1)
    (panel,) = panels_of(Image.from_array(array), labels, None, RADIOLOGICAL)
    assert panel.letters == panel.caption == ""
    np.testing.assert_array_equal(np.nonzero(panel.labels), [[1], [0]])
    assert (np.diff(panel.shades[..., 0].astype(int), axis=1) > 0).all()


def test_spacing_is_respected() -> None:
    array = np.ones((12, 16, 10), np.float32)
    labels = Labels.from_array(np.ones_like(array), (1, 2, 3))
    extents = [p.extent for p in panels_of(None, labels, None, RADIOLOGICAL)]
    assert extents == [(32, 12), (30, 12), (30, 32)]


def test_air_around_the_body_is_cut_off_and_structures_are_not() -> None:
    array = np.zeros((40, 40, 40), np.float32)
    array[15:25, 15:25, 15:25] = 100
    labels = np.zeros(array.shape, np.uint8)
    labels[18:22, 2, 18:22] = 1
    for panel in panels_of(Image.from_array(array), Labels.from_array(labels), None, RADIOLOGICAL):
        assert max(panel.labels.shape) < 30
        assert panel.labels.any() or "axial" in panel.caption


def test_the_finest_pixels_are_those_of_the_scan() -> None:
    _, labels = corner((3, 1, 1))
    assert as_scanned(panels_of(None, labels, None, RADIOLOGICAL)).letters == "APSI"
    _, labels = corner((1, 1.1, 1.2))
    assert as_scanned(panels_of(None, labels, None, RADIOLOGICAL)).letters == "RLAP"


# Shades


def only_panel(values: np.ndarray, view: View = RADIOLOGICAL) -> Panel:
    image = Image.from_array(values.astype(np.float32), (1, 1))
    labels = Labels(np.ones(image.grid.shape, int), image.grid)
    return panels_of(image, labels, None, view)[0]


def test_a_few_hot_voxels_do_not_darken_the_rest() -> None:
    values = np.linspace(100, 200, 2500).reshape(50, 50)
    values[0, :5] = 1e6
    shades = only_panel(values).shades
    assert shades.max() == 255
    assert np.median(shades) > 100


def test_padding_of_one_value_does_not_take_part_in_the_window() -> None:
    values = np.full((50, 50), -400.0)
    values[10:30, 10:30] = np.linspace(0, 1, 400).reshape(20, 20)
    inside = only_panel(values).shades[10:30, 10:30]
    assert np.ptp(inside.astype(int)) > 250


def test_a_ct_is_shown_in_the_window_of_soft_tissue_and_any_other_on_demand() -> None:
    values = np.full((40, 40), -1000.0)
    values[10:30, 10:30] = 50
    values[20, 20] = 3000
    assert only_panel(values).shades[15, 15, 0] == round(255 * (50 + 200) / 500)
    assert only_panel(values, View(window=(0, 100))).shades[15, 15, 0] == 128


@pytest.mark.parametrize("value", [0, -3, 1e30])
def test_a_constant_image_is_drawn(value: float) -> None:
    assert only_panel(np.full((8, 9), value)).shades.shape == (9, 8, 3)


def test_a_channel_can_be_chosen_and_must_be_there() -> None:
    image, labels = draw_case(0, (16, 18, 8))
    first, second = (
        panels_of(image, labels, None, View(channel=channel))[0].shades for channel in (0, 1)
    )
    np.testing.assert_array_equal(first, panels_of(image, labels, None, RADIOLOGICAL)[0].shades)
    assert first.shape != second.shape or (first != second).any()
    with pytest.raises(ValueError, match="2 channels, there is no 2"):
        panels_of(image, labels, None, View(channel=2))


def test_three_channels_in_2d_are_colours() -> None:
    rng = np.random.default_rng(0)
    image = Image.from_array(rng.uniform(0, 255, (3, 9, 8)), (1, 1))
    labels = Labels.from_array(np.ones((9, 8), int))
    (panel,) = panels_of(image, labels, None, RADIOLOGICAL)
    assert (panel.shades[..., 0] != panel.shades[..., 1]).any()


# Outlines


def test_outlines_close_around_each_part_inside_its_border() -> None:
    labels = np.zeros((10, 12), np.uint8)
    labels[0:4, 0:5], labels[6:9, 2:11], labels[7, 5] = 1, 2, 0
    found = [(label, line) for label, line in outlines_of(labels, 0.25)]
    assert [label for label, _ in found] == [1, 2, 2]
    for _, line in found:
        np.testing.assert_array_equal(line[0], line[-1])
    np.testing.assert_allclose(found[0][1].min(axis=0), 0.25)
    np.testing.assert_allclose(found[0][1].max(axis=0), (4.75, 3.75))


def test_a_single_voxel_has_an_outline() -> None:
    labels = np.zeros((3, 3), np.uint8)
    labels[1, 1] = 7
    ((label, line),) = outlines_of(labels, 9.0)
    assert label == 7
    assert length_of(line) > 0
    np.testing.assert_allclose(line.mean(axis=0), (1.5, 1.5), atol=0.05)


def test_dashes_cover_half_of_the_line_and_lie_on_it() -> None:
    line = np.array([[0, 0], [100, 0], [100, 50]], float)
    dashes = list(dashes_of(line, 2))
    assert len(dashes) == 12
    assert sum(map(length_of, dashes)) == pytest.approx(150 * 3.5 / 6.5)
    for dash in dashes:
        assert ((dash[:, 1] == 0) | (dash[:, 0] == 100)).all()


# Text


@pytest.mark.parametrize("text", ["", "short", "a caption that is rather long", "w" * 300])
def test_text_is_made_to_fit(text: str) -> None:
    shown, size = fitted(text, 30, 250)
    assert font_of(size).getlength(shown) <= 250
    assert 20 <= size <= 30
    assert (shown, size) == (text, 30) or len(text) > 6
    assert shown == text or shown.endswith("...")


# Files


def test_outlines_have_the_colour_of_their_label_the_reference_a_lighter_one(
    tmp_path: Path,
) -> None:
    image, labels = corner()
    moved = Labels(np.roll(labels.array, -3, axis=0), labels.grid)
    draw_overlay(image, labels, tmp_path / "alone.png")
    draw_overlay(image, labels, tmp_path / "both.png", moved)
    alone, both = drawn(tmp_path / "alone.png"), drawn(tmp_path / "both.png")
    assert near(alone, colour_of(1)) > 500
    assert near(alone, lighter(colour_of(1))) < 100
    assert near(both, colour_of(1)) > 500
    assert near(both, lighter(colour_of(1))) > 500
    assert near(both, colour_of(2)) == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (400, 3, 2), (2, 300), (3, 300, 1), (5, 5)])
def test_any_shape_gives_a_picture_that_a_projector_shows(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    image = some_image(shape)
    labels = Labels(np.ones(shape, np.uint8), image.grid)
    draw_overlay(image, labels, tmp_path / "a.png", labels, title="a" * 200)
    height, width, _ = drawn(tmp_path / "a.png").shape
    assert 1200 <= width <= 2200
    assert 100 <= height <= 1500


def test_hundreds_of_labels_with_long_names_fit_the_sheet(tmp_path: Path) -> None:
    array = np.arange(1, 401).reshape(20, 20, 1)
    names = {label: f"a structure with rather a long name, {label}" for label in range(1, 401)}
    draw_overlay(None, Labels.from_array(array, 1.0, names), tmp_path / "a.png")
    pixels = drawn(tmp_path / "a.png")
    assert len(np.unique(pixels[:, -20:].reshape(-1, 3), axis=0)) == 1


def test_same_volumes_give_the_same_bytes(tmp_path: Path) -> None:
    image, labels = draw_case(0, (24, 28, 12))
    for name in ("a", "b"):
        draw_overlay(image, labels, tmp_path / f"{name}.png", labels)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_methods_stand_side_by_side(tmp_path: Path) -> None:
    image, labels = draw_case(0, (24, 28, 12))
    nothing = Labels(0 * labels.array, labels.grid)
    draw_comparison(image, {"good": labels, "bad": nothing}, tmp_path / "a.png", labels)
    pixels = drawn(tmp_path / "a.png")
    middle = pixels.shape[1] // 2
    assert near(pixels[:, :middle], colour_of(1)) > near(pixels[:, middle:], colour_of(1)) + 200
    with pytest.raises(ValueError, match="nothing to compare"):
        draw_comparison(image, {}, tmp_path / "b.png", labels)


def test_a_mosaic_takes_volumes_of_every_shape(tmp_path: Path) -> None:
    volumes = [corner(), draw_case(0, (24, 28, 12)), corner((3, 1, 1))]
    flat = Labels.from_array(np.eye(9, dtype=int), (1, 1))
    tiles = [Tile(image, labels, None, "a") for image, labels in volumes]
    draw_mosaic([*tiles, Tile(None, flat)], tmp_path / "a.png", columns=3)
    height, width, _ = drawn(tmp_path / "a.png").shape
    assert 1200 <= width <= 2000
    assert height > 700  # two rows
    with pytest.raises(ValueError, match="at least one case"):
        draw_mosaic([], tmp_path / "b.png")


def test_the_worst_are_drawn_from_their_files(tmp_path: Path) -> None:
    cases = []
    for seed in range(2):
        image, labels = draw_case(seed, (24, 28, 12))
        write(image, tmp_path / f"image_{seed}.nii.gz")
        write(labels, tmp_path / f"labels_{seed}.nii.gz")
        paths = [tmp_path / f"{what}_{seed}.nii.gz" for what in ("labels", "labels", "image")]
        paths = paths if seed else paths[:2]
        cases.append(Compared(f"case_{seed}", *paths, note="Dice 1.00"))
    written = worst(cases, tmp_path / "worst", {1: "lesion"})
    assert [path.name for path in written] == ["1_case_0.png", "2_case_1.png", "worst.png"]
    assert all(near(drawn(path), colour_of(1)) > 200 for path in written)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda i, s, p: draw_overlay(i, Labels.from_array(np.ones((3, 3, 3), int)), p), "grid"),
        (lambda i, s, p: draw_overlay(i, s, p.with_suffix(".jpg")), "written as .png"),
        (lambda i, s, p: View(window=(3, 3)), "lower value to a higher"),
        (lambda i, s, p: View(convention="upside down"), "radiological or neurological"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, draw: Callable[[Image, Labels, Path], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw(*corner(), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_oblique_slices_are_shown_along_the_voxels(tmp_path: Path) -> None:
    array = np.ones((6, 7, 8), np.uint8)
    labels = Labels(array, Grid(array.shape, oblique_affine()))
    assert [p.extent for p in panels_of(None, labels, None, RADIOLOGICAL)] == [
        (14, 6),
        (24, 6),
        (24, 14),
    ]
