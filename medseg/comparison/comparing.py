"""Two or more methods, scored on the same cases, against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.comparison import saving
from medseg.comparison.aligning import Aligned, Cases, align
from medseg.comparison.ranking import Ranking, rankings
from medseg.comparison.testing import holm, signed_rank, weighted_medians
from medseg.evaluation import Bootstrap, Scores
from medseg.io import PathLike, replace_file

_USUAL = Bootstrap()


@dataclass(frozen=True)
class Difference:
    """Two methods in one metric of one label.

    Parameters
    ----------
    label : int or str
    name, metric : str
    first, second : str
        Names of the methods.
    cases : int
        Those in which there is something to compare.
    median : float
        Of the first less the second, case by case, in the unit of the metric; infinite if in
        most cases only one of the two is finite.
    low, high : float
        Bootstrap interval of the median, patients drawn anew.
    wins, ties, losses : int
        Cases in which the first is better, as good, worse.
    p, corrected : float
        Of Wilcoxon's signed-rank test, alone and by Holm over the whole comparison.
    """

    label: int | str
    name: str
    metric: str
    first: str
    second: str
    cases: int
    median: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    p: float
    corrected: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    methods : tuple of str
    cases : tuple of str
        Those that were compared.
    patients : int
        How many there are.
    bootstrap : Bootstrap
    differences : tuple of Difference
        Of each pair of methods in each metric of each label.
    rankings : tuple of Ranking
        Over all labels and metrics, then of each.
    scores : mapping of str to Scores
        What was compared.
    """

    methods: tuple[str, ...]
    cases: tuple[str, ...]
    patients: int
    bootstrap: Bootstrap
    differences: tuple[Difference, ...]
    rankings: tuple[Ranking, ...]
    scores: Mapping[str, Scores] = field(repr=False)

    def save(self, path: PathLike) -> None:
        """Write the differences as CSV, everything as JSON, or a picture as SVG.

        The suffix decides. What is not finite is null in JSON.
        """
        file = Path(path)
        written = {".csv": saving.csv_of, ".json": saving.json_of, ".svg": saving.svg_of}
        if file.suffix.lower() not in written:
            raise ValueError(f"a comparison is written as {', '.join(written)}, got {file}")
        replace_file(file, written[file.suffix.lower()](self))


def compare(
    methods: Mapping[str, Scores | PathLike],
    metrics: Iterable[str] | None = None,
    *,
    patients: Mapping[str, str] | None = None,
    cases: Cases = "same",
    bootstrap: Bootstrap = _USUAL,
) -> Comparison:
    """Test whether methods differ, case by case, and rank them.

    A distance to a structure that a method missed is infinite: worse than any number, and as
    bad as another miss. The same goes for what is undefined as one side lacks the structure. To
    find nothing where nothing is, is better than to find something. Cases in which no method
    has anything to find are left out.

    Parameters
    ----------
    methods : mapping of str to Scores or path
        Name -> scores, or the `scores.csv` that holds them.
    metrics : iterable of str, optional
        Default: all that every method has and of which more or less is better.
    patients : mapping of str to str, optional
        Case -> patient. Cases of one patient are tested, and drawn, together.
    cases : str
        "same": other cases in one method than in another are refused; "common": those that all
        methods have are compared.
    bootstrap : Bootstrap
        For the intervals of the medians and for the rankings.

    Raises
    ------
    ValueError
        If cases, references or metrics do not match, or a case has no patient.

    References
    ----------
    See `signed_rank`, `holm`, `Bootstrap` and `Ranking`.
    """
    read = {
        name: given if isinstance(given, Scores) else Scores.read(given)
        for name, given in methods.items()
    }
    shared, aligned = align(read, metrics, cases)
    if not aligned:
        raise ValueError("in no case has any method anything to find, so nothing is compared")
    clusters = _clusters(shared, patients)
    count = int(clusters.max()) + 1
    draws = [drawn[:, clusters] for drawn in bootstrap.draws(count)]
    names = tuple(read)
    found = _differences(names, aligned, clusters, bootstrap, draws)
    corrected = holm([each.p for each in found])
    return Comparison(
        names,
        shared,
        count,
        bootstrap,
        tuple(replace(d, corrected=p) for d, p in zip(found, corrected, strict=True)),
        rankings(names, aligned, draws),
        read,
    )


def _clusters(cases: Sequence[str], patients: Mapping[str, str] | None) -> NDArray[np.int64]:
    """Number of the patient of each case."""
    if patients is None:
        return np.arange(len(cases))
    if missing := [case for case in cases if case not in patients]:
        raise ValueError(f"nobody says whose cases these are: {', '.join(missing[:10])}")
    return np.unique([patients[case] for case in cases], return_inverse=True)[1].astype(np.int64)


def _differences(
    names: Sequence[str],
    aligned: Sequence[Aligned],
    clusters: NDArray[np.int64],
    bootstrap: Bootstrap,
    draws: Sequence[NDArray[np.float64]],
) -> list[Difference]:
    """All pairs of methods in each metric of each label, not corrected yet."""
    found = []
    for each in aligned:
        for first, second in combinations(range(len(names)), 2):
            values = each.difference(first, second)
            samples = [weighted_medians(values, drawn[:, each.counts]) for drawn in draws]
            low, high = bootstrap.interval(np.concatenate(samples))
            better = np.sign(values) * (1 if each.higher_is_better else -1)
            p = signed_rank(values, clusters[each.counts])
            found.append(
                Difference(
                    each.label,
                    each.name,
                    each.metric,
                    names[first],
                    names[second],
                    cases=len(values),
                    median=float(weighted_medians(values, np.ones((1, len(values))))[0]),
                    low=float(low),
                    high=float(high),
                    wins=int((better > 0).sum()),
                    ties=int((better == 0).sum()),
                    losses=int((better < 0).sum()),
                    p=p,
                    corrected=p,
                )
            )
    return found
