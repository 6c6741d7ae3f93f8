"""Patch, batch and levels by nnU-Net's formulas: what nnU-Net 2.8.1 plans, and by hand."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest

from medseg.learning.fingerprint import CaseFacts, Fingerprint, LabelFacts
from medseg.learning.planning import configurations, plan_from
from medseg.learning.presets import PRESETS
from medseg.learning.sizing import in_order, median_size, sized, target_spacing
from medseg.networks.residual_unet import ResidualUNet
from medseg.networks.topology import feature_maps, topology

Numbers = tuple[float, ...]
HIPPOCAMPUS = (1, 1, 1), (36, 50, 35), 3
TUMOUR = (1, 1, 1), (138, 169, 138), 4
NEURONS = (50, 4, 4), (30, 512, 512), 2
LIVER = (1, 0.767, 0.767), (482, 512, 512), 3
PROSTATE = (3.6, 0.625, 0.625), (20, 320, 319), 3
WIDE = (32, 64, 128, 256, 320, 320)


def fingerprint(
    spacing: Numbers, shape: tuple[int, ...], cases: int = 1, labels: int = 2
) -> Fingerprint:
    """So many cases alike, with axes as nnU-Net has them: the last one is the first of a file."""
    facts = CaseFacts(
        name="a",
        shape=shape[::-1],
        spacing=spacing[::-1],
        orientation="RAS",
        content=shape[::-1],
        zeros=0.0,
        outside=0,
        lowest=(0.0,),
        highest=(9.0,),
        whole=True,
        labels={k: LabelFacts(8, (1.0,) * len(shape)) for k in range(1, labels + 1)},
        digest="",
    )
    names = {k: f"label {k}" for k in range(1, labels + 1)}
    return Fingerprint((facts,) * cases, names, ("MR",), ())


@pytest.mark.parametrize(
    ("preset", "like", "cases", "patch", "batch", "features"),
    [
        ("nnunet", HIPPOCAMPUS, 260, (40, 56, 40), 9, WIDE[:4]),
        ("nnunet", HIPPOCAMPUS, 200, (40, 56, 40), 7, WIDE[:4]),
        ("nnunet-resenc-m", HIPPOCAMPUS, 260, (40, 56, 40), 58, WIDE[:4]),
        ("nnunet-resenc-l", HIPPOCAMPUS, 260, (40, 56, 40), 178, WIDE[:4]),
        ("nnunet", TUMOUR, 484, (128, 128, 128), 2, WIDE),
        ("nnunet-resenc-l", TUMOUR, 484, (160, 192, 160), 3, WIDE),
        ("nnunet", NEURONS, 1, (16, 320, 320), 2, (*WIDE, 320)),
        ("nnunet", LIVER, 131, (128, 128, 128), 2, WIDE),
        ("nnunet-resenc-l", LIVER, 131, (192, 192, 192), 2, WIDE),
        ("nnunet", PROSTATE, 32, (20, 320, 256), 2, (*WIDE, 320)),
        ("nnunet-resenc-l", PROSTATE, 32, (20, 320, 320), 5, (*WIDE, 320)),
    ],
)
def test_volumes_are_sized_as_by_nnunet(
    preset: str,
    like: tuple[Numbers, tuple[int, ...], int],
    cases: int,
    patch: tuple[int, ...],
    batch: int,
    features: tuple[int, ...],
) -> None:
    spacing, shape, classes = like
    plan = plan_from(fingerprint(spacing, shape, cases, classes - 1), preset=preset)
    assert (plan.patch[::-1], plan.batch) == (patch, batch)
    assert plan.network.features == features
    assert plan.network.deep_supervision


@pytest.mark.parametrize(
    ("preset", "like", "cases", "patch", "batch", "levels"),
    [
        ("nnunet", HIPPOCAMPUS, 260, (56, 40), 366, 4),
        ("nnunet", HIPPOCAMPUS, 200, (56, 40), 281, 4),
        ("nnunet-resenc-m", HIPPOCAMPUS, 260, (56, 40), 1618, 4),
        ("nnunet-resenc-l", HIPPOCAMPUS, 260, (56, 40), 4554, 4),
        ("nnunet", TUMOUR, 484, (192, 160), 105, 6),
        ("nnunet", NEURONS, 1, (512, 512), 2, 8),
        ("nnunet", LIVER, 131, (512, 512), 12, 8),
        ("nnunet", PROSTATE, 32, (320, 320), 32, 7),
    ],
)
def test_slices_are_sized_as_by_nnunet(
    preset: str,
    like: tuple[Numbers, tuple[int, ...], int],
    cases: int,
    patch: tuple[int, ...],
    batch: int,
    levels: int,
) -> None:
    spacing, shape, classes = like
    plan = plan_from(fingerprint(spacing, shape, cases, classes - 1), ndim=2, preset=preset)
    assert (plan.patch, plan.batch) == ((*patch[::-1], 1), batch)
    assert len(plan.network.features) == levels
    assert max(plan.network.features) == min(32 * 2 ** (levels - 1), 512)


def test_thick_slices_have_flat_kernels_until_their_voxels_are_alike() -> None:
    network = plan_from(fingerprint((50.0, 4.0, 4.0), (30, 512, 512)), preset="nnunet").network
    flat, whole = (2, 2, 1), (2, 2, 2)
    assert network.strides == ((1, 1, 1), flat, flat, flat, whole, whole, flat)
    assert network.kernels == (*((3, 3, 1),) * 3, *((3, 3, 3),) * 4)


def test_the_coarsest_level_has_whole_kernels_even_where_none_was_halved() -> None:
    network = plan_from(fingerprint((9.0, 1.0, 1.0), (5, 16, 16)), preset="nnunet").network
    assert network.kernels[-1] == (3, 3, 3)
    assert network.kernels[-2] == (3, 3, 1)


def test_feature_maps_are_as_many_as_nnunet_counts() -> None:
    levels = topology((1, 1, 1), (40, 56, 40), width=32, levels=9)
    assert feature_maps(levels, (40, 56, 40), 3, (2,) * 9, 3) == 19_174_400


def test_residual_levels_count_as_the_network_has_them() -> None:
    blocks = ResidualUNet(features=(8,) * 6).blocks
    assert PRESETS["nnunet-resenc-m"].encoder[:6] == tuple(2 * n + 1 for n in blocks)


# Spacing


def test_the_spacing_is_the_median() -> None:
    spacings = np.array([[1, 1, 2], [1, 3, 2], [1, 2, 5]])
    assert target_spacing(spacings, np.full((3, 3), 50)) == (1, 2, 2)


@pytest.mark.parametrize(
    ("along", "expected"),
    [
        ([4, 4, 5, 6, 8], 4.0),  # the 10th percentile
        ([0.5, 0.5, 5, 6, 8], 1 + 1e-5),  # which is finer than the others
        ([2, 2, 3, 6, 8], 3.0),  # not more than 3 times as coarse
    ],
)
def test_thick_slices_take_the_finer_ones_among_them(along: list[float], expected: float) -> None:
    spacings = np.array([[mm, 1, 1] for mm in along])
    found = target_spacing(spacings, np.array([[20, 256, 256]] * 5))
    assert found == pytest.approx((expected, 1, 1), abs=1e-12)


def test_thick_slices_that_are_many_keep_their_median() -> None:
    spacings = np.array([[mm, 1, 1] for mm in (4, 4, 5, 6, 8)])
    assert target_spacing(spacings, np.array([[100, 256, 256]] * 5)) == (5, 1, 1)


def test_sizes_are_those_at_the_target_spacing() -> None:
    spacings, shapes = np.array([[2.0, 1], [1, 1], [1, 1]]), np.array([[10, 7], [30, 9], [15, 5]])
    assert median_size(spacings, shapes, (1.0, 2.0)) == (20, 4)


def test_axes_are_taken_backward_and_the_coarsest_first() -> None:
    assert in_order((1, 1, 1)) == (2, 1, 0)
    assert in_order((1, 5, 1)) == (1, 2, 0)
    assert in_order((5, 1)) == (1, 0)


# Room


def test_less_memory_takes_a_smaller_patch_and_never_none() -> None:
    spacing, median, classes = TUMOUR
    options = {"voxels": 484.0 * prod(median), "classes": classes}
    patches = [
        prod(sized(PRESETS["nnunet"].with_memory(gb), spacing, median, **options).patch)
        for gb in (2, 4, 8, 16)
    ]
    assert patches == sorted(set(patches))
    with pytest.raises(ValueError, match=r"no patch of a unet fits in 1e-06 GB; plan for more"):
        sized(PRESETS["nnunet"].with_memory(1e-6), spacing, median, **options)


def test_memory_is_a_setting() -> None:
    cases = fingerprint(TUMOUR[0], TUMOUR[1], 484, 3)
    found = plan_from(cases, preset="nnunet", settings={"memory": 24})
    assert prod(found.patch) > 128**3
    with pytest.raises(ValueError, match=r"plan\.memory is GB, over 0, got 0"):
        plan_from(cases, settings={"memory": 0})
    small, large = (plan_from(cases, settings={"memory": gb}).patch for gb in (0.25, 2))
    assert 2**15 < prod(small) <= 2**16 < 2**18 < prod(large) <= 2**19


def test_a_patch_that_is_asked_for_is_taken_and_its_batch_fitted() -> None:
    cases = fingerprint(TUMOUR[0], TUMOUR[1], 484, 3)
    plan = plan_from(cases, preset="nnunet", settings={"patch": [64, 64, 64]})
    assert plan.patch == (64, 64, 64)
    levels = topology((1, 1, 1), (64,) * 3, width=32, levels=9)
    assert plan.batch == round(2 * 560e6 / feature_maps(levels, (64,) * 3, 4, (2,) * 9, 3))


# Configurations


@pytest.mark.parametrize("preset", ["medseg", "nnunet"])
def test_a_large_volume_is_also_seen_at_a_lower_resolution(preset: str) -> None:
    found = configurations(fingerprint(LIVER[0], LIVER[1], 131), preset=preset)
    assert list(found) == ["3d", "2d", "3d-low", "3d-cascade"]
    assert found["3d-cascade"] == replace(found["3d"], earlier=found["3d-low"].labels[1:])
    low = found["3d-low"]
    size = np.array(LIVER[1][::-1]) * LIVER[0][::-1] / low.spacing
    assert 0.25 <= prod(low.patch) / size.prod() < 0.3
    assert low.channels == found["3d"].channels


def test_the_lower_resolution_is_that_of_nnunet() -> None:
    low = configurations(fingerprint(LIVER[0], LIVER[1], 131), preset="nnunet")["3d-low"]
    assert low.patch == (128, 128, 128)
    # 31 steps of 1.03.
    assert low.spacing[::-1] == pytest.approx(np.array(LIVER[0]) * 1.03**31)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_volume_that_a_patch_sees_has_no_lower_resolution(preset: str) -> None:
    assert list(configurations(fingerprint(*HIPPOCAMPUS[:2], 200), preset=preset)) == ["3d", "2d"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", [(96, 80), (1, 96, 80), (96, 1, 80)])
def test_pictures_have_one_plan(preset: str, shape: tuple[int, ...]) -> None:
    (name, plan), *others = configurations(
        fingerprint((1.0,) * len(shape), shape, 30), preset=preset
    ).items()
    assert (name, others) == ("2d", [])
    assert [side == 1 for side in plan.patch[::-1]] == [side == 1 for side in shape]


def test_a_preset_is_for_its_own_network() -> None:
    cases = fingerprint(*HIPPOCAMPUS[:2])
    assert plan_from(cases, "unet", preset="nnunet") == plan_from(cases, preset="nnunet")
    with pytest.raises(ValueError, match="the preset nnunet is for the network unet, got vnet"):
        plan_from(cases, "vnet", preset="nnunet")
    with pytest.raises(ValueError, match="no preset is called 'nnunett'; did you mean 'nnunet'"):
        plan_from(cases, preset="nnunett")


def test_nnunet_leaves_out_the_zeros_around_where_there_are_many() -> None:
    (case,) = (cases := fingerprint((1.0, 1, 1), (40, 40, 40))).cases
    for side, nonzero in ((30, False), (29, True)):
        some = replace(cases, cases=(replace(case, content=(side, 40, 40)),))
        (zscore,) = plan_from(some, preset="nnunet").normalisations
        assert zscore.nonzero is nonzero


def test_nnunet_sizes_by_what_is_not_zero() -> None:
    (case,) = (cases := fingerprint((1.0, 1, 1), (80, 80, 80))).cases
    inner = replace(cases, cases=(replace(case, content=(32, 48, 16)),) * 9)
    assert plan_from(inner, preset="nnunet").patch == (32, 48, 16)
