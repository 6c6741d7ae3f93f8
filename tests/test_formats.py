"""Formats beside NIfTI: what is written is read, where other programs put it."""

import locale
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicoms import locale_kept, write_series
from drawn import oblique_affine, sheared_affine, some_image, some_labels
from PIL import Image as pillow  # noqa: N813

from medseg.io import READERS, WRITERS, read_as_stored, read_image, read_labels, write
from medseg.volume import Grid, Image, Labels, orientation

ITK = [".nrrd", ".mha"]


def whole_image(shape: tuple[int, ...], channels: int = 1, high: int = 255) -> Image:
    """Image of whole numbers, as pictures hold them."""
    array = np.random.default_rng(0).integers(0, high + 1, (channels, *shape))
    return Image(array, some_image(shape).grid)


def the_same(one: Image | Labels, other: Image | Labels) -> bool:
    return np.array_equal(one.array, other.array) and one.grid.matches(other.grid, 1e-6)


# NRRD and MetaImage


@pytest.mark.parametrize("suffix", ITK)
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_comes_back(
    tmp_path: Path, suffix: str, shape: tuple[int, ...], channels: int
) -> None:
    image = some_image(shape, channels)
    write(image, tmp_path / f"image{suffix}")
    assert the_same(read_image(tmp_path / f"image{suffix}"), image)


@pytest.mark.parametrize("suffix", ITK)
@pytest.mark.parametrize("channels", [1, 2])
def test_simpleitk_reads_what_we_write(tmp_path: Path, suffix: str, channels: int) -> None:
    image = some_image(channels=channels)
    write(image, tmp_path / f"image{suffix}")
    assert the_same(Image.from_sitk(sitk.ReadImage(tmp_path / f"image{suffix}")), image)


@pytest.mark.parametrize("compressed", [0, 1])
@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_what_simpleitk_writes_is_read(tmp_path: Path, suffix: str, compressed: int) -> None:
    image = some_image(channels=2)
    sitk.WriteImage(image.to_sitk(), tmp_path / f"image{suffix}", bool(compressed))
    assert the_same(read_image(tmp_path / f"image{suffix}"), image)


@pytest.mark.parametrize("suffix", ITK)
@pytest.mark.parametrize("high", [2, 300, 70_000, 2**40])
def test_labels_come_back(tmp_path: Path, suffix: str, high: int) -> None:
    labels = some_labels(high=high)
    write(labels, tmp_path / f"labels{suffix}")
    assert the_same(read_labels(tmp_path / f"labels{suffix}"), labels)


@pytest.mark.parametrize("suffix", ITK)
def test_the_same_volume_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        write(some_image(), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ITK)
@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    file = tmp_path / f"image{suffix}"
    write(some_image((12, 12, 12)), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"image\{suffix} (is truncated|can't be read)"):
        read_image(file)


@pytest.mark.parametrize("suffix", ITK)
def test_raw_voxels_that_are_too_few_are_noticed(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image{suffix}"
    sitk.WriteImage(some_image().to_sitk(), file, False)  # noqa: FBT003
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"is truncated: its header speaks of 480 bytes.* 479"):
        read_image(file)


@pytest.mark.parametrize("suffix", ITK)
def test_a_flipped_bit_of_the_voxels_is_noticed(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image{suffix}"
    write(some_image((8, 8, 8)), file)
    content = file.read_bytes()
    for place in range(len(content) - 1500, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 4
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is truncated or damaged"):
            read_image(file)


@pytest.mark.parametrize(
    ("suffix", "old", "new"),
    [
        (".mha", b"DimSize = 4 5 6", b"DimSize = 9999 9999 9999"),
        (".nrrd", b"sizes: 4 5 6", b"sizes: 9999 9999 9999"),
    ],
)
def test_a_header_that_promises_more_than_memory_is_refused(
    tmp_path: Path, suffix: str, old: bytes, new: bytes
) -> None:
    file = tmp_path / f"image{suffix}"
    write(some_image(), file)
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match="is truncated: its header speaks of 3998800119996 bytes"):
        read_image(file)


def test_a_header_without_its_voxels_names_them(tmp_path: Path) -> None:
    sitk.WriteImage(some_image().to_sitk(), tmp_path / "image.mhd")
    (tmp_path / "image.raw").unlink()
    with pytest.raises(FileNotFoundError, match=r"image\.raw does not exist, but .*image\.mhd"):
        read_image(tmp_path / "image.mhd")


# Pairs


@pytest.mark.parametrize("named", ["image.hdr", "image.img"])
def test_a_nifti_pair_is_read_from_either_half(tmp_path: Path, named: str) -> None:
    image = some_image()
    nib.save(nib.Nifti1Pair(image.array[0], oblique_affine()), tmp_path / "image.img")
    back = read_image(tmp_path / named)
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid, 1e-4)


