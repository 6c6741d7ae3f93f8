"""`medseg convert`: a volume from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medseg.cli.options import NaN, Overwrite, Quiet, Series


def convert(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A file, or a folder that is a DICOM series.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A file; its suffix says the format.")
    ],
    labels: Annotated[
        bool, typer.Option("--labels", help="Refuse what is no label map, and store integers.")
    ] = False,
    nan: NaN = None,
    series: Series = "",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a volume in another format, where it was in the world.

    Whole numbers stay whole numbers, in the smallest type that holds them; all others become
    float32.
    """
    from medseg.io import read_as_stored, read_labels, suffix_of, write
    from medseg.volume import Image, Labels
    from medseg.volume.exchange import real

    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists already; replace it with --overwrite")
    if labels and nan is not None:
        raise ValueError("--nan is of images; a label map has none, so leave out one of the two")
    volume: Image | Labels
    if labels:
        volume = read_labels(source, series=series)
    else:
        volume = read_as_stored(source, nan=nan, series=series)
        if isinstance(volume, Labels) and suffix_of(target) in (".jpg", ".jpeg"):
            volume = Image(real(volume.array[None]), volume.grid)  # JPEG refuses label maps
    write(volume, target)
