"""Gzip and zlib: checksums are read, and the same volume gives the same bytes."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

_PIECE = 1 << 20


def compressed(content: bytes) -> bytes:
    """Gzip without a time or a name in it."""
    return gzip.compress(content, compresslevel=2, mtime=0)


def decompressed(path: Path, content: bytes) -> bytes:
    """What was gzipped; ValueError if it is truncated or its checksum is wrong."""
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error


def require_bytes(path: Path, content: bytes, encoding: str, needed: int) -> None:
    """Raise ValueError unless `content` holds so many bytes, and the checksums are right.

    Parameters
    ----------
    encoding : str
        "raw", "deflate" (gzip or zlib, told apart by their first bytes) or "bzip2".
    needed : int
        Bytes before compression.
    """
    if encoding == "raw":
        size = len(content)
    else:
        try:
            size = _size_of(content, encoding)
        except (zlib.error, OSError, EOFError) as error:
            raise ValueError(f"{path} is truncated or damaged: {error}") from error
    if size < needed:
        raise ValueError(
            f"{path} is truncated: its header speaks of {needed} bytes of voxels, there are {size}"
        )


def _size_of(content: bytes, encoding: str) -> int:
    """Count what comes out, without holding more than a piece of it."""
    if encoding == "bzip2":
        return _run(bz2.BZ2Decompressor(), content)
    return _run(_Deflate(), content)


class _Deflate:
    """zlib's decompressor with the interface of bz2's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=47)  # gzip or zlib, as the first bytes say

    @property
    def eof(self) -> bool:
        return self._inner.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _run(decompressor: _Deflate | bz2.BZ2Decompressor, content: bytes) -> int:
    size, data = 0, content
    while not decompressor.eof:
        piece = decompressor.decompress(data, _PIECE)
        if not piece and not decompressor.eof:
            raise EOFError("it ends before its checksum")
        size, data = size + len(piece), b""
    return size
