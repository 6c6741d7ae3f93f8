"""What all tests share: the folder of real data, and no CUDA tests where there is no GPU."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real data: $MEDSEG_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("MEDSEG_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name its folder in MEDSEG_DATA")
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU; torch takes seconds to import, so only where a test asks."""
    if item.get_closest_marker("cuda") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread for torch: work as small as that of tests takes longer in more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train in float32: to see which precision is faster takes six steps of a full network."""
    monkeypatch.setattr("medseg.learning.loop.faster_precision", lambda *_: "float32")
