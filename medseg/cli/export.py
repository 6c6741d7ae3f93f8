"""`medseg export`: a trained network for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import Overwrite, Quiet, Settings, assignments


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a model that `medseg train` left.")
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="OUT.onnx, which needs medseg[onnx], or OUT.pt2 of torch.export."
        ),
    ],
    parameters: Settings = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write the network of RUN for other runtimes, and its plan beside it as OUT.json.

    The network takes patches of the plan's size, any number at once, and gives their logits.
    pipelines/exported.py segments with it. Settings: --set weights=last, as of `medseg predict`.
    """
    import medseg
    from medseg.learning.exporting import export as exported
    from medseg.registry import build

    settings = {"folder": run, "device": "cpu", **assignments(parameters)}
    exported(
        build(medseg.Model.load, settings, "loading a trained model"), output, overwrite=overwrite
    )
