"""Times of medseg's classical functions beside those of other libraries, on one volume.

A row is a function that takes the volume and says what is compared; it is measured once its
name stands in `ROWS`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import cc3d
import numpy as np
import SimpleITK as sitk  # noqa: N813
import torch
import typer
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from scipy.sparse import csgraph, csr_array
from skimage import filters, measure, segmentation
from skimage.segmentation import morphsnakes

import medseg
from medseg import device as devices
from medseg.classical import growing
from medseg.classical.confidence_connected import ConfidenceConnected
from medseg.classical.cutting import Cut
from medseg.classical.deforming import Start, last_of
from medseg.classical.edges import edge_map
from medseg.classical.fast_marching import speed_of
from medseg.classical.flooding import flooded
from medseg.classical.graph_cut import borders
from medseg.classical.histogram import Histogram
from medseg.classical.marching import arrival_times
from medseg.classical.morphological_chan_vese import MorphologicalChanVese
from medseg.classical.morphological_gac import MorphologicalGAC
from medseg.classical.otsu import thresholds
from medseg.classical.random_walker import RandomWalker
from medseg.components import components, largest
from medseg.distance import distance_to
from medseg.phantom import draw_case
from medseg.registry import pick
from medseg.relief import gradient_magnitude

OURS = "medseg"
SHAPE, QUICK = (181, 217, 181), (24, 28, 24)
STEPS = 20  # of contours that move by whole voxels


@dataclass(frozen=True)
class Volume:
    """What all rows work on.

    Parameters
    ----------
    values : (i, j, k) float32 array
        One channel, in C order.
    spacing : tuple of float, mm
    bright : (i, j, k) bool array
        Voxels above Otsu's threshold.
    device : torch.device
        Where medseg works; the others stay on the CPU.
    """

    values: NDArray[np.float32]
    spacing: tuple[float, ...]
    bright: NDArray[np.bool_]
    device: torch.device

    @classmethod
    def of(cls, image: medseg.Image, device: str) -> "Volume":
        """First channel of an image."""
        image = image.channel(0)
        bright = medseg.method("otsu", device="cpu").segment(image).array > 0
        values = np.ascontiguousarray(image.array[0])
        spacing = image.grid.spacing
        return cls(values, spacing, np.ascontiguousarray(bright), devices.resolve(device))

    def tensor(self, array: NDArray) -> torch.Tensor:
        """Copy of an array on the device."""
        return torch.tensor(array, device=self.device)

    def to_sitk(self, array: NDArray) -> sitk.Image:
        """Array with the spacing of this volume."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing[::-1])
        return image


@dataclass(frozen=True)
class Row:
    """What is compared.

    Parameters
    ----------
    sides : mapping of str to function
        Name -> what is timed; one of them is `OURS`.
    agreement : function of (our result, another's)
        What to print of how far they agree.
    """

    sides: Mapping[str, Callable[[], Any]]
    agreement: Callable[[Any, Any], str]


def connected(volume: Volume, *, connectivity: int) -> Row:
    """Components of the bright voxels."""
    mask = volume.tensor(volume.bright)
    image = volume.to_sitk(volume.bright.astype(np.uint8))
    structure = ndimage.generate_binary_structure(3, connectivity)
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: components(mask, connectivity)[1],
        "cc3d": lambda: cc3d.connected_components(
            volume.bright, connectivity=(6, 18, 26)[connectivity - 1], return_N=True
        )[1],
        "scipy": lambda: ndimage.label(volume.bright, structure)[1],
        "scikit-image": lambda: measure.label(
            volume.bright, return_num=True, connectivity=connectivity
        )[1],
    }
    if connectivity != 2:  # SimpleITK joins over faces or over all
        sides["SimpleITK"] = lambda: int(
            sitk.GetArrayFromImage(sitk.ConnectedComponent(image, connectivity == 3)).max()
        )
    return Row(sides, lambda ours, theirs: f"{ours} and {theirs} components")


def euclidean(volume: Volume) -> Row:
    """Distance to the outside of the largest bright component."""
    inside = largest(torch.from_numpy(volume.bright)).numpy()
    targets, image = volume.tensor(~inside), volume.to_sitk(inside.astype(np.uint8))

    def maurer() -> NDArray[np.float32]:
        distances = sitk.SignedMaurerDistanceMap(
            image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
        )
        return sitk.GetArrayFromImage(distances)

    def apart(ours: torch.Tensor, theirs: NDArray) -> str:
        # SimpleITK measures to the border inside of the structure, which is another distance.
        if theirs.min() < 0:
            return "another definition"
        return f"{float(np.abs(ours.cpu().numpy() - theirs).max()):.1e} mm apart"

    sides = {
        OURS: lambda: distance_to(targets, volume.spacing),
        "scipy": lambda: ndimage.distance_transform_edt(inside, volume.spacing),
        "SimpleITK": maurer,
    }
    return Row(sides, apart)


