"""Time of a training step of medseg beside one of nnU-Net's, on the CPU.

Both train the network that nnU-Net plans for the hippocampus, on patches and batches of the
same size: the whole step as the loop takes it, its data cut and augmented, and the bare step of
the network on a batch that lies ready. Each side runs in each precision that it has.
"""

import json
import math
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import nn

import medseg
from medseg import device as devices
from medseg.learning import LOSSES
from medseg.learning.batches import Batches, read_cases
from medseg.learning.losses import supervised
from medseg.learning.run import Run
from medseg.learning.weights import load_tensors
from medseg.networks.unet import UNet
from medseg.sampling import SAMPLERS

CPU, WARM_UP, LONGEST_GRADIENT = torch.device("cpu"), 3, 12.0
PATCH, FEATURES = (40, 56, 40), (32, 64, 128, 256)
DATA_MADE = "data made by the trainer", "data made by another process"  # nnUNet_n_proc_DA 0, 1
DRIVER = Path(__file__).with_name("_nnunet_step.py")
console = Console(soft_wrap=True)


@dataclass
class Times:
    """Seconds of the steps of all rounds, by what was run."""

    whole: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bare: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def main(
    data: Annotated[Path, typer.Argument(help="Decathlon folder, such as Task04_Hippocampus.")],
    batch: int = 9,
    steps: int = 20,
    rounds: int = 3,
    nnunet_python: Annotated[
        Path | None, typer.Option(help="Python of an environment with nnunetv2 2.8.1.")
    ] = None,
) -> None:
    """Measure both in turn, so many steps a round, and print medians."""
    training_set, _ = medseg.Dataset.read(data).split()
    network = UNet(features=FEATURES, deep_supervision=True)
    plan = replace(medseg.make_plan(training_set), network=network, patch=PATCH)
    module = network.build(len(plan.channels), len(plan.labels))
    weights = sum(p.numel() for p in module.parameters())
    console.print(f"patch {PATCH}, batch {batch}; medseg: {weights:,} weights, AdamW")
    lower = devices.fast_precision(CPU) != torch.float32
    precisions = ("float32", "bfloat16") if lower else ("float32",)
    times = Times()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if nnunet_python is not None:
            drive(nnunet_python, "prepare", folder / "nnunet", data)
        for turn in range(rounds):
            for precision in precisions:
                training = medseg.Training(
                    steps=WARM_UP + steps, batch=batch, precision=precision, validations=1
                )
                run = Run(folder / f"{precision}-{turn}")
                times.whole[f"medseg {precision}"] += whole(training_set, plan, training, run)
                times.bare[f"medseg {precision}"] += bare(training_set, plan, training)
            if nnunet_python is not None:
                measure_nnunet(nnunet_python, folder / "nnunet", batch, steps, times)
        chosen = chosen_precision(training_set, plan, batch, Run(folder / "auto"))
    console.print(table(times))
    console.print(f"medseg with precision auto takes {chosen} here")
    if nnunet_python is None:
        console.print("nnU-Net: not measured, as --nnunet-python names no environment that has it")
    else:
        console.print("\n".join(advantage(times, chosen)))


def whole(
    training_set: medseg.Dataset, plan: medseg.Plan, training: medseg.Training, run: Run
) -> list[float]:
    """Seconds of each step of `medseg.train`, by the clock of its log."""
    medseg.train(training_set, plan, training, run.folder)
    entries = [json.loads(line) for line in run.log.read_text().splitlines()]
    steps = [(entry["step"], entry["seconds"]) for entry in entries if "loss" in entry]
    return [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(steps) if a[0] >= WARM_UP]


def bare(training_set: medseg.Dataset, plan: medseg.Plan, training: medseg.Training) -> list[float]:
    """Seconds of the same steps on one batch: network, loss, gradients, optimiser."""
    with tempfile.TemporaryDirectory() as cache:
        cases = read_cases(training_set.cases[: training.batch], plan, CPU, Path(cache), 0)
        sampler = SAMPLERS[training.sampler]
        batches = Batches(cases, plan, training.batch, sampler, training.augmentations, 0)
        batch = batches.at(0, CPU)
    network = plan.network.build(len(plan.channels), len(plan.labels)).train()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=training.weight_decay)
    loss, lower = LOSSES[training.loss], training.precision == "bfloat16"
    seconds = []
    for _ in range(training.steps or 0):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            outputs = network(batch.images)
        total = supervised(loss, outputs, batch.targets)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


def measure_nnunet(python: Path, work: Path, batch: int, steps: int, times: Times) -> None:
    """Add a round of nnU-Net, with its data made in its own process and in another."""
    for workers, place in enumerate(DATA_MADE):
        drive(python, "time", work, batch, steps, workers)
        report = json.loads((work / "seconds.json").read_text())
        name = f"nnU-Net float32, {place}"
        if name not in times.whole:
            shape, weights = tuple(report["shape"]), report["weights"]
            console.print(f"{name}: batches {shape}, {weights:,} weights, SGD")
        times.whole[name] += report["loop"]
        times.bare[name] += report["float32"]
        times.bare["nnU-Net bfloat16, which its loop does not offer"] += report["bfloat16"]


def drive(python: Path, *arguments: object) -> None:
    """Run nnU-Net's side in its own environment."""
    command = [str(python), str(DRIVER), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"nnU-Net failed:\n{done.stderr[-2000:]}")


def chosen_precision(training_set: medseg.Dataset, plan: medseg.Plan, batch: int, run: Run) -> str:
    """Precision that medseg takes if it is not told any."""
    medseg.train(training_set, plan, medseg.Training(steps=1, batch=batch), run.folder)
    return str(load_tensors(run.checkpoint)[1]["precision"])


def table(times: Times) -> Table:
    """Medians, and how much longer the whole step takes than the bare one."""
    result = Table(title="seconds a step, medians")
    for column in ("", "whole", "bare", "data and loop"):
        result.add_column(column, justify="right" if column else "left")
    for name, taken in times.bare.items():
        network = median(taken)
        if name in times.whole:
            step = median(times.whole[name])
            row = f"{step:.3f}", f"{network:.3f}", f"{100 * (step / network - 1):+.1f} %"
        else:
            row = "", f"{network:.3f}", ""
        result.add_row(name, *row)
    return result


def advantage(times: Times, chosen: str) -> Iterator[str]:
    """How many times faster the steps are, and what that comes from."""

    def best(who: str, seconds: dict[str, list[float]]) -> float:
        return min(median(taken) for name, taken in seconds.items() if name.startswith(who))

    theirs, same = best("nnU-Net", times.whole), best("medseg float32", times.whole)
    ours = best(f"medseg {chosen}", times.whole)
    total, code, precision = theirs / ours, theirs / same, same / ours
    yield (
        f"whole step, nnU-Net's best (float32) over medseg's ({chosen}): {total:.2f} = "
        f"{code:.2f} (code, both in float32) x {precision:.2f} (precision)"
    )
    if min(code, precision) >= 1 and total > 1:
        share = math.log(precision) / math.log(total)
        yield f"on a log scale, {100 * share:.0f} % of that comes from precision"
    for name in ("float32", "bfloat16"):
        if f"medseg {name}" in times.bare:
            ratio = best(f"nnU-Net {name}", times.bare) / best(f"medseg {name}", times.bare)
            yield f"bare step, both in {name}: nnU-Net's over medseg's {ratio:.2f}"


if __name__ == "__main__":
    typer.run(main)
