"""What is special to clustering: by-hand figures, and slow obvious versions."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from medseg import Grid, Image, Labels, Probabilistic, method
from medseg.classical.k_means import assigned, assigned_in_torch, first_means, settled
from medseg.classical.local_means import Field, add_up_in_torch, nearest_in_torch
from medseg.classical.mixture import Mixture, fitted
from medseg.classical.otsu import thresholds
from medseg.classical.random_field import neighbours, swept, swept_in_torch, weights_of
from medseg.classical.slic import in_one_piece
from medseg.components import components


def labels_of(name: str, array: object, **parameters: Any) -> np.ndarray:
    """Labels of an array with a channel axis, (C, i, j[, k])."""
    values = np.asarray(array, dtype=np.float32)
    image = Image(values, Grid.from_spacing(values.shape[1:]))
    return method(name, **parameters).segment(image).array


def blobs(seed: int = 0, number: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Points of two channels in three classes that only both channels together tell apart."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, number, p=[0.5, 0.3, 0.2])
    means = np.array([[0, 0], [2, 8], [9, 4]])
    return (means[classes] + rng.normal(size=(number, 2))).T.astype(np.float32), classes


# k-means


def test_k_means_finds_classes_that_no_channel_shows_alone() -> None:
    points, classes = blobs()
    found = labels_of("k-means", points.reshape(2, 40, 100)).ravel()
    assert (found == classes).mean() > 0.99


def test_k_means_numbers_its_classes_by_the_first_channel() -> None:
    values = np.repeat([5.0, 1, 9], 4)[None, :, None]
    found = labels_of("k-means", values)[:, 0]
    np.testing.assert_array_equal(found, np.repeat([1, 0, 2], 4))


def test_k_means_is_otsu_in_one_channel_where_classes_lie_apart() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 1, 900) for m in (0, 12, 30)]).astype(np.float32)
    cuts = thresholds(torch.from_numpy(values), 3)
    found = labels_of("k-means", values[None, :, None])[:, 0]
    np.testing.assert_array_equal(found, np.searchsorted(cuts, values, side="right"))


def test_k_means_settles_where_each_mean_is_that_of_what_is_nearest() -> None:
    points = torch.from_numpy(blobs()[0])
    first = first_means(points, 4, np.random.default_rng(0), "k-means")
    found, means = settled(points, first, 100)
    for label, mean in enumerate(means):
        own = points[:, found == label].numpy()
        np.testing.assert_allclose(own.mean(axis=1), mean, atol=2e-3)
    away = ((points.numpy()[:, None] - means.T[:, :, None]) ** 2).sum(axis=0)
    np.testing.assert_array_equal(found, away.argmin(axis=0))


@pytest.mark.parametrize("channels", [1, 3])
def test_both_ways_to_assign_agree(channels: int) -> None:
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.normal(size=(channels, 200_001)).astype(np.float32))
    centres = rng.normal(size=(5, channels)).astype(np.float32)
    ours, plain = assigned(points, centres), assigned_in_torch(points, centres)
    np.testing.assert_array_equal(ours[0], plain[0])
    np.testing.assert_array_equal(ours[1], plain[1])
    np.testing.assert_allclose(ours[2], plain[2], rtol=1e-6)


def test_first_means_are_points_that_differ() -> None:
    points = torch.tensor([[1.0] * 1000 + [2.0] + [3.0]])
    for seed in range(5):
        found = first_means(points, 3, np.random.default_rng(seed), "k-means")
        assert sorted(found.ravel().tolist()) == [1, 2, 3]


def test_a_rare_intensity_is_found_among_many() -> None:
    points = torch.zeros(1, 2**19)
    points[0, 12345] = 1  # not among every other one
    found = first_means(points, 2, np.random.default_rng(0), "k-means")
    assert sorted(found.ravel().tolist()) == [0, 1]


@pytest.mark.parametrize("name", ["k-means", "gaussian-mixture"])
@pytest.mark.parametrize(
    ("values", "message"), [([[3, 3, 3]], "the image is constant"), ([[1, 2, 2]], "only 2 differ")]
)
def test_more_classes_than_intensities_are_refused(name: str, values: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can't make 3 classes .*{message}"):
        labels_of(name, [values])


@pytest.mark.parametrize("name", ["k-means", "gaussian-mixture"])
def test_the_seed_decides_the_start_and_nothing_else(name: str) -> None:
    points = blobs()[0].reshape(2, 40, 100)
    np.testing.assert_array_equal(labels_of(name, points, seed=1), labels_of(name, points, seed=1))
    assert (labels_of(name, points, seed=1) == labels_of(name, points, seed=2)).mean() > 0.99


# Gaussian mixture


def slow_step(points: np.ndarray, mixture: Mixture) -> Mixture:
    """One step of expectation and maximisation, point by point."""
    from scipy.stats import multivariate_normal

    density = np.array(
        [
            share * multivariate_normal(mean, covariance).pdf(points.T)
            for share, mean, covariance in zip(
                mixture.shares, mixture.means, mixture.covariances, strict=True
            )
        ]
    )
    beliefs = density / density.sum(axis=0)
    means = beliefs @ points.T / beliefs.sum(axis=1)[:, None]
    spread = [
        np.cov(points, aweights=shares, ddof=0) for shares in beliefs
    ]  # about their own means
    return Mixture(beliefs.mean(axis=1), means, np.array(spread).reshape(mixture.covariances.shape))


def test_a_step_is_what_the_formulas_say() -> None:
    points = blobs()[0].astype(np.float64)
    start = Mixture.about(np.array([[0, 1], [1, 7], [6, 4]], np.float32), torch.from_numpy(points))
    found, wanted = start.climbed(torch.from_numpy(points), 1), slow_step(points, start)
    np.testing.assert_allclose(found.shares, wanted.shares, rtol=1e-6)
    np.testing.assert_allclose(found.means, wanted.means, atol=1e-6)
    np.testing.assert_allclose(found.covariances, wanted.covariances, atol=1e-4)


def test_the_fit_finds_what_was_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [(60_000, 0.0, 1.0), (30_000, 6.0, 2.0), (10_000, 15.0, 0.5)]
    values = np.concatenate([rng.normal(mean, wide, many) for many, mean, wide in drawn])
    points = torch.from_numpy(values.astype(np.float32))[None]
    mixture = fitted(points, np.array([[-1], [9], [14]], np.float32), 500)
    np.testing.assert_allclose(mixture.shares, [0.6, 0.3, 0.1], atol=0.01)
    np.testing.assert_allclose(mixture.means.ravel(), [0, 6, 15], atol=0.05)
    np.testing.assert_allclose(np.sqrt(mixture.covariances.ravel()), [1, 2, 0.5], atol=0.05)


def test_bins_stand_for_the_intensities_of_one_channel() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 3000), rng.normal(6, 2, 2000)]).astype(np.float32)
    points = torch.from_numpy(values)[None]
    centres = np.array([[0], [6]], np.float32)
    binned = fitted(points, centres, 300)
    exact = Mixture.about(centres, points).climbed(points.double(), 300)
    np.testing.assert_allclose(binned.means, exact.means, atol=0.01)
    np.testing.assert_allclose(binned.shares, exact.shares, atol=0.002)


def test_every_step_makes_the_points_more_likely() -> None:
    points = torch.from_numpy(blobs()[0]).double()
    mixture = Mixture.about(np.array([[0, 4], [1, 4], [2, 4]], np.float32), points)
    found = []
    for _ in range(15):
        found.append(float(torch.logsumexp(mixture.evidence(points), dim=0).mean()))
        mixture = mixture.climbed(points, 1)
    assert all(after >= before - 1e-9 for before, after in pairwise(found))


def test_a_mixture_tells_a_narrow_class_from_a_wide_one() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(0, 10, 9000), rng.normal(25, 1, 1000)
    values = np.concatenate([wide, narrow])[None, :, None]
    mixture = labels_of("gaussian-mixture", values, classes=2)[9000:, 0].mean()
    assert mixture > 0.97
    # k-means cuts half-way between the means, and takes a lot of the wide class for the narrow.
    cut = labels_of("k-means", values, classes=2)[:9000, 0].mean()
    assert cut > 3 * labels_of("gaussian-mixture", values, classes=2)[:9000, 0].mean()


def test_a_class_does_not_shrink_to_a_point() -> None:
    values = np.concatenate([np.full(500, 7.0), np.random.default_rng(0).normal(0, 1, 500)])
    found = labels_of("gaussian-mixture", values[None, :, None], classes=2)[:, 0]
    assert (found[:500] == 1).all()
    assert (found[500:] == 0).all()


def test_probabilities_add_up_and_the_greatest_is_the_label() -> None:
    points = blobs()[0].reshape(2, 40, 100)
    image = Image(points, Grid.from_spacing((40, 100)))
    mask = np.zeros((40, 100), np.uint8)
    mask[5:, :90] = 1
    inside = Labels(mask, image.grid)
    for smoothness in (0.0, 0.7):
        segmenter = method("gaussian-mixture", smoothness=smoothness)
        assert isinstance(segmenter, Probabilistic)
        found = segmenter.probabilities(image, mask=inside)
        assert found.array.shape == (3, 40, 100)
        np.testing.assert_allclose(found.array.sum(axis=0), 1, atol=1e-5)
        assert (found.array[0, mask == 0] == 1).all()
        labels = segmenter.segment(image, mask=inside).array
        np.testing.assert_array_equal(found.array.argmax(axis=0), labels)
        assert found.names[0] == "background"


def test_probabilities_keep_to_the_way_of_storing() -> None:
    points = blobs()[0].reshape(2, 40, 100)
    image = Image(points, Grid((40, 100), np.diag([-1.0, 2.0, 1.0])))
    upright = Image(points[:, ::-1], Grid((40, 100), np.diag([1.0, 2.0, 1.0])))
    first, second = (
        method("gaussian-mixture", smoothness=0.5).probabilities(each).array
        for each in (image, upright)
    )
    np.testing.assert_array_equal(first, second[:, ::-1])


# The random field


def noisy(shape: tuple[int, ...], noise: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros(shape, int)
    truth[: shape[0] // 2] = 1
    return truth, truth + np.random.default_rng(0).normal(scale=noise, size=shape)


@pytest.mark.parametrize("shape", [(40, 50), (20, 22, 24)], ids=str)
def test_neighbours_outvote_noise(shape: tuple[int, ...]) -> None:
    truth, values = noisy(shape)
    plain, smooth = (
        (labels_of("gaussian-mixture", values[None], classes=2, smoothness=pull) == truth).mean()
        for pull in (0.0, 1.0)
    )
    assert plain < 0.85
    assert smooth > 0.95


def test_near_neighbours_count_more() -> None:
    assert weights_of((1.0, 1.0)) == (1, 1)
    np.testing.assert_allclose(weights_of((1.0, 2.0, 3.0)), np.array([6, 3, 2]) * 3 / 11)
    beliefs = torch.zeros(1, 3, 3)
    beliefs[0, 0, 1] = beliefs[0, 1, 0] = 1
    found = neighbours(beliefs, (2.0, 0.5))
    assert float(found[0, 1, 1]) == 2.5
    assert float(found[0, 0, 0]) == 2.5
    assert float(found[0, 2, 2]) == 0


@pytest.mark.parametrize("shape", [(9,), (11, 14), (17, 6, 7)], ids=str)
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_both_ways_to_sweep_agree(shape: tuple[int, ...], share: float) -> None:
    torch.manual_seed(0)
    inside = torch.rand(shape) < share
    beliefs = torch.rand(4, *shape).softmax(0) * inside
    evidence = torch.randn(4, *shape)
    weights = (1.5, 1.0, 0.5)[: len(shape)]
    before = beliefs.clone()
    ours = swept(beliefs, evidence, inside, 0.8, weights)
    plain = swept_in_torch(beliefs, evidence, inside, 0.8, weights)
    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-6)
    assert torch.equal(beliefs, before)
    assert not ours[:, ~inside].any()


def test_sweeps_settle_on_a_chessboard_of_evidence() -> None:
    # Where all voxels changed together, each would take its neighbours' class for ever.
    evidence = torch.zeros(2, 8, 8)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 == 0
    evidence[0, board] = evidence[1, ~board] = 0.1
    inside = torch.ones(8, 8, dtype=torch.bool)
    beliefs = evidence.softmax(0)
    for _ in range(50):
        before, beliefs = beliefs, swept(beliefs, evidence, inside, 2.0, (1.0, 1.0))
    assert float((beliefs - before).abs().max()) < 1e-3


# SLIC


def slow_nearest(field: Field, centres: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Voxel by voxel and centre by centre."""
    channels = len(field.levels)
    found = labels.copy()
    for place in np.ndindex(labels.shape):
        least = np.inf
        for number, centre in enumerate(centres):
            if (np.abs(centre[channels:] - place) > field.reach).any():
                continue
            voxel = np.float32([*(float(level[place]) for level in field.levels), *place])
            away = float((((voxel - centre) * field.scales).astype(np.float64) ** 2).sum())
            if away < least - 1e-6:
                found[place], least = number, away
    return found


