"""Comparing methods: tests, intervals, rankings, and what is refused."""

import csv
import json
import logging
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from commands import command, complaint
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from medseg import compare
from medseg.comparison import Difference, read_patients
from medseg.comparison.testing import holm, signed_rank, weighted_medians
from medseg.evaluation import Bootstrap, Score, Scores
from medseg.metrics import Status

QUICK = Bootstrap(samples=200)
NAN, INF = math.nan, math.inf


def scored(*values: float, metric: str = "dice", label: int = 1, start: int = 0) -> Scores:
    """A score a case; infinite ones are missed, nan both empty."""

    def status(value: float) -> Status:
        return "both_empty" if math.isnan(value) else "missed" if math.isinf(value) else "ok"

    rows = (
        Score(f"case {k + start}", label, "kidney", metric, value, status(value))
        for k, value in enumerate(values)
    )
    return Scores(tuple(rows))


def with_status(scores: Scores, **statuses: Status) -> Scores:
    """The same, with another status in some cases: `case_3="spurious"`."""
    rows = (
        Score(r.case, r.label, r.name, r.metric, r.value, statuses[r.case.replace(" ", "_")])
        if r.case.replace(" ", "_") in statuses
        else r
        for r in scores
    )
    return Scores(tuple(rows))


def one(first: Scores, second: Scores, **options: object) -> Difference:
    found = compare({"first": first, "second": second}, bootstrap=QUICK, **options)  # type: ignore[arg-type]
    (difference,) = found.differences
    return difference


# Wilcoxon's test


@settings(max_examples=30, deadline=None)  # of few cases, SciPy tries all signs
@given(st.lists(st.floats(-10, 10).map(lambda x: round(x, 1)), min_size=1, max_size=40))
def test_the_test_is_that_of_scipy_if_every_case_is_a_patient(values: list[float]) -> None:
    found = signed_rank(np.array(values), np.arange(len(values)))
    if not any(values):
        assert found == 1
    else:
        differ = [value for value in values if value]
        assert found == pytest.approx(stats.wilcoxon(differ).pvalue)


def test_six_wins_of_six_are_one_in_thirty_two() -> None:
    assert signed_rank(np.arange(1.0, 7), np.arange(6)) == pytest.approx(2 / 2**6)


def test_infinite_differences_have_the_highest_rank() -> None:
    finite = np.array([-1.0, 2.0, -3.0, 4.0, 50.0, 60.0])
    endless = np.array([-1.0, 2.0, -3.0, 4.0, INF, INF])
    tied = np.array([-1.0, 2.0, -3.0, 4.0, 55.0, 55.0])
    patients = np.arange(6)
    assert signed_rank(endless, patients) == signed_rank(tied, patients)
    assert signed_rank(endless, patients) == pytest.approx(signed_rank(finite, patients), abs=0.1)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_copies_of_cases_prove_nothing_more(times: int) -> None:
    values = np.array([1.0, -2.0, 3.0, 4.0, 5.0, 7.0, 8.5])
    single = stats.wilcoxon(values).pvalue
    copies = signed_rank(np.repeat(values, times), np.repeat(np.arange(7), times))
    assert copies == pytest.approx(single)


def test_signs_of_one_patient_change_together() -> None:
    # Signed ranks 1, 2 of one patient and 3 of another: sums 3 and 3, of which 2 of 4 signs
    # reach a total of 6.
    assert signed_rank(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1])) == 0.5


def test_many_patients_are_taken_for_normal() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.2, 1, 60)
    patients = np.repeat(np.arange(30), 2)
    ranks = np.sign(values) * stats.rankdata(np.abs(values))
    sums = ranks.reshape(30, 2).sum(axis=1)
    flips = rng.choice([-1, 1], (20_000, 30)) @ sums
    expected = np.mean(np.abs(flips) >= abs(sums.sum()))
    assert signed_rank(values, patients) == pytest.approx(expected, abs=0.02)


def test_by_chance_few_differences_are_found() -> None:
    rng = np.random.default_rng(3)
    p = [
        signed_rank(np.repeat(rng.normal(size=20), 3) + rng.normal(size=60) / 9, np.arange(60) // 3)
        for _ in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.1  # 0.4, were patients not kept together


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


# medians


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=12).filter(
        lambda pairs: any(weight for _, weight in pairs)
    )
)
def test_a_weighted_median_is_that_of_the_repeated_values(pairs: list[tuple[int, int]]) -> None:
    values, weights = (np.array(each, float) for each in zip(*pairs, strict=True))
    (found,) = weighted_medians(values, weights[None])
    assert found == np.median(np.repeat(values, weights.astype(int)))


