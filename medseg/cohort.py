"""A function over many cases: what is done stays done, and one bad case stops no other."""

from __future__ import annotations

import csv
import logging
import sys
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from medseg.progress import progress

T = TypeVar("T")
Read = TypeVar("Read")
Found = TypeVar("Found")
Existing = Literal["refuse", "skip", "overwrite"]
log = logging.getLogger("medseg")
_LONGEST_LINE, _KEPT_END = 2000, 500
_FAILURES = "failures.csv"


@dataclass(frozen=True)
class Stages(Generic[T, Read, Found]):
    """Work on a case in three parts, so that cases overlap.

    While one is computed, the next is read and the one before is written, each in a thread: so
    no more than three are in memory.

    Parameters
    ----------
    read : function of a case
    compute : function of what was read
    write : function of the case, of what was found, and of the path of the result
    """

    read: Callable[[T], Read]
    compute: Callable[[Read], Found]
    write: Callable[[T, Found, Path], None]


@dataclass(frozen=True)
class Outcome:
    """What became of the cases, by name and in their order.

    Parameters
    ----------
    done : tuple of str
    skipped : tuple of str
        Their output was there already.
    failed : mapping of str to str
        Name -> what was wrong.
    """

    done: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{len(self.done)} done"]
        if self.skipped:
            parts.append(f"{len(self.skipped)} skipped, as their output exists")
        if self.failed:
            parts.append(f"{len(self.failed)} failed ({', '.join(self.failed)})")
        return "; ".join(parts)

    def save_failures(self, folder: Path, shard: tuple[int, int] | None = None) -> None:
        """Write `failures.csv` into a folder: case and what happened; none failed, no file."""
        from medseg.io import replace_file  # brings NumPy, which help does without

        file = of_shard(folder / _FAILURES, shard)
        if not self.failed:
            file.unlink(missing_ok=True)  # of an earlier attempt
            return
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("case", "what happened"), *self.failed.items()])
        replace_file(file, text.getvalue())


def of_shard(path: Path, shard: tuple[int, int] | None) -> Path:
    """Path of the part that a shard writes: `name_i_of_n.csv`; without shards as it is."""
    return path if shard is None else path.with_stem(f"{path.stem}_{shard[0]}_of_{shard[1]}")


def over_cases(
    work: Callable[[T, Path], None] | Stages[T, Any, Any],
    cases: Mapping[str, T],
    output: Callable[[str], Path],
    *,
    existing: Existing = "refuse",
    shard: tuple[int, int] | None = None,
    what: str = "",
) -> Outcome:
    """Do the work on every case, as `work(case, output(name))`, and say what became of them.

    Of several cases, one whose error a user can mend is logged and kept in `failed`, and the
    others go on; the error of an only case is raised.

    Parameters
    ----------
    work : function, or Stages
        Leaves its result at the path it is given, whole or not at all.
    cases : mapping of str to case
    output : function
        Path of the result of the case of that name.
    existing : str
        What to do where an output is there already: "refuse" before any work begins, "skip"
        the case, or "overwrite".
    shard : (int, int), optional
        Of (i, n), every n-th case beginning with the i-th, counted from 0, so that n
        machines share the work without talking to each other.
    what : str
        What the progress is called.

    Raises
    ------
    FileExistsError
        If an output exists and `existing` is "refuse".
    ValueError
        If there is no such shard, or two cases have the same output.
    """
    from medseg.io import remove_unfinished  # brings NumPy, which help does without

    first, step = shard or (0, 1)
    if not 0 <= first < step:
        raise ValueError(f"shards of {step} are 0 to {step - 1}, got {first}/{step}")
    places = {name: output(name) for name in cases}
    _require_different(places)
    mine = list(cases)[first::step]
    there = [name for name in mine if places[name].exists()]
    if there and existing == "refuse":
        raise FileExistsError(_existing_message([places[name] for name in there]))
    remove_unfinished(places[name] for name in mine)
    skipped = there if existing == "skip" else []
    todo = [name for name in mine if name not in set(skipped)]
    done, failed = [], {}
    attempts = _attempts(work, [(name, cases[name], places[name]) for name in todo])
    with progress(what) as shown, closing(attempts):
        for number, (name, attempt) in enumerate(attempts):
            shown.update(number / len(todo), name)
            try:
                attempt()
            except mendable() as error:
                if len(cases) == 1:
                    raise
                failed[name] = in_one_line(error)
                log.error("%s failed: %s", name, failed[name])
            else:
                done.append(name)
    return Outcome(tuple(done), tuple(skipped), failed)


def _attempts(
    work: Callable[[T, Path], None] | Stages[T, Any, Any], todo: list[tuple[str, T, Path]]
) -> Generator[tuple[str, Callable[[], None]]]:
    """Name of each case, and what ends the work on it or raises what went wrong."""
    if isinstance(work, Stages):
        yield from _overlapped(work, todo)
    else:
        for name, case, path in todo:
            yield name, partial(work, case, path)


def _overlapped(
    stages: Stages[T, Any, Any], todo: list[tuple[str, T, Path]]
) -> Generator[tuple[str, Callable[[], None]]]:
    before: tuple[str, Callable[[], None]] | None = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        coming = [reader.submit(stages.read, case) for _, case, _ in todo[:1]]
        for number, (name, case, path) in enumerate(todo):
            read = coming.pop()
            coming = [reader.submit(stages.read, case) for _, case, _ in todo[number + 1 :][:1]]
            written: Future[None] = Future()
            try:
                found = stages.compute(read.result())
            except Exception as error:
                written.set_exception(error)
            else:
                written = writer.submit(stages.write, case, found, path)
                del found
            del read
            if before is not None:
                yield before
            before = name, written.result
        if before is not None:
            yield before


def mendable() -> tuple[type[Exception], ...]:
    """Kinds of error that a user can mend: a wrong value, a file, too little memory."""
    errors: tuple[type[Exception], ...] = (ValueError, OSError, MemoryError)
    torch = sys.modules.get("torch")  # if nothing imported it, it has raised nothing
    return errors if torch is None else (*errors, torch.OutOfMemoryError)


def in_one_line(error: BaseException) -> str:
    """Say what is wrong in one line, the middle left out where it is long.

    A file may have put anything into it, so what can't be printed is written out.
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror.lower()}"
    else:
        text = str(error) or ("not enough memory" if isinstance(error, MemoryError) else "")
    line = " ".join(text.split())
    if len(line) > _LONGEST_LINE:
        line = f"{line[: _LONGEST_LINE - _KEPT_END]} ... {line[-_KEPT_END:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _require_different(places: Mapping[str, Path]) -> None:
    first_at: dict[Path, str] = {}
    for name, place in places.items():
        other = first_at.setdefault(place, name)
        if other != name:
            raise ValueError(f"{other} and {name} would both be written to {place}; rename one")


def _existing_message(there: list[Path]) -> str:
    named = ", ".join(map(str, there[:3])) + (f" and {len(there) - 3} more" if there[3:] else "")
    return (
        f"{named} {'exist' if there[1:] else 'exists'} already; go on with --skip-existing, "
        "replace with --overwrite, or choose another output"
    )
