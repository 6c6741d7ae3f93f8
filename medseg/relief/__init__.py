"""An image as a landscape: how steep it is, how it fills up, and where its valleys are."""

from medseg.relief.gradient import gradient_magnitude, smoothed
from medseg.relief.reconstruction import (
    reconstruction,
    reconstruction_in_torch,
    valleys,
)

__all__ = [
    "gradient_magnitude",
    "reconstruction",
    "reconstruction_in_torch",
    "smoothed",
    "valleys",
]
