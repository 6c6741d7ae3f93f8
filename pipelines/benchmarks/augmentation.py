"""Time of augmenting a patch by medseg and by nnU-Net's transforms, on one core of the CPU.

Both rotate and scale a fifth of the patches each and change intensities in as many as nnU-Net
does. The kinds are the same, their ranges are each side's own; nnU-Net's second gamma works on the
negative image, medseg's on the image again. medseg's time has the cutting of the patch in it,
nnU-Net's begins with the crop. Seconds are those of the processor, so other work counts little.
"""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from torch import Tensor

from medseg import device as devices
from medseg.learning.augment import blur, brightness, contrast, gamma, low_resolution, noise
from medseg.learning.placing import Warp, cut, mirroring, rotation, scaling

DRIVER = Path(__file__).with_name("_nnunet_augmentation.py")
PLACINGS = (partial(rotation, chance=0.2), partial(scaling, chance=0.2), mirroring)
# nnU-Net blurs, and lowers the resolution, of half of the channels of a chosen sample.
INTENSITIES: tuple[Callable[..., Tensor], ...] = (
    partial(noise, chance=0.1),
    partial(blur, chance=0.1),
    partial(brightness, chance=0.15),
    partial(contrast, chance=0.15),
    partial(low_resolution, chance=0.125),
    partial(gamma, chance=0.1),
    partial(gamma, chance=0.3),
)
console = Console(soft_wrap=True)


def main(
    side: int = 128,
    count: int = 60,
    nnunet_python: Annotated[
        Path | None, typer.Option(help="Python of an environment with nnunetv2 2.8.1.")
    ] = None,
) -> None:
    """Augment so many patches on each side, and print mean and median."""
    torch.set_num_threads(1)
    devices.keep_freed_memory()  # as `train` does
    ours = seconds(side, count)
    console.print(told("medseg", ours))
    if nnunet_python is None:
        console.print("nnU-Net: not measured, as --nnunet-python names no environment that has it")
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "seconds.json"
        command = [str(nnunet_python), str(DRIVER), str(file), str(side), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"nnU-Net failed:\n{done.stderr[-2000:]}")
        report = json.loads(file.read_text())
    console.print(told(f"nnU-Net, from crops of {tuple(report['crop'])}", report["seconds"]))
    console.print(f"means: {fmean(report['seconds']) / fmean(ours):.1f} times as fast")


def seconds(side: int, count: int) -> list[float]:
    """Seconds of cutting and augmenting each patch; what is compiled is compiled before."""
    volume = (round(1.6 * side),) * 3
    image = torch.randn(1, *volume, generator=torch.manual_seed(0))
    classes = torch.zeros(volume, dtype=torch.uint8)
    classes[side // 2 : side, side // 2 : side, side // 2 : side] = 1
    still = Warp((1.0,) * 3, (side,) * 3, (0, 1, 2))
    centre, rng = tuple(n // 2 for n in volume), np.random.default_rng(0)
    cut(image, classes, centre, still.patch, rotation(still, rng))
    taken = []
    for one in rng.spawn(count):
        began = time.process_time()
        warp = still
        for place in PLACINGS:
            warp = place(warp, one)
        patch = cut(image, classes, centre, still.patch, warp)[0][None]
        for change in INTENSITIES:
            patch = change(patch, [one])
        taken.append(time.process_time() - began)
    return taken


def told(name: str, taken: list[float]) -> str:
    """Mean and median in ms."""
    return f"{name}: mean {1e3 * fmean(taken):.0f} ms, median {1e3 * median(taken):.0f} ms a patch"


if __name__ == "__main__":
    typer.run(main)
