"""NIfTI-1 and NIfTI-2, in one file or in two, and Analyze 7.5."""

from __future__ import annotations

import logging
import zlib
from io import BytesIO
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from medseg.io.compressing import compressed, decompressed
from medseg.io.formats import Kind
from medseg.volume import Grid, Image, Labels
from medseg.volume.exchange import channels_of_nibabel, grid_of_nibabel, stored_of_nibabel

if TYPE_CHECKING:
    import nibabel as nib

# nibabel logs how it mends a header; `medseg info` says that, and what matters is an error.
_LOG = logging.getLogger("nibabel.global")
_LARGEST_CODE = 5
# Of a file that may be compressed, bytes that hold the header.
_ENOUGH, _LONGEST_HEADER = 4096, 540
# The first number of a file, in either byte order, is the size of its header: 348 or 540.
_FIRST_OF_1 = (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c")
_FIRST_OF_2 = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")


def read(path: Path, kind: Kind) -> tuple[NDArray, Grid]:
    """Array and grid of a .nii or .nii.gz."""
    return _taken(load(path), kind)


def read_pair(path: Path, kind: Kind) -> tuple[NDArray, Grid]:
    """Array and grid of an .hdr and the .img beside it, whichever of them is named."""
    return _taken(load_pair(path), kind)


def encoded(volume: Image | Labels, suffix: str) -> bytes:
    """Bytes of the file: labels in the smallest integer dtype, images in float32."""
    content = volume.to_nibabel().to_bytes()
    return compressed(content) if suffix == ".nii.gz" else content


def load(path: Path) -> nib.Nifti1Image:
    """Nibabel image of a whole and undamaged file.

    Raises
    ------
    ValueError
        If its checksum is wrong, its voxels are not all there, or its header is none.
    """
    import nibabel as nib

    _LOG.setLevel(logging.CRITICAL)
    content = _content(path)
    kind = nib.Nifti2Image if content[:4] in _FIRST_OF_2 else nib.Nifti1Image
    try:
        image = kind.from_bytes(content)
    except Exception as error:  # nibabel's readers raise whatever their parts raise
        raise ValueError(f"{path} is no NIfTI image: {error}") from error
    _require_place(path, content, image)
    _require_whole(path, image, len(content))
    return image


def load_pair(path: Path) -> Any:
    """Nibabel image of a header and a file of voxels; see `load`."""
    import nibabel as nib
    from nibabel.fileholders import FileHolder

    _LOG.setLevel(logging.CRITICAL)
    header, voxels = _beside(path, ".hdr"), _beside(path, ".img")
    first = _content(header)
    kind: Any = nib.Nifti2Pair if first[:4] in _FIRST_OF_2 else nib.Nifti1Pair
    if _is_analyze(first):
        kind = nib.Spm2AnalyzeImage
    content = _content(voxels)
    place = header.with_suffix(".mat")  # where SPM keeps the affine that Analyze has no room for
    matrix = place.read_bytes() if kind is nib.Spm2AnalyzeImage and place.is_file() else b""
    parts = {"header": first, "image": content, "mat": matrix}
    holders = {name: FileHolder(fileobj=BytesIO(part)) for name, part in parts.items()}
    try:
        image = kind.from_file_map(holders)
    except Exception as error:  # as above
        raise ValueError(f"{header} is no header of NIfTI or Analyze: {error}") from error
    _require_place(header, first, image)
    _require_whole(voxels, image, len(content))
    return image


def header_of(path: Path) -> Any:
    """Nibabel header of a file that `load` or `load_pair` reads; no voxel is read."""
    file = _beside(path, ".hdr") if path.suffix.lower() in (".hdr", ".img") else path
    with file.open("rb") as plain:
        content = plain.read(_ENOUGH)
    if content[:2] == b"\x1f\x8b":
        content = zlib.decompressobj(wbits=31).decompress(content, _LONGEST_HEADER)
    return _unmended(content)


def outline(path: Path) -> tuple[Grid, int]:
    """Grid of a file, as its header has it, and how many bytes it stores for each voxel.

    Raises
    ------
    ValueError
        If the header is none.
    """
    import nibabel as nib

    _LOG.setLevel(logging.CRITICAL)
    try:
        image: Any = nib.load(path)  # no voxel is read
        grid, dtype = grid_of_nibabel(image), image.get_data_dtype()
    except Exception as error:  # as above
        raise ValueError(f"{path} is no NIfTI image: {error}") from error
    return grid, prod(image.shape) // prod(grid.shape) * dtype.itemsize


def mended_of(path: Path) -> list[str]:
    """What nibabel mends in the header of a file, a line each."""
    header = header_of(path)
    report = header.diagnose_binaryblock(header.binaryblock, header.endianness)
    return [line.strip() for line in str(report).splitlines() if line.strip()]


def _unmended(content: bytes) -> Any:
    """Header as it stands in the file; nibabel would mend what is wrong with it."""
    import nibabel as nib

    if content[:4] in _FIRST_OF_2:
        return nib.Nifti2Header(content[:540], check=False)
    kind = nib.Spm2AnalyzeImage.header_class if _is_analyze(content) else nib.Nifti1Header
    return kind(content[:348], check=False)


def _require_place(path: Path, content: bytes, image: Any) -> None:
    """Refuse what nibabel would mend by a guess that moves voxels.

    A spacing of 0, of which it makes 1, unless an sform says what it is; a code of a form that
    there is not, whose form it drops.
    """
    header = _unmended(content)
    if "sform_code" in header:
        codes = int(header["sform_code"]), int(header["qform_code"])
        if not all(0 <= code <= _LARGEST_CODE for code in codes):
            raise ValueError(
                f"{path} has the sform and qform codes {codes}, expected 0 to {_LARGEST_CODE}; "
                "repair its header"
            )
        if codes[0] > 0:
            return
    sizes = [int(size) for size in image.shape[:3]]
    zooms = [float(mm) for mm in header["pixdim"][1 : 1 + len(sizes)]]
    if any(mm == 0 and size > 1 for mm, size in zip(zooms, sizes, strict=True)):
        raise ValueError(f"{path} has a voxel size of 0 mm: {zooms}; repair its header")


def _is_analyze(header: bytes) -> bool:
    return header[:4] in _FIRST_OF_1 and header[344:347] not in (b"ni1", b"n+1")


def _taken(image: Any, kind: Kind) -> tuple[NDArray, Grid]:
    return channels_of_nibabel(image) if kind == "image" else stored_of_nibabel(image)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    # By content, as both suffixes are found on both kinds.
    return decompressed(path, content) if content[:2] == b"\x1f\x8b" else content


def _beside(path: Path, suffix: str) -> Path:
    """The half of a pair with that suffix, in upper case too."""
    stem = path.name[:-4]
    for file in (path.with_name(stem + suffix), path.with_name(stem + suffix.upper())):
        if file.is_file():
            return file
    if path.suffix.lower() == suffix:
        return path
    raise FileNotFoundError(f"{path.with_name(stem + suffix)} does not exist, but {path} needs it")


def _require_whole(path: Path, image: Any, size: int) -> None:
    proxy: Any = image.dataobj
    voxels = prod(int(length) for length in proxy.shape)
    needed = int(proxy.offset) + voxels * int(proxy.dtype.itemsize)
    if needed > size or voxels < 1 or proxy.offset < 0:
        raise ValueError(
            f"{path} is truncated: its header speaks of {needed} bytes, the file has {size}"
        )