def morphological_chan_vese(volume: Volume) -> Row:
    """Steps of a contour without edges from a ball, on the whole volume."""
    # scikit-image adds up in the type of its image: of whole numbers, in no wrong order.
    values = np.round(volume.values * (1000 / (np.abs(volume.values).max() or 1)))
    start = ball_in(values.shape)
    image, seeds = volume.tensor(values[None]), volume.tensor(start.astype(np.int32))
    model = MorphologicalChanVese(iterations=STEPS, tolerance=0)
    peer = values.astype(np.float64)

    def theirs() -> NDArray[np.int8]:
        reset_cycle()
        return segmentation.morphological_chan_vese(peer, STEPS, start)

    sides = {OURS: lambda: model.run(image, (1, 1, 1), seeds, None), "scikit-image": theirs}
    return Row(sides, differing)


def morphological_gac(volume: Volume) -> Row:
    """Steps of a geodesic contour that grows from a ball, on 128³ voxels with the same map."""
    values = cropped(volume.values, 128)
    start = ball_in(values.shape)
    speed = edge_map(volume.tensor(values[None]), 1.0, 1.0, (1, 1, 1))
    model = MorphologicalGAC(iterations=STEPS, tolerance=0)
    inside = volume.tensor(start)
    begin = Start({1: inside}, torch.ones_like(inside))
    peer = speed.cpu().numpy()

    def theirs() -> NDArray[np.int8]:
        reset_cycle()
        return segmentation.morphological_geodesic_active_contour(
            *(peer, STEPS, start, 1, model.threshold), balloon=1
        )

    sides = {OURS: lambda: last_of(model.on(speed, begin, (1, 1, 1))), "scikit-image": theirs}
    return Row(sides, differing)


def cropped(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The middle of a volume, no axis longer than `size`."""
    box = tuple(slice((n - min(n, size)) // 2, (n + min(n, size)) // 2) for n in values.shape)
    return np.ascontiguousarray(values[box])


def ball_in(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Ball in the middle, a quarter of the shortest axis wide."""
    middle = np.reshape(shape, (-1, 1, 1, 1)) // 2
    away = ((np.indices(shape) - middle) ** 2).sum(axis=0)
    return np.asarray(away <= (min(shape) / 8) ** 2)


def reset_cycle() -> None:
    """scikit-image smooths in two ways in turn, and whose turn it is outlasts a call."""
    first, second = morphsnakes.sup_inf, morphsnakes.inf_sup
    morphsnakes._curvop.funcs = cycle([lambda u: first(second(u)), lambda u: second(first(u))])


def differing(ours: torch.Tensor, theirs: NDArray) -> str:
    """How far two regions agree."""
    return f"{int((ours.cpu().numpy() != theirs).sum())} of {theirs.size} voxels differ"


def scribbled(volume: Volume, size: int) -> tuple[medseg.Image, medseg.Labels]:
    """Middle of the volume, a cube, and a seed in each hundredth voxel: 1 if bright, else -1."""
    begins = [max(0, n - size) // 2 for n in volume.values.shape]
    middle = tuple(slice(begin, begin + size) for begin in begins)
    image = medseg.Image.from_array(volume.values[middle], volume.spacing)
    bright = volume.bright[middle]
    marked = np.random.default_rng(0).random(bright.shape) < 0.01
    seeds = np.where(marked, np.where(bright, 1, -1), 0)
    return image, medseg.Labels(seeds, image.grid)


def walk(volume: Volume) -> Row:
    """The random walker from seeds in a hundredth of 96³ voxels, as if they were isotropic."""
    image, seeds = scribbled(replace(volume, spacing=(1.0, 1.0, 1.0)), 96)
    walker = RandomWalker(contrast=20.0, device=str(volume.device))
    values = image.array[0]
    beta = 10 * walker.contrast / float(values.std())  # the same steps
    numbers = np.where(seeds.array < 0, 2, seeds.array)
    sides = {
        OURS: lambda: walker.segment(image, seeds).array == 1,
        "scikit-image": lambda: (
            segmentation.random_walker(
                values,
                numbers,
                beta,
                "cg_j",
                prob_tol=1,  # or it warns that it is off by more
            )
            == 1
        ),
    }
    return Row(sides, same)


def same(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> str:
    """How many voxels are labelled alike."""
    return f"{100 * float((ours == theirs).mean()):.3f} % of labels"


def connected_interval(volume: Volume) -> Row:
    """Voxels above Otsu's threshold that hang together with one of them."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    lower = float(volume.values[volume.bright].min())
    seeds, place = one_seed(volume)
    rule = growing.Rule.within(lower, float("inf"))
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: growing.spread(values, seeds, rule)[0].cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.ConnectedThreshold(image, [place], lower, 3e38)
        ),
    }
    return Row(sides, same_labels)


def confident(volume: Volume) -> Row:
    """Region of one seed that learns its interval four times."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    seeds, place = one_seed(volume)
    method = ConfidenceConnected(radius=1.0)
    spacing = (1.0,) * 3  # SimpleITK's radius is one voxel
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: method.run(values, spacing, seeds, None).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.ConfidenceConnected(image, [place], 4, 2.5, 1, 1)
        ),
    }
    return Row(sides, same_labels)


def marching(volume: Volume) -> Row:
    """Arrival of a front at each voxel of the volume, from one of them, slow at edges."""
    values = volume.tensor(volume.values)[None]
    speed = speed_of(values, 1.0, 1.0, volume.spacing, None)
    image = volume.to_sitk(speed.cpu().numpy())
    seeds, place = one_seed(volume)
    fronts = sitk.FastMarchingImageFilter()
    fronts.SetTrialPoints([place])
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: arrival_times(speed, seeds != 0, volume.spacing).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(fronts.Execute(image)),
    }
    return Row(sides, lambda ours, theirs: f"{np.abs(theirs - ours).max() / ours.max():.1e} apart")


