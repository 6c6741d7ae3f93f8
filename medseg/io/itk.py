"""NRRD and MetaImage files, read with SimpleITK once they are known to be whole.

ITK reads a damaged checksum without complaint, so the voxels are counted beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from medseg.io.compressing import require_bytes
from medseg.io.formats import Kind
from medseg.volume import Grid
from medseg.volume.exchange import channels_of_sitk

_ENCODINGS = {
    "raw": "raw",
    "gzip": "deflate",
    "gz": "deflate",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "ascii": "text",
    "text": "text",
    "txt": "text",
}
_LONGEST_HEADER = 1 << 20
# NrrdIO complains of a line in a buffer of fixed size, and longer ones end the process.
_LONGEST_LINE = 500
_MOST_AXES = 4


class _Voxels(NamedTuple):
    """Where the voxels are, and how they are written down."""

    file: Path
    first: int
    encoding: str


def read(path: Path, kind: Kind) -> tuple[NDArray, Grid]:
    """Array and grid of a .nrrd, .mha or .mhd.

    Raises
    ------
    ValueError
        If its voxels are not all there, a checksum is wrong, or ITK does not read it.
    """
    voxels = (_of_nrrd if path.suffix.lower() == ".nrrd" else _of_metaimage)(path)
    reader = sitk_reader(path)
    needed = _bytes_of(reader)
    content = voxels.file.read_bytes()[voxels.first :]
    if voxels.encoding == "text":  # a digit and a space are the least that a number takes
        voxels, needed = voxels._replace(encoding="raw"), _count(reader) * 2 - 1
    require_bytes(voxels.file, content, voxels.encoding, needed)
    return channels_of_sitk(executed(reader))


def sitk_reader(path: Path) -> Any:
    """SimpleITK's reader of a file, its header read and no voxel.

    Raises
    ------
    ValueError
        If it is no file that SimpleITK reads.
    """
    import SimpleITK as sitk  # noqa: N813

    with path.open("rb"):  # says what is wrong with permissions better than ITK does
        reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    _read(reader, reader.ReadImageInformation)
    return reader


def executed(reader: Any) -> Any:
    """SimpleITK image of a reader."""
    return _read(reader, reader.Execute)


def _read(reader: Any, step: Callable[[], Any]) -> Any:
    import SimpleITK as sitk  # noqa: N813

    # Its warnings are many lines that ITK writes itself; what is wrong comes as an error too.
    warns = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        return step()
    except RuntimeError as error:
        raise ValueError(f"{reader.GetFileName()} can't be read: {_reason(error)}") from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(warns)


def _count(reader: Any) -> int:
    count: int = reader.GetNumberOfComponents()
    for length in reader.GetSize():
        count *= length
    return count


def _bytes_of(reader: Any) -> int:
    import SimpleITK as sitk  # noqa: N813

    if not 2 <= reader.GetDimension() <= _MOST_AXES:
        raise ValueError(
            f"{reader.GetFileName()} has {reader.GetDimension()} axes, expected 2 to 4"
        )
    one = sitk.Image([1] * reader.GetDimension(), reader.GetPixelID())
    return _count(reader) * int(one.GetSizeOfPixelComponent())


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "ERROR" in line] or lines
    return told[-1].rpartition("ERROR:")[2].strip()


def _of_nrrd(path: Path) -> _Voxels:
    content = _start(path)
    if not content.startswith(b"NRRD"):
        raise ValueError(f"{path} is no NRRD file")
    ends = [(content.find(mark), len(mark)) for mark in (b"\n\n", b"\r\n\r\n")]
    found = [(end, end + length) for end, length in ends if end >= 0]
    end, first = min(found, default=(len(content), len(content)))
    if any(len(line) > _LONGEST_LINE and b":=" not in line for line in content[:end].split(b"\n")):
        raise ValueError(f"{path} has a line of over {_LONGEST_LINE} bytes in its header")
    fields = _fields(content[:end], ":")
    encoding = _ENCODINGS.get(fields.get("encoding", "raw").lower(), "")
    if not encoding:
        raise ValueError(f"{path} has the encoding {fields['encoding']}, which is not read")
    if {"lineskip", "byteskip"} & {key.replace(" ", "") for key in fields}:
        raise ValueError(f"{path} skips a part of its data file, which is not read; save it anew")
    other = fields.get("data file") or fields.get("datafile")
    return (
        _Voxels(_data_file(path, other), 0, encoding) if other else _Voxels(path, first, encoding)
    )


def _of_metaimage(path: Path) -> _Voxels:
    content = _start(path)
    mark = content.find(b"ElementDataFile")
    if mark < 0:
        raise ValueError(f"{path} is no MetaImage file: no ElementDataFile is in its header")
    end = content.find(b"\n", mark)
    end = len(content) if end < 0 else end
    fields = _fields(content[:end], "=")
    encoding = "raw" if fields.get("binarydata", "true").lower() == "true" else "text"
    if fields.get("compresseddata", "false").lower() == "true":
        encoding = "deflate"
    other = fields.get("elementdatafile")
    if other is None:
        raise ValueError(f"{path} is damaged: its header does not say where the voxels are")
    if other.lower() == "local":
        return _Voxels(path, end + 1, encoding)
    return _Voxels(_data_file(path, other), 0, encoding)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_HEADER)


def _fields(header: bytes, mark: str) -> Mapping[str, str]:
    """Fields of the header, their names in lower case."""
    lines = (line.partition(mark) for line in header.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip() for key, found, value in lines if found}


def _data_file(path: Path, name: str) -> Path:
    if name.upper().startswith("LIST") or "%" in name:
        raise ValueError(f"{path} has its voxels in several files; save it as one file")
    file = path.parent / name
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist, but {path} has its voxels there")
    return file
