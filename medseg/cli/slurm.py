"""`--slurm`: the same command as an array of jobs, each of which takes a shard of the cases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from medseg.cli.options import assignments

# What submitit calls the same for every kind of cluster; all else is SLURM's own.
_SHARED = {"timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "name"}
_CLUSTERS = ("slurm", "local")
_MAIN = "from medseg.cli import main; main()"

Slurm = Annotated[
    str | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE,...",
        help="Submit the command as an array of jobs, each of which loads the model once: "
        "shards=8,partition=gpu,timeout_min=240. Keys are shards, those of sbatch, and "
        "cluster=local to try it on this machine. Needs medseg[slurm].",
    ),
]


@dataclass(frozen=True)
class Array:
    """An array of jobs.

    Parameters
    ----------
    shards : int
        How many jobs share the cases.
    cluster : str
        "slurm", or "local": processes of this machine, for which the command waits.
    settings : mapping of str to int, float or str
        As submitit calls them; `slurm_` stands before those of sbatch.

    Raises
    ------
    ValueError
        If there are no shards, or no such cluster.
    """

    shards: int
    cluster: str = "slurm"
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if type(self.shards) is not int or self.shards < 1:
            raise ValueError(f"--slurm takes shards=N of at least 1, got shards={self.shards}")
        if self.cluster not in _CLUSTERS:
            raise ValueError(f"a cluster is {' or '.join(_CLUSTERS)}, got {self.cluster!r}")

    @classmethod
    def parse(cls, text: str) -> Array:
        """Read "shards=8,partition=gpu,timeout_min=240"."""
        given: dict[str, Any] = assignments(text.split(","), "--slurm")
        shards, cluster = given.pop("shards", 0), given.pop("cluster", "slurm")
        settings = {key if key in _SHARED else f"slurm_{key}": v for key, v in given.items()}
        return cls(shards, str(cluster), {"timeout_min": 60, "name": "medseg", **settings})


def submitted(text: str | None, context: typer.Context, output: Path, shard: str | None) -> bool:
    """Submit the command that is running, if `text` says so, and say whether it was.

    Raises
    ------
    ValueError
        If there is no submitit or no SLURM, or a setting is none; or a shard was named too.
    typer.Exit
        With code 3, if a job on this machine failed.
    """
    from medseg.io import suffix_of

    if text is None:
        return False
    if shard is not None:
        raise ValueError("--slurm makes the shards itself; leave out --shard")
    if suffix_of(output):
        raise ValueError(f"--slurm is for many cases, which go into a folder; got {output}")
    array = Array.parse(text)
    executor = _executor(array, output / "slurm")
    arguments = _without_slurm(context.find_root().obj)
    tasks = [[*arguments, "--shard", f"{k}/{array.shards}"] for k in range(array.shards)]
    jobs = executor.map_array(run_task, tasks)
    typer.echo(f"submitted {', '.join(job.job_id for job in jobs)}; they log to {output / 'slurm'}")
    if array.cluster == "local":
        failed = [job for job in jobs if job.exception() is not None]  # which waits for each
        if failed:
            raise typer.Exit(3)
    return True


def run_task(arguments: Sequence[str]) -> None:
    """Run `medseg ARGUMENTS...` in a process of its own; a job of the array is this function."""
    command = [sys.executable, "-c", _MAIN, *arguments]
    if code := subprocess.run(command, check=False).returncode:
        raise RuntimeError(f"medseg ended with exit code {code}; its messages are above")


def _executor(array: Array, folder: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise ValueError("--slurm needs submitit; install medseg[slurm]") from None
    try:
        executor = submitit.AutoExecutor(folder, cluster=array.cluster)
        executor.update_parameters(**array.settings)
    except (RuntimeError, NameError, TypeError) as error:  # no SLURM; no such setting
        raise ValueError(f"--slurm can't submit: {error}") from error
    return executor


def _without_slurm(arguments: Sequence[str]) -> list[str]:
    """Leave out the option and its value, however they are joined."""
    kept, skip = [], False
    for argument in arguments:
        if not (skip or argument == "--slurm" or argument.startswith("--slurm=")):
            kept.append(argument)
        skip = argument == "--slurm"
    return kept
