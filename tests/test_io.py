"""Files: what is written is read, at the same place in the world."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from drawn import oblique_affine, some_image, some_labels

from medseg.io import read_image, read_labels, replace_file, stem_of, suffix_of, write
from medseg.volume import Image, Labels

SUFFIXES = [".nii", ".nii.gz"]


def stored(path: Path, array: np.ndarray, **header: object) -> Path:
    """Write an array as nibabel would, with fields of the header set; return the path."""
    image = nib.Nifti1Image(array, oblique_affine())
    for name, value in header.items():
        image.header[name] = value
    path.write_bytes(image.to_bytes())
    return path


# round trips


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("channels", [1, 2])
def test_an_image_is_read_as_it_was_written(tmp_path: Path, suffix: str, channels: int) -> None:
    image = some_image(channels=channels)
    write(image, tmp_path / f"image{suffix}")
    back = read_image(tmp_path / f"image{suffix}")
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid, tolerance=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("high", [2, 300, 70_000, 2**40])
def test_labels_are_read_as_they_were_written(tmp_path: Path, suffix: str, high: int) -> None:
    labels = some_labels(high=high)
    write(labels, str(tmp_path / f"labels{suffix}"))
    back = read_labels(str(tmp_path / f"labels{suffix}"), {1: "one"})
    np.testing.assert_array_equal(back.array, labels.array)
    assert back.grid.matches(labels.grid, tolerance=1e-4)
    assert back.names == {1: "one"}


def test_a_volume_longer_than_nifti_1_can_say_is_read_back(tmp_path: Path) -> None:
    labels = Labels.from_array(np.arange(40_000).reshape(40_000, 1, 1) % 3)
    write(labels, tmp_path / "long.nii.gz")
    np.testing.assert_array_equal(read_labels(tmp_path / "long.nii.gz").array, labels.array)


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    write(some_labels(), tmp_path / "new" / "folder" / "labels.nii.gz")
    assert (tmp_path / "new" / "folder" / "labels.nii.gz").is_file()


@pytest.mark.parametrize("name", ["image.NII", "IMAGE.Nii.Gz"])
def test_an_upper_case_suffix_is_one_too(tmp_path: Path, name: str) -> None:
    write(some_image(), tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name).array, some_image().array)


def test_the_content_says_whether_a_file_is_compressed(tmp_path: Path) -> None:
    write(some_image(), tmp_path / "image.nii")
    (tmp_path / "misnamed.nii.gz").write_bytes((tmp_path / "image.nii").read_bytes())
    np.testing.assert_array_equal(
        read_image(tmp_path / "misnamed.nii.gz").array, some_image().array
    )


def test_a_stem_is_the_name_without_the_suffix_of_volumes() -> None:
    assert stem_of(Path("a/sub-01.t1.nii.gz")) == "sub-01.t1"
    assert suffix_of(Path("a/sub-01.t1.NII.GZ")) == ".nii.gz"
    assert suffix_of(Path("a/table.csv")) == ""


# channels


def test_several_files_are_the_channels_in_their_order(tmp_path: Path) -> None:
    image = some_image(channels=2)
    for index in (0, 1):
        write(image.channel(index), tmp_path / f"{index}.nii.gz")
    back = read_image([tmp_path / "1.nii.gz", tmp_path / "0.nii.gz"], channels=2)
    np.testing.assert_array_equal(back.array, image.array[::-1])


def test_channels_on_another_grid_are_refused_by_name(tmp_path: Path) -> None:
    write(some_image(), tmp_path / "t1.nii")
    write(some_image((4, 5, 7)), tmp_path / "flair.nii")
    with pytest.raises(ValueError, match=r"flair\.nii lies on another grid.*\(4, 5, 7\)"):
        read_image([tmp_path / "t1.nii", tmp_path / "flair.nii"])


def test_an_image_of_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one file"):
        read_image([])


def test_a_4d_file_of_as_many_volumes_as_channels_is_an_image(tmp_path: Path) -> None:
    write(some_image(channels=3), tmp_path / "image.nii")
    assert read_image(tmp_path / "image.nii", channels=3).channels == 3


def test_a_4d_file_of_another_length_is_refused_as_a_series(tmp_path: Path) -> None:
    write(some_image(channels=3), tmp_path / "image.nii")
    with pytest.raises(ValueError, match="series of 3 volumes, expected 2 channels"):
        read_image(tmp_path / "image.nii", channels=2)


def test_a_missing_channel_is_asked_for(tmp_path: Path) -> None:
    write(some_image(), tmp_path / "image.nii")
    with pytest.raises(ValueError, match=r"expected 2 channels, got 1 in .*commas"):
        read_image(tmp_path / "image.nii", channels=2)


# what files hold


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4,), (1, 4, 1, 1)),
        ((4, 5), (1, 4, 5, 1)),
        ((4, 5, 1), (1, 4, 5, 1)),
        ((4, 5, 6, 1), (1, 4, 5, 6)),
        ((4, 5, 6, 2), (2, 4, 5, 6)),
        ((4, 5, 6, 1, 1), (1, 4, 5, 6)),
        ((4, 5, 6, 1, 3), (3, 4, 5, 6)),
        ((4, 5, 6, 2, 1), (2, 4, 5, 6)),
    ],
)
def test_axes_of_length_one_are_told_from_channels(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    image = read_image(stored(tmp_path / "image.nii", array))
    assert image.array.shape == expected
    squeezed = np.squeeze(np.moveaxis(image.array, 0, -1))
    np.testing.assert_array_equal(squeezed, np.squeeze(array))


def test_a_series_of_vectors_is_refused(tmp_path: Path) -> None:
    file = stored(tmp_path / "image.nii", np.zeros((4, 5, 6, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image\.nii: a volume has 3 axes and perhaps channels"):
        read_image(file)


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 6, 1, 1), (4, 5)])
def test_labels_may_have_empty_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    labels = read_labels(stored(tmp_path / "labels.nii", np.ones(shape, np.uint8)))
    assert labels.array.shape == (4, 5, 6 if len(shape) > 2 else 1)


def test_labels_of_several_volumes_are_refused(tmp_path: Path) -> None:
    file = stored(tmp_path / "labels.nii", np.zeros((4, 5, 6, 2), np.uint8))
    with pytest.raises(ValueError, match=r"labels\.nii: .* 4D file of 2 volumes"):
        read_labels(file)


def test_the_slope_and_intercept_of_the_header_are_applied(tmp_path: Path) -> None:
    array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    file = stored(tmp_path / "ct.nii", array, scl_slope=0.5, scl_inter=-1000)
    np.testing.assert_array_equal(read_image(file).array[0], array * 0.5 - 1000)


def test_whole_numbers_stored_as_floats_are_labels(tmp_path: Path) -> None:
    array = some_labels().array.astype(np.float64)
    labels = read_labels(stored(tmp_path / "labels.nii", array))
    np.testing.assert_array_equal(labels.array, array)
    assert labels.array.dtype == np.int32


def test_a_mask_that_a_slope_turned_into_0_99999997_is_a_mask(tmp_path: Path) -> None:
    mask = some_labels(high=2).array
    hundreds = (100 * mask).astype(np.uint8)
    file = stored(tmp_path / "mask.nii", hundreds, scl_slope=0.01, scl_inter=0)
    assert 0.9999 < nib.Nifti1Image.from_bytes(file.read_bytes()).get_fdata().max() < 1
    np.testing.assert_array_equal(read_labels(file).array, mask)


def test_an_image_is_no_label_map(tmp_path: Path) -> None:
    write(some_image(), tmp_path / "t1.nii")
    with pytest.raises(ValueError, match=r"t1\.nii: labels are whole numbers, got fractions"):
        read_labels(tmp_path / "t1.nii")


@pytest.mark.parametrize("dtype", [">i2", ">i4", ">f4", ">f8"])
def test_big_endian_files_come_in_native_order(tmp_path: Path, dtype: str) -> None:
    array = some_labels().array
    image = nib.Nifti1Image(array.astype(dtype), oblique_affine(), nib.Nifti1Header(endianness=">"))
    (tmp_path / "big.nii").write_bytes(image.to_bytes())
    labels = read_labels(tmp_path / "big.nii")
    np.testing.assert_array_equal(labels.array, array)
    np.testing.assert_array_equal(read_image(tmp_path / "big.nii").array[0], array)
    assert labels.array.dtype.isnative
    assert labels.grid.matches(some_labels().grid, tolerance=1e-4)


@pytest.mark.parametrize("colours", ["RGB", "RGBA"])
def test_colours_become_channels(tmp_path: Path, colours: str) -> None:
    kind = np.dtype([(letter, np.uint8) for letter in colours])
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 6, len(colours)), np.uint8)
    file = stored(tmp_path / "rgb.nii", array.view(kind)[..., 0])
    np.testing.assert_array_equal(read_image(file).array, np.moveaxis(array, -1, 0))


def test_colours_are_no_labels(tmp_path: Path) -> None:
    kind = np.dtype([(letter, np.uint8) for letter in "RGB"])
    file = stored(tmp_path / "rgb.nii", np.zeros((4, 5, 6), kind))
    with pytest.raises(ValueError, match=r"rgb\.nii: labels have one value a voxel, got 3"):
        read_labels(file)


def test_complex_voxels_are_refused_by_name(tmp_path: Path) -> None:
    file = stored(tmp_path / "phase.nii", np.zeros((4, 5, 6), np.complex64))
    with pytest.raises(ValueError, match=r"phase\.nii: .*take the magnitude"):
        read_image(file)


def test_nan_is_refused_by_name_and_replaced_where_asked(tmp_path: Path) -> None:
    array = np.ones((4, 5, 6), np.float32)
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    file = stored(tmp_path / "t1.nii", array)
    with pytest.raises(ValueError, match=r"t1\.nii: 3 voxels are NaN or infinite"):
        read_image(file)
    assert read_image(file, nan=-7).array[0, 0, 0, :4].tolist() == [-7, -7, -7, 1]


# places


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_of_simpleitk_lies_where_simpleitk_put_it(tmp_path: Path, channels: int) -> None:
    image = some_image(channels=channels)
    sitk.WriteImage(image.to_sitk(), tmp_path / "itk.nii.gz")
    back = read_image(tmp_path / "itk.nii.gz")
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid, tolerance=1e-4)


def test_simpleitk_finds_our_file_where_we_put_it(tmp_path: Path) -> None:
    image = some_image()
    write(image, tmp_path / "ours.nii.gz")
    back = Image.from_sitk(sitk.ReadImage(tmp_path / "ours.nii.gz"))
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid, tolerance=1e-4)


def test_nibabel_and_simpleitk_agree_where_an_oblique_file_lies(tmp_path: Path) -> None:
    file = stored(tmp_path / "oblique.nii", some_labels().array.astype(np.uint8))
    ours, theirs = read_labels(file), Labels.from_sitk(sitk.ReadImage(file))
    np.testing.assert_array_equal(ours.array, theirs.array)
    assert ours.grid.matches(theirs.grid, tolerance=1e-4)


def test_real_scans_lie_where_simpleitk_sees_them(data: Path) -> None:
    for file in (data / "ct" / "example_ct_sm.nii.gz", data / "ch2" / "ch2bet.nii.gz"):
        ours, theirs = read_image(file), Image.from_sitk(sitk.ReadImage(file))
        np.testing.assert_allclose(ours.array, theirs.array)
        assert ours.grid.matches(theirs.grid, tolerance=1e-3)


# writing


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_volume_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("first", "second"):
        write(some_labels(), tmp_path / f"{name}{suffix}")
    first, second = ((tmp_path / f"{n}{suffix}").read_bytes() for n in ("first", "second"))
    assert first == second


def test_the_header_of_gzip_has_no_time_and_no_name(tmp_path: Path) -> None:
    write(some_labels(), tmp_path / "labels.nii.gz")
    content = (tmp_path / "labels.nii.gz").read_bytes()
    assert content[3:8] == bytes(5)
    assert gzip.decompress(content) == some_labels().to_nibabel().to_bytes()


@pytest.mark.parametrize("name", ["labels.gif", "labels", "labels.nii.bz2", "labels.mhd", "a.hdr"])
def test_another_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"written as \.nii\.gz, \.nii, \.nrrd, .* got"):
        write(some_labels(), tmp_path / name)


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_an_interrupted_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = tmp_path / "labels.nii.gz"
    write(some_labels(), file)
    before = file.read_bytes()

    def interrupted(path: Path, _: object) -> None:
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(some_labels(high=2), file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    replace_file(tmp_path / "new" / "note.txt", "3 µm")
    assert (tmp_path / "new" / "note.txt").read_bytes() == b"3 \xc2\xb5m"
