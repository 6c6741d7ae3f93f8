"""The drawn cohort: repeatable, no two alike, and too hard for a threshold."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medseg.dataset import Dataset
from medseg.io import read_image, read_labels
from medseg.phantom import draw_case, draw_cohort
from medseg.volume import orientation, reorient

SMALL = (16, 18, 8)


def test_the_same_seed_draws_the_same_case() -> None:
    (image, labels), (again, labels_again) = draw_case(3), draw_case(3)
    np.testing.assert_array_equal(image.array, again.array)
    np.testing.assert_array_equal(labels.array, labels_again.array)
    np.testing.assert_array_equal(image.grid.affine, again.grid.affine)


def test_another_seed_draws_another_head() -> None:
    (image, labels), (other, other_labels) = draw_case(3), draw_case(4)
    assert np.abs(image.array - other.array).mean() > 10
    assert (labels.array != other_labels.array).any()
    assert image.grid.spacing != other.grid.spacing


def test_a_case_has_two_named_channels_and_a_lesion_on_one_grid() -> None:
    image, labels = draw_case(0)
    assert image.names == ("T1", "FLAIR")
    assert labels.names == {1: "lesion"}
    assert labels.values() == (1,)
    assert image.grid.shape == (64, 72, 32)
    assert labels.grid is image.grid


def test_voxels_are_thicker_than_wide_and_slices_tilted() -> None:
    grid = draw_case(0)[0].grid
    np.testing.assert_allclose(grid.spacing, (1.5, 1.5, 3), rtol=0.09)
    assert np.count_nonzero(grid.affine[:3, :3]) > 3
    assert orientation(grid) == "RAS"


def test_fewer_voxels_are_larger_ones() -> None:
    coarse, fine = draw_case(0, (32, 36, 16))[0].grid, draw_case(0)[0].grid
    np.testing.assert_allclose(coarse.spacing, 2 * np.array(fine.spacing), rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_every_case_has_a_lesion_in_the_brain_however_few_voxels(seed: int) -> None:
    image, labels = draw_case(seed, SMALL)
    assert labels.values() == (1,)
    edge = labels.array.copy()
    edge[2:-2, 2:-2, 1:-1] = 0
    assert not edge.any()
    assert image.array.min() >= 0


def test_the_rim_is_bright_on_flair_and_the_core_dark_on_t1() -> None:
    for seed in range(4):
        image, labels = draw_case(seed)
        t1, flair = (channel / np.percentile(channel, 90) for channel in image.array)
        brain = np.zeros(labels.array.shape, bool)
        brain[20:44, 22:50, 8:24] = True  # the middle of the head
        lesion = labels.array == 1
        assert np.percentile(flair[lesion], 75) > np.percentile(flair[brain & ~lesion], 75) + 0.1
        assert np.median(t1[lesion]) < np.median(t1[brain & ~lesion])


def test_no_band_of_one_channel_finds_the_lesion() -> None:
    for seed in range(3):
        image, labels = draw_case(seed)
        lesion = labels.array == 1
        for channel in image.array:
            levels = np.quantile(channel, np.linspace(0, 1, 41))
            of_all, of_lesion = (np.histogram(x, levels)[0] for x in (channel, channel[lesion]))
            found, hits = (np.insert(np.cumsum(x), 0, 0) for x in (of_all, of_lesion))
            dice = [
                2 * (hits[j] - hits[i]) / (found[j] - found[i] + lesion.sum())
                for i in range(41)
                for j in range(i + 1, 41)
            ]
            assert max(dice) < 0.5


def test_a_cohort_is_a_data_set_that_medseg_reads(tmp_path: Path) -> None:
    dataset = Dataset.read(draw_cohort(tmp_path / "new" / "heads", cases=3, shape=SMALL))
    assert len(dataset.cases) == 3
    assert tuple(dataset.channels) == ("T1", "FLAIR")
    assert dict(dataset.names) == {1: "lesion"}


def test_a_cohort_says_what_it_is_in_the_words_of_the_decathlon(tmp_path: Path) -> None:
    content = json.loads((draw_cohort(tmp_path, 2, shape=SMALL) / "dataset.json").read_text())
    assert content["modality"] == {"0": "T1", "1": "FLAIR"}
    assert content["labels"] == {"0": "background", "1": "lesion"}
    assert content["numTraining"] == len(content["training"]) == 2
    for entry in content["training"]:
        assert nib.load(tmp_path / entry["image"]).shape[3] == 2
        assert nib.load(tmp_path / entry["label"]).get_data_dtype() == np.uint8


def test_files_are_stored_in_several_orientations_and_are_the_cases(tmp_path: Path) -> None:
    draw_cohort(tmp_path, cases=6, seed=5, shape=SMALL)
    seeds = np.random.default_rng(5).integers(2**31, size=6)
    codes = set()
    for seed, path in zip(seeds, sorted((tmp_path / "imagesTr").iterdir()), strict=True):
        stored, labels = read_image(path), read_labels(tmp_path / "labelsTr" / path.name)
        codes.add(orientation(stored.grid))
        assert labels.grid.matches(stored.grid, tolerance=1e-6)
        image, lesion = draw_case(int(seed), SMALL)
        np.testing.assert_array_equal(reorient(stored).array, image.array)
        np.testing.assert_array_equal(reorient(labels).array, lesion.array)
        assert reorient(stored).grid.matches(image.grid, tolerance=1e-3)
    assert len(codes) == 6


def test_more_cases_of_the_same_seed_begin_with_the_same(tmp_path: Path) -> None:
    few, many = (draw_cohort(tmp_path / str(n), n, shape=SMALL) for n in (2, 3))
    for path in (few / "imagesTr").iterdir():
        assert path.read_bytes() == (many / "imagesTr" / path.name).read_bytes()


def test_a_cohort_of_no_case_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one case, got 0"):
        draw_cohort(tmp_path, cases=0)
