"""What a user names on the command line, as cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path

from medseg.dataset.case import Case
from medseg.dataset.collection import Dataset
from medseg.dataset.layouts import grouped, volumes_in
from medseg.io import stem_of, suffix_of


def find_cases(
    inputs: str | Path | Sequence[str | Path], channels: int | None = None
) -> tuple[Case, ...]:
    """Cases of files, folders, globs and data sets.

    Parameters
    ----------
    inputs : path or text, or a sequence of them
        Each a file; a folder, which is a data set or else full of images; a glob; or files
        with commas between them, which are the channels of one case.
    channels : int, optional
        How many a case has. With several, files numbered `_0000`, `_0001`, ... in a folder
        belong to one case.

    Raises
    ------
    FileNotFoundError
        If something is not there.
    ValueError
        If nothing is found, or two cases have one name.
    """
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    cases = [case for one in given for case in _cases(str(one), channels)]
    if not cases:
        raise ValueError("no input was given; name a file, a folder or a data set")
    counts = Counter(case.name for case in cases)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(
            f"two inputs are called {', '.join(twice[:3])}, and outputs are named after their "
            "input; give them in separate calls"
        )
    return tuple(cases)


def place_outputs(cases: Collection[Case], output: str | Path) -> Callable[[str], Path]:
    """Where the result of the case of a name is written.

    The suffix decides: with that of a volume `output` is the file of an only case, without
    it is a folder.

    Raises
    ------
    ValueError
        If it is a file for several cases, or no kind of file that is written, or a result
        would take the place of an input.
    """
    path = Path(output)
    is_file = bool(suffix_of(path)) and not path.is_dir()
    if is_file and len(cases) > 1:
        raise ValueError(f"{len(cases)} cases go into a folder, got the file {path}")
    if not is_file and (path.is_file() or (path.suffix[1:].isalpha() and not path.exists())):
        raise ValueError(
            f"volumes are written as .nii.gz or .nii, got {path}; if a folder is meant, make it "
            "first"
        )

    def place(name: str) -> Path:
        return path if is_file else path / f"{name}.nii.gz"

    files = {file.resolve() for case in cases for file in case.files()}
    for case in cases:
        if place(case.name).resolve() in files:
            raise ValueError(
                f"{place(case.name)} is an input and would be overwritten; choose another output"
            )
    return place


def _cases(text: str, channels: int | None) -> list[Case]:
    path = Path(text)
    if path.is_dir():
        return _in_folder(path, channels)
    if path.is_file():
        if Dataset.recognises(path):
            return list(Dataset.read(path).cases)
        return [Case(stem_of(path), (path,))]
    if "," in text:
        return [_of_channels([Path(part.strip()) for part in text.split(",")])]
    if has_magic(text):
        if found := sorted(glob(text)):  # noqa: PTH207 - absolute patterns too
            return [case for one in found for case in _cases(one, channels)]
        raise FileNotFoundError(f"no file matches {text}")
    raise FileNotFoundError(f"{path} does not exist")


def _in_folder(folder: Path, channels: int | None) -> list[Case]:
    if Dataset.recognises(folder):
        return list(Dataset.read(folder).cases)
    files = volumes_in(folder)
    if not files:
        raise ValueError(f"{folder} holds no image that medseg reads")
    if channels == 1:
        return [Case(stem_of(file), (file,)) for file in files]
    return [Case(name, paths) for name, paths in grouped(files).items()]


def _of_channels(paths: list[Path]) -> Case:
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist")
    shared = _shared_start([stem_of(path) for path in paths]).rstrip("_-. ")
    return Case(shared or paths[0].resolve().parent.name, tuple(paths))


def _shared_start(names: Sequence[str]) -> str:
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)
