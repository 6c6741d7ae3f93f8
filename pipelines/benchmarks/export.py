"""Time and memory of bringing logits to an image's grid and labels, beside nnU-Net's way.

nnU-Net resizes each class with scikit-image, linearly and in float64, and takes the argmax of all.
That is done here with scikit-image itself, so nnU-Net need not be installed.
"""

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median

import numpy as np
import torch
import typer
from torch import Tensor, nn

from medseg import device as devices
from medseg.learning.regridding import stretches
from medseg.tiling import Slab

SMALL, LARGE, ROWS = (96, 160, 160), (128, 224, 224), 32
CLASSES = (14, 40)


def main(repeats: int = 3, shrink: int = 1) -> None:
    """Measure and print; --shrink 4 takes a fourth of each side."""
    small, large = (tuple(n // shrink for n in shape) for shape in (SMALL, LARGE))
    print(f"{small} to {large}, {torch.get_num_threads()} threads; median of {repeats}")
    for number in CLASSES:
        found = {}
        for name in WAYS:
            with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
                found[name] = pool.submit(measured, name, number, repeats, (small, large)).result()
        ours, theirs = found["medseg"], found["scikit-image"]
        for name, result in found.items():
            print(f"{number} classes, {name}: {result.seconds:.2f} s, {result.megabytes:.0f} MB")
        equal = 100 * (ours.labels == theirs.labels).mean()
        print(f"  {theirs.seconds / ours.seconds:.1f} times as fast, {equal:.3f} % equal labels")


@dataclass(frozen=True)
class Result:
    """Median of the time, memory beyond the logits, and labels."""

    seconds: float
    megabytes: float
    labels: np.ndarray


def measured(
    name: str, classes: int, repeats: int, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Result:
    """What one way takes; for a process of its own, as its maximum of memory never falls."""
    devices.keep_freed_memory()
    small, large = shapes
    way = WAYS[name]
    way(torch.zeros(2, 8, 8, 8), (8, 9, 10))  # imports take memory too
    logits = smooth_noise(classes, small)
    before = peak()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        labels = way(logits, large)
        seconds.append(time.perf_counter() - began)
    return Result(median(seconds), (peak() - before) / 1e6, labels)


def smooth_noise(classes: int, shape: tuple[int, ...]) -> Tensor:
    """Logits that change over a few voxels, as those of a network do, a class after the other."""
    rng = torch.manual_seed(0)
    coarse = [max(n // 8, 1) for n in shape]
    logits = torch.empty(classes, *shape)
    for of_class in logits:
        noise = torch.randn(1, 1, *coarse, generator=rng)
        of_class.copy_(nn.functional.interpolate(noise, shape, mode="trilinear")[0, 0])
    return logits


def by_medseg(logits: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Labels as `Model.segment` makes them, of slabs as they leave the tiles."""
    labels = torch.empty(shape, dtype=torch.uint8)
    first = 0
    for some in stretches(slabs_of(logits), logits.shape[1], shape):
        rows = some.most_likely()
        labels[first : first + len(rows)] = rows
        first += len(rows)
    return labels.numpy()


def slabs_of(logits: Tensor) -> Iterator[Slab]:
    """Give logits in slabs of a few rows."""
    for start in range(0, logits.shape[1], ROWS):
        total = logits[:, start : start + ROWS]
        yield Slab(start, total, tuple(torch.ones(n) for n in total.shape[1:]))


def by_skimage(logits: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    """Labels as nnU-Net makes them by default."""
    from skimage.transform import resize

    resized = np.empty((len(logits), *shape), np.float32)
    for place, of_class in zip(resized, logits.numpy(), strict=True):
        place[:] = resize(of_class.astype(float), shape, 1, mode="edge", anti_aliasing=False)
    labels: np.ndarray = resized.argmax(0)
    return labels


WAYS: dict[str, Callable[[Tensor, tuple[int, ...]], np.ndarray]] = {
    "medseg": by_medseg,
    "scikit-image": by_skimage,
}


def peak() -> int:
    """Bytes of the process at their maximum so far, as Linux counts them."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    typer.run(main)
