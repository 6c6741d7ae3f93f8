"""The interactive methods: by hand, against slow obvious versions and peers, and in sessions."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from medseg import Grid, Image, Labels, method
from medseg.classical.box import Box
from medseg.classical.clusters import NOWHERE, Clusters, strongest_in_torch
from medseg.classical.cutting import first_side, first_side_in_torch
from medseg.classical.diffusion import Multigrid
from medseg.classical.diffusion_graph import Graph, is_bound, joined_in_torch
from medseg.classical.diffusion_level import Level
from medseg.classical.geodesic import Geodesic
from medseg.classical.graph_cut import GraphCut, borders
from medseg.classical.grow_cut import GrowCut
from medseg.classical.paths import Toll, paths_by_numba, paths_in_torch
from medseg.classical.random_walker import RandomWalker, ties
from medseg.distance import geodesic_distance

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
SHAPES = [(30,), (13, 18), (9, 8, 11)]


def case(
    shape: tuple[int, ...], channels: int = 1, labels: int = 2, spacing: tuple[float, ...] = ()
) -> tuple[Image, Labels]:
    """A noisy image, and a few seeds of background and of so many labels less one."""
    rng = np.random.default_rng(len(shape) + 10 * channels + 100 * labels)
    size = int(np.prod(shape))
    values = ndimage.gaussian_filter(rng.normal(size=shape), 1) + rng.normal(size=shape) / 20
    image = Image(
        np.stack([values * (c + 1) + c for c in range(channels)]),
        Grid.from_spacing(shape, spacing or 1.0),
    )
    seeds = np.zeros(size, np.int32)
    places = rng.choice(size, 3 * labels, replace=False)
    seeds[places] = np.tile([-1, *range(1, labels)], 3)
    return image, Labels(seeds.reshape(shape), image.grid)


def line(values: object, seeds: object, spacing: float = 1.0) -> tuple[Image, Labels]:
    """An image of one axis, as 2D with one row."""
    image = Image.from_array(np.asarray(values, np.float32)[None, None], (1.0, spacing))
    return image, Labels(np.asarray(seeds, np.int32)[None], image.grid)


# Random walker


def test_between_two_seeds_the_probability_is_linear() -> None:
    image, seeds = line(np.zeros(11), [3, *[0] * 9, -1])
    found = RandomWalker(tolerance=1e-5).probabilities(image, seeds)
    np.testing.assert_allclose(found.array[1, 0], np.linspace(1, 0, 11), atol=1e-5)
    assert found.names == ("background", "label 3")


def test_an_edge_takes_the_share_of_its_resistance() -> None:
    values = np.array([0.0, 0, 0, 1, 1, 1])
    image, seeds = line(values, [1, 0, 0, 0, 0, 2], spacing=2.0)
    # Standard deviation 1/2, so the slope is 1 deviation a mm.
    walker = RandomWalker(contrast=0.7, tolerance=1e-5)
    ground, left, right = walker.probabilities(image, seeds).array[:, 0]
    steps = np.array([0, 1, 1, np.exp(0.7), 1, 1]).cumsum()
    np.testing.assert_allclose(right, steps / steps[-1], atol=1e-5)
    np.testing.assert_allclose(left, 1 - right, atol=1e-6)
    assert not ground.any()


def exact_walk(
    image: Image, seeds: Labels, contrast: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """Probabilities by the whole matrix, of labels in the order of their numbers.

    Without seeds outside a mask, all is 0 there.
    """
    shape = image.grid.shape
    number = np.arange(seeds.array.size).reshape(shape)
    matrix = np.zeros((number.size, number.size))
    for axis, step in enumerate(image.grid.spacing):
        slopes = np.diff(image.array.astype(float), axis=axis + 1) / step
        inner = np.ones(shape, bool) if mask is None else mask
        spread = image.array[:, inner].astype(float).std(axis=1)
        spread = spread.reshape(-1, *[1] * len(shape))
        tie = (np.exp(-contrast * ((slopes / spread) ** 2).mean(0)) + 1e-10) / step**2
        one, two = (
            np.take(number, range(begin, shape[axis] - 1 + begin), axis).ravel() for begin in (0, 1)
        )
        tie = tie.ravel() * inner.ravel()[one] * inner.ravel()[two]
        matrix[one, two] -= tie
        matrix[two, one] -= tie
    matrix -= np.diag(matrix.sum(1))
    matrix[np.diag(~inner.ravel())] = 1
    flat = seeds.array.ravel()
    known = flat != 0
    values = np.unique(flat[known])
    result = (flat == values[:, None]).astype(float)
    right = -matrix[np.ix_(~known, known)] @ result[:, known].T
    result[:, ~known] = np.linalg.solve(matrix[np.ix_(~known, ~known)], right).T
    return result.reshape(len(values), *shape)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("shape", "spacing"), [((30, 2), (1, 1)), ((13, 18), (2, 1)), ((8, 9, 10), (1, 2, 3))]
)
def test_the_walk_is_that_of_the_whole_matrix(
    shape: tuple[int, ...], spacing: tuple[float, ...], channels: int, device: str
) -> None:
    image, seeds = case(shape, channels, labels=4, spacing=spacing)
    walker = RandomWalker(contrast=2.0, tolerance=1e-5, device=device)
    wanted = exact_walk(image, seeds, 2.0)
    found = walker.probabilities(image, seeds).array
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)
    assert (walker.segment(image, seeds).array == wanted.argmax(0)).mean() > 0.995


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5])
@pytest.mark.parametrize("contrast", [0.0, 20.0, 300.0])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 2, 3)])
def test_no_probability_is_farther_off_than_the_tolerance(
    spacing: tuple[float, ...], contrast: float, tolerance: float
) -> None:
    image, seeds = case((9, 10, 11), channels=2, labels=3, spacing=spacing)
    inner = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(9, 10, 11)), 2) > -0.1
    inner |= seeds.array != 0
    inner = ndimage.binary_dilation(seeds.array != 0, mask=inner, iterations=-1)
    wanted = exact_walk(image, seeds, contrast, inner)[:, inner]
    walker = RandomWalker(contrast=contrast, tolerance=tolerance)
    found = walker.probabilities(image, seeds, Labels(inner.astype(np.uint8), image.grid))
    assert np.abs(found.array[:, inner] - wanted).max() < tolerance + 1e-6


@pytest.mark.parametrize("sparse", [False, True])
def test_the_walk_is_that_of_scikit_image(sparse: bool) -> None:  # noqa: FBT001
    from skimage.segmentation import random_walker

    rng = np.random.default_rng(0)
    inside = ((np.indices((13, 14, 15)) - 7) ** 2).sum(0) < 16
    values = (inside + rng.normal(scale=0.2, size=inside.shape)).astype(np.float32)
    seeds = np.where(rng.random(inside.shape) < 0.01, np.where(inside, 1, -1), 0)
    if sparse:
        seeds[:] = 0
        seeds[7, 7, 7], seeds[0, 0, 0] = 1, -1
    image = Image.from_array(values)
    known = Labels(seeds, image.grid)
    contrast = 130 * float(values.std()) / 10
    theirs = random_walker(  # by a direct solution
        values, np.where(seeds < 0, 2, seeds), beta=130, mode="bf", return_full_prob=True
    )
    walker = RandomWalker(contrast=contrast, tolerance=1e-5)
    np.testing.assert_allclose(walker.probabilities(image, known).array[1], theirs[0], atol=1e-3)
    agree = (walker.segment(image, known).array == 1) == (theirs[0] > theirs[1])
    assert agree.mean() >= 0.999


def test_where_no_walk_leads_to_a_seed_is_background() -> None:
    image = Image.from_array(np.zeros((3, 5)))
    mask = Labels(np.array([[1, 1, 0, 1, 1]] * 3), image.grid)
    seeds = np.zeros((3, 5), np.int8)
    seeds[0, 0], seeds[2, 1] = 4, -1
    known = Labels(seeds, image.grid)
    walker = RandomWalker()
    assert not walker.segment(image, known, mask).array[:, 2:].any()
    shares = walker.probabilities(image, known, mask).array
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-6)
    assert (shares[0, :, 2:] == 1).all()


def test_a_walk_that_does_not_end_is_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medseg.classical.diffusion._MOST_STEPS", 2)
    image, seeds = case((20, 21, 22))
    with pytest.raises(ValueError, match="larger tolerance or a smaller contrast"):
        RandomWalker().segment(image, seeds)


# The multigrid


def level() -> Level:
    """A grid some of whose voxels are tied to fixed ones, many weakly to each other."""
    image, _ = case((7, 10, 13))
    joined = ties(torch.tensor(image.array), (1, 1, 2), 20.0)
    return Level.of(joined, torch.rand(7, 10, 13) > 0.1)


def graph(workers: Executor) -> Graph:
    finest = level()
    return finest.joined(finest.clusters(workers), workers)


@pytest.fixture
def workers() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kernel in three stretches, however small the volume."""
    monkeypatch.setattr("medseg.classical.clusters._WORTH_A_THREAD", 1)
    monkeypatch.setattr("medseg.classical.clusters.computing_threads", lambda: 3)


