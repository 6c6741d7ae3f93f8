"""A data set on which training takes seconds: bright balls in noise, and what goes with it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from medseg import Dataset, Grid, Image, Labels, Model, Plan, Training, write
from medseg.intensity import ZScore
from medseg.learning import AUGMENTATIONS
from medseg.learning.batches import Batches
from medseg.learning.run import Run
from medseg.learning.weights import load_tensors, save_tensors
from medseg.networks.unet import UNet

SHAPE = (16, 14, 12)
EVERYTHING = tuple(AUGMENTATIONS)


def draw_ball(
    seed: int, shape: tuple[int, ...] = SHAPE, affine: np.ndarray | None = None
) -> tuple[Image, Labels]:
    """A ball of label 1 with a core of label 2, where the seed puts it."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0.45, 0.55, len(shape)) * shape
    radius = rng.uniform(0.32, 0.42) * min(shape)
    away = np.linalg.norm(np.indices(shape).T - middle, axis=-1).T
    labels = (away < radius).astype(np.uint8) + (away < 0.6 * radius)
    array = rng.normal(scale=0.1, size=shape) + np.array([0, 1, 2])[labels]
    grid = Grid(shape, np.eye(len(shape) + 1) if affine is None else affine)
    return Image(100 * array[None], grid), Labels(labels, grid)


def write_balls(folder: Path, cases: int = 5, **options: Any) -> Path:
    """`images/` beside `labels/`, with cases named ball_0, ball_1, ..."""
    for seed in range(cases):
        image, labels = draw_ball(seed, **options)
        write(image, folder / "images" / f"ball_{seed}.nii.gz")
        write(labels, folder / "labels" / f"ball_{seed}.nii.gz")
    return folder


def balls(folder: Path, cases: int = 5, **options: Any) -> Dataset:
    return Dataset.read(write_balls(folder, cases, **options))


def ball_plan(**changes: Any) -> Plan:
    """The smallest plan that learns balls."""
    fields: dict[str, Any] = {
        "network": UNet(3, (4, 8)),
        "channels": ("MR",),
        "normalisations": (ZScore(),),
        "spacing": (1.0, 1.0, 1.0),
        "patch": SHAPE,
        "labels": (0, 1, 2),
        "names": {1: "shell", 2: "core"},
    }
    return Plan(**fields | changes)


def untrained_run(folder: Path) -> Model:
    """A run of random weights, always the same."""
    torch.manual_seed(0)
    model = Model.untrained(ball_plan(), "cpu")
    model.plan.save(Run(folder).plan)
    save_tensors(model.network.state_dict(), Run(folder).last, {"step": 1})
    return model


def ball_training(**changes: Any) -> Training:
    """Settings with which every step takes some milliseconds."""
    fields = {
        "steps": 6,
        "batch": 2,
        "learning_rate": 0.03,
        "augmentations": (),
        "validations": 2,
        "precision": "float32",
        "device": "cpu",
    }
    return Training(**fields | changes)


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(Run(folder).last)[0]


def assert_same_weights(first: Path, second: Path) -> None:
    torch.testing.assert_close(last_weights(first), last_weights(second), rtol=0, atol=0)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Run(folder).log.read_text().splitlines()]


def validations_of(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> Dice by label, from the log."""
    return {line["step"]: line["dice"] for line in log_of(folder) if "dice" in line}


@contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """Ctrl-C is pressed when the batch of `step` is asked for."""
    at = Batches.at

    def interrupted(self: Batches, number: int, device: torch.device) -> Any:
        if number == step:
            raise KeyboardInterrupt
        return at(self, number, device)

    with mock.patch.object(Batches, "at", interrupted):
        yield
