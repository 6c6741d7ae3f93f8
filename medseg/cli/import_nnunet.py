"""`medseg import-nnunet`: take over a network that nnU-Net has trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import Overwrite, Quiet


def import_nnunet(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="NNUNET_FOLDER",
            help="Results of nnU-Net 2: the folder with plans.json, dataset.json and fold_0, ...",
        ),
    ],
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Of several folds, RUN/fold_0, ... are made."),
    ],
    folds: Annotated[
        list[str] | None,
        typer.Option("--fold", help="0 to 4, or all; repeat it for several. [default: all there]"),
    ] = None,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", help="File in the folder of a fold.")
    ] = "checkpoint_final.pth",
    orientation: Annotated[
        str,
        typer.Option(
            "--orientation",
            help="How the images lay with which it was trained, as LPS: turn all others to it. "
            "[default: do as nnU-Net, which mostly does not look]",
        ),
    ] = "",
    previous: Annotated[
        str,
        typer.Option(
            "--previous",
            metavar="FOLDER",
            help="Of a cascade's second stage, the folder of the first. [default: beside it]",
        ),
    ] = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a run of medseg from a plain or residual-encoder U-Net that nnU-Net 2 has trained.

    It predicts what nnU-Net predicts, from as many mirrored passes as nnU-Net has; one pass with
    `medseg predict --set mirrored=[]`. Nothing of a checkpoint is run: a file with anything but
    tensors and numbers is refused.
    """
    from medseg.learning.importing import import_nnunet as imported

    imported(
        folder,
        run,
        folds=folds or (),
        checkpoint=checkpoint,
        orientation=orientation,
        previous=previous,
        overwrite=overwrite,
    )
