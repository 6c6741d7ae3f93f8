"""Files with something wrong in them are read or refused: nothing else, soon, in little memory.

`MEDSEG_MUTANTS` says how many are made of each kind of file.
"""

import contextlib
import gzip
import os
import random
import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import nibabel as nib
import pytest
import torch
from balls import ball_plan, ball_training, draw_ball, write_balls
from drawn import some_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import (
    Mutate,
    bytes_changed,
    either,
    header_changed,
    json_changed,
    tensors_changed,
)

from medseg import Dataset, Model, Plan, read_image, read_labels, strict_json, train, write
from medseg.cohort import in_one_line, mendable
from medseg.io import WRITERS
from medseg.learning import memory, training
from medseg.learning.checkpoint import Checkpoint
from medseg.learning.run import Run
from medseg.phantom import draw_cohort

pytestmark = pytest.mark.usefixtures("one_thread")

MUTANTS = int(os.environ.get("MEDSEG_MUTANTS", "60"))
SECONDS, ROOM, FREE = 20, 2**30, 2**27
IN_JSON = either(json_changed, json_changed, bytes_changed)
IN_TENSORS = either(tensors_changed, tensors_changed, bytes_changed)


FLAT = (".png", ".jpg", ".jpeg")
OTHERS = sorted(WRITERS.keys() - {".nii", ".nii.gz", ".jpg", ".jpeg"})


class TooSlow(BaseException):
    """A mutant took longer than it may; no `Exception`, so that nothing takes it for its own."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step."""
    folder = tmp_path_factory.mktemp("fuzz")
    data = Dataset.read(write_balls(folder / "data", 1))
    train(data, ball_plan(), ball_training(steps=1), folder / "run")
    return folder / "run"


def nifti(version: int, *, swapped: bool) -> bytes:
    """Uncompressed NIfTI file, perhaps of the other byte order."""
    plain = some_labels().to_nibabel()
    kind = {1: nib.Nifti1Image, 2: nib.Nifti2Image}[version]
    header = kind(plain.dataobj, plain.affine).header
    image = kind(plain.dataobj, plain.affine, header.as_byteswapped() if swapped else header)
    return bytes(image.to_bytes())


def read_both(file: Path) -> None:
    """Read a file as an image and as labels."""
    for read in (read_image, read_labels):
        with contextlib.suppress(*mendable()):
            assert read(file).array.size > 0


NIFTI = {
    f"NIfTI-{version}{'-swapped' if swapped else ''}": (nifti(version, swapped=swapped), size)
    for version, size in ((1, 352), (2, 544))
    for swapped in (False, True)
}


@pytest.mark.parametrize("kind", NIFTI)
def test_nifti(kind: str, tmp_path: Path) -> None:
    content, size = NIFTI[kind]
    mutate = either(header_changed(size), header_changed(size), bytes_changed)
    endure(content, mutate, tmp_path / "image.nii", read_both)


