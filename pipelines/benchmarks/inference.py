"""Time and memory of medseg's tiler beside MONAI's sliding window, from volume to labels.

First with a network that gives back its input, which leaves nothing but the tiling; then with
a U-Net, where the bare forward passes over the same tiles say what the tiling adds to them.
"""

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from math import prod
from multiprocessing import get_context
from statistics import median
from typing import Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medseg import device as devices
from medseg.networks.unet import UNet
from medseg.tiling import lattice, most_likely, sweep

CLASSES, OVERLAP = 5, 0.5
BARE, OURS, THEIRS = "forward passes", "medseg", "MONAI"
Network = Callable[[Tensor], Tensor]
Run = Callable[[], Tensor]


@dataclass(frozen=True)
class Size:
    """Voxels of the volume and of a patch, and how many patches medseg takes at once."""

    volume: tuple[int, ...] = (240, 240, 155)
    patch: tuple[int, ...] = (96, 96, 96)

    @property
    def batch(self) -> int:
        """As many as `Model.segment` takes."""
        return max(2**20 // prod(self.patch), 1)


def main(repeats: int = 7, device: str = "auto", *, quick: bool = False) -> None:
    """Measure and print; --quick only shows on a small volume that all but the memory works."""
    place, size = devices.resolve(device), Size((24, 24, 19), (16, 16, 16)) if quick else Size()
    devices.keep_freed_memory()  # as `medseg predict` does; both sides profit
    say = Console(soft_wrap=True).print
    say(f"volume {size.volume}, patch {size.patch}, overlap {OVERLAP}, {CLASSES} classes, {place}")
    if not quick:
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
            for name in (OURS, THEIRS):
                taken = pool.submit(peak, name, size, device).result()
                say(f"{name} takes at most {taken / 1e6:.0f} MB beyond the volume")
    with inference(place):
        torch.manual_seed(0)
        volume = torch.randn((CLASSES, *size.volume), device=place)
        say(compared("a network that gives back its input", torch.clone, volume, size, repeats))
        volume, unet = volume[:1], UNet().build(1, CLASSES).to(place).eval()
        say(compared("medseg's U-Net, random weights", unet, volume, size, repeats))
        say(equal_on_equal_terms(unet, volume, size))


def compared(title: str, network: Network, volume: Tensor, size: Size, repeats: int) -> Table:
    """Table of the sides: their times and how far they agree."""
    sides = SIDES if network is torch.clone else {**SIDES, BARE: forward_passes}
    found = timed({k: partial(run, network, volume, size) for k, run in sides.items()}, repeats)
    middle = {name: median(seconds) for name, (_, seconds) in found.items()}
    table = Table(title=f"{title}; median of {repeats}")
    for column in ("", "seconds", "fastest", "ratio", "overhead", "equal labels"):
        table.add_column(column, justify="right" if column else "left")
    for name, (labels, seconds) in found.items():
        taken = middle[name]
        overhead = f"{100 * (taken / middle[BARE] - 1):+.1f} %" if BARE in middle else ""
        agreement = "" if name == BARE else equal(found[OURS][0], labels)
        ratio = f"{taken / middle[OURS]:.2f}"
        table.add_row(name, f"{taken:.3f}", f"{min(seconds):.3f}", ratio, overhead, agreement)
    return table


def by_medseg(network: Network, volume: Tensor, size: Size) -> Tensor:
    """Labels from `medseg.tiling.sweep`, as `Model.segment` makes them."""
    slabs = sweep(network, volume, size.patch, CLASSES, overlap=OVERLAP, batch=size.batch)
    return torch.cat([most_likely(slab.total) for slab in slabs])


def by_monai(
    network: Network, volume: Tensor, size: Size, *, batch: int = 1, **options: Any
) -> Tensor:
    """Labels from MONAI's sliding window."""
    from monai.inferers import sliding_window_inference  # takes seconds

    given = {"mode": "gaussian", "roi_weight_map": monai_weights(size.patch, volume.device)}
    merge = partial(sliding_window_inference, overlap=OVERLAP, **(given | options))
    logits: Tensor = merge(volume[None], size.patch, batch, network)
    return logits.argmax(1)[0]


@cache
def monai_weights(patch: tuple[int, ...], place: torch.device) -> Tensor:
    """MONAI's Gaussian, made once, as cache_roi_weight_map does."""
    from monai.data.utils import compute_importance_map

    weights: Tensor = compute_importance_map(patch, "gaussian", 0.125, place)
    return weights


def forward_passes(network: Network, volume: Tensor, size: Size) -> Tensor:
    """Logits of the last of the tiles that medseg takes; the others are forgotten."""
    corners = list(product(*lattice(tuple(volume.shape[1:]), size.patch, OVERLAP)))
    for k in range(0, len(corners), size.batch):
        places = [map(slice, c, map(sum, zip(c, size.patch, strict=True))) for c in corners[k:]]
        logits = network(torch.stack([volume[(slice(None), *p)] for p in places[: size.batch]]))
    return logits


SIDES: dict[str, Callable[[Network, Tensor, Size], Tensor]] = {
    OURS: by_medseg,
    THEIRS: by_monai,
    f"{THEIRS}, 4 tiles at once": partial(by_monai, batch=4),
    f"{THEIRS}, buffered": partial(by_monai, buffer_dim=0, buffer_steps=100),
}


def timed(runs: dict[str, Run], repeats: int) -> dict[str, tuple[Tensor, list[float]]]:
    """Labels from an untimed first round, and the seconds of the others, taken in turn."""
    found = {name: (run(), list[float]()) for name, run in runs.items()}
    for _ in range(repeats):
        for name, run in runs.items():
            began = clock()
            run()
            found[name][1].append(clock() - began)
    return found


def clock() -> float:
    """Seconds, once the GPU, if there is one, is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def equal_on_equal_terms(network: Network, volume: Tensor, size: Size) -> str:
    """How many labels are equal if MONAI has medseg's weights, on a volume tiled alike.

    For MONAI raises its weights to a thousandth, and only medseg spreads its tiles evenly.
    """
    steps = [int(side * (1 - OVERLAP)) for side in size.patch]
    even = (p + (n - p) // d * d for n, p, d in zip(size.volume, size.patch, steps, strict=True))
    volume = volume[(slice(None), *map(slice, even))]
    corner = volume[(slice(None), *map(slice, size.patch))]
    x, y, z = next(sweep(torch.clone, corner, size.patch, 1)).weight
    weights = x[:, None, None] * y[:, None] * z
    others = by_monai(network, volume, size, batch=size.batch, roi_weight_map=weights)
    share = equal(by_medseg(network, volume, size), others)
    return f"equal labels with the same tiles and weights, on {tuple(volume.shape[1:])}: {share}"


def peak(name: str, size: Size, device: str) -> int:
    """Bytes beyond the volume; for a process of its own, as its maximum never falls."""
    place = devices.resolve(device)
    with inference(place):
        small = torch.zeros((CLASSES, 8, 8, 8), device=place)
        SIDES[name](torch.clone, small, Size((8, 8, 8), (8, 8, 8)))  # imports take memory too
        volume = torch.randn((CLASSES, *size.volume), device=place)
        before = most_memory(place)
        SIDES[name](torch.clone, volume, size)
        return most_memory(place) - before


def most_memory(place: torch.device) -> int:
    """Bytes, of the GPU or of the process (as Linux counts them), at their maximum so far."""
    if place.type == "cuda":
        return torch.cuda.max_memory_allocated(place)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def inference(place: torch.device) -> Iterator[None]:
    """No gradients; on a GPU, the precision in which `Model` segments there."""
    lower = devices.fast_precision(place) if place.type == "cuda" else None
    with torch.inference_mode(), torch.autocast(place.type, lower, enabled=lower is not None):
        yield


def equal(labels: Tensor, others: Tensor) -> str:
    """Share of voxels with the same label."""
    return f"{100 * float((labels == others).float().mean()):.4f} %"


if __name__ == "__main__":
    typer.run(main)
