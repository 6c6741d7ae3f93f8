"""The pipeline that tries every network on the same task."""

from pathlib import Path

import pytest
from test_pipelines import pipeline

from medseg.networks import NETWORKS
from medseg.phantom import draw_cohort

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(printed: str) -> list[list[str]]:
    """Words of each row of the table, without its headings."""
    return [line.split() for line in printed.splitlines()[1:]]


def test_every_network_of_the_registry_is_tried() -> None:
    names = pipeline("zoo.py").NAMES.split(",")
    assert [name.partition(":")[0] for name in names] == list(NETWORKS)


def test_rows_tell_of_networks_at_full_width(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], float32: None
) -> None:
    data = draw_cohort(tmp_path / "data", cases=5, shape=(16, 16, 8))
    full = NETWORKS["deepmedic-original"]().build(2, 2)

    pipeline("zoo.py").main(str(data), "deepmedic-original", steps=3, small=True)

    ((name, axes, parameters, sees, milliseconds, dice),) = rows(capsys.readouterr().out)
    assert (name, axes, sees) == ("deepmedic-original", "3D", "49x49x49")
    assert int(parameters) == sum(values.numel() for values in full.parameters())
    assert float(milliseconds) > 0
    assert 0 <= float(dice) <= 1


def test_segnet_learns_two_discs_by_heart(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline("zoo.py").main(names="segnet", steps=80, small=True, overfit=True)

    ((*_, dice),) = rows(capsys.readouterr().out)
    assert float(dice) >= 0.95
