"""The ways in which people lay out a data set; `LAYOUTS` lists them, tried in order."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from medseg import strict_json
from medseg.dataset.case import Case
from medseg.dataset.index import Meaning, channels_of, files_of, meaning_of
from medseg.io import stem_of, suffix_of
from medseg.pictures import PREVIEW

_LABEL_WORDS = ("label", "labels", "seg", "segmentation", "reference", "gt")
_COLUMNS = ("case", "label", "mask", "weight", "patient", "earlier", "annotated")
_MASK_WORDS = ("mask", "brainmask", "brain_mask", "roi")


class Found(NamedTuple):
    """What a layout says: the fields of a `Dataset`."""

    cases: tuple[Case, ...]
    channels: tuple[str, ...] = ()
    meaning: Meaning = Meaning({})


@dataclass(frozen=True)
class Layout:
    """A way to lay out a data set."""

    recognises: Callable[[Path], bool]
    read: Callable[[Path], Found]


def volumes_in(folder: Path) -> list[Path]:
    """Files in `folder` that medseg reads, sorted; hidden ones and previews are left out.

    Of an .hdr and its .img, the .hdr. A link that leads nowhere is among them, so that whoever
    reads it says so.
    """
    files = sorted(
        path
        for path in folder.iterdir()
        if (path.is_file() or path.is_symlink())
        and suffix_of(path)
        and not (path.is_dir() or path.name.startswith(".") or path.name.endswith(PREVIEW))
    )
    headers = {stem_of(path) for path in files if suffix_of(path) == ".hdr"}
    return [path for path in files if suffix_of(path) != ".img" or stem_of(path) not in headers]


def by_stem(files: Sequence[Path]) -> dict[str, Path]:
    """Files by their names without suffix; ValueError if two have the same."""
    found: dict[str, Path] = {}
    for path in files:
        if (other := found.setdefault(stem_of(path), path)) != path:
            raise ValueError(
                f"{other} and {path.name} are two files for one case; keep one of them"
            )
    return found


def grouped(files: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Files by case name; `name_0000`, `name_0001`, ... are the channels of one case.

    So they are only if every file is numbered in this way.
    """
    stems = by_stem(files)
    if not all(len(s) > 5 and s[-5] == "_" and s[-4:].isdigit() for s in stems):
        return {stem: (path,) for stem, path in stems.items()}
    cases: dict[str, tuple[Path, ...]] = {}
    for stem, path in stems.items():
        cases[stem[:-5]] = (*cases.get(stem[:-5], ()), path)
    return cases


def _is_decathlon(path: Path) -> bool:
    return _has_index(path) and "training" in _index(path)


def _read_decathlon(path: Path) -> Found:
    index = _index(path)
    cases = []
    entries = index["training"]
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, Mapping) or not {"image", "label"} <= entry.keys():
            raise ValueError(
                f'{path / "dataset.json"}: each entry of "training" names an image and a label, '
                f"got {entry}"
            )
        image, label = (_inside(path, entry[key]) for key in ("image", "label"))
        cases.append(Case(stem_of(image), (image,), label))
    file = path / "dataset.json"
    return Found(tuple(cases), channels_of(index, file), meaning_of(index, file))


def _inside(folder: Path, name: object) -> Path:
    """Path of a file of a Decathlon folder, where all lie inside; links may lead elsewhere."""
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(
            f"{folder / 'dataset.json'} names {name!r}; the files of a Decathlon folder lie in "
            "it, list others in a CSV file"
        )
    return folder / name


def _is_nnunet(path: Path) -> bool:
    return _has_index(path) and (path / "imagesTr").is_dir()


def _read_nnunet(path: Path) -> Found:
    index, file = _index(path), path / "dataset.json"
    meaning = meaning_of(index, file)
    if "dataset" in index:  # an explicit list of files takes the place of the naming scheme
        listed = files_of(index, file)
        cases = tuple(
            Case(name, tuple(path / image for image in images), path / label)
            for name, (images, label) in listed.items()
        )
    else:
        cases = _paired(path / "imagesTr", path / "labelsTr", None)
    return Found(cases, channels_of(index, file), meaning)


def _is_pair_of_folders(path: Path) -> bool:
    return _folders(path) is not None


def _read_pair_of_folders(path: Path) -> Found:
    images, labels = _folders(path) or (path, path)
    masks = next((path / name for name in ("masks", "mask") if (path / name).is_dir()), None)
    return Found(_paired(images, labels, masks))


def _is_folder_per_case(path: Path) -> bool:
    stems = _stems(path)
    label = _label_stem(stems)
    return label is not None and bool(set(stems) - {label, *_MASK_WORDS})


