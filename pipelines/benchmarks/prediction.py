"""Prediction of a folder by medseg and by nnU-Net, each with its own command, end to end.

Both take the same trained folder of nnU-Net, which medseg imports first; what that takes is not
counted. Times are of the whole commands: starting, reading, predicting and writing.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import typer

from medseg import read_labels
from medseg.learning.importing import import_nnunet

NNUNET = "nnUNetv2_predict_from_modelfolder"


def main(
    results: Path,
    images: Path,
    nnunet_python: Path,
    fold: str = "0",
    device: str = "cpu",
    *,
    mirroring: bool = True,
) -> None:
    """Measure and print.

    RESULTS is the folder of a trainer (plans.json, dataset.json, fold_0), IMAGES one of files as
    nnU-Net names them, NNUNET_PYTHON the interpreter of an environment with nnunetv2.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Path(scratch) / "medseg", Path(scratch) / "nnunet"
        (run,) = import_nnunet(results, Path(scratch) / "run")
        options = [] if mirroring else ["--disable_tta"]
        command = shutil.which(NNUNET, path=nnunet_python.parent)
        if command is None:
            raise FileNotFoundError(f"{nnunet_python.parent} has no {NNUNET}; install nnunetv2")
        places = ["-i", images, "-o", theirs, "-m", results, "-f", fold, "-device", device]
        slow = measured([command, *places, "-npp", "1", "-nps", "1", *options])
        options = [] if mirroring else ["--set", "mirrored=[]"]
        predict = [Path(sys.executable).parent / "medseg", "predict", run, images, "-o", ours]
        fast = measured([*predict, "--device", device, "--quiet", *options])
        for name, (wall, cpu) in {"nnU-Net": slow, "medseg": fast}.items():
            print(f"{name}: {wall:.1f} s, of CPUs {cpu:.1f} s")
        print(f"medseg is {slow[0] / fast[0]:.2f} times as fast, of CPUs {slow[1] / fast[1]:.2f}")
        print(agreement(ours, theirs))


def measured(command: list[str | Path]) -> tuple[float, float]:
    """Seconds that a command takes, and those of all its threads and processes."""
    environment = os.environ | {"nnUNet_compile": "f"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - began, cpu


def agreement(ours: Path, theirs: Path) -> str:
    """Share of voxels with the same label, over all cases."""
    equal = voxels = foreground = 0
    files = sorted(theirs.glob("*.nii.gz"))
    for file in files:
        (own,) = [f for f in ours.glob("*.nii.gz") if f.name.startswith(file.name[:-7])]
        a, b = read_labels(own).array, read_labels(file).array
        equal += int((a == b).sum())
        voxels += a.size
        foreground += int(np.count_nonzero(b))
    share = 100 * equal / voxels
    return f"{len(files)} cases, {share:.4f} % equal labels ({foreground} voxels of foreground)"


if __name__ == "__main__":
    typer.run(main)
