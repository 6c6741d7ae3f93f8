"""Write contours: curves and surfaces as VTK, surfaces as GIfTI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medseg.contour import Contour
from medseg.io.formats import PathLike
from medseg.io.writing import replace_file


def write_contour(contour: Contour, path: PathLike) -> None:
    """Write a contour in mm, RAS+, in the format of the suffix: .vtk or .gii.

    VTK is the legacy format, binary, with the label of each cell as its `label`; the header
    says SPACE=RAS, as 3D Slicer asks. The file appears whole or not at all; what was there is
    replaced.

    Raises
    ------
    ValueError
        If there is no such format, or it can't hold the contour.
    """
    file = require_contour_file(path)
    try:
        content = CONTOUR_WRITERS[file.suffix.lower()](contour)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    replace_file(file, content)


def require_contour_file(path: PathLike) -> Path:
    """Path of a file that contours can be written to; ValueError if it has another suffix."""
    file = Path(path)
    if file.suffix.lower() not in CONTOUR_WRITERS:
        raise ValueError(f"contours are written as {', '.join(CONTOUR_WRITERS)}, got {file}")
    return file


def _vtk(contour: Contour) -> bytes:
    points = np.zeros((len(contour.points), 3))
    points[:, : contour.points.shape[1]] = contour.points
    count, corners = contour.cells.shape
    cells = np.insert(contour.cells, 0, corners, axis=1)
    kind = "LINES" if corners == 2 else "POLYGONS"
    header = "# vtk DataFile Version 3.0\nmedseg contour, mm; SPACE=RAS\nBINARY\nDATASET POLYDATA\n"
    # The numbers of a binary file are big-endian, and a line break ends each block.
    return b"".join(
        [
            f"{header}POINTS {len(points)} float\n".encode(),
            points.astype(">f4").tobytes(),
            f"\n{kind} {count} {cells.size}\n".encode(),
            cells.astype(">i4").tobytes(),
            f"\nCELL_DATA {count}\nSCALARS label int 1\nLOOKUP_TABLE default\n".encode(),
            contour.labels.astype(">i4").tobytes(),
            b"\n",
        ]
    )


def _gifti(contour: Contour) -> bytes:
    import nibabel as nib

    if contour.cells.shape[1] != 3:
        raise ValueError("GIfTI holds surfaces of triangles, got a curve; write it as .vtk")
    if len(held := np.unique(contour.labels)) > 1:
        raise ValueError(
            f"GIfTI holds a single surface, got those of labels {', '.join(map(str, held))}; "
            "choose one with contour.of(label), or write them as .vtk"
        )
    gifti: Any = nib.gifti  # its types are not declared
    unknown = "NIFTI_XFORM_UNKNOWN"
    place = gifti.GiftiCoordSystem(unknown, unknown, np.eye(4))
    points = contour.points.astype(np.float32)
    triangles = contour.cells.astype(np.int32)
    arrays = [
        gifti.GiftiDataArray(points, "NIFTI_INTENT_POINTSET", coordsys=place),
        gifti.GiftiDataArray(triangles, "NIFTI_INTENT_TRIANGLE"),
    ]
    return bytes(gifti.GiftiImage(darrays=arrays).to_xml())


CONTOUR_WRITERS: Mapping[str, Callable[[Contour], bytes]] = {".vtk": _vtk, ".gii": _gifti}