@pytest.mark.usefixtures("threads")
def test_inflow_is_the_same_in_numba_and_in_torch(workers: Executor) -> None:
    finest, values = level(), torch.randn((2, 7, 10, 13), dtype=torch.float64)
    out = torch.empty_like(values)
    products = finest.inflow(values, out, workers)
    wanted = finest.inflow_in_torch(values)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(products, (values * wanted).flatten(1).sum(1))


@pytest.mark.usefixtures("threads")
def test_a_sweep_is_the_same_in_numba_and_in_torch(workers: Executor) -> None:
    finest, (sources, values) = level(), torch.randn((2, 2, 7, 10, 13), dtype=torch.float64)
    values *= finest.free
    out = torch.empty_like(values)
    products, largest = finest.swept(sources, values, out, workers)
    wanted = finest.swept_in_torch(sources, values)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(products, (sources * out).flatten(1).sum(1))
    torch.testing.assert_close(largest, out.abs().amax((1, 2, 3)))


@pytest.mark.usefixtures("threads")
def test_what_a_sweep_from_nothing_leaves(workers: Executor) -> None:
    finest, sources = level(), torch.randn((2, 7, 10, 13), dtype=torch.float64)
    begun, out = sources * finest.relaxation, torch.empty_like(sources)
    finest.rest(sources, begun, out, workers)
    wanted = sources + finest.inflow_in_torch(begun)
    torch.testing.assert_close(out[:, finest.free], wanted[:, finest.free])


