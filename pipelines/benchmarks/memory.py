"""Peak memory of `medseg predict` on a CT with many classes, from file to file, and its estimate.

The network is a tiny U-Net with random weights, as only sizes matter. It runs in a process of its
own, whose maximum Linux keeps. With --limit, that process may not have more memory at all.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import typer
from torch import nn

import medseg
from medseg.intensity import Window
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks.unet import UNet

# What a child took, as `getrusage` tells, counts what its parent had when it began.
COMMAND = """
import atexit, sys
from pathlib import Path
from medseg.cli import main
lines = lambda: Path("/proc/self/status").read_text().splitlines()
atexit.register(lambda: print(*[line for line in lines() if "VmHWM" in line], file=sys.stderr))
main()
"""


def main(
    volume: str = "512,512,600",
    classes: int = 100,
    patch: int = 128,
    spacing: float = 1.0,
    overlap: float = 0.5,
    limit: float | None = None,
) -> None:
    """Draw a CT of 1 mm voxels, predict it by a plan of `spacing` mm, and print.

    --limit 8 takes all but 8 GB from the process, as a smaller machine would. --overlap 0 takes a
    sixth of the time, and the same memory, as sums are as high as a tile.
    """
    shape = tuple(map(int, volume.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        medseg.write(drawn(shape), place / "ct.nii.gz")
        write_run(place / "run", classes, patch, spacing)
        began = time.perf_counter()
        said, peak = predicted(place, overlap, limit)
        taken = time.perf_counter() - began
        found = medseg.read_labels(place / "out.nii.gz")
    print(f"{shape} voxels of 1 mm, {classes} classes, patch {patch}, plan of {spacing:g} mm")
    print("\n".join(said.splitlines()))
    print(f"{taken:.0f} s; {len(found.values())} labels; the process took {peak / 1e9:.2f} GB")


def drawn(shape: tuple[int, ...]) -> medseg.Labels:
    """Smooth Hounsfield units and some noise; whole numbers, so that they are stored in int16."""
    rng = torch.manual_seed(0)
    coarse = torch.rand(1, 1, *(max(n // 16, 1) for n in shape), generator=rng) * 2000 - 1000
    array = np.empty(shape, np.int16)
    smooth = nn.functional.interpolate(coarse, shape, mode="trilinear")[0, 0]
    for rows, some in zip(array, smooth, strict=True):
        rows[:] = (some + 20 * torch.randn(some.shape, generator=rng)).numpy()
    return medseg.Labels.from_array(array)


def write_run(folder: Path, classes: int, patch: int, spacing: float) -> None:
    """What a training would have left: a plan and weights, here random ones."""
    options = {"patch": (patch,) * 3, "spacing": (spacing,) * 3, "labels": tuple(range(classes))}
    window = Window(-1000, 1000, 0, 500)
    plan = medseg.Plan(UNet(3, (2, 4)), ("CT",), normalisations=(window,), names={}, **options)
    torch.manual_seed(0)
    network = medseg.Model.untrained(plan, "cpu").network
    plan.save(Run(folder).plan)
    save_tensors(network.state_dict(), Run(folder).last, {"step": 1})


def predicted(place: Path, overlap: float, limit: float | None) -> tuple[str, int]:
    """Run the command on the CPU; what it logged, and the most bytes of memory that it took."""
    command = [sys.executable, "-c", COMMAND, "predict"]
    command += [str(place / "run"), str(place / "ct.nii.gz"), "-o", str(place / "out.nii.gz")]
    command += ["--device", "cpu", "--set", f"overlap={overlap}"]
    if limit is not None:  # as `ulimit -d` does, for this process as well
        resource.setrlimit(resource.RLIMIT_DATA, (int(1e9 * limit),) * 2)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    said, _, peak = done.stderr.rpartition("VmHWM:")
    return said, 1024 * int(peak.split()[0])


if __name__ == "__main__":
    typer.run(main)