def test_an_analyze_pair_is_read_as_nibabel_reads_it(tmp_path: Path) -> None:
    array = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    theirs = nib.Spm2AnalyzeImage(array, np.diag([-1.0, 2, 3, 1]))
    nib.save(theirs, tmp_path / "image.img")
    back = read_image(tmp_path / "image.hdr")
    np.testing.assert_array_equal(back.array[0], array)
    np.testing.assert_allclose(back.grid.affine, nib.load(tmp_path / "image.img").affine)
    assert back.grid.code == 0


def test_half_a_pair_is_missing_by_name(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "image.img")
    (tmp_path / "image.img").rename(tmp_path / "other.img")
    with pytest.raises(FileNotFoundError, match=r"image\.img does not exist"):
        read_image(tmp_path / "image.hdr")
    with pytest.raises(FileNotFoundError, match=r"other\.hdr does not exist"):
        read_image(tmp_path / "other.img")


# Pictures


@pytest.mark.parametrize(
    ("suffix", "volume"),
    [
        (".png", whole_image((4, 5))),
        (".png", whole_image((4, 5), 3)),
        (".png", whole_image((4, 5), 4)),
        (".png", whole_image((4, 5), high=60_000)),
        (".tif", whole_image((4, 5), 3)),
        (".tif", some_image((4, 5))),
        (".tiff", some_image((4, 5, 6))),
        (".tif", whole_image((4, 5, 6), 3)),
    ],
)
def test_a_picture_comes_back_with_its_place(tmp_path: Path, suffix: str, volume: Image) -> None:
    write(volume, tmp_path / f"image{suffix}")
    assert the_same(read_image(tmp_path / f"image{suffix}"), volume)


@pytest.mark.parametrize(
    ("suffix", "labels"),
    [
        (".png", some_labels((4, 5))),
        (".png", some_labels((4, 5), 60_000)),
        (".tif", some_labels((4, 5), 70_000)),
        (".tif", some_labels((4, 5, 6))),
    ],
)
def test_labels_come_back_as_pictures(tmp_path: Path, suffix: str, labels: Labels) -> None:
    write(labels, tmp_path / f"labels{suffix}")
    assert the_same(read_labels(tmp_path / f"labels{suffix}"), labels)


def test_labels_take_the_smallest_type(tmp_path: Path) -> None:
    for high, mode in ((3, "L"), (60_000, "I;16")):
        write(some_labels((4, 5), high), tmp_path / "labels.png")
        with pillow.open(tmp_path / "labels.png") as picture:
            assert picture.mode == mode


def test_negative_labels_fit_into_tiff_not_into_png(tmp_path: Path) -> None:
    labels = Labels(some_labels((4, 5)).array - 1, some_labels((4, 5)).grid)
    write(labels, tmp_path / "labels.tif")
    assert the_same(read_labels(tmp_path / "labels.tif"), labels)
    with pytest.raises(ValueError, match=r"labels\.png: PNG holds uint8, uint16, which"):
        write(labels, tmp_path / "labels.png")


def test_a_pixel_lies_where_simpleitk_sees_it(tmp_path: Path) -> None:
    picture = pillow.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5))  # 4 rows
    picture.save(tmp_path / "image.png")
    ours = read_image(tmp_path / "image.png")
    theirs = Image.from_sitk(sitk.ReadImage(tmp_path / "image.png"))
    assert the_same(ours, theirs)
    assert (ours.grid.shape, orientation(ours.grid)) == ((5, 4), "LP")
    assert ours.array[0, 3, 1] == 8


