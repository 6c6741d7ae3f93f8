"""Data sets: the five layouts, who validates, and everything that is wrong at once."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from medseg import Case, Dataset
from medseg.dataset import LAYOUTS
from medseg.io import stem_of

SHAPE = (3, 4, 5)


def volume(
    path: Path, values: Any = 1, *, shape: tuple[int, ...] = SHAPE, spacing: float = 1
) -> Path:
    """A tiny file, all of one value but for a corner of 0."""
    array = np.zeros(shape, np.float32)
    array[1:] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([spacing] * 3 + [1])), path)
    return path


def index(folder: Path, **content: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(content))


# Layouts: each function draws a data set of the cases a and b, with channels t1 and flair.


def decathlon(folder: Path) -> Path:
    for name in "ab":
        array = np.zeros((*SHAPE, 2), np.float32)
        array[1:] = 1, 2
        (folder / "imagesTr").mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.eye(4)), folder / "imagesTr" / f"{name}.nii.gz")
        volume(folder / "labelsTr" / f"{name}.nii.gz")
    index(
        folder,
        modality={"0": "t1", "1": "flair"},
        labels={"0": "background", "1": "lesion", "2": "oedema"},
        training=[
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
            for name in "ab"
        ],
        test=["./imagesTs/c.nii.gz"],
    )
    return folder


def nnunet(folder: Path) -> Path:
    for name in "ab":
        for channel in range(2):
            volume(folder / "imagesTr" / f"{name}_000{channel}.nii.gz", channel + 1)
        volume(folder / "labelsTr" / f"{name}.nii.gz")
    index(
        folder,
        channel_names={"0": "t1", "1": "flair"},
        labels={"background": 0, "lesion": 1, "oedema": 2},
        numTraining=2,
        file_ending=".nii.gz",
    )
    return folder


def pair_of_folders(folder: Path) -> Path:
    for name in "ab":
        for channel in range(2):
            volume(folder / "images" / f"{name}_000{channel}.nii", channel + 1)
        volume(folder / "labels" / f"{name}.nii.gz")
    return folder


def folder_per_case(folder: Path) -> Path:
    for name in "ab":
        for channel, value in (("t1", 1), ("flair", 2)):
            volume(folder / name / f"{channel}.nii.gz", value)
        volume(folder / name / "seg.nii.gz")
    return folder


def csv(folder: Path) -> Path:
    for name in "ab":
        for channel, value in (("t1", 1), ("flair", 2)):
            volume(folder / "files" / f"{channel}-{name}.nii.gz", value)
        volume(folder / "files" / f"labels-{name}.nii.gz")
    rows = [f"{n},files/t1-{n}.nii.gz,files/flair-{n}.nii.gz,files/labels-{n}.nii.gz" for n in "ba"]
    file = folder / "cases.csv"
    file.write_text("\n".join(["case,image:t1,image:flair,label", *rows]) + "\n")
    return file


DRAWN: dict[str, Callable[[Path], Path]] = dict(
    zip(LAYOUTS, (csv, decathlon, nnunet, pair_of_folders, folder_per_case), strict=True)
)


@pytest.fixture(params=DRAWN)
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    return Dataset.read(DRAWN[request.param](tmp_path))


def test_cases_come_sorted_by_name(read: Dataset) -> None:
    assert [case.name for case in read.cases] == ["a", "b"]


def test_channels_come_in_order(read: Dataset) -> None:
    # A folder per case says no order but that of the alphabet.
    names = read.channels or ("t1", "flair")
    values = {"t1": 1, "flair": 2}
    for case in read.cases:
        found = case.image(2).array.max(axis=(1, 2, 3)).tolist()
        assert found == [values[name] for name in names]


def test_labels_go_with_their_case(read: Dataset) -> None:
    for case in read.cases:
        assert case.labels().values() == (1,)
        assert case.name in str(case.reference)


def test_nothing_is_wrong_with_it(read: Dataset) -> None:
    read.check()


@pytest.mark.parametrize("layout", DRAWN)
def test_only_its_own_layout_recognises_it_first(layout: str, tmp_path: Path) -> None:
    place = DRAWN[layout](tmp_path)
    assert next(name for name, known in LAYOUTS.items() if known.recognises(place)) == layout


@pytest.mark.parametrize("draw", [decathlon, nnunet])
def test_an_index_names_labels_and_channels(draw: Callable[[Path], Path], tmp_path: Path) -> None:
    found = Dataset.read(draw(tmp_path))
    assert found.names == {1: "lesion", 2: "oedema"}
    assert found.channels == ("t1", "flair")


# What is special to one of them


def test_images_beside_labels_may_have_the_same_names(tmp_path: Path) -> None:
    for name in ("x_0001", "x_0002"):  # not channels, as the labels show
        volume(tmp_path / "image" / f"{name}.nii.gz")
        volume(tmp_path / "label" / f"{name}.nii.gz")
    found = Dataset.read(tmp_path)
    assert [(case.name, len(case.channels)) for case in found.cases] == [
        ("x_0001", 1),
        ("x_0002", 1),
    ]


def test_masks_stand_beside_images_and_labels(tmp_path: Path) -> None:
    for folder in ("images", "labels", "masks"):
        volume(tmp_path / folder / "a.nii.gz")
    (case,) = Dataset.read(tmp_path).cases
    assert case.mask().array.sum() == 2 * 4 * 5


def test_file_names_may_begin_with_the_name_of_the_case(tmp_path: Path) -> None:
    for name in ("BRATS_001", "BRATS_002"):
        for stem in ("flair", "t1", "seg", "mask"):
            volume(tmp_path / name / f"{name}_{stem}.nii.gz")
    found = Dataset.read(tmp_path)
    assert found.channels == ("flair", "t1")
    for case in found.cases:
        assert [path.name for path in case.channels] == [
            f"{case.name}_flair.nii.gz",
            f"{case.name}_t1.nii.gz",
        ]
        assert case.reference.name == f"{case.name}_seg.nii.gz"
        assert case.mask_file.name == f"{case.name}_mask.nii.gz"


def test_a_file_that_most_folders_have_is_missed_in_the_others(tmp_path: Path) -> None:
    for name in "abc":
        volume(tmp_path / name / "t1.nii.gz")
        volume(tmp_path / name / "label.nii.gz")
    (tmp_path / "b" / "t1.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"1 problems .*\n  b: .*t1\.nii\.gz is missing"):
        Dataset.read(tmp_path).check()


def test_a_file_that_few_folders_have_is_no_channel(tmp_path: Path) -> None:
    for name in "abc":
        volume(tmp_path / name / "t1.nii.gz")
        volume(tmp_path / name / "label.nii.gz")
    volume(tmp_path / "b" / "old_t1.nii.gz")
    assert Dataset.read(tmp_path).channels == ("t1",)


def test_paths_in_a_csv_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    Dataset.read("data/cases.csv").check()


def test_absolute_paths_in_a_csv_are_taken_as_they_are(tmp_path: Path) -> None:
    file = volume(tmp_path / "elsewhere" / "x.nii.gz")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "one.csv").write_text(f"case,image:t1,label\nx,{file},{file}\n")
    assert Dataset.read(tmp_path / "lists" / "one.csv").cases[0].channels == (file,)


def test_a_csv_says_patient_mask_and_weights(tmp_path: Path) -> None:
    volume(tmp_path / "x.nii.gz", 3)
    (tmp_path / "cases.csv").write_text(
        "case,image:CT,label,mask,weight,patient\n"
        "one,x.nii.gz,x.nii.gz,x.nii.gz,x.nii.gz,anna\n"
        "two,x.nii.gz,,,,\n"
    )
    one, two = Dataset.read(tmp_path / "cases.csv").cases
    assert (one.patient, two.patient) == ("anna", "")
    assert one.mask().values() == (1,)
    assert one.weights().array.max() == 3
    assert (two.reference, two.mask(), two.weights()) == (None, None, None)


@pytest.mark.parametrize(
    "header",
    ["name,image:t1,label", "case,t1,label", "case,image:t1,labels", "a,t1.nii.gz,label.nii.gz"],
)
def test_a_csv_without_the_right_header_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "cases.csv").write_text(f"{header}\nx,y,z\n")
    with pytest.raises(ValueError, match=r"needs the header case,image:NAME,.*, got "):
        Dataset.read(tmp_path / "cases.csv")


def test_an_empty_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("")
    with pytest.raises(ValueError, match="needs the header case"):
        Dataset.read(tmp_path / "cases.csv")


def test_a_csv_written_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    volume(tmp_path / "x.nii.gz")
    (tmp_path / "cases.csv").write_bytes(
        b"\xef\xbb\xbfcase,image:t1,label\r\nx,x.nii.gz,x.nii.gz\r\n"
    )
    assert Dataset.read(tmp_path / "cases.csv").cases[0].name == "x"


def test_lists_of_labels_become_regions(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    index(folder, channel_names={"0": "t1", "1": "flair"}, labels=labels)
    found = Dataset.read(folder)
    assert found.regions == {"whole": (1, 2, 3), "core": (2, 3)}
    assert found.names == {1: "label 1", 2: "label 2", 3: "enhancing"}


def test_regions_with_an_order_are_what_a_network_learns(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    labels = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "Höhle": 3, "ignore": 4}
    index(folder, channel_names={"0": "t1"}, labels=labels, regions_class_order=[1, 2, 3])
    found = Dataset.read(folder)
    assert list(found.regions.items()) == [
        ("whole tumour", (1, 2, 3)),
        ("core", (2, 3)),
        ("Höhle", (3,)),
    ]
    assert (found.written, found.ignore) == ((1, 2, 3), 4)
    assert found.names == {1: "label 1", 2: "label 2", 3: "Höhle"}


@pytest.mark.parametrize("value", [1, 0, [2, 3], "none"])
def test_a_label_to_be_ignored_stands_for_nothing_else(tmp_path: Path, value: object) -> None:
    folder = nnunet(tmp_path)
    index(folder, channel_names={"0": "t1"}, labels={"background": 0, "a": 1, "ignore": value})
    with pytest.raises(ValueError, match=r"ignore|whole number") as caught:
        Dataset.read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [[1], [1, 1], [0, 1], ["1", 2], 7])
def test_each_region_is_written_as_a_label_of_its_own(tmp_path: Path, order: object) -> None:
    folder = nnunet(tmp_path)
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    index(folder, channel_names={"0": "t1"}, labels=labels, regions_class_order=order)
    with pytest.raises(ValueError, match=r"dataset\.json: .*(written|list of labels)"):
        Dataset.read(folder)


def test_an_explicit_list_of_files_takes_the_place_of_names(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    images = ["imagesTr/a_0001.nii.gz", "imagesTr/a_0000.nii.gz"]
    index(
        folder,
        channel_names={"0": "flair", "1": "t1"},
        labels={"background": 0, "lesion": 1},
        dataset={"only": {"images": images, "label": "labelsTr/a.nii.gz"}},
    )
    (case,) = Dataset.read(folder).cases
    assert case.name == "only"
    assert case.image().array.max(axis=(1, 2, 3)).tolist() == [2, 1]


def test_an_entry_without_a_label_is_refused(tmp_path: Path) -> None:
    index(tmp_path, training=["./imagesTr/a.nii.gz"], labels={})
    with pytest.raises(ValueError, match='each entry of "training" names an image and a label'):
        Dataset.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[1, 2]"])
def test_an_index_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json (is no JSON|holds no object)"):
        Dataset.read(tmp_path)


def test_hidden_files_are_no_cases(tmp_path: Path) -> None:
    pair_of_folders(tmp_path)
    (tmp_path / "images" / "._a_0000.nii").write_bytes(b"resource fork")
    (tmp_path / "images" / "notes.txt").write_text("nothing")
    assert len(Dataset.read(tmp_path)) == 2


def test_what_is_no_data_set_is_refused_with_what_would_be(tmp_path: Path) -> None:
    volume(tmp_path / "alone.nii.gz")
    for place in (tmp_path, tmp_path / "alone.nii.gz"):
        with pytest.raises(
            ValueError, match="is no data set; medseg knows a CSV file, a Decathlon"
        ):
            Dataset.read(place)


def test_a_data_set_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        Dataset.read(tmp_path / "nowhere")


def test_a_data_set_without_cases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(ValueError, match="is a data set without cases"):
        Dataset.read(tmp_path)


def test_each_case_comes_once() -> None:
    case = Case("a", (Path("a.nii"),))
    with pytest.raises(ValueError, match="has each case once, got two of a"):
        Dataset((case, case))


# As a CSV file


@pytest.mark.parametrize("layout", [csv, nnunet, pair_of_folders])
def test_a_data_set_that_was_saved_is_the_same(
    layout: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = layout(Path("data"))  # relative, as most people name it
    dataset = Dataset.read(place)
    dataset.save("elsewhere/cases.csv")
    found = Dataset.read("elsewhere/cases.csv")
    for case, wanted in zip(found.cases, dataset.cases, strict=True):
        assert (case.name, case.patient) == (wanted.name, wanted.patient)
        assert [x.resolve() for x in case.files()] == [x.resolve() for x in wanted.files()]
    assert len(found.channels) == len(dataset.cases[0].channels)
    assert found.channels == dataset.channels or not dataset.channels


def test_cases_of_another_number_of_images_are_no_csv_file(tmp_path: Path) -> None:
    cases = (Case("a", (Path("x.nii"),)), Case("b", (Path("x.nii"), Path("y.nii"))))
    with pytest.raises(ValueError, match=r"equally many images.* got \[1, 2\] images a case"):
        Dataset(cases).save(tmp_path / "cases.csv")


# Who validates


def cohort(*patients: str) -> Dataset:
    """A case for each patient named, in this order."""
    return Dataset(
        tuple(
            Case(f"case_{k:02d}", (Path("x.nii"),), patient=patient)
            for k, patient in enumerate(patients)
        )
    )


def names(dataset: Dataset) -> set[str]:
    return {case.name for case in dataset.cases}


def test_every_fifth_validates_beginning_with_the_first() -> None:
    training, validation = cohort(*[""] * 12).split()
    assert names(validation) == {"case_00", "case_05", "case_10"}
    assert len(training) == 9


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_of_fewer_than_five_none_validates(count: int) -> None:
    training, validation = cohort(*[""] * count).split()
    assert (len(training), len(validation)) == (count, 0)


def test_patients_are_counted_not_cases() -> None:
    _, validation = cohort(*["anna"] * 3, *["ben"] * 3).split()
    assert len(validation) == 0


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_folds_are_disjoint_and_complete(count: int) -> None:
    dataset = cohort(*[""] * 11)
    folds = [dataset.fold(k, count) for k in range(count)]
    validated = [name for _, validation in folds for name in names(validation)]
    assert sorted(validated) == sorted(names(dataset))
    for training, validation in folds:
        assert names(training) | names(validation) == names(dataset)
        assert not names(training) & names(validation)
        assert len(validation) in (11 // count, -(-11 // count))


def test_a_patient_never_stands_on_both_sides() -> None:
    dataset = cohort("anna", "ben", "anna", "", "cleo", "ben", "anna", "dora", "")
    for k in range(3):
        training, validation = dataset.fold(k, 3)
        both = {c.patient for c in training.cases} & {c.patient for c in validation.cases}
        assert both <= {""}


def test_the_order_of_reading_does_not_matter() -> None:
    dataset = cohort("anna", "ben", "anna", "", "cleo", "ben")
    turned = Dataset(dataset.cases[::-1])
    assert dataset.fold(1, 3) == turned.fold(1, 3)


def test_folds_keep_names_channels_and_regions() -> None:
    dataset = Dataset(cohort("", "").cases, {1: "a"}, ("t1",), {"both": (1, 2)})
    for side in dataset.fold(0, 2):
        assert (side.names, side.channels, side.regions) == ({1: "a"}, ("t1",), {"both": (1, 2)})


def test_cases_without_annotation_are_dealt_out_by_name() -> None:
    dataset = cohort(*[""] * 12)
    for k in range(5):
        assert names(dataset.fold(k, 5)[1]) == {f"case_{n:02d}" for n in range(k, 12, 5)}


def annotated(folder: Path, sizes: Sequence[Mapping[int, int]], spacing: float = 1.0) -> Dataset:
    """A case for each mapping of label to voxels."""
    cases = []
    for number, size in enumerate(sizes):
        labels = np.zeros(200, np.uint8)
        labels[: sum(size.values())] = [label for label, n in size.items() for _ in range(n)]
        file = folder / f"case_{number:02d}.nii.gz"
        nib.save(nib.Nifti1Image(labels.reshape(10, 5, 4), np.eye(4) * spacing), file)
        cases.append(Case(stem_of(file), (Path("x.nii"),), file))
    return Dataset(tuple(cases))


def held_out(dataset: Dataset, count: int) -> list[list[int]]:
    """Numbers of the cases that validate, fold by fold."""
    return [
        [int(case.name[-2:]) for case in validation.cases] for _, validation in dataset.folds(count)
    ]


def test_a_rare_label_is_in_every_fold(tmp_path: Path) -> None:
    # By their names alone, both cases with label 7 would be in the first of two folds.
    rare = {0: {1: 20, 7: 3}, 2: {1: 20, 7: 3}}
    dataset = annotated(tmp_path, [rare.get(k, {1: 20}) for k in range(6)])
    folds = held_out(dataset, 2)
    assert [len({0, 2} & set(fold)) for fold in folds] == [1, 1]
    assert [len(fold) for fold in folds] == [3, 3]


def test_folds_are_alike_in_volume(tmp_path: Path) -> None:
    sizes = [100, 1, 100, 1, 60, 42, 60, 40]
    folds = held_out(annotated(tmp_path, [{1: n} for n in sizes]), 2)
    volumes = [sum(sizes[k] for k in fold) for fold in folds]
    assert [len(fold) for fold in folds] == [4, 4]
    assert abs(volumes[0] - volumes[1]) <= 4  # by name: 320 and 84


def test_folds_are_made_of_patients_and_their_labels(tmp_path: Path) -> None:
    cases = annotated(tmp_path, [{1: 5}, {1: 5, 2: 5}, {1: 5}, {1: 5, 2: 5}]).cases
    whose = ("anna", "anna", "ben", "cleo")
    dataset = Dataset(tuple(replace(c, patient=p) for c, p in zip(cases, whose, strict=True)))
    folds = held_out(dataset, 2)
    assert sorted(folds) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_cases_have_folds_too(count: int, tmp_path: Path) -> None:
    folds = held_out(annotated(tmp_path, [{1: n} for n in (4, 9, 2, 7)]), count)
    assert sorted(case for fold in folds for case in fold) == [0, 1, 2, 3]
    assert all(folds)


def test_a_damaged_annotation_is_named(tmp_path: Path) -> None:
    dataset = annotated(tmp_path, [{1: 5}, {1: 5}])
    (tmp_path / "case_01.nii.gz").write_bytes(b"none")
    with pytest.raises(ValueError, match="case_01"):
        dataset.fold(0, 2)


@pytest.mark.parametrize(
    ("index", "count", "message"),
    [
        (0, 1, "3 patients give 2 to 3 folds, asked for 1"),
        (0, 4, "3 patients give 2 to 3 folds, asked for 4"),
        (0, 9, "3 patients give 2 to 3 folds, asked for 9"),
        (3, 3, "the folds are 0/3 to 2/3, got 3/3"),
        (-1, 3, "the folds are 0/3 to 2/3, got -1/3"),
    ],
)
def test_folds_that_there_are_not_are_refused(index: int, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cohort("", "", "").fold(index, count)


def test_a_single_patient_has_no_folds() -> None:
    with pytest.raises(ValueError, match="1 patients give no folds, asked for 2"):
        cohort("anna", "anna").fold(0, 2)


# What is wrong


def problems(dataset: Dataset, **options: Any) -> list[str]:
    with pytest.raises(ValueError, match="problems in the data set") as caught:
        dataset.check(**options)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{len(lines)} problems in the data set:"
    return [line.strip() for line in lines]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    for name in "abcdefgh":
        volume(tmp_path / "images" / f"{name}.nii.gz")
        volume(tmp_path / "labels" / f"{name}.nii.gz")
    (tmp_path / "labels" / "a.nii.gz").unlink()
    (tmp_path / "images" / "b.nii.gz").unlink()
    volume(tmp_path / "labels" / "c.nii.gz", spacing=2)
    volume(tmp_path / "labels" / "d.nii.gz", shape=(3, 4, 6))
    volume(tmp_path / "labels" / "e.nii.gz", 0)
    volume(tmp_path / "images" / "f.nii.gz", np.nan)
    content = volume(tmp_path / "images" / "g.nii.gz").read_bytes()
    (tmp_path / "images" / "g.nii.gz").write_bytes(content[:-20])
    volume(tmp_path / "labels" / "h.nii.gz", 0.5)
    wanted = [
        "a: it has no label map",
        "b: .*b.nii.gz is missing",
        "c: .*c.nii.gz lies on another grid",
        "d: .*d.nii.gz lies on another grid",
        "e: .*e.nii.gz has no label, it is all background",
        "f: .*f.nii.gz: 40 voxels are NaN or infinite",
        "g: .*g.nii.gz is truncated or damaged",
        "h: .*h.nii.gz: labels are whole numbers, got fractions",
    ]
    found = problems(Dataset.read(tmp_path))
    assert len(found) == len(wanted)
    for line, pattern in zip(found, wanted, strict=True):
        assert re.match(pattern, line)


def one_case(tmp_path: Path, **values: Any) -> Dataset:
    """A case whose files hold the values given, by column of the CSV."""
    columns = {"image:t1": 1, "label": 1} | {k.replace("_", ":"): v for k, v in values.items()}
    for column, value in columns.items():
        volume(tmp_path / f"{column.replace(':', '-')}.nii.gz", value)
    files = [f"{column.replace(':', '-')}.nii.gz" for column in columns]
    text = f"case,{','.join(columns)}\nx,{','.join(files)}\n"
    (tmp_path / "cases.csv").write_text(text)
    return Dataset.read(tmp_path / "cases.csv")


def test_several_problems_of_one_case_are_all_named(tmp_path: Path) -> None:
    dataset = one_case(tmp_path, image_t1=np.nan, label=0.5, mask=np.inf)
    found = problems(dataset)
    assert [line.split(": ")[1].split("/")[-1] for line in found] == [
        "image-t1.nii.gz",
        "label.nii.gz",
        "mask.nii.gz",
    ]


def test_an_empty_label_map_may_be_allowed(tmp_path: Path) -> None:
    one_case(tmp_path, label=0).check(allow_empty=True)


def test_labels_that_the_data_set_does_not_name_are_listed(tmp_path: Path) -> None:
    plain = one_case(tmp_path, label=7)
    plain.check()
    named = Dataset(plain.cases, {1: "a", 2: "b"}, plain.channels)
    (line,) = problems(named)
    assert line.endswith("label.nii.gz has labels [7], the data set names [1, 2]")


def test_labels_below_zero_are_refused(tmp_path: Path) -> None:
    (line,) = problems(one_case(tmp_path, label=-1))
    assert "label.nii.gz has labels [-1]" in line


def test_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    dataset = one_case(tmp_path)
    named = Dataset(dataset.cases, {}, ("t1", "flair"))
    (line,) = problems(named)
    assert "expected 2 channels, got 1" in line


def test_cases_with_more_channels_than_the_first_are_refused(tmp_path: Path) -> None:
    for name in ("a_0000", "a_0001", "b_0000"):
        volume(tmp_path / "images" / f"{name}.nii.gz")
    for name in "ab":
        volume(tmp_path / "labels" / f"{name}.nii.gz")
    (line,) = problems(Dataset.read(tmp_path))
    assert line.startswith("b: expected 2 channels, got 1")


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    (line,) = problems(one_case(tmp_path, mask=0))
    assert "the mask" in line
    assert line.endswith("is empty")


@pytest.mark.parametrize("column", ["mask", "weight"])
def test_a_mask_or_weights_on_another_grid_are_refused(tmp_path: Path, column: str) -> None:
    dataset = one_case(tmp_path, **{column: 1})
    volume(tmp_path / f"{column}.nii.gz", 1, shape=(3, 4, 9))
    (line,) = problems(dataset)
    assert f"{column}.nii.gz lies on another grid than the image" in line


@pytest.mark.parametrize("value", [0, -1])
def test_weights_that_say_nothing_are_refused(tmp_path: Path, value: float) -> None:
    (line,) = problems(one_case(tmp_path, weight=value))
    assert "weight.nii.gz" in line


def test_a_case_without_annotation_says_so_when_asked() -> None:
    with pytest.raises(ValueError, match="case a has no annotation"):
        Case("a", (Path("a.nii"),)).labels()


def test_a_case_lists_all_its_files() -> None:
    files = [Path(name) for name in ("t1", "t2", "label", "mask", "weight")]
    assert list(Case("a", tuple(files[:2]), *files[2:]).files()) == files
