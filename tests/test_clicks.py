"""Seeds by place: what is written, where it is, and what is refused."""

import numpy as np
import pytest
from drawn import oblique_affine

from medseg import Grid
from medseg.clicks import Click, seeds_at

OBLIQUE = Grid((4, 5, 6), oblique_affine())


@pytest.mark.parametrize(
    ("text", "click"),
    [
        ("3,0,11=2", Click((3, 0, 11), 2)),
        (" 3, 4 = -1", Click((3, 4), -1)),
        ("12.5mm,3mm,-4mm=1", Click((12.5, 3, -4), 1, in_mm=True)),
        ("1e1 mm,-0.5 mm,0mm=7", Click((10, -0.5, 0), 7, in_mm=True)),
    ],
)
def test_clicks_are_read_as_they_are_written(text: str, click: Click) -> None:
    assert Click.parse(text) == click
    assert Click.parse(str(click)) == click


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "a seed is written x,y,z=label"),
        ("1,2,3=", "a seed is written"),
        ("1,2,z=1", "got '1,2,z=1'"),
        ("1,2,3=1.5", "got '1,2,3=1.5'"),
        ("1mm,2,3mm=1", "some numbers are in mm and some are not"),
        ("1.5,2,3=1", "voxels are counted in whole numbers; mm have the unit"),
        ("1,2,3=0", "above 0, or -1 for background"),
        ("1,2,3=-2", "above 0, or -1 for background"),
        ("infmm,2mm,3mm=1", "made of finite numbers"),
    ],
)
def test_what_is_no_click_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Click.parse(text)


def test_millimetres_name_the_nearest_voxel_of_a_tilted_grid() -> None:
    for voxel in [(0, 0, 0), (3, 4, 5), (1, 2, 4)]:
        world = OBLIQUE.affine @ [*np.add(voxel, (0.3, -0.4, 0.45)), 1]
        assert Click(tuple(world[:3]), 1, in_mm=True).voxel(OBLIQUE) == voxel


def test_each_click_marks_one_voxel() -> None:
    world = OBLIQUE.affine @ [2, 2, 2, 1]
    clicks = [Click((0, 1, 2), 300), Click((3, 4, 5), -1), Click(tuple(world[:3]), 2, in_mm=True)]
    seeds = seeds_at(clicks, OBLIQUE)
    assert seeds.grid is OBLIQUE
    assert seeds.array[0, 1, 2] == 300
    assert seeds.array[3, 4, 5] == -1
    assert seeds.array[2, 2, 2] == 2
    assert np.count_nonzero(seeds.array) == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["4,0,0=1"], "seed 4,0,0=1 lies outside the image of 4 x 5 x 6 voxels"),
        (["-1,0,0=1"], "lies outside"),
        (["900mm,0mm,0mm=1"], "lies outside the image of 4 x 5 x 6 voxels: "),
        (["1,2=1"], "the image has 3 axes, and the seed 1,2=1 another number"),
        (["1,2,3=1", "1,2,3=2"], "seed 1,2,3=2 lies on the voxel of another, of 1"),
    ],
)
def test_clicks_that_do_not_fit_the_image_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        seeds_at(map(Click.parse, texts), OBLIQUE)