def _read_folder_per_case(path: Path) -> Found:
    folders = _case_folders(path)
    stems = _stems(path)
    label = _label_stem(stems)
    mask = next((stem for stem in stems if stem in _MASK_WORDS), None)
    channels = tuple(stem for stem in stems if stem not in (label, mask))
    cases = []
    for folder in folders:
        files = {_short_stem(file): file for file in by_stem(volumes_in(folder)).values()}

        def place(stem: str, files: dict[str, Path] = files, folder: Path = folder) -> Path:
            return files.get(stem, folder / f"{stem}.nii.gz")  # the check names what is missing

        cases.append(
            Case(
                folder.name,
                tuple(place(stem) for stem in channels),
                place(label) if label else None,
                place(mask) if mask else None,
            )
        )
    return Found(tuple(cases), channels)


def _is_csv(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".csv"


def _read_csv(path: Path) -> Found:
    columns, rows = _table(path)
    images = [column for column in columns if column and column.startswith("image:")]
    if not images or "case" not in columns or not {*_COLUMNS, *images}.issuperset(columns):
        raise ValueError(
            f"{path} needs the header case,image:NAME,...,{','.join(_COLUMNS[1:])} "
            f"(the last {len(_COLUMNS) - 1} may be missing), got {','.join(map(str, columns))}"
        )

    def file_in(row: Mapping[str, str], column: str) -> Path | None:
        return path.parent / row[column] if row.get(column) else None

    cases = tuple(
        Case(
            row.get("case") or "",
            tuple(path.parent / (row[column] or "missing") for column in images),
            file_in(row, "label"),
            file_in(row, "mask"),
            file_in(row, "weight"),
            row.get("patient") or "",
            earlier_file=file_in(row, "earlier"),
            annotated=_numbers(row.get("annotated") or "", path),
        )
        for row in rows
    )
    return Found(cases, tuple(column.removeprefix("image:") for column in images))


def _numbers(text: str, path: Path) -> tuple[int, ...]:
    parts = text.split()
    if not all(part.removeprefix("-").isdecimal() for part in parts):
        raise ValueError(f"{path}: annotated are labels with spaces between, got {text!r}")
    return tuple(map(int, parts))


def _table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), list(reader.fieldnames or ())
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from error
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise ValueError(f"{path} has the columns {', '.join(twice)} twice")
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise ValueError(f"{path}: row {number} has more than the {len(columns)} columns")
    return columns, rows


LAYOUTS: Mapping[str, Layout] = {
    "a CSV file": Layout(_is_csv, _read_csv),
    "a Decathlon folder": Layout(_is_decathlon, _read_decathlon),
    "an nnU-Net folder": Layout(_is_nnunet, _read_nnunet),
    "images/ beside labels/": Layout(_is_pair_of_folders, _read_pair_of_folders),
    "a folder per case with the same file names in each, one of them label": Layout(
        _is_folder_per_case, _read_folder_per_case
    ),
}


def _has_index(path: Path) -> bool:
    return (path / "dataset.json").is_file()


def _index(path: Path) -> Mapping[str, Any]:
    file = path / "dataset.json"
    content = strict_json.read(file)
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} holds no object")
    return content


def _folders(path: Path) -> tuple[Path, Path] | None:
    for images, labels in (("images", "labels"), ("image", "label"), ("imagesTr", "labelsTr")):
        if (path / images).is_dir() and (path / labels).is_dir():
            return path / images, path / labels
    return None


def _paired(images: Path, labels: Path, masks: Path | None) -> tuple[Case, ...]:
    annotated = by_stem(volumes_in(labels)) if labels.is_dir() else {}
    inside = by_stem(volumes_in(masks)) if masks else {}
    files = {stem: (file,) for stem, file in by_stem(volumes_in(images)).items()}
    channels = files if files.keys() & annotated.keys() else grouped(volumes_in(images))
    alone = {name: (images / f"{name}.nii.gz",) for name in annotated.keys() - channels.keys()}
    return tuple(
        Case(name, paths, annotated.get(name), inside.get(name))
        for name, paths in {**channels, **alone}.items()
    )


def _case_folders(path: Path) -> list[Path]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [folder for folder in folders if volumes_in(folder)]


def _stems(path: Path) -> list[str]:
    """File names that most case folders share."""
    if not path.is_dir():
        return []
    folders = _case_folders(path)
    found = [_short_stem(file) for folder in folders for file in volumes_in(folder)]
    return sorted({stem for stem in found if found.count(stem) > len(folders) / 2})


def _short_stem(file: Path) -> str:
    """Stem without the case's name in front of it, as in BRATS_001/BRATS_001_flair.nii.gz."""
    return stem_of(file).removeprefix(file.parent.name).lstrip("_-") or stem_of(file)


def _label_stem(stems: Sequence[str]) -> str | None:
    return next((stem for stem in stems if stem in _LABEL_WORDS), None)
