"""Cases that share their channels and the meaning of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from medseg.dataset.case import Case
from medseg.dataset.check import Expected, read_checked
from medseg.dataset.folds import patient_of, patients_in_folds
from medseg.dataset.layouts import LAYOUTS
from medseg.dataset.listing import csv_of
from medseg.dataset.regions import require_regions, written_as
from medseg.device import available_threads
from medseg.io import replace_file
from medseg.volume import Image, Labels

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset:
    """Cases that belong together.

    Parameters
    ----------
    cases : tuple of Case
        Sorted by name.
    names : mapping of int to str
        What each label stands for, background left out; empty if the data set does not say.
    channels : tuple of str
        What each channel shows; empty if the data set does not say.
    regions : mapping of str to tuple of int
        Structures made of several labels, by name. They are what is scored.
    written : tuple of int
        Label that each region is written as, later ones on top. Where it is given, the regions
        are also what a network learns, in place of the labels.
    ignore : int, optional
        Label of voxels that nobody has annotated: they count for nothing.
    """

    cases: tuple[Case, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    written: tuple[int, ...] = ()
    ignore: int | None = None

    def __post_init__(self) -> None:
        if self.written:
            require_regions(self.regions, self.written)
        if self.ignore is not None and self.ignore in (0, *self.names):
            raise ValueError(
                f"the label to ignore is not 0 and has no name, got {self.ignore} with names for "
                f"{list(self.names)}"
            )
        object.__setattr__(self, "cases", tuple(sorted(self.cases, key=lambda case: case.name)))
        counts = Counter(case.name for case in self.cases)
        if twice := sorted(name for name, count in counts.items() if count > 1):
            raise ValueError(f"a data set has each case once, got two of {', '.join(twice)}")

    def __len__(self) -> int:
        return len(self.cases)

    @classmethod
    def read(cls, path: str | Path) -> Dataset:
        """Read a data set in one of the layouts of `LAYOUTS`.

        A Decathlon folder, an nnU-Net folder, `images/` beside `labels/`, a folder per case
        with the same file names in each, or a CSV file.

        Raises
        ------
        FileNotFoundError
            If `path` does not exist.
        ValueError
            If it is no data set, or its index can't be read.
        """
        place = Path(path)
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist")
        for layout in LAYOUTS.values():
            if layout.recognises(place):
                found = layout.read(place)
                if not found.cases:
                    raise ValueError(f"{place} is a data set without cases")
                return cls(found.cases, channels=found.channels, **found.meaning._asdict())
        raise ValueError(f"{place} is no data set; medseg knows {', '.join(LAYOUTS)}")

    @classmethod
    def recognises(cls, path: str | Path) -> bool:
        """Whether `read` would take `path` for a data set."""
        return any(layout.recognises(Path(path)) for layout in LAYOUTS.values())

    def save(self, path: str | Path) -> None:
        """Write the cases as a CSV file that `read` takes, with absolute paths.

        Label names and regions are not in it.
        """
        replace_file(Path(path), csv_of(self.cases, self.channels))

    def on_regions(self, regions: Mapping[str, tuple[int, ...]]) -> Dataset:
        """Return the same, to learn these regions; larger ones come before those inside them.

        See `written_as` for how they are written into one label map.
        """
        return replace(self, regions=regions, written=written_as(regions))

    def annotated(self) -> Dataset:
        """Return the cases that have an annotation; the others can be predicted only."""
        return self._with(tuple(case for case in self.cases if case.reference is not None))

    def split(self, every: int = 5) -> tuple[Dataset, Dataset]:
        """Training and validation: every fifth patient, beginning with the first, validates.

        With fewer than `every` patients nothing validates, and the second data set is empty.
        """
        patients = self._patients()
        if len(patients) < every:
            return self, self._with(())
        return self._parted(patients[::every])

    def fold(self, index: int, count: int) -> tuple[Dataset, Dataset]:
        """Training and validation of one of `count` folds of cross-validation; see `folds`."""
        if not 0 <= index < count:
            raise ValueError(f"the folds are 0/{count} to {count - 1}/{count}, got {index}/{count}")
        return self.folds(count)[index]

    def folds(self, count: int) -> tuple[tuple[Dataset, Dataset], ...]:
        """Training and validation of each of `count` folds of cross-validation.

        Each patient validates in just one fold, and every fold has its share of the patients,
        of each label and of its volume; the annotations are read to see to that.

        Raises
        ------
        ValueError
            If there are fewer patients than folds, or an annotation can't be read.
        """
        patients = self._patients()
        if not 2 <= count <= len(patients):
            many = f"2 to {len(patients)}" if len(patients) > 1 else "no"
            raise ValueError(f"{len(patients)} patients give {many} folds, asked for {count}")
        in_folds = patients_in_folds(self.cases, count, self.ignore)
        return tuple(self._parted(held_out) for held_out in in_folds)

    def check(self, *, allow_empty: bool = False) -> None:
        """Read everything and refuse what training would stumble over, all at once.

        Raises
        ------
        ValueError
            One line a problem: a file that is missing or damaged, labels, mask or weights on
            another grid than their image, a label that `names` does not have, a label map
            without any label (unless `allow_empty`), an empty mask, weights below 0, NaN or
            infinite voxels, another number of channels.
        """
        _require_none(self.problems(allow_empty=allow_empty))

    def problems(self, *, allow_empty: bool = False) -> tuple[str, ...]:
        """Read everything and say what training would stumble over; see `check`."""
        return self._read(lambda case, image, labels: None, allow_empty=allow_empty)[1]

    def visit(
        self, look: Callable[[Case, Image, Labels], T], *, allow_empty: bool = False
    ) -> tuple[T, ...]:
        """Check as `check` does, and return what `look` makes of each case that is read for it.

        Parameters
        ----------
        look : function of a case, its image and its annotation
            Called in several threads.

        Raises
        ------
        ValueError
            One line a problem, as `check` does.
        """
        found, problems = self._read(look, allow_empty=allow_empty)
        _require_none(problems)
        return found

    def _read(
        self, look: Callable[[Case, Image, Labels], T], *, allow_empty: bool
    ) -> tuple[tuple[T, ...], tuple[str, ...]]:
        """What `look` makes of the cases without problems, and the problems of the others."""
        expected = self._expected()

        def one(case: Case) -> tuple[tuple[T, ...], tuple[str, ...]]:
            reading = read_checked(case, expected, allow_empty=allow_empty)
            if reading.problems or reading.image is None or reading.labels is None:
                return (), reading.problems
            return (look(case, reading.image, reading.labels),), ()

        with ThreadPoolExecutor(available_threads()) as pool:
            seen = list(pool.map(one, self.cases))
        return (
            tuple(x for found, _ in seen for x in found),
            tuple(line for _, problems in seen for line in problems),
        )

    def _expected(self) -> Expected:
        channels = len(self.channels) or (len(self.cases[0].channels) if self.cases else 1)
        return Expected(channels, tuple(self.names), self.ignore)

    def _patients(self) -> list[str]:
        return list(dict.fromkeys(map(patient_of, self.cases)))

    def _parted(self, held_out: Collection[str]) -> tuple[Dataset, Dataset]:
        """Cases of all other patients, and of these."""
        sides: tuple[list[Case], list[Case]] = ([], [])
        for case in self.cases:
            sides[patient_of(case) in held_out].append(case)
        return self._with(tuple(sides[0])), self._with(tuple(sides[1]))

    def _with(self, cases: tuple[Case, ...]) -> Dataset:
        return replace(self, cases=cases)


def _require_none(problems: tuple[str, ...]) -> None:
    if problems:
        raise ValueError(
            f"{len(problems)} problems in the data set:\n" + "\n".join(f"  {x}" for x in problems)
        )
