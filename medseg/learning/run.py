"""The folder of a training run: every file name in one place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medseg.crf.saved import CRF_FILE
from medseg.io import remove_unfinished

SCALING_FILE = "scaling.json"
"""In the folder of a run or an ensemble: how its probabilities are calibrated."""
Which = Literal["best", "last", "auto"]


@dataclass(frozen=True)
class Run:
    """A folder that training writes and inference reads."""

    folder: Path

    @property
    def plan(self) -> Path:
        """Plan, as JSON."""
        return self.folder / "plan.json"

    @property
    def training(self) -> Path:
        """How it was trained, as JSON."""
        return self.folder / "training.json"

    @property
    def transfer(self) -> Path:
        """With which weights it began, as JSON, if not with random ones."""
        return self.folder / "transfer.json"

    @property
    def held_out(self) -> Path:
        """Cases that validated, as a data set."""
        return self.folder / "validation.csv"

    @property
    def scaling(self) -> Path:
        """How probabilities are calibrated, as JSON, as `medseg calibrate` leaves it."""
        return self.folder / SCALING_FILE

    @property
    def predictions(self) -> Path:
        """Of the cases that validated, as `medseg choose` leaves them."""
        return self.folder / "validation"

    @property
    def earlier(self) -> Path:
        """Of the second network of a cascade, the runs before it, `fold_0` and so on."""
        return self.folder / "earlier"

    @property
    def unfinished(self) -> Path:
        """Those runs, while they are copied."""
        return self.folder / ".earlier.unfinished"

    @property
    def best(self) -> Path:
        """Weights with the highest Dice on the validation cases."""
        return self.folder / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights after the last step."""
        return self.folder / "last.safetensors"

    @property
    def weights(self) -> Path:
        """Those with which it predicts: the best ones, where cases validated."""
        return self.best if self.best.is_file() else self.last

    @property
    def checkpoint(self) -> Path:
        """All that is needed to go on with training."""
        return self.folder / "checkpoint.safetensors"

    @property
    def crf(self) -> Path:
        """A CRF that was tuned to what the weights say."""
        return self.folder / CRF_FILE

    @property
    def log(self) -> Path:
        """One JSON object a line: losses, and the scores of the validation."""
        return self.folder / "log.jsonl"

    @property
    def curve(self) -> Path:
        """The log as a picture."""
        return self.folder / "curve.png"

    @property
    def tensorboard(self) -> Path:
        """What TensorBoard draws, where it was asked for."""
        return self.folder / "tensorboard"

    @property
    def cache(self) -> Path:
        """Prepared cases, where they do not fit in memory."""
        return self.folder / "cache"

    def weights_called(self, which: Which) -> Path:
        """File of weights: the "best", the "last", or "auto": the best, where there are such.

        Raises
        ------
        FileNotFoundError
            If there are none.
        """
        places = {"best": (self.best,), "last": (self.last,), "auto": (self.best, self.last)}
        if which not in places:
            raise ValueError(f"weights are {', '.join(places)}, got {which!r}")
        found = [path for path in places[which] if path.is_file()]
        if not found:
            raise FileNotFoundError(
                f"{self.folder} holds no trained model: there is no {places[which][0].name}; "
                "train one with medseg train"
            )
        return found[0]

    def files(self) -> tuple[Path, ...]:
        """All files of a training, those in folders left out."""
        described = self.plan, self.training, self.transfer, self.held_out, self.scaling
        return (*described, self.best, self.last, self.checkpoint, self.log, self.curve)

    def tidy(self) -> None:
        """Remove the files that a killed training left half written under other names."""
        remove_unfinished(self.files())

    def clear(self) -> None:
        """Remove all files of a training, and nothing else."""
        self.tidy()
        folders = self.cache, self.tensorboard, self.predictions, self.earlier, self.unfinished
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        for file in (*self.files(), self.crf):
            file.unlink(missing_ok=True)


def runs_in(path: Path) -> list[Path]:
    """The run itself, or the runs in a folder of them, as the folds of one configuration.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    """
    if not path.is_dir():
        raise FileNotFoundError(f"{path} does not exist; expected a run of medseg train")
    if Run(path).plan.is_file():
        return [path]
    return sorted(inside for inside in path.iterdir() if Run(inside).plan.is_file())