def some_field(shape: tuple[int, int, int], channels: int, share: float = 1.0) -> Field:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 1000, (channels, *shape)).astype(np.float32)
    inside = rng.random(shape) < share
    scales = np.float32([0.003 + 0.001 * c for c in range(channels)] + [0.2, 0.3, 0.4])
    return Field(torch.from_numpy(levels), torch.from_numpy(inside), scales, np.float32([5, 4, 3]))


def some_labels(shape: tuple[int, int, int], parts: int) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(rng.integers(0, parts, shape).astype(np.int32))


@pytest.mark.parametrize("shape", [(1, 1, 20), (1, 12, 15), (35, 9, 8)], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
def test_the_nearest_centres_are_found_in_both_ways(
    shape: tuple[int, int, int], channels: int
) -> None:
    field, labels = some_field(shape, channels), some_labels(shape, 9)
    rng = np.random.default_rng(2)
    centres = np.float32(
        np.hstack([rng.uniform(0, 1000, (9, channels)), rng.uniform(0, shape, (9, 3))])
    )
    ours, plain = field.nearest(centres, labels), nearest_in_torch(field, centres, labels)
    np.testing.assert_array_equal(ours, plain)
    np.testing.assert_array_equal(ours, slow_nearest(field, centres, labels.numpy()))


@pytest.mark.parametrize("channels", [1, 2])
def test_means_are_those_of_the_voxels_inside_in_both_ways(channels: int) -> None:
    shape = (35, 9, 8)
    field, labels = some_field(shape, channels, 0.5), some_labels(shape, 5)
    before = np.full((6, channels + 3), 7, np.float32)
    found = field.means(labels, before)
    for part in range(5):
        own = field.inside.numpy() & (labels.numpy() == part)
        wanted = [*field.levels.numpy()[:, own].mean(axis=1), *np.argwhere(own).mean(axis=0)]
        np.testing.assert_allclose(found[part], wanted, rtol=1e-6)
    np.testing.assert_array_equal(found[5], before[5])  # an empty one stays
    plain = add_up_in_torch(field, labels, 6)
    np.testing.assert_array_equal(plain[:, -1], [*np.bincount(labels[field.inside]), 0])
    np.testing.assert_allclose(plain[:5, :-1] / plain[:5, -1:], found[:5], rtol=1e-6)


def test_of_an_even_image_supervoxels_are_cubes_in_mm() -> None:
    grid = Grid.from_spacing((24, 12, 8), (1, 2, 3))
    image = Image(np.ones((1, *grid.shape)), grid)
    found = method("slic", size=6).segment(image).array
    assert found.max() == 4 * 4 * 4
    assert (np.bincount(found.ravel())[1:] == 6 * 3 * 2).all()


def test_supervoxels_follow_edges_and_are_of_one_piece() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((30, 32, 34), int)
    truth[8:22, 9:23, 5:28] = 1
    image = (truth + 0.1 * rng.normal(size=truth.shape))[None]
    found = labels_of("slic", image, size=6, compactness=0.3)
    assert found.min() == 1
    assert len(np.unique(found)) == found.max()
    assert components(torch.from_numpy(found.astype(np.int32)))[1] == found.max()
    share = np.bincount(found.ravel(), truth.ravel()) / np.maximum(np.bincount(found.ravel()), 1)
    assert ((share[found] > 0.5) == truth).mean() > 0.995


def test_a_second_channel_can_carry_the_edge() -> None:
    edge = np.zeros((24, 24))
    edge[:, 13:] = 1  # between the cells of the lattice
    found = labels_of("slic", [np.zeros((24, 24)), edge], size=8, compactness=0.1)
    for part in np.unique(found):
        assert len(np.unique(edge[found == part])) == 1


def test_supervoxels_keep_to_the_mask() -> None:
    mask = np.zeros((30, 30), np.uint8)
    mask[2:12, 2:12] = mask[20:28, 20:28] = 1  # two islands
    image = Image(np.random.default_rng(0).normal(size=(1, 30, 30)), Grid.from_spacing((30, 30)))
    found = method("slic", size=30, compactness=5).segment(image, mask=Labels(mask, image.grid))
    assert ((found.array > 0) == (mask > 0)).all()
    assert found.array.max() == 2  # one cell, but of two pieces that can't be joined


def test_what_is_cut_off_goes_where_it_shares_most_faces() -> None:
    labels = torch.tensor(
        [
            [1, 1, 1, 2, 2],
            [1, 1, 1, 2, 1],
            [3, 3, 3, 2, 1],
            [3, 1, 3, 2, 2],
        ],
        dtype=torch.int32,
    )
    wanted = [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [3, 3, 3, 2, 2], [3, 3, 3, 2, 2]]
    np.testing.assert_array_equal(in_one_piece(labels), wanted)


def test_pieces_behind_pieces_find_a_place_too() -> None:
    labels = torch.tensor([[1, 1, 1, 2, 1, 2, 3, 3]], dtype=torch.int32)
    # The piece of 1 lies between two of 2, of which the first is kept.
    np.testing.assert_array_equal(in_one_piece(labels), [[1, 1, 1, 2, 2, 3, 3, 3]])


def test_labels_of_one_piece_are_only_numbered() -> None:
    labels = torch.tensor([[0, 5, 5, 9], [0, 0, 5, 9]], dtype=torch.int32)
    np.testing.assert_array_equal(in_one_piece(labels), [[0, 1, 1, 2], [0, 0, 1, 2]])
    nothing = torch.zeros(3, 4, dtype=torch.int32)
    np.testing.assert_array_equal(in_one_piece(nothing), nothing)
