"""Training in several processes: who cuts what, and that the model is that of one process."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from balls import EVERYTHING, ball_plan, ball_training, balls, last_weights, log_of
from torch.testing import assert_close

from medseg import Dataset, train
from medseg.learning.batches import Batches, read_cases
from medseg.learning.distributed import Processes
from medseg.learning.training import _patches
from medseg.networks.unet import UNet
from medseg.sampling import SAMPLERS

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


# Who cuts what


def test_without_torchrun_there_is_one_process() -> None:
    assert Processes.of_environment() == Processes(rank=0, count=1, local_rank=0, local_count=1)


def test_torchrun_says_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 4}
    for name, value in {"TORCHELASTIC_RUN_ID": "none", **names}.items():
        monkeypatch.setenv(name, str(value))
    assert Processes.of_environment() == Processes(5, 8, 1, 4)


def test_processes_that_are_together_do_not_meet_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.delattr(torch.distributed, name)
    with Processes(1, 2).together("cpu"):
        pass


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_one_warns_for_all(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    log = logging.getLogger("medseg")
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *_, **__: None)
    with Processes(rank, 2).together("cpu"):
        assert log.isEnabledFor(logging.WARNING) == (rank == 0)
        assert log.isEnabledFor(logging.ERROR)
    assert log.isEnabledFor(logging.WARNING)


def test_two_of_eight_patches_in_two_parts_go_to_each_of_two_processes_twice() -> None:
    shares = [Processes(rank, 2).share(8, parts=2) for rank in (0, 1)]
    assert shares == [(0, 1, 4, 5), (2, 3, 6, 7)]


@pytest.mark.parametrize(("patches", "parts", "count"), [(12, 1, 3), (12, 3, 2), (5, 5, 1)])
def test_each_part_is_in_order_when_the_shares_are_put_together(
    patches: int, parts: int, count: int
) -> None:
    shares = [Processes(rank, count).share(patches, parts) for rank in range(count)]
    each = patches // parts // count
    found = [
        number
        for part in range(parts)
        for share in shares
        for number in share[part * each : (part + 1) * each]
    ]
    assert found == list(range(patches))


def test_patches_that_can_not_be_shared_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match="2 processes can't share 3 patches evenly; set batch"):
        Processes(0, 2).share(6, parts=2)


def test_a_batch_that_is_not_set_can_be_shared() -> None:
    plan = ball_plan(patch=(32, 32, 32))
    assert [_patches(plan, count) for count in (1, 4, 5)] == [6, 8, 10]


@pytest.mark.parametrize("share", [(1,), (0, 3)], ids=str)
def test_a_share_is_that_part_of_the_whole_batch(tmp_path: Path, share: Sequence[int]) -> None:
    plan = ball_plan(mirror=(0, 1, 2))
    cases = read_cases(balls(tmp_path, 2).cases, plan, CPU, tmp_path / "cache", 0)
    wanted = tuple(name for name in EVERYTHING if name != "elastic-2015")
    for names in (wanted, tuple(name for name in wanted if name != "histogram-matching")):
        whole = Batches(cases, plan, 4, SAMPLERS["uniform"], names, 0)
        part = Batches(cases, plan, 4, SAMPLERS["uniform"], names, 0, tuple(share))
        for step in range(4):
            all_of_it, found = whole.at(step, CPU), part.at(step, CPU)
            assert_close(found.images, all_of_it.images[list(share)], atol=1e-5, rtol=1e-5)
            assert torch.equal(found.targets, all_of_it.targets[list(share)])


# Together

SHARED = """
import sys
from glob import glob
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from test_distributed import settings, supervised_plan
from dataclasses import replace
from medseg import Dataset, train
from medseg.learning.distributed import Processes
torch.set_num_threads(1)
data, plan, processes = Dataset.read(sys.argv[2]), supervised_plan(), Processes.of_environment()
if not processes.leads:  # as if there had been less memory here
    plan = replace(plan, patch=(8, 8, 8))
with processes.together("cpu"):
    train(data, plan, settings(3), sys.argv[3], validation=data)
    assert processes.highest(processes.rank) == [1], "they have parted too early"
threads = [Path(name).read_text() for name in glob("/proc/self/task/*/comm")]
assert not [name for name in threads if "gloo" in name], "threads of gloo outlive their group"
"""


def supervised_plan() -> Any:
    return ball_plan(network=UNet(3, (4, 4, 4), deep_supervision=True))


def settings(steps: int) -> Any:
    fixed = {"schedule": "constant", "warm_up": 0, "augmentations": ("noise", "mirroring")}
    return ball_training(steps=steps, batch=2, accumulate=2, learning_rate=0.01, **fixed)


def test_two_processes_have_the_losses_of_one_which_goes_on_with_theirs(tmp_path: Path) -> None:
    data = balls(tmp_path / "data", 3)
    arguments = (str(Path(__file__).parent), str(tmp_path / "data"), str(tmp_path / "shared"))
    script = tmp_path / "script.py"
    script.write_text(SHARED)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    command = (*launcher, "--nproc_per_node", "2", str(script), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    train(data, supervised_plan(), settings(3), tmp_path / "one", validation=data)
    assert losses_of(tmp_path / "shared") == pytest.approx(losses_of(tmp_path / "one"), abs=1e-4)
    assert_similar(tmp_path / "shared", tmp_path / "one")
    for name in ("shared", "one"):
        train(data, supervised_plan(), settings(6), tmp_path / name, validation=data)
    assert losses_of(tmp_path / "shared") == pytest.approx(losses_of(tmp_path / "one"), abs=1e-3)
    assert_similar(tmp_path / "shared", tmp_path / "one")


def losses_of(folder: Path) -> list[float]:
    return [line["loss"] for line in log_of(folder) if "loss" in line]


def assert_similar(first: Path, second: Path) -> None:
    assert_close(last_weights(first), last_weights(second), atol=1e-4, rtol=1e-3)


def test_one_patch_for_two_processes_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data: Dataset = balls(tmp_path / "data", 1)
    two = Processes(0, 2)
    monkeypatch.setattr(Processes, "of_environment", lambda: two)
    for name in ("together", "highest", "agreed"):
        monkeypatch.setattr(Processes, name, getattr(Processes, name).__get__(Processes()))
    with pytest.raises(ValueError, match="can't share 1 patches evenly"):
        train(data, ball_plan(), ball_training(batch=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()