@pytest.mark.usefixtures("threads")
def test_steps_go_their_own_length_in_each_map(workers: Executor) -> None:
    finest = level()
    values, left, direction, flown, guess = torch.randn((5, 2, 7, 10, 13), dtype=torch.float64)
    lengths = torch.tensor([0.5, -2.0], dtype=torch.float64)
    far = lengths.view(2, 1, 1, 1)
    wanted = (values + far * direction).float(), left + far * flown, guess + far * direction
    values, begun = values.float(), torch.empty_like(left)
    finest.advance(lengths, (direction, flown), (values, left, begun), workers)
    finest.turn(direction, lengths, guess, workers)
    torch.testing.assert_close((values, left, direction), wanted)
    torch.testing.assert_close(begun, left * finest.relaxation)


def test_who_hangs_together_becomes_one_node(workers: Executor) -> None:
    # A pair, a chain that leads to its strongest tie, one that is held fast, one next to it.
    joined, free = torch.zeros(3, 1, 2, 7), torch.tensor([[[True], [False]]]).expand(1, 2, 7)
    joined[2, 0, 0] = torch.tensor([1.0, 1e-6, 0.1, 0.5, 1e-6, 1e-3, 0.0])
    joined[1, 0, 0, 5:] = torch.tensor([9.0, 1e-5])
    finest = Level.of(joined, free)
    found = finest.clusters(workers)
    assert found.of.tolist() == [0, 0, 1, 1, 1, *[NOWHERE] * 9]
    assert (found.begins.tolist(), found.members.tolist()) == ([0, 2, 5], [0, 1, 2, 3, 4])
    nodes = finest.joined(found, workers)
    torch.testing.assert_close(nodes.ties, torch.tensor([1e-6, 1e-6]))
    torch.testing.assert_close(nodes.sinks, torch.tensor([0, 1e-6]))


