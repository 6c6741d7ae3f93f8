"""Time of `medseg.evaluate` beside the libraries that measure the same, from maps to scores.

Predictions are references warped by a smooth random field. Every library has `DEFAULT_METRICS`
to compute, as far as it has them, one label after the other unless it takes all at once; those
that take minutes do some labels of an atlas, and their time is scaled up, marked by ~.
"""

import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import nan
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from _metric_peers import PEERS, Case, Peer
from rich.console import Console
from rich.table import Table
from scipy import ndimage

import medseg
from medseg import Labels

KNOT_VOXELS, KNOT_SD, OURS_A_ROUND = 12, 1.35, 7
console = Console(soft_wrap=True)


@dataclass(frozen=True)
class Workload:
    """Cases to score, and how many times faster than MedPy and than the best peer to be."""

    name: str
    cases: Sequence[Case]
    goals: tuple[float, float]


@dataclass
class Times:
    """Seconds of all rounds by library, those scaled up, and how far values are from ours."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    scaled: set[str] = field(default_factory=set)
    off: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def main(
    data: Annotated[Path, typer.Argument(help="Folder with brats2013/, ch2/ and hippocampus/.")],
    rounds: int = 3,
    labels: Annotated[int, typer.Option(help="Labels of an atlas that a slow peer does.")] = 12,
    only: Annotated[str, typer.Option(help="Workloads whose name has this in it.")] = "",
) -> None:
    """Measure all in turn, so many rounds, and print medians."""
    warnings.simplefilter("ignore")  # of libraries written for an older numpy
    peers = [peer for peer in PEERS if find_spec(peer.module)]
    for peer in PEERS:
        if peer not in peers:
            console.print(f"{peer.name}: not measured, as {peer.module} is not installed")
    for workload in workloads(data):
        if only in workload.name:
            times = Times()
            for _ in range(rounds):
                measure(workload, peers, labels, times)
            console.print(table(workload, times))


def workloads(data: Path) -> Iterator[Workload]:
    """Five of them, made from the data."""
    brats = medseg.read_labels(next(data.glob("brats2013/train/*/label.nii.gz")))
    moved = warped(brats, 0)
    whole, whole_moved = merged(brats), merged(moved)
    yield Workload("one BRATS whole tumour", [(whole_moved, whole)], (500, 20))
    yield Workload("4 labels of BRATS", [(moved, brats)], (1000, 15))
    atlas = medseg.read_labels(data / "ch2/aal.nii.gz")
    yield Workload("116 labels of AAL", [(warped(atlas, 1), atlas)], (4000, 25))
    cases = medseg.Dataset.read(data / "hippocampus").cases[:50]
    known = [case.labels() for case in cases]
    pairs = [(warped(labels, seed), labels) for seed, labels in enumerate(known)]
    yield Workload(f"{len(pairs)} hippocampi x 2 labels", pairs, (100, 15))
    far = np.array(whole_moved.array, order="K")
    far[10:18, 10:18, 5:12] = far[-20:-10, -40:-30, -15:-5] = 1
    yield Workload("with two far false positives", [(whole.on(far, whole.grid), whole)], (150, 25))


def warped(labels: Labels, seed: int) -> Labels:
    """Labels moved by a smooth random field, by about a voxel at each of its knots."""
    rng, shape = np.random.default_rng(seed), labels.array.shape
    knots = [max(2, round(size / KNOT_VOXELS) + 1) for size in shape]
    places = np.meshgrid(
        *(np.linspace(0, n - 1, size) for n, size in zip(knots, shape, strict=True)), indexing="ij"
    )
    moved = [
        voxel + ndimage.map_coordinates(rng.normal(0, KNOT_SD, knots), places, order=1)
        for voxel in np.indices(shape, np.float32)
    ]
    array = ndimage.map_coordinates(labels.array, moved, order=0)
    # Stored as a prediction read from a file is.
    return labels.on(np.asfortranarray(array, np.uint8), labels.grid)


def merged(labels: Labels) -> Labels:
    """All labels as one."""
    return labels.on(np.asarray(labels.array > 0).view(np.uint8), labels.grid)


def measure(workload: Workload, peers: Sequence[Peer], most: int, times: Times) -> None:
    """Add a round: medseg several times, as it takes so little, and every peer once."""
    for _ in range(OURS_A_ROUND):
        began = time.perf_counter()
        scores = [medseg.evaluate(*case) for case in workload.cases]
        times.seconds["medseg"].append(time.perf_counter() - began)
    known = [{(row.label, row.metric): row.value for row in rows} for rows in scores]
    for peer in peers:
        taken = share = 0.0
        for case, ours in zip(workload.cases, known, strict=True):
            present = [label for label in case[1].values() if label in case[0].values()]
            some = present if peer.all_at_once else present[:: -(-len(present) // most)]
            began = time.perf_counter()
            theirs = peer.score(case, some)
            taken += time.perf_counter() - began
            share += len(some) / len(present) / len(workload.cases)
            times.off[peer.name] += [abs(theirs[key] - ours[key]) for key in theirs]
        times.seconds[peer.name].append(taken / share)
        if share < 0.999:
            times.scaled.add(peer.name)


def table(workload: Workload, times: Times) -> Table:
    """Medians, how many times as long each takes, and what was to be reached.

    "Differs by" is the largest difference of a number that both define alike.
    """
    ours = median(times.seconds["medseg"])
    result = Table(title=workload.name)
    for column in ("", "seconds", "times medseg's", "differs by"):
        result.add_column(column, justify="right" if column else "left")
    peers = {name: median(taken) for name, taken in times.seconds.items() if name != "medseg"}
    result.add_row("medseg", f"{ours:.4f}", "", "")
    for name, taken in sorted(peers.items(), key=lambda peer: peer[1]):
        about = "~" if name in times.scaled else ""
        off = f"{max(times.off[name]):.1e}" if times.off[name] else "-"
        result.add_row(name, f"{about}{taken:.3f}", f"{about}{taken / ours:.0f}", off)
    reached = peers.get("MedPy", nan) / ours, min(peers.values(), default=nan) / ours
    result.caption = (
        f"MedPy: {reached[0]:.0f} times, to be {workload.goals[0]:.0f}; "
        f"best peer: {reached[1]:.0f} times, to be {workload.goals[1]:.0f}"
    )
    return result


if __name__ == "__main__":
    typer.run(main)
