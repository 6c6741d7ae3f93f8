"""Wall time of commands that should come back at once, and what their imports cost."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import typer
from rich.console import Console
from rich.table import Table

import medseg
from medseg.phantom import draw_case

CALL = "from medseg.cli import main; main()"
COLUMNS = ("command", "median s", "fastest s", "goal s", "")


def main(repeats: int = 11, dearest: int = 5) -> None:
    """Run each command so many times in turn, once before it counts, and print medians.

    Parameters
    ----------
    repeats : int
    dearest : int
        Of each command, print so many of the imports that cost most.
    """
    say = Console(width=100).print
    with tempfile.TemporaryDirectory() as scratch:
        commands = commands_on(Path(scratch))
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(repeats + 1):
            for name, (arguments, _) in commands.items():
                taken = seconds(arguments)
                times[name] += [taken] if turn else []
        say(table(times, {name: goal for name, (_, goal) in commands.items()}))
        for name, (arguments, _) in commands.items():
            say(f"{name}: {', '.join(imports(arguments)[:dearest])}")


def commands_on(folder: Path) -> dict[str, tuple[tuple[str, ...], float]]:
    """Arguments of each command, on small drawn files, and how long it may take."""
    image, labels = draw_case(0)
    other = labels.on(labels.array[::-1], labels.grid)
    for name, volume in (("image", image), ("labels", labels), ("other", other)):
        medseg.write(volume, folder / f"{name}.nii.gz")
    found, wanted = str(folder / "other.nii.gz"), str(folder / "labels.nii.gz")
    return {
        "medseg --help": (("--help",), 0.2),
        "medseg methods": (("methods",), 0.6),
        "medseg info FILE": (("info", str(folder / "image.nii.gz")), 0.6),
        "medseg evaluate A B": (("evaluate", found, wanted), 1.0),
    }


def seconds(arguments: tuple[str, ...]) -> float:
    """Wall time of `medseg ARGUMENTS...`, from the start of Python to its end."""
    began = time.perf_counter()
    run(arguments)
    return time.perf_counter() - began


def imports(arguments: tuple[str, ...]) -> list[str]:
    """What is imported, the dearest first, with the milliseconds that it takes by itself."""
    own: dict[str, int] = {}
    for line in run(arguments, "-X", "importtime").splitlines():
        if line.startswith("import time:") and line.split()[2].isdigit():
            microseconds, _, module = line.removeprefix("import time:").split("|")
            top = module.strip().partition(".")[0]
            own[top] = own.get(top, 0) + int(microseconds)
    dearest = sorted(own, key=lambda name: -own[name])
    return [f"{name} {own[name] / 1000:.0f} ms" for name in dearest]


def run(arguments: tuple[str, ...], *options: str) -> str:
    """What `medseg ARGUMENTS...` writes to stderr."""
    command = [sys.executable, *options, "-c", CALL, *arguments]
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"medseg {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stderr


def table(times: dict[str, list[float]], goals: dict[str, float]) -> Table:
    """One line a command."""
    result = Table(title="wall time, Python's start included")
    for column in COLUMNS:
        result.add_column(column, justify="left" if column in ("command", "") else "right")
    for name, taken in times.items():
        middle = median(taken)
        verdict = "kept" if middle <= goals[name] else "missed"
        cells = (f"{middle:.3f}", f"{min(taken):.3f}", f"{goals[name]:.1f}", verdict)
        result.add_row(name, *cells)
    return result


if __name__ == "__main__":
    typer.run(main)