def flooding(volume: Volume, *, markers: int) -> Row:
    """Watershed on the gradient: from inside and outside, or from so many random voxels."""
    relief = gradient_magnitude(volume.tensor(volume.values)[None], 1.0, volume.spacing)
    heights = relief.cpu().numpy()
    marks = np.zeros(heights.shape, np.int32)
    if markers > 2:
        places = np.random.default_rng(0).choice(marks.size, min(markers, marks.size), False)
        marks.flat[places] = np.arange(1, len(places) + 1)
    else:
        inside = largest(torch.from_numpy(volume.bright)).numpy()
        marks[ndimage.binary_erosion(inside, iterations=3)] = 1
        marks[~ndimage.binary_dilation(inside, iterations=3)] = 2
    known = volume.tensor(marks)
    images = volume.to_sitk(heights), volume.to_sitk(marks.astype(np.uint16))
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: flooded(relief, known).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.MorphologicalWatershedFromMarkers(*images, markWatershedLine=False)
        ),
        "scikit-image": lambda: segmentation.watershed(heights, marks),
    }
    return Row(sides, same_labels)


def one_seed(volume: Volume) -> tuple[torch.Tensor, list[int]]:
    """Voxel in the middle of the bright ones, as a tensor and as SimpleITK takes it."""
    places = np.argwhere(largest(torch.from_numpy(volume.bright)).numpy())
    middle = places[np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()]
    seeds = np.zeros(volume.values.shape, np.int32)
    seeds[tuple(middle)] = 1
    return volume.tensor(seeds), middle[::-1].tolist()


def same_labels(ours: NDArray, theirs: NDArray) -> str:
    """Share of equal labels."""
    return f"{(ours == theirs).mean():.4%} equal"


def five_classes(volume: Volume) -> Row:
    """Four thresholds of Otsu; SimpleITK's are the same, and take it twice as long again."""
    values = volume.tensor(volume.values).flatten()
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: thresholds(values, 5),
        "scikit-image": lambda: filters.threshold_multiotsu(volume.values, 5),
    }
    return Row(sides, partial(bins_alike, volume))


def bins_alike(volume: Volume, ours: ArrayLike, theirs: ArrayLike) -> str:
    """How many of 256 bins are parted alike; theirs end in the last dark bin or behind it."""
    histogram = Histogram.of(volume.tensor(volume.values).flatten(), 256, "the benchmark")
    bins = np.flatnonzero(histogram.counts)
    centres = histogram.low + (bins + 0.5) * histogram.width
    ends = np.asarray(ours), np.asarray(theirs) + histogram.width / 4
    first, second = (np.searchsorted(np.atleast_1d(end), centres) for end in ends)
    return f"{int((first == second).sum())} of {len(bins)} bins alike"


