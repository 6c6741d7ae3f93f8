"""What a user names on the command line, as cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from glob import glob, has_magic
from itertools import takewhile
from pathlib import Path

from medseg.dataset.case import Case
from medseg.dataset.collection import Dataset
from medseg.dataset.layouts import grouped, volumes_in
from medseg.io import WRITERS, is_series, stem_of, suffix_of

# Of pictures, in the folder of the results; JPEG would change labels.
_SUFFIX_FOR = {".png": ".png", ".jpg": ".png", ".jpeg": ".png", ".tif": ".tif", ".tiff": ".tif"}


def find_cases(
    inputs: str | Path | Sequence[str | Path], channels: int | None = None, *, series: str = ""
) -> tuple[Case, ...]:
    """Cases of files, folders, globs and data sets.

    Parameters
    ----------
    inputs : path or text, or a sequence of them
        Each a file; a folder, which is in this order a data set, one DICOM series, or full of
        images; a glob; or files with commas between them, which are the channels of one case.
    channels : int, optional
        How many a case has. With several, files numbered `_0000`, `_0001`, ... in a folder
        belong to one case.
    series : str, optional
        UID or number of the series that is meant, where a DICOM folder holds several.

    Raises
    ------
    FileNotFoundError
        If something is not there.
    ValueError
        If nothing is found, or two cases have one name.
    """
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    cases = [case for one in given for case in _cases(str(one), channels)]
    if series:
        cases = [_choosing(case, series) for case in cases]
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
    it is a folder. There the result of a picture is a PNG, that of a TIFF is a TIFF, and all
    others are .nii.gz.

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
    named = path.suffix[1:].isalpha() and not path.exists()
    if (is_file and suffix_of(path) not in WRITERS) or (not is_file and (path.is_file() or named)):
        raise ValueError(
            f"volumes are written as {', '.join(WRITERS)}, got {path}; if a folder is meant, "
            "make it first"
        )
    suffixes = {
        case.name: _SUFFIX_FOR.get(suffix_of(channel), "")
        for case in cases
        for channel in case.channels[:1]
    }

    def place(name: str) -> Path:
        return path if is_file else path / f"{name}{suffixes.get(name) or '.nii.gz'}"

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
    if is_series(folder):
        return [Case(folder.resolve().name, (folder,))]
    files = volumes_in(folder)
    if not files:
        raise ValueError(f"{folder} holds no image that medseg reads{_hint(folder)}")
    if channels == 1:
        return [Case(stem_of(file), (file,)) for file in files]
    return [Case(name, paths) for name, paths in grouped(files).items()]


def _hint(folder: Path) -> str:
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [path.name for path in inside if is_series(path) or volumes_in(path)]
    return f"; name one of the folders in it: {', '.join(found[:5])}" if found else ""


def _choosing(case: Case, series: str) -> Case:
    if not any(path.is_dir() for path in case.channels):
        raise ValueError(f"{case.channels[0]} is a file; a series is chosen in a DICOM folder")
    return replace(case, series=series)


def _of_channels(paths: list[Path]) -> Case:
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
    shared = _shared_start([stem_of(path) for path in paths]).rstrip("_-. ")
    return Case(shared or paths[0].resolve().parent.name, tuple(paths))


def _shared_start(names: Sequence[str]) -> str:
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same)