def test_compressed_nifti(tmp_path: Path) -> None:
    content, size = NIFTI["NIfTI-1"]

    def mutate(plain: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return gzip.compress(header_changed(size)(plain, rng), 1)
        return bytes_changed(gzip.compress(plain, 1), rng)

    endure(content, mutate, tmp_path / "image.nii.gz", read_both)


def test_a_pair_of_header_and_voxels(tmp_path: Path) -> None:
    plain = some_labels().to_nibabel()
    nib.save(nib.Nifti1Pair(plain.dataobj, plain.affine), tmp_path / "image.img")
    content = (tmp_path / "image.hdr").read_bytes()
    endure(content, either(header_changed(348), bytes_changed), tmp_path / "image.hdr", read_both)


@pytest.mark.parametrize("suffix", OTHERS)
def test_other_formats(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"image{suffix}"
    write(some_labels((5, 6) if suffix in FLAT else (4, 5, 6)), file)
    endure(file.read_bytes(), bytes_changed, file, read_both)


def test_dataset_json_of_decathlon(tmp_path: Path) -> None:
    file = draw_cohort(tmp_path, 2, shape=(8, 8, 4)) / "dataset.json"
    endure(file.read_bytes(), IN_JSON, file, lambda file: Dataset.read(file.parent).check())


def test_dataset_json_of_nnunet(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    content = b"""{"channel_names": {"0": "CT"}, "labels": {"background": 0, "whole": [1, 2],
    "core": 2, "rim": "1"}, "file_ending": ".nii.gz", "numTraining": 1,
    "dataset": {"a": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}}}"""
    endure(content, IN_JSON, tmp_path / "dataset.json", lambda file: Dataset.read(file.parent))


def test_csv(tmp_path: Path) -> None:
    write_balls(tmp_path, 1)
    content = (
        b"case,image:MR,label,patient\none,images/ball_0.nii.gz,labels/ball_0.nii.gz,p\n"
        b'"two",images/ball_0.nii.gz,labels/ball_0.nii.gz,\n'
    )
    endure(content, bytes_changed, tmp_path / "cases.csv", lambda f: Dataset.read(f).check())


def test_plan(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: FREE)
    image, _ = draw_ball(0)
    (tmp_path / "last.safetensors").write_bytes(Run(run).last.read_bytes())

    def use(file: Path) -> None:
        Plan.load(file)
        Model.load(file.parent, "cpu").segment(image)

    endure(Run(run).plan.read_bytes(), IN_JSON, tmp_path / "plan.json", use)


def test_training(run: Path, tmp_path: Path) -> None:
    endure(Run(run).training.read_bytes(), IN_JSON, tmp_path / "training.json", training._load)


def test_weights(run: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(Run(run).plan.read_bytes())
    file = tmp_path / "last.safetensors"
    endure(Run(run).last.read_bytes(), IN_TENSORS, file, lambda f: Model.load(f.parent, "cpu"))


def test_checkpoint(run: Path, tmp_path: Path) -> None:
    network = Model.untrained(ball_plan(), "cpu").network

    def use(file: Path) -> None:
        Checkpoint.load(file, network, torch.optim.AdamW(network.parameters(), fused=True))

    endure(Run(run).checkpoint.read_bytes(), IN_TENSORS, tmp_path / "checkpoint.safetensors", use)


def test_log(run: Path, tmp_path: Path) -> None:
    """A damaged log stops no training without saying so in one line."""
    from medseg.learning.logbook import Logbook

    content = Run(run).log.read_bytes()
    endure(content, bytes_changed, tmp_path / "log.jsonl", lambda f: Logbook(Run(f.parent), 3, 3))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(JSON, st.booleans())
def test_what_json_can_say_is_read_as_it_was_meant(content: Any, ascii_only: bool) -> None:  # noqa: FBT001
    import json

    assert strict_json.parse(json.dumps(content, ensure_ascii=ascii_only)) == content


def endure(content: bytes, mutate: Mutate, file: Path, use: Callable[[Path], object]) -> None:
    """Use mutants of a file; each is taken, or refused with what a user can mend."""
    signal.signal(signal.SIGALRM, _give_up)
    with little_room():
        for number in range(MUTANTS):
            # Not hash(), which differs from run to run.
            rng = random.Random(zlib.crc32(file.name.encode()) + number)
            file.write_bytes(mutate(content, rng))
            signal.alarm(SECONDS)
            try:
                use(file)
            except mendable() as error:
                if isinstance(error, MemoryError) or not in_one_line(error).isprintable():
                    raise AssertionError(f"mutant {number} of {file}: {error!r}") from error
            except (Exception, TooSlow) as error:
                raise AssertionError(f"mutant {number} of {file}: {error!r}") from error
            finally:
                signal.alarm(0)


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """Let this process take little more memory than it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise TooSlow(f"longer than {SECONDS} s")
