"""Kill -9 at random moments of a training and of a folder prediction, and what is left then.

After each kill every file is read, and the same command goes on. What it ends with must be what
the command leaves that nobody stopped: the same files and, bit for bit, the same weights and
label maps. Checkpoints are written after each step, so that kills fall into their writing too.
"""

import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import typer
from PIL import Image as Picture
from rich.console import Console
from rich.table import Table

from medseg.dataset import Dataset
from medseg.io import read_image
from medseg.learning.run import Run
from medseg.learning.weights import load_tensors
from medseg.phantom import draw_cohort

SHAPE = (24, 24, 12)
SMALL = ("--set", "network.features=[32,64]", "--set", "plan.patch=[16,16,8]")
REPEATABLE = ("--set", "batch=2", "--set", "precision=float32", "--device", "cpu")
IN_CHILD = """
import sys
from medseg import cli
from medseg.learning import loop
loop._SECONDS_BETWEEN_CHECKPOINTS = 0
sys.stdout = sys.stderr = open(log, "w")
cli.main(arguments)
"""
COLUMNS = ("moment", "kills", "damaged files", "left half-written", "ends", "as if unstopped")


@dataclass
class Tally:
    """What was found, by the moment of the kill, and what went wrong, in words."""

    kills: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    unfinished: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    equal: int = 0
    troubles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """A command that writes into a folder, and how far it has come there."""

    arguments: Callable[[Path], tuple[str, ...]]
    moment: Callable[[Path], str]


def main(kills: int = 100, seed: int = 0, steps: int = 60, cases: int = 30) -> None:
    """Kill each of the two so many times, and print what was found; exit code 1 if anything."""
    os.environ["OMP_NUM_THREADS"] = "1"  # with several threads sums may be taken in any order
    say = Console(width=100).print
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        few = draw_cohort(root / "few", 6, seed, SHAPE)
        many = draw_cohort(root / "many", cases, seed + 1, SHAPE)
        tallies = {
            "training": torture(training_on(few, steps), root / "train", kills, seed),
            "prediction": torture(
                prediction_of(root / "train" / "whole", many), root / "predict", kills, seed
            ),
        }
    for name, tally in tallies.items():
        say(table(name, tally))
        say("\n".join(tally.troubles), markup=False)
    if any(tally.troubles for tally in tallies.values()):
        raise typer.Exit(1)


def training_on(data: Path, steps: int) -> Work:
    """Training of a small network, in steps."""

    def arguments(folder: Path) -> tuple[str, ...]:
        return ("train", str(data), str(folder), "--steps", str(steps), *SMALL, *REPEATABLE)

    def moment(folder: Path) -> str:
        run = Run(folder)
        if not run.training.is_file():
            return "before the run is described"
        if not run.checkpoint.is_file():
            return "before the first step is saved"
        return "while it ends" if run.last.is_file() else "between steps"

    return Work(arguments, moment)


def prediction_of(run: Path, data: Path) -> Work:
    """Segmentation of a data set, with probabilities beside the labels."""

    def arguments(folder: Path) -> tuple[str, ...]:
        common = ("--probabilities", "--skip-existing", "--device", "cpu")
        return ("predict", str(run), str(data), "-o", str(folder), *common)

    def moment(folder: Path) -> str:
        return "among the cases" if any(visible(folder)) else "before the first case is written"

    return Work(arguments, moment)


def torture(work: Work, root: Path, kills: int, seed: int) -> Tally:
    """Kill so many times, begin anew in another folder whenever the work ends, and compare."""
    rng, tally, whole = random.Random(seed), Tally(), root / "whole"
    root.mkdir()
    run(("--version",), root / "log", None)  # loads the libraries, so that no kill falls there
    began = time.monotonic()
    require(run(work.arguments(whole), root / "log", None) == 0, (root / "log").read_text())
    seconds = time.monotonic() - began
    folder = root / "0"
    while (left := kills - tally.kills.total()) > 0 or folder.exists():
        limit = rng.uniform(0, seconds) if left > 0 else None
        code = run(work.arguments(folder), root / "log", limit)
        if code is None:
            inspect(folder, work.moment(folder), tally)
            continue
        tally.ends += 1
        wrong = differences(folder, whole) if code == 0 else [(root / "log").read_text().strip()]
        tally.equal += not wrong
        tally.troubles += wrong
        folder = root / str(tally.ends)
    return tally


def run(arguments: tuple[str, ...], log: Path, seconds: float | None) -> int | None:
    """Exit code of `medseg ARGUMENTS...`; None if it was killed after so many seconds."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["medseg.cli.train", "medseg.learning.training", "medseg.demo"])
    told = {"arguments": arguments, "log": str(log)}
    process = context.Process(target=exec, args=(IN_CHILD, told))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def inspect(folder: Path, moment: str, tally: Tally) -> None:
    """Count what lies in a folder whose process was just killed."""
    tally.kills[moment] += 1
    for file in folder.rglob("*"):
        if file.is_file() and file.name.startswith("."):
            tally.unfinished[moment] += 1
        elif file.is_file() and (problem := unreadable(file)):
            tally.damaged[moment] += 1
            tally.troubles.append(f"{moment}: {file.name}: {problem}")


def unreadable(file: Path) -> str:
    """Why a file can't be read; nothing if it can."""
    try:
        match file.suffix:
            case ".json":
                json.loads(file.read_text())
            case ".jsonl":  # lines are added to it, so the last one may be half there
                list(map(json.loads, file.read_text().splitlines(keepends=True)[:-1]))
            case ".safetensors":
                load_tensors(file)
            case ".png":
                Picture.open(file).load()
            case ".gz":
                read_image(file)
            case ".csv":
                Dataset.read(file)
            case _:
                return "nothing is known of such a file"
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def differences(folder: Path, whole: Path) -> list[str]:
    """In what a folder that is ready differs from one whose command was never stopped."""
    ours, theirs = ({f.name: f for f in x.iterdir()} for x in (folder, whole))
    found = [f"{name} is only in one of the folders" for name in sorted(ours.keys() ^ theirs)]
    for name in sorted(ours.keys() & theirs.keys()):
        if name.endswith((".gz", "last.safetensors", "best.safetensors")):
            same = ours[name].read_bytes() == theirs[name].read_bytes()
        else:
            same = name != "log.jsonl" or scores(ours[name]) == scores(theirs[name])
        if not same:
            found.append(f"{name} is not what it would have been")
    return found


def scores(log: Path) -> list[tuple[int, object]]:
    """Step and Dice of each validation."""
    lines = map(json.loads, log.read_text().splitlines())
    return [(line["step"], line["dice"]) for line in lines if "dice" in line]


def visible(folder: Path) -> Iterator[Path]:
    """Files that are not hidden."""
    return (file for file in folder.glob("*") if not file.name.startswith("."))


def table(name: str, tally: Tally) -> Table:
    """One line a moment, and one for the ends."""
    result = Table(title=f"{tally.kills.total()} kills of a {name}")
    for column in COLUMNS:
        result.add_column(column, justify="left" if column == "moment" else "right")
    for moment, count in tally.kills.items():
        found = (count, tally.damaged[moment], tally.unfinished[moment])
        result.add_row(moment, *map(str, found), "", "")
    result.add_row("ready", "", "", "", str(tally.ends), str(tally.equal))
    return result


def require(condition: bool, message: str) -> None:
    """Stop with a message unless a condition holds."""
    if not condition:
        raise SystemExit(message)


if __name__ == "__main__":
    typer.run(main)
