"""What users name as input, as cases; and where outputs go."""

from pathlib import Path

import pytest
from dicoms import write_series
from drawn import some_image
from test_dataset import DRAWN, csv, decathlon, nnunet, volume

from medseg import Case
from medseg.dataset import find_cases, place_outputs


def names(cases: tuple[Case, ...]) -> list[str]:
    return [case.name for case in cases]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images that are no data set."""
    for name in ("a.nii.gz", "b.nii", "c.NII.GZ"):
        volume(tmp_path / name.lower()).rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


# Inputs


def test_a_file_is_a_case_of_its_name(folder: Path) -> None:
    (case,) = find_cases(folder / "a.nii.gz")
    assert (case.name, case.channels) == ("a", (folder / "a.nii.gz",))


def test_text_is_taken_as_a_path(folder: Path) -> None:
    assert find_cases(str(folder / "b.nii")) == find_cases(folder / "b.nii")


def test_a_folder_is_all_images_in_it(folder: Path) -> None:
    assert names(find_cases(folder)) == ["a", "b", "c"]


def test_a_glob_is_what_matches(folder: Path) -> None:
    assert names(find_cases(f"{folder}/[ab].nii*")) == ["a", "b"]


def test_a_glob_may_match_folders(folder: Path) -> None:
    volume(folder / "more" / "d.nii")
    assert names(find_cases(f"{folder}/mor?")) == ["d"]


def test_a_glob_that_matches_nothing_is_said_so(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file matches .*x\*"):
        find_cases(f"{folder}/x*")


def test_several_inputs_come_in_their_order(folder: Path) -> None:
    assert names(find_cases([folder / "b.nii", folder / "a.nii.gz"])) == ["b", "a"]


@pytest.mark.parametrize("layout", DRAWN)
def test_a_data_set_gives_its_cases(tmp_path: Path, layout: str) -> None:
    cases = find_cases(DRAWN[layout](tmp_path), channels=2)
    assert names(cases) == ["a", "b"]
    assert all(case.image(2).channels == 2 for case in cases)


def test_numbered_files_are_channels_of_one_case(tmp_path: Path) -> None:
    nnunet(tmp_path)
    (case, _) = find_cases(tmp_path / "imagesTr", channels=2)
    assert case.name == "a"
    assert [path.name for path in case.channels] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def test_of_one_channel_numbered_files_are_cases(tmp_path: Path) -> None:
    nnunet(tmp_path)
    found = names(find_cases(tmp_path / "imagesTr", channels=1))
    assert found == ["a_0000", "a_0001", "b_0000", "b_0001"]


def test_numbers_are_no_channels_unless_all_files_have_them(tmp_path: Path) -> None:
    for name in ("a_0000", "a_0001", "b"):
        volume(tmp_path / f"{name}.nii")
    assert names(find_cases(tmp_path, channels=2)) == ["a_0000", "a_0001", "b"]


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (("p7_flair", "p7_t1"), "p7"),
        (("p7-flair", "p7-t1"), "p7"),
        (("p7_0000", "p7_0001"), "p7_000"),
        (("flair", "t1"), "scans"),
    ],
    ids=str,
)
def test_commas_join_the_channels_of_one_case(
    tmp_path: Path, files: tuple[str, ...], name: str
) -> None:
    paths = [volume(tmp_path / "scans" / f"{stem}.nii.gz") for stem in files]
    (case,) = find_cases(", ".join(map(str, paths)))
    assert (case.name, case.channels) == (name, tuple(paths))


def test_a_file_with_a_comma_in_its_name_is_a_file(tmp_path: Path) -> None:
    file = volume(tmp_path / "a,b.nii.gz")
    assert find_cases(file)[0].channels == (file,)


def test_a_missing_channel_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"t9\.nii does not exist"):
        find_cases(f"{folder / 'b.nii'},{folder / 't9.nii'}")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.nii does not exist"):
        find_cases(tmp_path / "nowhere.nii")


def test_a_folder_of_slices_is_one_case(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "head scan", some_image())
    (case,) = find_cases(folder)
    assert (case.name, case.channels) == ("head scan", (folder,))
    assert case.image().grid.shape == (4, 5, 6)


def test_a_data_set_comes_before_slices_and_slices_before_images(tmp_path: Path) -> None:
    decathlon(tmp_path)
    write_series(tmp_path, some_image())
    assert names(find_cases(tmp_path, 2)) == ["a", "b"]
    volume(write_series(tmp_path / "mixed", some_image()) / "image.nii")
    assert names(find_cases(tmp_path / "mixed")) == ["mixed"]


def test_the_series_of_a_folder_is_chosen(tmp_path: Path) -> None:
    for number in (3, 8):
        write_series(tmp_path / "scans", some_image((4, 5, number)), number=number)
    (case,) = find_cases(tmp_path / "scans", series="8")
    assert case.image().grid.shape == (4, 5, 8)
    volume(tmp_path / "image.nii")
    with pytest.raises(ValueError, match="a series is chosen in a DICOM folder"):
        find_cases(tmp_path / "image.nii", series="8")


def test_folders_in_a_folder_are_named(tmp_path: Path) -> None:
    write_series(tmp_path / "study" / "flair", some_image())
    with pytest.raises(ValueError, match="name one of the folders in it: flair"):
        find_cases(tmp_path / "study")


def test_two_inputs_of_one_name_are_refused(folder: Path) -> None:
    volume(folder / "more" / "a.nii")
    with pytest.raises(ValueError, match="two inputs are called a, and outputs are named after"):
        find_cases([folder, folder / "more"])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no image that medseg reads"):
        find_cases(tmp_path)


def test_no_input_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no input was given"):
        find_cases([])


def test_a_csv_is_a_data_set(tmp_path: Path) -> None:
    assert names(find_cases(csv(tmp_path))) == ["a", "b"]


# Outputs


def test_a_folder_gets_a_file_a_case(folder: Path, tmp_path: Path) -> None:
    place = place_outputs(find_cases(folder), tmp_path / "out")
    assert place("a") == tmp_path / "out" / "a.nii.gz"


@pytest.mark.parametrize("name", ["out.nii.gz", "out.nii", "out.mha", "out.PNG"])
def test_one_case_may_go_into_a_file(folder: Path, tmp_path: Path, name: str) -> None:
    place = place_outputs(find_cases(folder / "a.nii.gz"), tmp_path / name)
    assert place("a") == tmp_path / name


@pytest.mark.parametrize(
    ("name", "output"),
    [("a.png", "a.png"), ("a.JPG", "a.png"), ("a.tiff", "a.tif"), ("a.nrrd", "a.nii.gz")],
)
def test_in_a_folder_pictures_give_pictures(tmp_path: Path, name: str, output: str) -> None:
    (tmp_path / name).touch()
    place = place_outputs(find_cases(tmp_path / name), tmp_path / "out")
    assert place("a") == tmp_path / "out" / output


def test_several_cases_do_not_go_into_a_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 cases go into a folder, got the file"):
        place_outputs(find_cases(folder), tmp_path / "out.nii.gz")


def test_a_folder_that_is_called_like_a_file_is_a_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.nii.gz").mkdir()
    place = place_outputs(find_cases(folder), tmp_path / "out.nii.gz")
    assert place("a") == tmp_path / "out.nii.gz" / "a.nii.gz"


@pytest.mark.parametrize("name", ["out.gif", "out.mhd", "out.img"])
def test_files_of_another_kind_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"volumes are written as \.nii\.gz, \.nii, .* make it"):
        place_outputs(find_cases(folder / "a.nii.gz"), tmp_path / name)


def test_a_folder_may_have_a_version_number(folder: Path, tmp_path: Path) -> None:
    place = place_outputs(find_cases(folder), tmp_path / "model-1.5")
    assert place("a") == tmp_path / "model-1.5" / "a.nii.gz"


def test_an_output_that_is_an_input_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.nii\.gz is an input and would be overwritten"):
        place_outputs(find_cases(folder), folder)


def test_the_label_map_of_a_case_is_an_input_too(tmp_path: Path) -> None:
    cases = find_cases(decathlon(tmp_path))
    with pytest.raises(ValueError, match="is an input and would be overwritten"):
        place_outputs(cases, tmp_path / "labelsTr")


def test_the_input_of_another_case_is_an_input_too(tmp_path: Path) -> None:
    for name in "ab":
        volume(tmp_path / f"{name}.nii.gz")
    (tmp_path / "crossed.csv").write_text("case,image:t1\na,b.nii.gz\nb,a.nii.gz\n")
    with pytest.raises(ValueError, match="is an input and would be overwritten"):
        place_outputs(find_cases(tmp_path / "crossed.csv"), tmp_path)
