"""Many cases: what is done stays done, one bad case stops no other, shards share the work."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medseg.cohort import Outcome, in_one_line, over_cases

CASES = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: tmp_path / f"{name}.txt"


def write(case: int, path: Path) -> None:
    path.write_text(str(case))


def refuse_3(case: int, path: Path) -> None:
    if case == 3:
        raise ValueError("three is\nrefused")
    write(case, path)


def test_every_case_is_done_in_order(place: Callable[[str], Path]) -> None:
    assert over_cases(write, CASES, place) == Outcome(done=tuple(CASES))
    assert [place(name).read_text() for name in CASES] == ["1", "2", "3", "4", "5"]


def test_one_bad_case_is_kept_and_the_rest_is_done(
    place: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    outcome = over_cases(refuse_3, CASES, place)
    assert outcome.done == ("a", "b", "d", "e")
    assert outcome.failed == {"c": "three is refused"}
    assert "c failed: three is refused" in caplog.text
    assert str(outcome) == "4 done; 1 failed (c)"


def test_the_error_of_an_only_case_is_raised(place: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match="three is"):
        over_cases(refuse_3, {"c": 3}, place)


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError(), FileNotFoundError("gone")])
def test_errors_of_files_and_memory_are_kept(
    error: Exception, place: Callable[[str], Path]
) -> None:
    def work(case: int, path: Path) -> None:
        if case == 2:
            raise error
        write(case, path)

    assert list(over_cases(work, CASES, place).failed) == ["b"]


def test_a_full_gpu_is_kept_too(place: Callable[[str], Path]) -> None:
    import torch

    def work(case: int, path: Path) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert len(over_cases(work, CASES, place).failed) == 5


def test_our_own_bugs_are_not_kept(place: Callable[[str], Path]) -> None:
    def work(case: int, path: Path) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        over_cases(work, CASES, place)


def test_existing_outputs_are_refused_before_any_work(place: Callable[[str], Path]) -> None:
    for name in "bcde":
        place(name).touch()
    with pytest.raises(
        FileExistsError, match=r"b\.txt, .*c\.txt, .*d\.txt and 1 more exist already; .*--overwrite"
    ):
        over_cases(write, CASES, place)
    assert not place("a").exists()


def test_existing_outputs_are_skipped_when_asked(place: Callable[[str], Path]) -> None:
    place("b").write_text("old")
    outcome = over_cases(write, CASES, place, existing="skip")
    assert (outcome.done, outcome.skipped) == (("a", "c", "d", "e"), ("b",))
    assert place("b").read_text() == "old"


def test_existing_outputs_are_replaced_when_asked(place: Callable[[str], Path]) -> None:
    place("b").write_text("old")
    assert over_cases(write, CASES, place, existing="overwrite").done == tuple(CASES)
    assert place("b").read_text() == "2"


def test_shards_do_every_case_once(place: Callable[[str], Path]) -> None:
    done = [over_cases(write, CASES, place, shard=(first, 3)).done for first in range(3)]
    assert done == [("a", "d"), ("b", "e"), ("c",)]


def test_more_shards_than_cases_leave_some_without_work(place: Callable[[str], Path]) -> None:
    assert over_cases(write, CASES, place, shard=(7, 9)) == Outcome()


@pytest.mark.parametrize("shard", [(3, 3), (-1, 3), (0, 0)])
def test_a_shard_that_is_not_there_is_refused(
    shard: tuple[int, int], place: Callable[[str], Path]
) -> None:
    with pytest.raises(ValueError, match="shards of"):
        over_cases(write, CASES, place, shard=shard)


def test_two_cases_of_one_output_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a and b would both be written to"):
        over_cases(write, CASES, lambda name: tmp_path / "same.txt")


def test_progress_goes_to_the_log(
    place: Callable[[str], Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.progress._SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level(logging.INFO, "medseg"):
        over_cases(write, CASES, place, what="otsu")
    assert "otsu: 40 %  c" in caplog.text


def test_an_error_of_the_system_names_its_file() -> None:
    assert in_one_line(PermissionError(13, "Permission denied", "x.nii")) == (
        "x.nii: permission denied"
    )


def test_it_works_without_torch(
    place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert list(over_cases(refuse_3, CASES, place).failed) == ["c"]
