"""The options that commands have in common, and what they mean."""

from __future__ import annotations

import logging
import os
import sys
from ast import literal_eval
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cohort import Existing, Outcome

if TYPE_CHECKING:
    from medseg.cleanup.cleaning import Cleanup
    from medseg.learning.variants import Variants as Variations

log = logging.getLogger("medseg")
# What decides how many threads torch, NumPy, numba and SimpleITK start, read as they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def be_quiet(quiet: bool) -> bool:
    """Let only warnings and errors pass; without `quiet`, change nothing."""
    if quiet:
        log.setLevel(logging.WARNING)
    return quiet


def use_threads(threads: int | None) -> int | None:
    """Compute with so many threads, in libraries loaded already and in those to come."""
    if threads is None:
        return None
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    return threads


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Read "i/n": of n shards, counted from 0, the i-th."""
    if text is None:
        return None
    first, slash, step = text.partition("/")
    if not (slash and first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        raise ValueError(
            f"a shard is i/n, of n shards the i-th, counted from 0, as in 0/4; got {text!r}"
        )
    return int(first), int(step)


Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        callback=use_threads,
        help="CPU threads; by default all that this process may use.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=be_quiet, help="Say only what went wrong.")
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out the cases whose output is there.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only every N-th case from the I-th on, counted from 0, as 0/4: for clusters.",
    ),
]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Files, folders, globs or a data set; a case of several channels is its files with "
        "commas between them.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file for one case, its format that of the suffix, else a folder.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a parameter; may be repeated."),
]
NaN = Annotated[
    float | None,
    typer.Option(
        "--nan",
        metavar="X",
        help="Take X for NaN and infinite voxels, which are refused otherwise.",
    ),
]

Series = Annotated[
    str,
    typer.Option(
        "--series", metavar="UID|N", help="Which series, where a DICOM folder holds several."
    ),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview", help="Also draw <case>_preview.png: the labels over the image, three planes."
    ),
]
Statistics = Annotated[
    Path | None,
    typer.Option(
        "--statistics",
        metavar="FILE.csv",
        help="Write the volume, place and intensity of each label of each case; shards add "
        "_i_of_n to the name.",
    ),
]
Cleanups = Annotated[
    list[str] | None,
    typer.Option(
        "--cleanup",
        metavar="NAME[:KEY=VALUE,...]",
        help="Clean the labels up, as in keep-largest or drop-small:below=50; may be repeated. "
        "Probabilities stay as they are.",
    ),
]

Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variants",
        metavar="NAME[:KEY=VALUE,...]",
        help="Make members of an ensemble of each model: augmented[:degrees=5], of its image "
        "mirrored and turned; or dropout[:samples=10,seed=0], with dropout left on.",
    ),
]


def assignments(texts: Sequence[str] | None, option: str = "--set") -> dict[str, object]:
    """Parameters out of texts like "classes=3"; what is no Python literal is text.

    Raises
    ------
    ValueError
        If a text is no assignment, or a key comes twice.
    """
    found: dict[str, object] = {}
    for text in texts or ():
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (equals and key):
            raise ValueError(f"{option} takes key=value, got {text!r}")
        if key in found:
            raise ValueError(f"{option} gives {key} twice")
        found[key] = _literal(value)
    return found


def regions_of(texts: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """Labels of each region, by name, of texts NAME=1,2,3."""
    regions = {}
    for text in texts or ():
        name, _, labels = text.partition("=")
        parts = [part.strip() for part in labels.split(",")]
        if not name or not all(part.isdecimal() for part in parts):
            raise ValueError(f"a region is NAME=LABEL,LABEL,..., as whole=1,2,3; got {text!r}")
        if name in regions:
            raise ValueError(f"the region {name!r} is given twice")
        regions[name] = tuple(int(part) for part in parts)
    return regions


def cleanups_of(texts: Sequence[str] | None, device: str) -> tuple[Cleanup, ...]:
    """Clean-ups out of texts like "drop-small:below=50,connectivity=3".

    Raises
    ------
    ValueError
        If there is no such clean-up, or it has no such parameter.
    """
    from medseg.cleanup import cleanup_called

    return tuple(
        cleanup_called(name, **{"device": device, **given})
        for name, given in _named(texts, "--cleanup")
    )


def variants_of(texts: Sequence[str] | None) -> tuple[Variations, ...]:
    """Variants out of texts like "augmented:degrees=10"; ValueError as for `cleanups_of`."""
    from medseg.learning.variants import variants_called

    return tuple(variants_called(name, **given) for name, given in _named(texts, "--variants"))


def _named(texts: Sequence[str] | None, option: str) -> list[tuple[str, dict[str, object]]]:
    """Names and parameters out of texts NAME[:KEY=VALUE,...]."""
    found = []
    for text in texts or ():
        name, colon, rest = text.partition(":")
        given = assignments(rest.split(","), f"{option} {name}") if colon else {}
        found.append((name.strip(), given))
    return found


def existing(skip_existing: bool, overwrite: bool) -> Existing:
    """What the two options say is done where an output exists."""
    if skip_existing and overwrite:
        raise ValueError("--skip-existing and --overwrite contradict each other; give one")
    return "skip" if skip_existing else "overwrite" if overwrite else "refuse"


def conclude(
    outcome: Outcome, output: Path | None = None, shard: tuple[int, int] | None = None
) -> None:
    """Say how many cases are done; end with exit code 3 if some failed.

    Those that did are listed in a folder of outputs.
    """
    log.info("%s", outcome)
    if output is not None and output.is_dir():
        outcome.save_failures(output, shard)
    if outcome.failed:
        raise typer.Exit(3)


def _literal(text: str) -> object:
    if text.lower() in ("true", "false"):  # as text, "false" would count as true
        return text.lower() == "true"
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