def test_a_median_between_two_infinities_is_infinite_and_of_nothing_nan() -> None:
    values = np.array([INF, 1.0, INF])
    found = weighted_medians(values, np.array([[1.0, 1, 1], [0, 1, 0], [0, 0, 0]]))
    assert (found[0], found[1]) == (INF, 1)
    assert math.isnan(found[2])


# differences


def test_a_difference_by_hand() -> None:
    found = one(scored(0.9, 0.8, 0.7, 0.5), scored(0.8, 0.8, 0.4, 0.6))
    assert (found.wins, found.ties, found.losses, found.cases) == (2, 1, 1, 4)
    assert found.median == pytest.approx(0.05)
    assert found.low <= found.median <= found.high
    assert found.p == found.corrected == pytest.approx(stats.wilcoxon([0.1, 0.3, -0.1]).pvalue)


def test_of_distances_less_is_better() -> None:
    found = one(scored(1.0, 2.0, metric="hd"), scored(3.0, 1.0, metric="hd"))
    assert (found.wins, found.losses) == (1, 1)
    assert found.median == -0.5


def test_a_miss_is_worse_than_any_number_and_no_worse_than_a_miss() -> None:
    found = one(scored(INF, 99.0, INF, metric="hd"), scored(1e6, INF, INF, metric="hd"))
    assert (found.wins, found.ties, found.losses, found.cases) == (1, 1, 1, 3)
    mostly = one(scored(INF, INF, 1.0, metric="hd"), scored(1.0, 1.0, 1.0, metric="hd"))
    assert (mostly.median, mostly.losses) == (INF, 2)


def test_an_undefined_score_of_a_missed_structure_is_a_miss() -> None:
    first = with_status(scored(NAN, 0.5, metric="precision"), case_0="missed")
    found = one(first, scored(0.1, 0.5, metric="precision"))
    assert (found.wins, found.ties, found.losses) == (0, 1, 1)


def test_to_find_nothing_where_nothing_is_beats_to_find_something() -> None:
    first, second = scored(NAN, NAN, 0.5), scored(0.0, NAN, 0.5)
    found = one(first, with_status(second, case_0="spurious"))
    assert (found.wins, found.ties, found.losses, found.cases) == (1, 1, 0, 2)
    left_out = Scores(first.rows[1:]) + Scores((Score("case 0", 2, "", "dice", 0.5, "ok"),))
    other = with_status(second, case_0="spurious")
    other += Scores((Score("case 0", 2, "", "dice", 0.5, "ok"),))
    again = compare({"first": left_out, "second": other}, bootstrap=QUICK).differences
    assert [(d.label, d.wins, d.ties) for d in again] == [(1, 1, 1), (2, 0, 1)]


def test_rounding_does_not_decide_who_is_better() -> None:
    found = one(scored(0.1 + 0.2, 0.5), scored(0.3, 0.5))
    assert (found.ties, found.p) == (2, 1)


def test_swapping_the_two_turns_everything_round() -> None:
    rng = np.random.default_rng(0)
    a, b = (scored(*rng.uniform(size=15)) for _ in range(2))
    there, back = one(a, b), one(b, a)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert (there.median, there.low, there.high) == pytest.approx(
        (-back.median, -back.high, -back.low)
    )
    assert there.p == back.p


def test_tests_are_corrected_over_labels_metrics_and_pairs() -> None:
    rng = np.random.default_rng(0)

    def some() -> Scores:
        parts = (
            scored(*rng.uniform(size=8), metric=metric, label=label)
            for metric in ("dice", "hd")
            for label in (1, 2)
        )
        return sum(parts, Scores())

    found = compare({name: some() for name in "abc"}, bootstrap=QUICK).differences
    assert len(found) == 2 * 2 * 3
    assert {(d.first, d.second) for d in found} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert [d.corrected for d in found] == holm([d.p for d in found])


def test_the_interval_of_the_median_is_that_of_a_plain_bootstrap() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(2, size=(2, 25))
    found = compare({name: scored(*v, metric="hd") for name, v in zip("ab", values, strict=True)})
    draws = rng.integers(0, 25, (20_000, 25))
    medians = np.median((values[0] - values[1])[draws], axis=1)
    (difference,) = found.differences
    expected = np.percentile(medians, [2.5, 97.5])
    assert (difference.low, difference.high) == pytest.approx(expected, abs=0.1)


# patients


