"""Upsampling against what it undoes, and one way against another."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from medseg.networks.upsampling import (
    UPSAMPLINGS,
    bed_of_nails,
    bilinear,
    interpolating,
    max_unpooling,
    nearest,
    tent,
    transposed_convolution,
)

SIZE = {2: (5, 7), 3: (4, 5, 3)}
CONVOLUTION = {2: functional.conv2d, 3: functional.conv3d}
MAX_POOL = {
    2: functional.max_pool2d_with_indices,
    3: functional.max_pool3d_with_indices,
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=[2, 3])
def ndim(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def some(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.manual_seed(0), dtype=torch.float64)


def corners(x: Tensor, stride: int) -> Tensor:
    """Position of the first corner of each block, as poolings count them."""
    finer = [n * stride for n in x.shape[2:]]
    numbers = torch.arange(torch.tensor(finer).prod()).reshape(finer)
    for axis in range(len(finer)):
        numbers = numbers.index_select(axis, torch.arange(0, finer[axis], stride))
    return numbers.expand(x.shape)


@pytest.mark.parametrize("stride", [2, 3])
def test_all_give_a_grid_as_many_times_as_fine(ndim: int, stride: int) -> None:
    x = some(2, 3, *SIZE[ndim])
    finer = tuple(n * stride for n in SIZE[ndim])
    more = {
        "max-unpooling": {"positions": corners(x, stride), "size": finer},
        "transposed-convolution": {"kernel": some(3, 3, *(stride,) * ndim)},
    }
    for name, upsampling in UPSAMPLINGS.items():
        assert upsampling(x, stride, **more.get(name, {})).shape == (2, 3, *finer), name


@pytest.mark.parametrize("stride", [2, 3])
def test_a_bed_of_nails_is_unpooling_into_the_first_corners(ndim: int, stride: int) -> None:
    x = some(2, 3, *SIZE[ndim])
    size = tuple(n * stride for n in SIZE[ndim])
    unpooled = max_unpooling(x, stride, positions=corners(x, stride), size=size)
    assert torch.equal(bed_of_nails(x, stride), unpooled)


@pytest.mark.parametrize("stride", [2, 3])
def test_nearest_is_a_transposed_convolution_with_ones(ndim: int, stride: int) -> None:
    x = some(2, 1, *SIZE[ndim])
    ones = torch.ones(1, 1, *(stride,) * ndim, dtype=x.dtype)
    assert torch.equal(nearest(x, stride), transposed_convolution(x, stride, kernel=ones))


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_bilinear_is_torchs_interpolation_inside(ndim: int, stride: int) -> None:
    x = some(2, 3, *SIZE[ndim])
    mode = {2: "bilinear", 3: "trilinear"}[ndim]
    inside = (..., *[slice(stride, -stride)] * ndim)
    expected = functional.interpolate(x, scale_factor=stride, mode=mode)
    torch.testing.assert_close(bilinear(x, stride)[inside], expected[inside])


def test_bilinear_keeps_a_ramp(ndim: int) -> None:
    ramp = sum(torch.meshgrid(*[torch.arange(6.0)] * ndim, indexing="ij"))[None, None]
    finer = bilinear(ramp, 2)[0, 0]
    along = torch.diff(finer[(slice(2, -2), *[5] * (ndim - 1))])
    torch.testing.assert_close(along, torch.full_like(along, 0.5))


@pytest.mark.parametrize("odd", [0, 1])
def test_unpooling_puts_maxima_back_where_they_were(ndim: int, odd: int) -> None:
    x = some(2, 3, *(2 * n + odd for n in SIZE[ndim]))
    pooled, positions = MAX_POOL[ndim](x, 2, ceil_mode=True)
    back = max_unpooling(pooled, positions=positions, size=tuple(x.shape[2:]))
    there = back != 0
    assert torch.equal(back[there], x[there])
    assert there.sum() == pooled.numel()
    torch.testing.assert_close(back.sum(), pooled.sum())


def test_unpooling_is_the_adjoint_of_pooling(ndim: int) -> None:
    x = some(1, 2, *(2 * n for n in SIZE[ndim])).requires_grad_()
    pooled, positions = MAX_POOL[ndim](x, 2)
    y = some(*pooled.shape).flip(0) + 1
    pooled.backward(y)
    size = tuple(x.shape[2:])
    torch.testing.assert_close(max_unpooling(y, positions=positions, size=size), x.grad)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (4, 2), (3, 3), (5, 3)])
def test_transposed_convolution_is_the_adjoint_of_convolution(
    ndim: int, kernel: int, stride: int
) -> None:
    weights = some(4, 3, *(kernel,) * ndim)
    y = some(2, 4, *SIZE[ndim])
    x = some(2, 3, *(n * stride for n in SIZE[ndim]))
    down = CONVOLUTION[ndim](x, weights, stride=stride, padding=(kernel - stride) // 2)
    up = transposed_convolution(y, stride, kernel=weights)
    torch.testing.assert_close((down * y).sum(), (x * up).sum())


@pytest.mark.parametrize(
    ("size", "expected"),
    [(2, [0.5, 0.5]), (3, [0.5, 1, 0.5]), (4, [0.25, 0.75, 0.75, 0.25])],
)
def test_tents_by_hand(ndim: int, size: int, expected: list[float]) -> None:
    along = torch.tensor(expected)
    outer = along
    for _ in range(ndim - 1):
        outer = outer[..., None] * along
    torch.testing.assert_close(tent(ndim, size), outer)


@pytest.mark.parametrize("stride", [2, 8, 16, 32])
def test_the_layer_that_interpolates_mixes_no_channels(stride: int) -> None:
    layer = interpolating(3, stride)
    x = some(1, 3, 4, 5).float()
    cut = stride // 2
    with torch.no_grad():
        whole = layer(x)[..., cut:-cut, cut:-cut]
    torch.testing.assert_close(whole, bilinear(x, stride))


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["nearest", "bed-of-nails", "bilinear"])
def test_cuda_upsamples_as_the_cpu_does(ndim: int, name: str) -> None:
    x = some(2, 3, *SIZE[ndim])
    torch.testing.assert_close(UPSAMPLINGS[name](x.cuda(), 2).cpu(), UPSAMPLINGS[name](x, 2))