def one_threshold(volume: Volume, *, name: str) -> Row:
    """A threshold of the whole volume."""
    values = volume.tensor(volume.values).flatten()
    rule: Any = medseg.method(name)
    theirs = getattr(filters, f"threshold_{name}")

    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.threshold(values),
        "scikit-image": lambda: theirs(volume.values),
    }
    return Row(sides, partial(bins_alike, volume))


def two_thresholds(volume: Volume) -> Row:
    """Hysteresis between the mean and the mean of what is brighter."""
    low = float(volume.values.mean())
    high = float(volume.values[volume.values > low].mean())
    values, rule = (
        volume.tensor(volume.values)[None],
        medseg.method("hysteresis", low=low, high=high),
    )
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, volume.spacing, None, None).cpu().numpy(),
        "scikit-image": lambda: filters.apply_hysteresis_threshold(volume.values, low, high),
    }
    return Row(sides, same_labels)


def sauvola(volume: Volume) -> Row:
    """A box of 25³ voxels about each voxel; at the border, definitions differ."""
    values = volume.tensor(volume.values)[None]
    span = float(np.ptp(volume.values)) / 2
    lowest = float(volume.values.min())
    rule = medseg.method("sauvola", window=25, span=span)
    ones = (1.0,) * 3
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "scikit-image": lambda: (
            volume.values - lowest
            > filters.threshold_sauvola(volume.values - lowest, 25, 0.2, span)
        ),
    }
    return Row(sides, same_labels)


def local_gaussian(volume: Volume) -> Row:
    """A Gaussian of 4 voxels about each voxel; at the border, definitions differ."""
    values = volume.tensor(volume.values)[None]
    rule, ones = medseg.method("local-gaussian", sigma=4.0), (1.0,) * 3
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "scikit-image": lambda: volume.values > filters.threshold_local(volume.values, 25),
    }
    return Row(sides, same_labels)


def mixture(volume: Volume) -> Row:
    """Three bell-shaped classes of the bright voxels; scikit-learn, where it is installed."""
    values, mask = volume.tensor(volume.values)[None], volume.tensor(volume.bright)
    rule = medseg.method("gaussian-mixture", classes=3)
    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, volume.spacing, None, mask)[mask].cpu().numpy()
    }
    if find_spec("sklearn"):
        from sklearn.mixture import GaussianMixture

        def theirs() -> NDArray[np.int64]:
            points = volume.values[volume.bright][:, None]
            found = GaussianMixture(3, random_state=0).fit(points)
            return np.argsort(np.argsort(found.means_[:, 0]))[found.predict(points)]

        sides["scikit-learn"] = theirs
    return Row(sides, same_labels)


def supervoxels(volume: Volume) -> Row:
    """About two thousand supervoxels, ten steps."""
    values, image = volume.tensor(volume.values)[None], volume.to_sitk(volume.values)
    width = (volume.values.size / 2000) ** (1 / 3)
    rule, ones = medseg.method("slic", size=width), (1.0,) * 3
    grid = [max(1, round(width))] * 3

    def number(ours: NDArray, theirs: NDArray) -> str:
        return f"{len(np.unique(ours))} and {len(np.unique(theirs))} supervoxels"

    sides: dict[str, Callable[[], Any]] = {
        OURS: lambda: rule.run(values, ones, None, None).cpu().numpy(),
        "SimpleITK": lambda: sitk.GetArrayFromImage(
            sitk.SLIC(image, superGridSize=grid, maximumNumberOfIterations=10)
        ),
        "scikit-image": lambda: segmentation.slic(
            volume.values, 2000, compactness=0.1, max_num_iter=10, channel_axis=None
        ),
    }
    return Row(sides, number)


def cut(volume: Volume) -> Row:
    """The cheapest cut of 40³ voxels: borders as of graph-cut, brightness as preference."""
    image, _ = scribbled(replace(volume, spacing=(1.0, 1.0, 1.0)), 40)
    costs = (1000 * borders(torch.tensor(image.array), (1.0, 1.0, 1.0), 30.0)).round()
    values = image.array[0]
    wanted = np.rint(2000 * (values - np.median(values)) / values.std())
    preferences = torch.from_numpy(wanted.astype(np.float32))
    graph = network(costs.numpy(), wanted)
    sides = {
        OURS: lambda: cost_of_cut(costs, preferences, Cut(costs).first_side(preferences)),
        "scipy": lambda: csgraph.maximum_flow(graph, values.size, values.size + 1).flow_value,
    }
    return Row(sides, lambda ours, theirs: f"energy {ours}, largest flow {theirs}")