def test_cases_of_one_patient_are_drawn_together() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(0.3, 1, 8), 5)
    first, second = scored(*values, metric="hd"), scored(*np.zeros(40), metric="hd")
    patients = {f"case {k}": f"patient {k // 5}" for k in range(40)}
    alone, together = one(first, second), one(first, second, patients=patients)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)
    assert together.p > 10 * alone.p
    assert together.median == alone.median
    assert compare({"a": first, "b": second}, patients=patients, bootstrap=QUICK).patients == 8


def test_a_case_without_a_patient_is_refused() -> None:
    with pytest.raises(ValueError, match="whose cases these are: case 1"):
        one(scored(1.0, 2.0), scored(1.0, 2.0), patients={"case 0": "a"})


def test_patients_are_read_from_tables_and_data_sets(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,site\na,x,north\nb,x,south\nc,,south\n")
    assert read_patients(table) == {"a": "x", "b": "x", "c": "c"}
    assert read_patients(f"{table}:site") == {"a": "north", "b": "south", "c": "south"}
    data = tmp_path / "data.csv"
    data.write_text("case,image:t1,label,patient\na,a.nii,b.nii,y\nb,a.nii,b.nii,\n")
    assert read_patients(str(data)) == {"a": "y", "b": "b"}
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii").touch()
    assert read_patients(tmp_path) == {"a": "a"}


def test_a_table_without_patients_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case,site\na,x\n")
    with pytest.raises(ValueError, match="the columns case and patient"):
        read_patients(table)
    with pytest.raises(ValueError, match="the columns case and clinic"):
        read_patients(f"{table}:clinic")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_patients(tmp_path / "nowhere.csv")


# rankings


def test_mean_ranks_by_hand() -> None:
    methods = {
        "a": scored(1.0, 5.0, INF, metric="hd"),
        "b": scored(2.0, 5.0, 3.0, metric="hd"),
        "c": scored(3.0, INF, INF, metric="hd"),
    }
    overall, only = compare(methods, bootstrap=QUICK).rankings
    assert (overall.label, only.label, only.metric) == (None, 1, "hd")
    assert only.mean_ranks == pytest.approx(
        {"a": (1 + 1.5 + 2.5) / 3, "b": (2 + 1.5 + 1) / 3, "c": (3 + 3 + 2.5) / 3}
    )
    assert overall.mean_ranks == only.mean_ranks


def test_a_clear_order_is_found_in_every_sample() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.5, 0.6, 20)
    methods = {name: scored(*(base + plus)) for name, plus in {"b": 0.1, "a": 0.2, "c": 0}.items()}
    for ranking in compare(methods, bootstrap=QUICK).rankings:
        assert ranking.shares == {"b": (0, 1, 0), "a": (1, 0, 0), "c": (0, 0, 1)}
        assert ranking.tau == 1


def test_an_order_by_chance_is_not_stable() -> None:
    rng = np.random.default_rng(0)
    methods = {name: scored(*rng.uniform(size=30)) for name in "abcd"}
    ranking = compare(methods).rankings[1]
    assert all(sum(shares) == pytest.approx(1) for shares in ranking.shares.values())
    assert 0 < ranking.tau < 0.9
    ranks = stats.rankdata(-np.array([[r.value for r in s] for s in methods.values()]), axis=0)
    samples = ranks[:, rng.integers(0, 30, (2000, 30))].mean(axis=2).T
    taus = [stats.kendalltau(ranks.mean(axis=1), sample).statistic for sample in samples]
    assert ranking.tau == pytest.approx(np.mean(taus), abs=0.03)
    first = np.mean([sample.argmin() == 0 for sample in samples])
    assert ranking.shares["a"][0] == pytest.approx(first, abs=0.05)


def test_equal_methods_share_the_first_place() -> None:
    ranking = compare({"a": scored(0.5, 0.6), "b": scored(0.5, 0.6)}, bootstrap=QUICK).rankings[1]
    assert ranking.shares == {"a": (1, 0), "b": (1, 0)}
    assert math.isnan(ranking.tau)


# what is refused


def test_other_cases_are_refused_and_named() -> None:
    first, second = scored(0.1, 0.2, 0.3), scored(0.1, 0.2, 0.3, start=1)
    with pytest.raises(ValueError, match="first lacks case 3; second lacks case 0; score them"):
        one(first, second)


