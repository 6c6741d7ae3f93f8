"""Connected components: the path in torch against the library, and both against by-hand figures."""

import numpy as np
import pytest
import torch

from medseg.components import components, components_in_torch, labels_of, largest, sizes

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
WAYS = [components, components_in_torch]


def noise(shape: tuple[int, ...], labels: int, share: float, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, labels + 1, shape) * (rng.random(shape) < share)
    return torch.from_numpy(values)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(60,), (31, 40), (11, 12, 13), (1, 9, 1)], ids=str)
def test_torch_numbers_as_the_library_does(
    shape: tuple[int, ...], share: float, labels: int, connectivity: int, device: str
) -> None:
    volume = noise(shape, labels, share)
    wanted, count = components(volume, connectivity)
    found, other = components_in_torch(volume.to(device), connectivity)
    assert other == count
    torch.testing.assert_close(found.cpu(), wanted)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.7])
def test_the_partition_is_that_of_scipy(share: float, connectivity: int) -> None:
    from scipy import ndimage

    volume = noise((12, 13, 14), 1, share)
    structure = ndimage.generate_binary_structure(3, connectivity)
    wanted, count = ndimage.label(volume.numpy(), structure)
    found, other = components(volume, connectivity)
    assert other == count
    assert len(np.unique(np.stack([found.numpy().ravel(), wanted.ravel()]), axis=1).T) == count + 1


@pytest.mark.parametrize("way", WAYS)
def test_touching_labels_are_different_components(way: type) -> None:
    found, count = way(torch.tensor([[1, 1, 2], [2, 1, 2], [0, 2, 2]]))
    assert count == 3
    assert found.tolist() == [[1, 1, 2], [3, 1, 2], [0, 2, 2]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("connectivity", "count"), [(1, 4), (2, 2), (3, 1)])
def test_connectivity_counts_the_axes_of_a_step(way: type, connectivity: int, count: int) -> None:
    volume = torch.zeros((4, 4, 4), dtype=torch.bool)
    volume[0, 0, 0] = volume[1, 1, 0] = volume[2, 2, 1] = volume[2, 3, 2] = True
    assert way(volume, connectivity)[1] == count


@pytest.mark.parametrize("way", WAYS)
def test_a_winding_path_is_one_component(way: type) -> None:
    maze = torch.ones((41, 16), dtype=torch.bool)
    maze[1::4, :-1] = maze[3::4, 1:] = False
    assert way(maze)[1] == 1
    assert way(maze.T.contiguous())[1] == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 6), (0, 3)], ids=str)
def test_background_has_no_component(way: type, shape: tuple[int, ...]) -> None:
    found, count = way(torch.zeros(shape, dtype=torch.int32))
    assert count == 0
    assert found.shape == shape
    assert not found.any()


@pytest.mark.parametrize("way", WAYS)
def test_a_single_voxel_is_one_component_and_any_value_but_0_a_label(way: type) -> None:
    assert way(torch.tensor([[-1]]))[1] == 1
    assert way(torch.tensor([[-1, 300_000, 300_001]]))[0].tolist() == [[1, 2, 3]]


def test_arrays_give_arrays_in_any_order_of_storage() -> None:
    volume = noise((6, 7, 8), 2, 0.6).numpy()
    volume.flags.writeable = False
    wanted, count = components(volume)
    found, other = components(np.asfortranarray(volume))
    assert isinstance(found, np.ndarray)
    assert (other, found.dtype) == (count, np.int32)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("device", DEVICES)
def test_sizes_labels_and_the_largest_are_told(device: str) -> None:
    volume = torch.tensor([[5, 0, 7, 7], [5, 0, 0, 7], [0, 9, 0, 0]], device=device)
    numbered, count = components(volume)
    assert sizes(numbered, count).tolist() == [6, 2, 3, 1]
    assert labels_of(numbered, count, volume).tolist() == [0, 5, 7, 9]
    assert largest(volume).tolist() == (volume == 7).tolist()
    assert not largest(torch.zeros_like(volume)).any()


def test_of_equally_large_components_the_first_is_the_largest() -> None:
    assert largest(torch.tensor([0, 2, 2, 0, 1, 1])).tolist() == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("connectivity", [0, 4, 6])
def test_another_connectivity_is_refused(connectivity: int) -> None:
    with pytest.raises(ValueError, match=r"1 \(faces\), 2 \(and edges\) or 3 \(and corners\), got"):
        components(torch.ones((2, 2), dtype=torch.int32), connectivity)


def test_four_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 3 axes, got 4"):
        components(np.ones((2, 2, 2, 2), np.uint8))
