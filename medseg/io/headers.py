"""Bytes of NRRD and MetaImage files: a header in text, then the compressed voxels.

Formats: Teem's "Definition of NRRD File Format" and ITK's "MetaIO" documentation.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from medseg.io.compressing import compressed
from medseg.volume import Image, Labels, smallest_integers
from medseg.volume.exchange import lps_ras

_NRRD_TYPES = {
    "uint8": "uint8",
    "uint16": "uint16",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "float32": "float",
}
_META_TYPES = {
    "uint8": "MET_UCHAR",
    "uint16": "MET_USHORT",
    "int16": "MET_SHORT",
    "int32": "MET_INT",
    "int64": "MET_LONG_LONG",
    "float32": "MET_FLOAT",
}


def nrrd(volume: Image | Labels, suffix: str) -> bytes:
    """NRRD file: in LPS, gzipped."""
    array, affine = _stored(volume), lps_ras(volume.grid.affine)
    n, channels = volume.grid.ndim, len(array)
    axes = [f"({','.join(map(repr, axis))})" for axis in affine[:n, :n].T.tolist()]
    several = channels > 1
    lines = [
        "NRRD0004",
        f"type: {_NRRD_TYPES[array.dtype.name]}",
        f"dimension: {n + several}",
        "space: left-posterior-superior" if n == 3 else "space dimension: 2",
        f"sizes: {_joined([channels] * several + list(volume.grid.shape))}",
        f"space directions: {_joined(['none'] * several + axes)}",
        f"kinds: {_joined(['vector'] * several + ['domain'] * n)}",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({','.join(map(repr, affine[:n, n].tolist()))})",
    ]
    return "\n".join([*lines, "", ""]).encode() + compressed(_in_file_order(array))


def metaimage(volume: Image | Labels, suffix: str) -> bytes:
    """MetaImage file, its voxels behind the header: in LPS, compressed."""
    array, affine = _stored(volume), lps_ras(volume.grid.affine)
    n = volume.grid.ndim
    spacing = np.linalg.norm(affine[:n, :n], axis=0)
    content = zlib.compress(_in_file_order(array), level=2)
    fields = {
        "ObjectType": "Image",
        "NDims": n,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": len(content),
        "TransformMatrix": _joined((affine[:n, :n] / spacing).T.ravel().tolist()),
        "Offset": _joined(affine[:n, n].tolist()),
        "ElementSpacing": _joined(spacing.tolist()),
        "DimSize": _joined(volume.grid.shape),
        "ElementNumberOfChannels": len(array),
        "ElementType": _META_TYPES[array.dtype.name],
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode() + content


def _stored(volume: Image | Labels) -> NDArray:
    """(C, ...) array in the dtype of the file."""
    return volume.array if isinstance(volume, Image) else smallest_integers(volume.array)[None]


def _in_file_order(array: NDArray) -> bytes:
    """Channels run fastest, then i, j, k."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return little.tobytes(order="F")


def _joined(values: Iterable[object]) -> str:
    return " ".join(map(str, values))
