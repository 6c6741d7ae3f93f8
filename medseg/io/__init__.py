"""Read and write volumes. Everything else in medseg works in memory.

A file is read whole before it is believed: checksums stand at the end, so a truncated or
damaged file is noticed here and not in the results. LPS, the world of DICOM and ITK, is
turned into RAS here and nowhere else. Where the sform and the qform of a NIfTI file
disagree, the sform counts, as in nibabel; `medseg info` says that they do.
"""

from medseg.io.contours import require_contour_file, write_contour
from medseg.io.formats import READERS, WRITERS, PathLike, is_series, stem_of, suffix_of
from medseg.io.reading import read_as_stored, read_image, read_labels, read_stored
from medseg.io.writing import remove_unfinished, replace_file, write, write_nifti

__all__ = [
    "READERS",
    "WRITERS",
    "PathLike",
    "is_series",
    "read_as_stored",
    "read_image",
    "read_labels",
    "read_stored",
    "remove_unfinished",
    "replace_file",
    "require_contour_file",
    "stem_of",
    "suffix_of",
    "write",
    "write_contour",
    "write_nifti",
]