@pytest.mark.parametrize(
    ("options", "spacing"),
    [({}, 1.0), ({"dpi": (254, 254)}, 0.1), ({"dpi": (72, 72)}, 1.0), ({"dpi": (96, 96)}, 1.0)],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_resolution_is_a_spacing_unless_it_is_that_of_screens(
    tmp_path: Path, suffix: str, options: dict, spacing: float
) -> None:
    pillow.new("L", (5, 4)).save(tmp_path / f"image{suffix}", **options)
    grid = read_image(tmp_path / f"image{suffix}").grid
    assert grid.spacing == pytest.approx((spacing, spacing), rel=1e-3)


def test_a_tiff_resolution_without_a_unit_says_nothing(tmp_path: Path) -> None:
    tags = {282: 50.0, 283: 50.0, 296: 1}
    pillow.new("L", (5, 4)).save(tmp_path / "image.tif", tiffinfo=tags)
    assert read_image(tmp_path / "image.tif").grid.spacing == (1, 1)


def test_imagej_says_its_unit_and_the_distance_of_slices(tmp_path: Path) -> None:
    note = "ImageJ=1.53\nimages=2\nslices=2\nunit=micron\nspacing=4.0\n"
    tags = {282: 2.0, 283: 2.0, 296: 1, 270: note}
    page = pillow.new("L", (5, 4))
    page.save(tmp_path / "i.tif", tiffinfo=tags, save_all=True, append_images=[page])
    grid = read_image(tmp_path / "i.tif").grid
    assert (grid.shape, grid.spacing) == ((5, 4, 2), (0.0005, 0.0005, 0.004))


def test_the_place_of_another_size_is_not_believed(tmp_path: Path) -> None:
    write(whole_image((4, 5)), tmp_path / "image.png")
    with pillow.open(tmp_path / "image.png") as picture:
        note = picture.info["medseg-grid"]
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_text("medseg-grid", note)
        picture.resize((8, 10)).save(tmp_path / "larger.png", pnginfo=text)
    assert orientation(read_image(tmp_path / "larger.png").grid) == "LP"


def test_a_palette_is_colours_of_an_image_and_indices_of_labels(tmp_path: Path) -> None:
    picture = pillow.fromarray(np.array([[0, 1], [2, 1]], np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "labels.png")
    assert read_labels(tmp_path / "labels.png").array.tolist() == [[0, 2], [1, 1]]
    assert read_image(tmp_path / "labels.png").array[:, 1, 0].tolist() == [255, 0, 0]


def test_jpeg_holds_images_and_no_labels(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(64.0)[:, None], (3, 64, 48))
    image = Image(ramp, some_image((64, 48)).grid)
    write(image, tmp_path / "image.jpg")
    back = read_image(tmp_path / "image.jpg")
    assert np.abs(back.array - image.array).max() < 4
    assert back.grid.matches(image.grid, 1e-6)
    with pytest.raises(ValueError, match="JPEG changes labels"):
        write(some_labels((4, 5)), tmp_path / "labels.jpg")


def test_one_slice_of_nifti_becomes_a_picture(tmp_path: Path) -> None:
    image = whole_image((4, 5, 1))
    write(image, tmp_path / "image.png")
    back = read_image(tmp_path / "image.png")
    np.testing.assert_array_equal(back.array, image.array[..., 0])
    assert back.grid.spacing == pytest.approx(image.grid.spacing[:2])


@pytest.mark.parametrize(
    ("volume", "name", "message"),
    [
        (some_image((4, 5)), "i.png", "PNG holds uint8, uint16"),
        (some_image((4, 5)), "i.jpg", "JPEG holds uint8"),
        (whole_image((4, 5, 6)), "i.png", "PNG holds one slice"),
        (whole_image((4, 5), 2), "i.tif", "got 2 channels"),
        (whole_image((4, 5), 3, 999), "i.tif", "from 0 to 255"),
        (some_labels((4, 5), 70_000), "l.png", "PNG holds uint8, uint16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_picture_cannot_hold_is_refused_and_nothing_written(
    tmp_path: Path, volume: Image | Labels, name: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(volume, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_any_flipped_bit_of_a_png_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    labels, file = some_labels((30, 40)), tmp_path / "labels.png"
    write(labels, file)
    content = file.read_bytes()
    refused = 0
    for place in range(0, len(content), 13):
        damaged = bytearray(content)
        damaged[place] ^= 2
        file.write_bytes(damaged)
        try:
            assert np.array_equal(read_labels(file).array, labels.array)
        except ValueError as error:
            assert "labels.png" in str(error)  # noqa: PT017
            refused += 1
    assert refused > len(content) / 13 / 2


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"image{suffix}"
    write(whole_image((60, 50)), file)
    content = file.read_bytes()
    for share in (0, 0.1, 0.5, 0.95):
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ValueError, match=rf"image\{suffix} is no picture, or is damaged"):
            read_image(file)


def test_pages_of_several_sizes_are_no_stack(tmp_path: Path) -> None:
    page = pillow.new("L", (5, 4))
    page.save(tmp_path / "i.tif", save_all=True, append_images=[pillow.new("L", (3, 4))])
    with pytest.raises(ValueError, match="pages differ in size"):
        read_image(tmp_path / "i.tif")


def test_colours_of_another_kind_are_refused(tmp_path: Path) -> None:
    pillow.new("CMYK", (5, 4)).save(tmp_path / "i.jpg")
    with pytest.raises(ValueError, match=r"i\.jpg: its colours are CMYK"):
        read_image(tmp_path / "i.jpg")


def test_colours_of_16_bits_are_not_cut_to_8(tmp_path: Path) -> None:
    deep = sitk.GetImageFromArray(np.full((4, 5, 3), 999, np.uint16), isVector=True)
    sitk.WriteImage(deep, tmp_path / "i.png")
    with pytest.raises(ValueError, match=r"i\.png has colours of 16 bits"):
        read_image(tmp_path / "i.png")


# DICOM


@pytest.fixture
def scan() -> Image:
    array = np.random.default_rng(0).integers(-500, 500, (1, 8, 9, 6))
    return Image(array, Grid((8, 9, 6), oblique_affine((0.5, 0.75, 3))))


def test_a_folder_of_slices_is_a_volume(tmp_path: Path, scan: Image) -> None:
    back = read_image(write_series(tmp_path / "scan", scan))
    np.testing.assert_array_equal(back.array, scan.array)
    assert back.grid.matches(scan.grid, 1e-3)


def test_a_tilted_gantry_shears_the_volume(tmp_path: Path, scan: Image) -> None:
    folder = tmp_path / "scan"
    for k in range(6):
        affine = np.eye(4)
        affine[:3, 3] = sheared_affine()[:3, :3] @ (0, 0, k)
        one = Image(scan.array[..., k : k + 1], Grid((8, 9, 1), affine))
        write_series(folder, one).joinpath("1-00-0.dcm").rename(folder / f"{k}")
    np.testing.assert_allclose(read_image(folder).grid.affine[:3, 2], (0, 0.9, 3), atol=1e-5)


def test_the_slope_and_intercept_of_slices_are_applied(tmp_path: Path, scan: Image) -> None:
    tags = {"0028|1052": "-1024", "0028|1053": "2"}
    even = Image(2 * scan.array, scan.grid)
    folder = write_series(tmp_path / "scan", even, tags=tags)  # ITK applies them backwards
    stored = np.frombuffer((folder / "1-00-0.dcm").read_bytes()[-8 * 9 * 2 :], "<i2")
    np.testing.assert_array_equal(stored.reshape(9, 8).T, even.array[0, ..., 0] / 2 + 512)
    np.testing.assert_array_equal(read_image(folder).array, even.array)


@pytest.mark.parametrize("missing", [[2], [1, 2]])
def test_a_missing_slice_is_refused_with_the_gap(
    tmp_path: Path, scan: Image, missing: list[int]
) -> None:
    folder = write_series(tmp_path / "scan", scan, without=missing)
    gap = 3 * (len(missing) + 1)
    with pytest.raises(ValueError, match=rf"there are {gap}\.00 mm, between the others 3\.00 mm"):
        read_image(folder)


def test_a_slice_that_is_there_twice_is_refused(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scan", scan)
    (folder / "again.dcm").write_bytes(next(folder.iterdir()).read_bytes())
    with pytest.raises(ValueError, match="lie at one position"):
        read_image(folder)


def test_of_several_series_one_is_chosen(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scans", scan, number=3)
    write_series(folder, Image(scan.array + 1, scan.grid), number=8)
    with pytest.raises(ValueError, match=r"holds 2 DICOM series, choose .*3 \(series 3, 6 slices"):
        read_image(folder)
    for series in ("8", "1.2.3.8"):
        np.testing.assert_array_equal(read_image(folder, series=series).array, scan.array + 1)
    with pytest.raises(ValueError, match="expected 5: 3"):
        read_image(folder, series="5")


def test_a_slice_of_another_size_is_refused(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scan", scan)
    small = Image(np.zeros((1, 4, 9, 1)), Grid((4, 9, 1), scan.grid.affine))
    write_series(tmp_path / "small", small).joinpath("1-00-0.dcm").rename(folder / "localizer")
    with pytest.raises(ValueError, match="has another size, spacing or direction"):
        read_image(folder)


def test_a_truncated_slice_is_named(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scan", scan)
    file = sorted(folder.iterdir())[2]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=file.name):
        read_image(folder)


def test_colours_and_frames_of_dicom_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    colours = sitk.GetImageFromArray(np.zeros((1, 4, 5, 3), np.uint8), isVector=True)
    with locale_kept():
        sitk.WriteImage(colours, tmp_path / "rgb" / "i.dcm")
    with pytest.raises(ValueError, match="is in colours"):
        read_image(tmp_path / "rgb")
    (tmp_path / "frames").mkdir()
    frames = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
    with locale_kept():
        sitk.WriteImage(frames, tmp_path / "frames" / "i.dcm")
    with pytest.raises(ValueError, match="holds 3 frames"):
        read_image(tmp_path / "frames")


def test_one_file_of_dicom_is_one_slice(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scan", scan)
    image = read_image(folder / "1-00-0.dcm")
    np.testing.assert_array_equal(image.array, scan.array[..., :1])


def test_reading_dicom_leaves_the_locale_alone(tmp_path: Path, scan: Image) -> None:
    folder = write_series(tmp_path / "scan", scan)
    before = locale.setlocale(locale.LC_ALL)
    read_image(folder)
    file = sorted(folder.iterdir())[2]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=file.name):
        read_image(folder)
    assert locale.setlocale(locale.LC_ALL) == before


def test_a_series_is_not_chosen_in_a_file(tmp_path: Path) -> None:
    write(some_image(), tmp_path / "image.nii")
    with pytest.raises(ValueError, match="a series is chosen in a DICOM folder"):
        read_image(tmp_path / "image.nii", series="3")


def test_real_series_lie_where_simpleitk_sees_them(data: Path) -> None:
    for folder in sorted((data / "dicom" / "Study1").iterdir()):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        theirs = Image.from_sitk(reader.Execute())
        ours = read_image(folder)
        np.testing.assert_array_equal(ours.array, theirs.array)
        assert ours.grid.matches(theirs.grid, 1e-2)


# All


def test_every_format_that_is_written_is_read() -> None:
    assert set(WRITERS) <= set(READERS)


def test_numbers_are_taken_as_they_are_stored(tmp_path: Path) -> None:
    write(some_labels(), tmp_path / "labels.nrrd")
    write(some_image(), tmp_path / "image.nrrd")
    assert isinstance(read_as_stored(tmp_path / "labels.nrrd"), Labels)
    assert isinstance(read_as_stored(tmp_path / "image.nrrd"), Image)
