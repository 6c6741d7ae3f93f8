"""Segment with an exported network: another runtime runs it, medseg does what is around it.

medseg export RUN network.onnx                             # or network.pt2
python pipelines/exported.py network.onnx INPUT OUTPUT     # as medseg predict RUN INPUT -o OUTPUT
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import typer
from torch import Tensor, nn

import medseg


class Exported(nn.Module):
    """What a `Model` takes for a network: a module with a parameter, which is where it is."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Map (B, channels, ...) to logits (B, classes, ...)."""
        return self.run(patches)


def runtime(file: Path) -> Callable[[Tensor], Tensor]:
    """Return what runs the network in a file."""
    if file.suffix == ".pt2":
        program = torch.export.load(file).module()
        return lambda patches: program(patches)
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(patches: Tensor) -> Tensor:
        (logits,) = session.run(None, {"patches": np.ascontiguousarray(patches.numpy())})
        return torch.from_numpy(logits)

    return run


def main(network: Path, inputs: Path, output: Path) -> None:
    """Segment INPUTS with an exported NETWORK, beside which lies its plan."""
    plan = medseg.Plan.load(network.with_suffix(".json"))
    model = medseg.Model(Exported(runtime(network)), plan)
    medseg.predict(model, str(inputs), output)


if __name__ == "__main__":
    typer.run(main)
