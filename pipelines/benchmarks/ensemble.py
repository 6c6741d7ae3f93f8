"""Peak memory of an ensemble, beside that of one of its members.

The members are small U-Nets of random weights on the disk, of which one at a time is in memory;
the volume is as large as those of BRATS. Each row is a process of its own, as `medseg predict` is:
a member alone says its probabilities, an ensemble merges those of its members.
"""

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import typer

from medseg import Ensemble, Image, Model, Plan
from medseg.intensity import Identity
from medseg.learning.ensemble import save_ensemble
from medseg.learning.run import Run
from medseg.learning.weights import save_tensors
from medseg.networks.unet import UNet

SHAPE = 240, 240, 155


def main(members: int = 10, classes: int = 5, channels: int = 2, shrink: int = 1) -> None:
    """Measure and print; --shrink 4 takes a fourth of each side."""
    shape = tuple(n // shrink for n in SHAPE)
    print(f"{shape} voxels, {channels} channels, {classes} classes; peak of a process")
    with TemporaryDirectory() as place:
        runs = [make_run(Path(place, f"run_{k}"), k, channels, classes) for k in range(members)]
        several = Path(place, "ensemble")
        save_ensemble(several, runs)
        rows = {
            "nothing": (peak_of_nothing, None),
            "a member alone": (peak_of_member, runs[0]),
            f"an ensemble of {members}": (peak_of_ensemble, several),
            f"an ensemble of {members}, with uncertainty": (peak_of_uncertainty, several),
        }
        peaks = {}
        for name, (measure, folder) in rows.items():
            with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
                peaks[name] = pool.submit(measure, folder, shape, channels).result()
            print(f"{name:38} {peaks[name]:6.0f} MB")
    one, many = peaks["a member alone"], peaks[f"an ensemble of {members}"]
    print(f"the ensemble takes {100 * (many / one - 1):+.1f} % beside a member")


def make_run(folder: Path, seed: int, channels: int, classes: int) -> Path:
    """A run of random weights."""
    torch.manual_seed(seed)
    plan = Plan(
        UNet(3, (2, 4)),
        tuple(f"channel {k}" for k in range(channels)),
        (Identity(),) * channels,
        (1.0, 1.0, 1.0),
        (64, 64, 64),
        tuple(range(classes)),
        {},
    )
    plan.save(Run(folder).plan)
    model = Model.untrained(plan, "cpu")
    save_tensors(model.network.state_dict(), Run(folder).last, {"step": 0})
    return folder


def drawn(shape: tuple[int, ...], channels: int) -> Image:
    """Noise of that shape."""
    rng = np.random.default_rng(0)
    return Image.from_array(rng.standard_normal((channels, *shape), np.float32), (1, 1, 1))


def peak_of_nothing(_: None, shape: tuple[int, ...], channels: int) -> float:
    """MB that Python, torch and the image take."""
    drawn(shape, channels)
    return peak()


def peak_of_member(folder: Path, shape: tuple[int, ...], channels: int) -> float:
    """MB of one model that says its probabilities."""
    Model.load(folder, "cpu", overlap=0.0).probabilities(drawn(shape, channels))
    return peak()


def peak_of_ensemble(folder: Path, shape: tuple[int, ...], channels: int) -> float:
    """MB of the probabilities of all together."""
    Ensemble.load(folder, "cpu", overlap=0.0).probabilities(drawn(shape, channels))
    return peak()


def peak_of_uncertainty(folder: Path, shape: tuple[int, ...], channels: int) -> float:
    """MB of the same, with the maps of how much they differ."""
    Ensemble.load(folder, "cpu", overlap=0.0).uncertain(drawn(shape, channels))
    return peak()


def peak() -> float:
    """MB that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
