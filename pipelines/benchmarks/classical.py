"""Times of medseg's classical functions beside those of other libraries, on one volume.

A row is a function that takes the volume and says what is compared; it is measured once its
name stands in `ROWS`.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from _comparing import OURS, Row, Volume
from _contour_rows import morphological_chan_vese, morphological_gac
from _interactive_rows import cut, walk
from _level_set_rows import geodesic_contour, threshold_level_set
from _region_rows import (
    confident,
    connected,
    connected_interval,
    euclidean,
    flooding,
    marching,
    supervoxels,
)
from _snake_row import snake
from _threshold_rows import (
    five_classes,
    local_gaussian,
    mixture,
    one_threshold,
    sauvola,
    two_thresholds,
)
from rich.console import Console
from rich.table import Table

import medseg
from medseg.phantom import draw_case
from medseg.registry import pick

SHAPE, QUICK = (181, 217, 181), (24, 28, 24)


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
    "geodesic-contour": geodesic_contour,
    "threshold-level-set": threshold_level_set,
    "snake": snake,
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
    console = Console(soft_wrap=True, width=140)
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
