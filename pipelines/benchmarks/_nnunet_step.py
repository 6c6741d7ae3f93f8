"""The side of nnU-Net in `training.py`: run by the Python that has nnunetv2, not by medseg's.

_nnunet_step.py prepare WORK DATA                  plan and preprocess with nnunetv2
_nnunet_step.py time WORK BATCH STEPS WORKERS      time steps of its own trainer
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME, NUMBER, PLANS, CONFIGURATION = "Dataset901_Benchmark", 901, "nnUNetPlans", "3d_fullres"
WARM_UP = 3


def main(command: str, work: Path, arguments: list[str]) -> None:
    """Do what `command` says, with all that nnunetv2 writes in `work`."""
    places = {name: str(work / name) for name in ("raw", "preprocessed", "results")}
    workers = arguments[-1] if command == "time" else "1"
    for name, value in {**places, "n_proc_DA": workers, "compile": "f"}.items():
        os.environ[f"nnUNet_{name}"] = value
    if command == "prepare":
        prepare(work, Path(arguments[0]))
    else:
        report = measured(work, *map(int, arguments))
        (work / "seconds.json").write_text(json.dumps(report))


def prepare(work: Path, data: Path) -> None:
    """Plan and preprocess as nnUNetv2_plan_and_preprocess does; the images stay where they are."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    index = json.loads((data / "dataset.json").read_text())
    cases = {
        Path(case["image"]).name.removesuffix(".nii.gz"): {
            "images": [str((data / case["image"]).resolve())],
            "label": str((data / case["label"]).resolve()),
        }
        for case in index["training"]
    }
    described = {
        "channel_names": index["modality"],
        "labels": {name: int(value) for value, name in index["labels"].items()},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "dataset": cases,
    }
    for folder in ("raw", "preprocessed", "results"):
        (work / folder / NAME).mkdir(parents=True, exist_ok=True)
    (work / "raw" / NAME / "dataset.json").write_text(json.dumps(described))
    extract_fingerprints([NUMBER], num_processes=2)
    plan_experiments([NUMBER])
    preprocess([NUMBER], PLANS, (CONFIGURATION,), (2,))


def measured(work: Path, batch: int, steps: int, workers: int) -> dict[str, Any]:
    """Seconds a step, of the whole loop and of the bare network; the loop has float32 only."""
    trainer = make_trainer(work, batch)
    loop = timed(lambda: trainer.train_step(next(trainer.dataloader_train)), steps)
    fixed = next(trainer.dataloader_train)
    if workers:
        for loader in (trainer.dataloader_train, trainer.dataloader_val):
            loader._finish()  # or its processes would go on beside the bare steps
    return {
        "shape": list(fixed["data"].shape),
        "weights": sum(p.numel() for p in trainer.network.parameters()),
        "loop": loop,
        "float32": timed(lambda: trainer.train_step(fixed), steps),
        "bfloat16": timed(lambda: in_bfloat16(trainer, fixed), steps),
    }


def make_trainer(work: Path, batch: int) -> Any:
    """nnU-Net's own trainer, its plan unchanged but for the batch."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = work / "preprocessed" / NAME
    plans = json.loads((folder / f"{PLANS}.json").read_text())
    plans["configurations"][CONFIGURATION]["batch_size"] = batch
    plans["continue_training"] = False
    described = json.loads((folder / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, CONFIGURATION, 0, described, torch.device("cpu"))
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    return trainer


def in_bfloat16(trainer: Any, batch: dict[str, Any]) -> None:
    """One step in a precision that its loop does not offer on a CPU."""
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        trainer.train_step(batch)


def timed(step: Callable[[], object], steps: int) -> list[float]:
    """Seconds of each step, the first few left out."""
    seconds = []
    for _ in range(WARM_UP + steps):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