def test_the_cases_that_all_have_may_be_compared(caplog: pytest.LogCaptureFixture) -> None:
    first, second = scored(0.1, 0.2, 0.3), scored(0.1, 0.2, 0.3, start=1)
    with caplog.at_level(logging.WARNING, "medseg"):
        found = one(first, second, cases="common")
    assert (found.cases, found.wins) == (2, 2)
    assert "compared on 2 cases that all have: first lacks case 3" in caplog.text
    with pytest.raises(ValueError, match="no case in common"):
        one(scored(0.1), scored(0.1, start=5), cases="common")


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (scored(0.5), with_status(scored(0.0), case_0="spurious"), {}, "has label 1 for first and"),
        (scored(0.5), scored(NAN), {}, "against the same references"),
        (scored(0.5), scored(1.0, metric="hd"), {}, "no metric in common"),
        (scored(0.5), scored(0.5), {"metrics": ["hd"]}, "hd can't be compared: first, second has"),
        (
            scored(0.5, metric="volume_predicted"),
            scored(0.5, metric="volume_predicted"),
            {"metrics": ["volume_predicted"]},
            "neither good nor bad",
        ),
        (scored(NAN), scored(NAN), {}, "nothing is compared"),
        (scored(0.5), scored(0.5), {"cases": "some"}, "same or common"),
    ],
)
def test_what_can_not_be_compared_is_refused(
    first: Scores, second: Scores, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        one(first, second, **options)


def test_one_method_is_none_to_compare() -> None:
    with pytest.raises(ValueError, match="two methods or more, got 1"):
        compare({"a": scored(0.5)})


def test_a_metric_that_one_lacks_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    first = scored(0.5) + scored(1.0, metric="hd") + scored(1.0, metric="volume_predicted")
    with caplog.at_level(logging.WARNING, "medseg"):
        found = one(first, scored(0.5))
    assert found.metric == "dice"
    assert "hd is not compared: second has no scores of it" in caplog.text
    assert "volume_predicted is not compared: it is neither good nor bad" in caplog.text


# files


def odd_pair() -> dict[str, Scores]:
    return {
        'odd <"&">': scored(INF, INF, 2.0, metric="hd"),
        "b": scored(1.0, 1.0, 1.0, metric="hd"),
    }


def test_a_comparison_is_saved_whole(tmp_path: Path) -> None:
    found = compare(odd_pair(), bootstrap=QUICK)
    for name in ("c.csv", "c.json", "c.svg"):
        found.save(tmp_path / "new" / name)
    with (tmp_path / "new" / "c.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["first"], row["median"], row["losses"]) == ('odd <"&">', "inf", "3")
    content = json.loads((tmp_path / "new" / "c.json").read_text(), parse_constant=pytest.fail)
    assert content["differences"][0]["median"] is None
    assert content["bootstrap"] == {"samples": 200, "seed": 0, "level": 0.95}
    assert content["rankings"][0]["mean_ranks"] == {'odd <"&">': 2, "b": 1}
    root = ET.parse(tmp_path / "new" / "c.svg").getroot()
    words = " ".join(root.itertext())
    assert 'odd <"&">' in words
    assert "0 won, 0 tied, 3 lost" in words
    with pytest.raises(ValueError, match=r"\.csv, \.json, \.svg, got .*c\.png"):
        found.save(tmp_path / "c.png")


def test_the_command_compares_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(0.9, 0.8, 0.7).save(tmp_path / "unet" / "scores.csv")
    scored(0.8, 0.7, 0.1).save(tmp_path / "otsu" / "scores.csv")
    (tmp_path / "who.csv").write_text("case,patient\ncase 0,x\ncase 1,x\ncase 2,y\n")
    arguments = ("compare", tmp_path / "unet", tmp_path / "otsu" / "scores.csv")
    code, out, err = command(
        capsys, *arguments, "-o", tmp_path / "out", "--group", tmp_path / "who.csv"
    )
    assert (code, err) == (0, "")
    assert "+0.100" in out
    assert "3 cases of 2 patients" in out
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["methods"] == ["unet", "otsu"]
    refused = complaint(capsys, *arguments, "-o", tmp_path / "out")
    assert "--overwrite replaces them" in refused


def test_the_command_takes_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        scored(0.9).save(tmp_path / name / "x" / "y" / "z" / "scores.csv")
    files = [tmp_path / name / "x" / "y" / "z" / "scores.csv" for name in "ab"]
    assert "would both be called scores" in complaint(capsys, "compare", *files)
    code, out, _ = command(capsys, "compare", f"unet={files[0]}", f"otsu={files[1]}")
    assert code == 0
    assert "mean rank of unet" in out


def test_the_command_says_how_to_compare_other_cases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored(0.9, 0.8).save(tmp_path / "a.csv")
    scored(0.9, 0.8, start=1).save(tmp_path / "b.csv")
    files = tmp_path / "a.csv", tmp_path / "b.csv"
    assert "--intersect" in complaint(capsys, "compare", *files)
    code, out, _ = command(capsys, "compare", *files, "--intersect", "--quiet")
    assert (code, "1 cases of 1 patients" in out) == (0, True)
