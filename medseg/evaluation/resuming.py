"""Go on with an evaluation: which cases are scored already, by whoever has done which shard."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medseg import strict_json
from medseg.evaluation.records import Counts, Record
from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Scores
from medseg.registry import build

_OF_SHARD = re.compile(r"scores(_\d+_of_\d+)?\.csv")


def scored_before(folder: Path, rules: Rules) -> Scores:
    """Return all scores in a folder, with their records: of each shard, and of all of them.

    Raises
    ------
    ValueError
        If a file is damaged, lacks the summary beside it, or was made by other rules.
    """
    found = Scores()
    for rows, summary in _files(folder):
        content = strict_json.read(summary)
        try:
            records = _records(content["records"])
            before = build(Rules, content["rules"], "rules")
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ValueError(
                f"{summary} can't be gone on with: {error}; score all again with --overwrite"
            ) from error
        if before != rules:
            raise ValueError(
                f"{summary} was made by other rules, {before}; these are {rules}; score all again "
                "with --overwrite, or in another folder"
            )
        new = records.keys() - found.records.keys()
        found += Scores(
            tuple(row for row in Scores.read(rows) if row.case in new),
            records={case: record for case, record in records.items() if case in new},
        )
    return found


def _files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Scores and the summary beside them, those of all cases first."""
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name)):
        if _OF_SHARD.fullmatch(file.name):
            name = file.stem.replace("scores", "summary")
            yield file, file.with_name(f"{name}.json")


def _records(content: Mapping[str, Any]) -> dict[str, Record]:
    return {
        case: Record(
            None if fields["prediction"] is None else Path(fields["prediction"]),
            Path(fields["reference"]),
            int(fields["voxels"]),
            {
                label: Counts(tuple(members), *map(int, numbers))
                for label, members, *numbers in fields["counts"]
            },
            {(int(a), int(m)): int(n) for a, m, n in fields["confused"]},
            tuple(fields["annotated"]),
        )
        for case, fields in content.items()
    }