def test_on_a_plateau_clusters_stay_small(workers: Executor) -> None:
    joined = ties(torch.zeros(1, 20, 20, 20), (1, 1, 1), 1.0)
    found = Level.of(joined, torch.ones(20, 20, 20, dtype=torch.bool)).clusters(workers)
    assert 3 < 8000 / len(found) < 5
    assert int(found.begins.diff().max()) < 40


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("depth", [0, 1])
def test_clusters_are_the_same_in_numba_and_in_torch(depth: int, workers: Executor) -> None:
    of: Any = graph(workers) if depth else level()
    found = of.clusters(workers)
    sinks = of.sinks if depth else of.sinks().flatten()
    bound = is_bound(sinks, of.relaxation.flatten())
    to = strongest_in_torch(of.edges(), sinks, bound)
    wanted = Clusters.along_in_torch(to)
    for one, two in zip(vars(found).values(), vars(wanted).values(), strict=True):
        torch.testing.assert_close(one, two)
    nodes, wanted_nodes = of.joined(found, workers), joined_in_torch(of.edges(), sinks, wanted)
    torch.testing.assert_close(nodes.matrix(), wanted_nodes.matrix())
    torch.testing.assert_close(nodes.relaxation, wanted_nodes.relaxation, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("threads")
def test_a_graph_is_swept_as_its_matrix_says(workers: Executor) -> None:
    nodes = graph(workers)
    sources, values = torch.randn((2, 2, len(nodes.sinks)), dtype=torch.float64)
    rest = sources - values @ nodes.matrix()
    torch.testing.assert_close(nodes.rest(sources, values, workers), rest)
    torch.testing.assert_close(sources + nodes.inflow_in_torch(values), rest)
    # A node that hangs on weak ties goes far, which its rest is scaled back from.
    gone = nodes.swept(sources, values, workers) - values
    torch.testing.assert_close(gone * nodes.matrix().diagonal() / 0.9, rest)


def test_the_whole_solution_is_the_same_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    finest, fixed = level(), torch.tensor([1.0, 0.3]).view(2, 1, 1, 1)
    found = []
    for torch_alone in (False, True):
        for file in ("clusters", "diffusion_graph", "diffusion_level"):
            monkeypatch.setattr(f"medseg.classical.{file}.in_torch", lambda _, it=torch_alone: it)
        grid = Multigrid(finest.ties, finest.free)
        assert len(grid.graphs) > 1 or len(grid.graphs[0].sinks) <= 200
        found.append(fixed * ~finest.free)
        grid.solve(found[-1], 1e-5)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0][1], torch.full((7, 10, 13), 0.3), rtol=0, atol=1e-5)


# Geodesic and GrowCut


def automaton(image: Image, seeds: Labels, fading: float) -> np.ndarray:
    """GrowCut generation by generation, until nobody is conquered any more."""
    shape, steps = image.grid.shape, np.array(image.grid.spacing)
    values = image.array.astype(float)
    ranges = np.ptp(values.reshape(len(values), -1), axis=1)
    values /= ranges.reshape(-1, *[1] * len(shape)) * np.sqrt(len(values))
    labels, strength = seeds.array.copy(), (seeds.array != 0).astype(float)
    offsets = [o for o in product((-1, 0, 1), repeat=len(shape)) if any(o)]
    while True:
        before = strength.copy()
        for place in np.ndindex(shape):
            for offset in offsets:
                other = tuple(np.add(place, offset))
                if min(other) < 0 or not all(np.less(other, shape)):
                    continue
                left = 1 - np.linalg.norm(values[(..., *place)] - values[(..., *other)])
                left *= np.exp(-fading * np.linalg.norm(steps * offset))
                if before[other] * left > strength[place]:
                    strength[place], labels[place] = before[other] * left, labels[other]
        if (strength == before).all():
            return np.maximum(labels, 0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("shape", "spacing", "channels"), [((13, 18), (1, 2), 2), ((5, 6, 7), (1, 2, 3), 1)]
)
def test_grow_cut_is_the_automaton_at_rest(
    shape: tuple[int, ...], spacing: tuple[float, ...], channels: int, device: str
) -> None:
    image, seeds = case(shape, channels, labels=3, spacing=spacing)
    grown = GrowCut(fading=0.05, device=device).segment(image, seeds)
    np.testing.assert_array_equal(grown.array, automaton(image, seeds, 0.05))


def test_strength_does_not_go_over_the_whole_range() -> None:
    image, seeds = line([0, 0, 1, 1], [4, 0, 0, 0])
    np.testing.assert_array_equal(GrowCut().segment(image, seeds).array, [[4, 4, 0, 0]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 2, 3)])