def network(costs: NDArray, preferences: NDArray) -> csr_array:
    """Graph whose last two nodes are source and sink."""
    number = np.arange(preferences.size).reshape(preferences.shape)
    edges = []
    for axis, cost in enumerate(costs):
        size = number.shape[axis] - 1
        one, two = (number.take(range(begin, size + begin), axis) for begin in (0, 1))
        tie = cost.take(range(size), axis)
        edges += [(one, two, tie), (two, one, tie)]
    source, sink = np.full_like(number, number.size), np.full_like(number, number.size + 1)
    edges += [(source, number, preferences.clip(0)), (number, sink, -preferences.clip(None, 0))]
    begins, ends, limits = (
        np.concatenate([part.ravel() for part in each]) for each in zip(*edges, strict=True)
    )
    shape = (number.size + 2, number.size + 2)
    return csr_array((limits.astype(np.int32), (begins, ends)), shape)


def cost_of_cut(costs: torch.Tensor, preferences: torch.Tensor, side: torch.Tensor) -> int:
    """What a cut costs in all."""
    total = preferences.abs()[(preferences > 0) != side].double().sum()
    for axis, cost in enumerate(costs):
        parted = side.int().diff(dim=axis) != 0
        total += cost.narrow(axis, 0, parted.shape[axis])[parted].double().sum()
    return int(total)


ROWS: dict[str, Callable[[Volume], Row]] = {
    "components-faces": partial(connected, connectivity=1),
    "components-corners": partial(connected, connectivity=3),
    "distance": euclidean,
    "connected-threshold": connected_interval,
    "confidence-connected": confident,
    "fast-marching": marching,
    "watershed-2": partial(flooding, markers=2),
    "watershed-1000": partial(flooding, markers=1000),
    "random-walker": walk,
    "graph-cut": cut,
    "morphological-chan-vese": morphological_chan_vese,
    "morphological-gac": morphological_gac,
    "otsu-5": five_classes,
    **{
        name: partial(one_threshold, name=name)
        for name in ("li", "yen", "triangle", "isodata", "minimum", "mean")
    },
    "hysteresis": two_thresholds,
    "sauvola": sauvola,
    "local-gaussian": local_gaussian,
    "gaussian-mixture": mixture,
    "slic": supervoxels,
}


def main(
    image: Annotated[Path | None, typer.Argument(help="Default: a drawn head.")] = None,
    row: Annotated[list[str] | None, typer.Option(help="Which rows; default: all.")] = None,
    repeats: int = 7,
    device: str = "auto",
    *,
    quick: bool = False,
) -> None:
    """Measure and print; --quick only shows on a small volume that all works."""
    chosen = {name: pick(ROWS, name, "row") for name in row or ROWS}
    drawn = draw_case(0, QUICK if quick else SHAPE)[0] if image is None else None
    volume = Volume.of(drawn or medseg.read_image(image), device)
    console = Console(soft_wrap=True, width=110)
    threads = f"{torch.get_num_threads()} threads"
    console.print(f"volume {volume.values.shape}, {volume.spacing} mm, {volume.device}, {threads}")
    console.print(table(chosen, volume, repeats))


def table(rows: Mapping[str, Callable[[Volume], Row]], volume: Volume, repeats: int) -> Table:
    """Medians of all rows, and how many times as long as medseg the others take."""
    result = Table(title=f"median of {repeats}")
    for column in ("", "", "seconds", "fastest", "ratio", "agreement"):
        text = column in ("", "agreement")
        result.add_column(column, justify="left" if text else "right", no_wrap=True)
    for name, make in rows.items():
        row = make(volume)
        found = {side: run() for side, run in row.sides.items()}  # untimed: compiles, warms up
        taken = timed(row.sides, repeats)
        for side, seconds in taken.items():
            ratio = median(seconds) / median(taken[OURS])
            agreement = "" if side == OURS else row.agreement(found[OURS], found[side])
            times = f"{median(seconds):.4f}", f"{min(seconds):.4f}", f"{ratio:.2f}"
            result.add_row(name if side == OURS else "", side, *times, agreement)
    return result


def timed(sides: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, taken in turn, there and back.

    Who comes after one that gives its memory back to the system has to fetch it anew.
    """
    taken: dict[str, list[float]] = {side: [] for side in sides}
    order = list(sides)
    for _ in range(repeats):
        for side in order:
            began = clock()
            sides[side]()
            taken[side].append(clock() - began)
        order.reverse()
    return taken


def clock() -> float:
    """Seconds, once the GPU, if there is one, is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    typer.run(main)
