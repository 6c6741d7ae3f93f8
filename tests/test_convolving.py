"""A single sample on the CPU is convolved by oneDNN as several are, and gives the same."""

from typing import Any

import pytest
import torch

from medseg.networks.convolving import CONVOLUTION, joined

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = {2: (9, 8), 3: (9, 8, 7)}
OPTIONS: list[dict[str, Any]] = [{"padding": 1}, {"stride": 2, "padding": 1, "bias": False}, {}]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of the batches that oneDNN was given by name."""
    found: list[int] = []
    by_name = torch.mkldnn_convolution

    def counted(x: torch.Tensor, *arguments: Any) -> torch.Tensor:
        found.append(len(x))
        return by_name(x, *arguments)

    monkeypatch.setattr(torch, "mkldnn_convolution", counted)
    return found


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("ndim", [2, 3])
def test_one_sample_gives_what_it_gives_beside_another(
    ndim: int, options: dict[str, Any], calls: list[int]
) -> None:
    torch.manual_seed(0)
    layer = CONVOLUTION[ndim](4, 6, 3, **options)
    pair = torch.randn(2, 4, *SHAPES[ndim])
    with torch.no_grad():
        torch.testing.assert_close(layer(pair[:1]), layer(pair)[:1])
    assert calls == [1]


def test_gradients_and_other_precisions_are_left_to_torch(calls: list[int]) -> None:
    layer = CONVOLUTION[3](1, 2, 3)
    layer(torch.ones(1, 1, 4, 4, 4)).sum().backward()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(1, 1, 4, 4, 4)).dtype == torch.bfloat16
    with torch.no_grad():
        layer.double()(torch.ones(1, 1, 4, 4, 4, dtype=torch.float64))
    assert layer.weight.grad is not None
    assert calls == []


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("samples", [1, 2])
def test_parts_are_joined_as_torch_joins_them_channels_last(ndim: int, samples: int) -> None:
    layout = torch.channels_last if ndim == 2 else torch.channels_last_3d
    parts = [torch.randn(samples, width, *SHAPES[ndim]) for width in (2, 3)]
    parts[0] = parts[0].to(memory_format=layout)
    found = joined(*parts)
    torch.testing.assert_close(found, torch.cat(parts, 1), rtol=0, atol=0)
    assert found.is_contiguous(memory_format=layout)
