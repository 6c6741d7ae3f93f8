"""Many cases: what is done stays done, one bad case stops no other, shards share the work."""

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from medseg.cohort import Outcome, Stages, in_one_line, over_cases

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


# Stages


def doubled(refused: str = "") -> Stages[int, int, int]:
    """Stages that write twice the number; one of them refuses multiples of 3."""

    def stage(name: str, number: int) -> int:
        if name == refused and number % 3 == 0:
            raise ValueError(f"could not {name}")
        return number

    def save(case: int, found: int, path: Path) -> None:
        write(stage("write", found), path)

    return Stages(
        lambda case: stage("read", case), lambda number: 2 * stage("compute", number), save
    )


def test_stages_do_every_case_in_order(place: Callable[[str], Path]) -> None:
    assert over_cases(doubled(), CASES, place) == Outcome(done=tuple(CASES))
    assert [place(name).read_text() for name in CASES] == ["2", "4", "6", "8", "10"]


def test_stages_of_no_case_are_done_at_once(place: Callable[[str], Path]) -> None:
    assert over_cases(doubled(), {}, place) == Outcome()


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_a_case_that_fails_in_any_stage_stops_no_other(
    stage: str, place: Callable[[str], Path]
) -> None:
    outcome = over_cases(doubled(refused=stage), CASES, place)
    assert outcome == Outcome(done=("a", "b", "d", "e"), failed={"c": f"could not {stage}"})
    assert [name for name in CASES if place(name).exists()] == ["a", "b", "d", "e"]
    with pytest.raises(ValueError, match=f"could not {stage}"):
        over_cases(doubled(refused=stage), {"c": 3}, place)


def test_a_bug_in_a_stage_is_not_kept(place: Callable[[str], Path]) -> None:
    stages = Stages[int, int, int](lambda case: case, {}.__getitem__, lambda *_: None)
    with pytest.raises(KeyError):
        over_cases(stages, CASES, place)


def test_reading_and_writing_happen_while_another_case_is_computed(
    place: Callable[[str], Path],
) -> None:
    # Were stages to wait for each other, these would wait for ever: time out and fail.
    next_is_read, last_may_be_written = threading.Event(), threading.Event()

    def read(case: int) -> int:
        if case == 2:
            next_is_read.set()
        return case

    def compute(case: int) -> int:
        if case == 1:
            assert next_is_read.wait(10)
        if case == 2:
            last_may_be_written.set()
        return case

    def save(case: int, found: int, path: Path) -> None:
        if case == 1:
            assert last_may_be_written.wait(10)
        write(found, path)

    assert over_cases(Stages(read, compute, save), CASES, place).done == tuple(CASES)


def test_one_case_is_read_ahead_and_no_more(place: Callable[[str], Path]) -> None:
    read, ahead = [], []

    def remember(case: int) -> int:
        read.append(case)
        return case

    def compute(case: int) -> int:
        ahead.append(len(read) - case)
        return case

    stages = Stages(remember, compute, lambda _, found, path: write(found, path))
    over_cases(stages, CASES, place)
    assert max(ahead) <= 1
