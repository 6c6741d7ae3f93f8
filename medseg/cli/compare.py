"""`medseg compare`: which of several methods is better, and how sure that is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medseg.cli.options import Overwrite, Quiet

if TYPE_CHECKING:
    from rich.console import Console

    from medseg.comparison import Comparison, Difference, Ranking

_FILES = ("comparison.csv", "comparison.json", "comparison.svg")
_WIDTH_OF_FILES = 1000


def compare(
    scores: Annotated[
        list[str],
        typer.Argument(
            metavar="SCORES",
            help="Two or more scores.csv of `medseg evaluate`, or their folders; NAME=PATH says "
            "what a method is called.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help=f"Writes {', '.join(_FILES)}."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="May be repeated; by default, all."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="DATA",
            help="Whose case each is, as cases of one patient are alike: a data set, or a CSV "
            "file with the columns case and patient, or FILE.csv:COLUMN.",
        ),
    ] = None,
    intersect: Annotated[
        bool,
        typer.Option("--intersect", help="Compare the cases that all have, if they differ."),
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Test whether methods differ, case by case, and rank them."""
    from medseg.comparison import compare as compared
    from medseg.comparison import read_patients
    from medseg.evaluation import Bootstrap

    files = [output / name for name in _FILES] if output else []
    if (there := [str(file) for file in files if file.exists()]) and not overwrite:
        raise FileExistsError(f"{', '.join(there)} exist already; --overwrite replaces them")
    found = compared(
        _named(scores),
        metric or None,
        patients=None if group is None else read_patients(group),
        cases="common" if intersect else "same",
        bootstrap=Bootstrap(seed=seed),
    )
    for file in files:
        found.save(file)
    _show(found)


def _named(texts: Sequence[str]) -> dict[str, Path]:
    """Files by the names of their methods: what is given, or what of their paths differs."""
    given = [text.partition("=") for text in texts]
    named = [(name, Path(path)) if equals else ("", Path(name)) for name, equals, path in given]
    files = [(name, path / "scores.csv" if path.is_dir() else path) for name, path in named]
    unnamed = [path.absolute() for name, path in files if not name]
    depth = next(
        (k for k in range(3) if len({_part(path, k) for path in unnamed}) == len(unnamed)), 0
    )
    methods: dict[str, Path] = {}
    for name, path in files:
        method = name or _part(path.absolute(), depth)
        if method in methods:
            raise ValueError(
                f"{methods[method]} and {path} would both be called {method}; say NAME=PATH"
            )
        methods[method] = path
    return methods


def _part(path: Path, depth: int) -> str:
    """Name of a file without suffix, or of a folder above it."""
    return path.stem if depth == 0 else path.parents[depth - 1].name


def _show(comparison: Comparison) -> None:
    from rich.console import Console

    # In a file or a pipe, no cell is cut to the width of a terminal.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES)
    heads = ["label", "name", "metric", "first", "second", "median difference"]
    heads += [f"{100 * comparison.bootstrap.level:g} % interval", "won", "tied", "lost", "p"]
    rows = [_difference(each) for each in comparison.differences]
    _print(console, [*heads, "p corrected"], rows, words=5)
    heads = ["label", "metric", *(f"mean rank of {m}" for m in comparison.methods), "tau"]
    ranked = comparison.rankings if len(comparison.methods) > 2 else comparison.rankings[:1]
    _print(console, heads, [_ranking(each) for each in ranked], words=2)
    typer.echo(
        f"{len(comparison.cases)} cases of {comparison.patients} patients; first less second; "
        f"p corrected by Holm over {len(rows)} tests"
    )


def _difference(found: Difference) -> list[str]:
    return [
        *(str(found.label), found.name, found.metric, found.first, found.second),
        f"{found.median:+.3f}",
        f"{found.low:+.3f} to {found.high:+.3f}",
        *(str(count) for count in (found.wins, found.ties, found.losses)),
        *(f"{p:.2g}" for p in (found.p, found.corrected)),
    ]


def _ranking(found: Ranking) -> list[str]:
    ranks = (
        f"{rank:.2f} (first in {100 * found.shares[method][0]:.0f} %)"
        for method, rank in found.mean_ranks.items()
    )
    label = "all" if found.label is None else str(found.label)
    return [label, found.metric or "all", *ranks, "-" if isnan(found.tau) else f"{found.tau:.2f}"]


def _print(
    console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]], words: int
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for k, heading in enumerate(heads):
        table.add_column(heading, justify="left" if k < words else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