def test_geodesic_gives_the_label_of_the_least_distance(
    spacing: tuple[float, ...], device: str
) -> None:
    image, seeds = case((9, 8, 11), channels=2, labels=4, spacing=spacing)
    spread = image.array.astype(float).std(axis=(1, 2, 3), keepdims=True)
    values = torch.tensor(7 * image.array / spread / np.sqrt(2))
    known = torch.tensor(seeds.array)
    order = [1, 2, 3, -1]
    distances = torch.stack([geodesic_distance(values, known == k, spacing) for k in order])
    wanted = np.maximum(np.array(order)[distances.argmin(0)], 0)
    nearest = Geodesic(contrast=7, device=device)
    np.testing.assert_array_equal(nearest.segment(image, seeds).array, wanted)
    shares = nearest.probabilities(image, seeds).array
    np.testing.assert_array_equal(np.array([0, 1, 2, 3])[shares.argmax(0)], wanted)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-6)


def test_of_two_labels_each_has_the_share_of_the_way_to_the_other() -> None:
    image, seeds = line(np.zeros(5), [2, 0, 0, 0, -1], spacing=3.0)
    shares = Geodesic().probabilities(image, seeds)
    np.testing.assert_allclose(shares.array[1, 0], [1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    assert shares.names == ("background", "label 2")


def test_without_contrast_geodesic_gives_the_nearest_seed_in_mm() -> None:
    image, seeds = line([0, 9, 9, 0, 9, 0], [1, 0, 0, 0, 0, 2], spacing=0.5)
    found = Geodesic(contrast=0).segment(image, seeds)
    np.testing.assert_array_equal(found.array, [[1, 1, 1, 2, 2, 2]])


@pytest.mark.parametrize("toll", [Toll("length"), Toll("strength", 0.01)], ids=lambda t: t.kind)
@pytest.mark.parametrize("levels", [1, 3, 1000])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_paths_are_the_same_in_numba_and_in_torch(
    shape: tuple[int, ...], levels: int, toll: Toll
) -> None:
    solid = (1,) * (3 - len(shape)) + shape
    rng = np.random.default_rng(levels)
    image = torch.from_numpy(rng.integers(0, levels, (2, *solid)).astype(np.float32)) / 1500
    seeds = torch.from_numpy(rng.choice([0, 1, 2, 3], solid, p=[0.85, 0.05, 0.05, 0.05]))
    passable = (seeds == 0) & torch.from_numpy(rng.random(solid) < 0.8)
    results = []
    for way in (paths_by_numba, paths_in_torch):
        costs = torch.where(seeds > 0, toll.at_seeds, np.inf).double()
        labels = seeds.int()
        way(image, (1.0, 2.0, 3.0), passable, toll, (costs, labels, seeds > 0))
        results.append((costs, labels))
    torch.testing.assert_close(*results, rtol=1e-12, atol=0)


def test_paths_of_a_correction_look_only_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from medseg.classical import _path_kernels as kernels

    image = Image.from_array(np.zeros((40, 40, 4)))
    first = np.zeros((40, 40, 4), np.int8)
    first[20, 5], first[20, 34] = 1, -1
    second = first.copy()
    second[20, 21, 2] = 1
    passed: list[int] = []
    carried = kernels.carried

    def counted(*arguments: Any) -> int:
        passed.append(carried(*arguments))
        return passed[-1]

    monkeypatch.setattr(kernels, "carried", counted)
    session = Geodesic().begin(image)
    for seeds in (first, second, second):
        session.segment(Labels(seeds, image.grid))
    assert passed[0] >= 40 * 40 * 4
    assert 0 < passed[1] < 0.5 * passed[0]
    assert len(passed) == 2


# Graph cut


def grid_of(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random whole costs of borders and preferences."""
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 20, (3, *shape))
    for axis in range(3):
        np.moveaxis(costs[axis], axis, 0)[-1] = 0
    preferences = rng.integers(-25, 26, shape) * (rng.random(shape) < 0.6)
    return torch.from_numpy(costs).float(), torch.from_numpy(preferences).float()


def cost_of(costs: torch.Tensor, preferences: torch.Tensor, side: torch.Tensor) -> float:
    """Energy of a cut, voxel by voxel."""
    total = float(preferences[~side].clamp(min=0).sum() - preferences[side].clamp(max=0).sum())
    for axis in range(3):
        parted = side.int().diff(dim=axis) != 0
        total += float(costs[axis].narrow(axis, 0, parted.shape[axis])[parted].sum())
    return total


def largest_flow(costs: torch.Tensor, preferences: torch.Tensor) -> int:
    """What SciPy lets flow from a source that is preferred to a sink that is not."""
    number = np.arange(preferences.numel()).reshape(preferences.shape)
    source, sink = number.size, number.size + 1
    graph = np.zeros((number.size + 2,) * 2, np.int32)
    for axis, cost in enumerate(costs.numpy()):
        size = number.shape[axis] - 1
        one, two = (number.take(range(b, size + b), axis).ravel() for b in (0, 1))
        graph[one, two] = graph[two, one] = cost.take(range(size), axis).ravel()
    flat = preferences.numpy().ravel()
    graph[source, : number.size] = flat.clip(min=0)
    graph[: number.size, sink] = -flat.clip(max=0)
    return int(maximum_flow(csr_array(graph), source, sink).flow_value)


@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 5, 6), (4, 5, 6), (7, 8, 9)], ids=str)
def test_no_cut_is_cheaper(shape: tuple[int, int, int]) -> None:
    for seed in range(10):
        costs, preferences = grid_of(shape, seed)
        side = first_side(costs, preferences)
        assert cost_of(costs, preferences, side) == largest_flow(costs, preferences)


def test_of_equal_cuts_the_first_side_is_the_smallest() -> None:
    for seed in range(20):
        costs, preferences = grid_of((1, 3, 4), seed)
        found = first_side(costs, preferences)
        sides = torch.tensor(list(product((False, True), repeat=12))).view(-1, 1, 3, 4)
        energies = np.array([cost_of(costs, preferences, side) for side in sides])
        best = sides[torch.from_numpy(energies == energies.min())]
        torch.testing.assert_close(found, best.all(dim=0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1, 9), (1, 5, 6), (7, 8, 9)], ids=str)
def test_the_cut_in_torch_costs_as_little(shape: tuple[int, int, int], device: str) -> None:
    for seed in range(5):
        costs, preferences = grid_of(shape, seed)
        side = first_side_in_torch(costs.to(device), preferences.to(device)).cpu()
        least = cost_of(costs, preferences, first_side(costs, preferences))
        assert least <= cost_of(costs, preferences, side) <= 1.0001 * least


def test_a_border_costs_its_area_over_the_volume_of_a_voxel() -> None:
    image = torch.zeros((1, 2, 2, 2))
    image[:, 1] = 4.0  # standard deviation 2
    costs = borders(image, (2.0, 1.0, 4.0), 0.5)
    assert float(costs[0, 0, 0, 0]) == pytest.approx(np.exp(-0.5 * 4) / 2)
    assert float(costs[1, 0, 0, 0]) == 1
    assert float(costs[2, 0, 0, 0]) == 0.25
    assert not costs[0, 1].any()


def test_without_regions_the_border_lies_on_the_edge() -> None:
    values = np.zeros((9, 9))
    values[2:6, 3:8] = 1
    image = Image.from_array(values)
    seeds = np.zeros((9, 9), np.int8)
    seeds[4, 5], seeds[0, 0] = 3, -1
    found = GraphCut(regional=0).segment(image, Labels(seeds, image.grid))
    np.testing.assert_array_equal(found.array, 3 * values)


def test_without_borders_each_voxel_goes_by_its_intensity() -> None:
    image, seeds = line([0, 0, 9, 0, 9, 9, 0], [1, 0, 2, 0, 0, 0, 0])
    found = GraphCut(boundary=0).segment(image, seeds)
    np.testing.assert_array_equal(found.array, [[1, 1, 2, 1, 2, 2, 1]])


def test_a_dear_border_smooths_what_intensities_say() -> None:
    values = np.zeros((11, 11))
    values[:, 5:] = 1
    values[3, 8] = values[7, 9] = 0
    image = Image.from_array(values)
    seeds = np.zeros((11, 11), np.int8)
    seeds[5, 1], seeds[5, 7] = -1, 1
    known = Labels(seeds, image.grid)
    rough, smooth = (
        GraphCut(boundary=boundary, contrast=0).segment(image, known).array
        for boundary in (0.1, 10)
    )
    np.testing.assert_array_equal(rough, values)
    assert (smooth[:, 5:] == 1).all()


def test_seeds_are_never_overruled() -> None:
    image, _ = case((8, 9, 10))
    seeds = np.random.default_rng(1).choice([0, 1, -1], (8, 9, 10), p=[0.6, 0.2, 0.2])
    found = GraphCut(boundary=1000).segment(image, Labels(seeds, image.grid))
    np.testing.assert_array_equal(found.array[seeds != 0], np.maximum(seeds, 0)[seeds != 0])


def test_graph_cut_refuses_three_labels_and_says_who_takes_them() -> None:
    image, seeds = case((9, 9), labels=3)
    with pytest.raises(ValueError, match=r"parts two labels, got seeds of 1, 2, -1.*random-walker"):
        GraphCut().segment(image, seeds)


# Sessions


SESSIONS = {
    "random-walker": {"contrast": 5.0, "tolerance": 1e-4},
    "geodesic": {},
    "grow-cut": {},
    "graph-cut": {"boundary": 0.1},
}
EVERY = pytest.mark.parametrize("name", SESSIONS)


def session_of(name: str, device: str = "cpu") -> tuple[Any, Labels, Labels, Any]:
    """A method, seeds of one label and background, a mask, and a session that knows neither."""
    image, seeds = case((20, 24, 16), spacing=(1, 2, 3))
    mask = Labels(np.pad(np.ones((18, 22, 14), np.uint8), 1), image.grid)
    segmenter: Any = method(name, device=device, **SESSIONS[name])
    inner = Labels(seeds.array * mask.array, seeds.grid)
    return segmenter, inner, mask, segmenter.begin(image, mask)


def with_seed(seeds: Labels, place: tuple[int, ...], label: int) -> Labels:
    array = seeds.array.copy()
    array[place] = label
    return Labels(array, seeds.grid, seeds.names)


def a_place(found: Labels, seeds: Labels, mask: Labels, label: int) -> tuple[int, ...]:
    """The middle one of the voxels of a label that are not marked."""
    places = np.argwhere((found.array == label) & (seeds.array == 0) & (mask.array > 0))
    return tuple(places[len(places) // 2])


@EVERY
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("label", [-1, 1])
def test_a_correction_takes_for_its_label_and_gives_nothing_away(
    name: str, device: str, label: int
) -> None:
    _, seeds, mask, session = session_of(name, device)
    first = session.segment(seeds)
    place = a_place(first, seeds, mask, max(-label, 0))
    second = session.segment(with_seed(seeds, place, label))
    value = max(label, 0)
    changed = second.array != first.array
    assert changed[place]
    assert (second.array[changed] == value).all()
    marked = seeds.array != 0
    np.testing.assert_array_equal(second.array[marked], seeds.array[marked].clip(0))
    assert ndimage.label(changed, np.ones((3, 3, 3)))[1] == 1


@EVERY
def test_what_is_over_three_times_as_deep_as_a_correction_stays(name: str) -> None:
    _, seeds, mask, session = session_of(name)
    first = session.segment(seeds)
    inside = mask.array > 0
    had = (first.array == 0) & inside
    depth = ndimage.distance_transform_edt(~had, sampling=(1, 2, 3)) * (first.array == 1)
    places = np.argwhere((depth > 0) & (depth <= depth.max() / 4) & (seeds.array == 0))
    for place in map(tuple, places[:: len(places) // 4]):
        second = session.segment(with_seed(seeds, place, -1))
        sure = depth > 3 * depth[place]
        assert sure.any()
        assert (second.array[sure] == 1).all()


@pytest.mark.parametrize("name", ["random-walker", "geodesic", "grow-cut"])
def test_seeds_of_a_new_label_count_as_if_all_were_given_at_once(name: str) -> None:
    segmenter, seeds, mask, session = session_of(name)
    only = Labels(seeds.array.clip(0), seeds.grid)
    np.testing.assert_array_equal(session.segment(only).array, mask.array)
    wanted = segmenter.segment(session._image, seeds, mask)
    assert (session.segment(seeds).array == wanted.array).mean() > 0.998


@EVERY
def test_seeds_that_are_taken_back_lead_back(name: str) -> None:
    segmenter, seeds, mask, session = session_of(name)
    first = session.segment(seeds)
    one = with_seed(seeds, a_place(first, seeds, mask, 0), 1)
    second = session.segment(one)
    two = with_seed(one, a_place(second, one, mask, 1), -1)
    session.segment(two)
    np.testing.assert_array_equal(session.segment(one).array, second.array)
    np.testing.assert_array_equal(session.segment(seeds).array, first.array)
    fewer = seeds.array.copy()
    fewer[tuple(np.argwhere(fewer == 1)[0])] = 0
    anew = Labels(fewer, seeds.grid)
    wanted = segmenter.segment(session._image, anew, mask)
    share = (session.segment(anew).array == wanted.array).mean()
    assert share > 0.998 if name == "random-walker" else share == 1  # it starts from the last walk


@EVERY
def test_seeds_that_say_what_was_found_change_nothing(name: str) -> None:
    _, seeds, mask, session = session_of(name)
    first = session.segment(seeds)
    place = a_place(first, seeds, mask, 1)
    np.testing.assert_array_equal(session.segment(with_seed(seeds, place, 1)).array, first.array)


def test_a_correction_of_a_line_by_hand() -> None:
    image, seeds = line(np.zeros(61), [1, *[0] * 59, -1])
    session = Geodesic().begin(image)
    assert session.segment(seeds).array.sum() == 31
    # Background began at 31, so 27 is 4 mm deep; what is over 12 mm deep ends at 18.
    found = session.segment(with_seed(seeds, (0, 27), -1)).array[0]
    np.testing.assert_array_equal(found, [1] * 23 + [0] * 38)


def test_a_correction_far_from_the_border_by_hand() -> None:
    image, seeds = line(np.zeros(401), [1, *[0] * 399, -1])
    session = Geodesic().begin(image)
    assert session.segment(seeds).array.sum() == 201
    # 51 mm deep; what is over 153 mm deep ends at 47, and half-way to 150 is 98.5.
    found = session.segment(with_seed(seeds, (0, 150), -1)).array[0]
    np.testing.assert_array_equal(found, [1] * 99 + [0] * 302)


def test_seeds_of_two_labels_correct_at_once_and_labels_may_be_large() -> None:
    image, seeds = line(np.zeros(61), [300, *[0] * 59, 7])
    session = Geodesic().begin(image)
    assert (session.segment(seeds).array == 7).sum() == 31
    both = with_seed(with_seed(seeds, (0, 10), 7), (0, 50), 300)
    found = session.segment(both).array[0]
    assert (found[10], found[50], found[0], found[60]) == (7, 300, 300, 7)


@EVERY
def test_a_part_of_a_solver_finds_what_the_whole_does(name: str) -> None:
    image, seeds = case((9, 10, 11), spacing=(1, 2, 3))
    settings = {"regional": 0.0} if name == "graph-cut" else SESSIONS[name]
    segmenter: Any = method(name, device="cpu", **settings)
    mask = torch.ones((9, 10, 11), dtype=torch.bool)
    mask[4, 5, 6] = False
    solver = segmenter.prepare(torch.tensor(image.array), (1.0, 2.0, 3.0), mask)
    known = torch.tensor(seeds.array).int() * mask
    outside = torch.ones_like(mask)
    outside[3:7, 2:8, 3:9] = False
    known = torch.where(outside & (known == 0), -1, known)
    box = Box((2, 1, 2), (6, 8, 8), (9, 10, 11))
    whole = solver.labels(known)
    part = solver.part(box, box.cut(mask)).labels(box.cut(known))
    assert (part != 0).any()
    torch.testing.assert_close(part, box.cut(whole))


@EVERY
def test_a_session_says_what_is_wrong_with_seeds(name: str) -> None:
    image, seeds = case((12, 13))
    segmenter: Any = method(name)
    session = segmenter.begin(image)
    with pytest.raises(ValueError, match="seed volume lies on another grid"):
        session.segment(Labels(seeds.array, Grid.from_spacing((12, 13), 2.0)))
    with pytest.raises(ValueError, match="nothing but 0"):
        session.segment(Labels(np.zeros((12, 13), np.int8), image.grid))


@EVERY
def test_no_solver_sees_more_than_the_box_around_the_mask(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _ = case((12, 14, 16))
    array, mask = np.zeros((2, 12, 14, 16), np.int8)
    mask[2:9, 1:13, 5] = 1
    array[3, 4, 5], array[8, 11, 5] = 2, -1
    seeds, inside = (Labels(each, image.grid) for each in (array, mask))
    segmenter: Any = method(name)
    seen = []
    prepare = type(segmenter).prepare

    def watched(self: Any, values: torch.Tensor, *others: Any) -> Any:
        seen.append(tuple(values.shape))
        return prepare(self, values, *others)

    monkeypatch.setattr(type(segmenter), "prepare", watched)
    found = segmenter.segment(image, seeds, inside)
    np.testing.assert_array_equal(found.array, segmenter.begin(image, inside).segment(seeds).array)
    assert seen == [(1, 7, 12, 1)] * 2
    assert found.array[3, 4, 5] == 2
