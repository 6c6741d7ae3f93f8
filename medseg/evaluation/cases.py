"""Many cases, from files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medseg.cohort import in_one_line, mendable
from medseg.dataset import Dataset
from medseg.device import computing_threads
from medseg.evaluation.matching import Match, matches, ruled
from medseg.evaluation.records import Counts, Record, confused
from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.scoring import DEFAULT_METRICS, Compared
from medseg.io import PathLike, read_labels, stem_of
from medseg.metrics import Metric, Pair, find_metric
from medseg.progress import progress
from medseg.volume import Labels

_PLAIN = Rules()


def evaluate_cases(  # noqa: PLR0913 - each is a rule that the caller chooses
    predictions: PathLike,
    references: PathLike,
    metrics: Iterable[str] = DEFAULT_METRICS,
    regions: Mapping[str, Iterable[int]] | None = None,
    *,
    names: Mapping[int, str] | None = None,
    rules: Rules = _PLAIN,
    shard: tuple[int, int] | None = None,
    before: Scores | None = None,
) -> Scores:
    """Score each prediction against the reference of the same name, several at a time.

    One of several cases that can't be scored (a damaged file, another grid) does not keep the
    others from being scored; it is found in `Scores.failures`. A label that any case has gets
    a row in each.

    Parameters
    ----------
    predictions, references : path
        Two folders of label maps with the same names, or two files. Either may be a data set:
        its annotations then, with its label names and regions.
    metrics, regions, rules
        As for `evaluate`. A label that the data set of the references ignores is ignored, unless
        the rules name another.
    names : mapping of int to str, optional
        What the labels stand for; those named are scored even where no case has them.
    shard : (int, int), optional
        (i, n) takes every n-th case, beginning with i.
    before : Scores, optional
        Cases that need not be scored again, as `scored_before` finds them; they are among the
        result.

    Returns
    -------
    Scores
        Its `records` know the files and the voxels of each case.

    Raises
    ------
    FileNotFoundError
        If the prediction of any reference is missing and the rules refuse that; all of them
        are named.
    ValueError
        If there is nothing to score, no such metric, or of two files, what `evaluate` refuses;
        if what was scored before was scored otherwise.
    """
    chosen = tuple(find_metric(name, rules.tolerance_mm) for name in metrics)
    predicted, known = Path(predictions), Path(references)
    fixed = {name: tuple(members) for name, members in (regions or {}).items()}
    if predicted.is_file() and known.is_file() and not _are_data_sets(predicted, known):
        study = _Study(chosen, fixed, names or {}, rules)
        return study.score(stem_of(known), Match(predicted, known))
    found, rules = matches(predicted, known, rules.missing, shard, fixed), ruled(known, rules)
    study = _Study(chosen, fixed or found.regions, names or found.names, rules)
    done = study.among(before or Scores(), found.files)
    new = {case: match for case, match in found.files.items() if case not in done.records}
    in_order = {case: place for place, case in enumerate(found.files)}
    return study.completed(done + _in_threads(study.score, new), in_order)


def _are_data_sets(*paths: Path) -> bool:
    return any(map(Dataset.recognises, paths))


def _in_threads(score: Callable[[str, Match], Scores], matched: Mapping[str, Match]) -> Scores:
    def attempt(case: str) -> Scores:
        try:
            return score(case, matched[case])
        except mendable() as error:
            return Scores(failures={case: in_one_line(error)})

    done: list[Scores] = []
    workers = max(min(computing_threads(), len(matched)), 1)
    with ThreadPoolExecutor(workers) as pool, progress("evaluate") as bar:
        for case, scores in zip(matched, pool.map(attempt, matched), strict=True):
            done.append(scores)
            bar.update(len(done) / len(matched), case)
    return Scores(
        tuple(row for scores in done for row in scores.rows),
        {case: why for scores in done for case, why in scores.failures.items()},
        {case: record for scores in done for case, record in scores.records.items()},
    )


@dataclass(frozen=True)
class _Study:
    """What all cases have in common."""

    metrics: tuple[Metric, ...]
    regions: Mapping[str, tuple[int, ...]]
    names: Mapping[int, str]
    rules: Rules

    def score(self, case: str, match: Match) -> Scores:
        """Scores of one case, and its record."""
        reference = read_labels(match.reference, self.names)
        rules = self.rules
        if match.prediction is None:
            nothing = np.zeros(reference.grid.shape, np.uint8)
            predicted, rules = Labels(nothing, reference.grid), replace(rules, empty="worst")
        else:
            predicted = read_labels(match.prediction)
        compared = Compared.of(predicted, reference, self.regions, rules)
        voxels = next((pair.total for pair in compared.pairs.values()), reference.array.size)
        confusion = confused(compared.predicted, compared.reference)
        record = Record(match.prediction, match.reference, voxels, {}, confusion, match.annotated)
        counts = {
            label: Counts.of(members, pair)
            for label, pair in compared.pairs.items()
            if record.judges(members := self._members(label))
        }
        rows = (row for row in compared.rows(case, self.metrics) if row.label in counts)
        return Scores(tuple(rows), records={case: replace(record, counts=counts)})

    def among(self, before: Scores, cases: Collection[str]) -> Scores:
        """Of what was scored before, the rows and records of some cases.

        Raises
        ------
        ValueError
            If they have other metrics or regions.
        """
        wanted = tuple(dict.fromkeys(metric.name for metric in self.metrics))
        if before.rows and set(before.metrics) != set(wanted):
            raise ValueError(
                f"the cases that are scored have {', '.join(before.metrics)}, asked for "
                f"{', '.join(wanted)}; score all again with --overwrite"
            )
        records = {case: record for case, record in before.records.items() if case in cases}
        for case, record in records.items():
            regions = {k: c.labels for k, c in record.counts.items() if isinstance(k, str)}
            judged = {k: members for k, members in self.regions.items() if record.judges(members)}
            if regions != judged:
                raise ValueError(
                    f"{case} is scored with the regions {regions}, asked for {judged}; score all "
                    "again with --overwrite"
                )
        return Scores(tuple(row for row in before if row.case in records), records=records)

    def completed(self, scores: Scores, order: Mapping[str, int]) -> Scores:
        """The same with a row of each label in each case, as some case has it; in that order."""
        names = {row.label: row.name for row in scores.rows}
        # Where neither side has anything, no metric minds how large the image is.
        nothing = Pair.from_masks(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)))
        rows, records = list(scores.rows), dict(scores.records)
        for case, record in scores.records.items():
            absent = [
                label
                for label in scores.labels
                if label not in record.counts and record.judges(self._members(label))
            ]
            rows += [
                Score(case, label, names[label], m.name, m.compute(nothing), nothing.status)
                for label in absent
                for m in dict.fromkeys(self.metrics)
            ]
            more = {label: Counts(self._members(label), 0, 0, 0, record.voxels) for label in absent}
            all_counts = {**record.counts, **more}
            in_order = {label: all_counts[label] for label in scores.labels if label in all_counts}
            records[case] = replace(record, counts=in_order)
        labels = {label: place for place, label in enumerate(scores.labels)}
        rows.sort(key=lambda row: (order[row.case], labels[row.label]))
        records = {case: records[case] for case in sorted(records, key=order.__getitem__)}
        return Scores(tuple(rows), scores.failures, records, self.rules)

    def _members(self, label: int | str) -> tuple[int, ...]:
        return (label,) if isinstance(label, int) else self.regions[label]
