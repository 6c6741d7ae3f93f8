"""Fully connected conditional random fields: labels agree with what is near and alike.

`REFINEMENTS` lists what may stand behind a method that gives probabilities.
"""

from medseg.crf.dense_crf import DenseCRF
from medseg.crf.refined import Refined
from medseg.registry import Registry

REFINEMENTS: Registry[type[DenseCRF]] = Registry(
    "refinement",
    {
        "crf": (
            "medseg.crf.dense_crf:DenseCRF",
            "all voxels talk with all: what is near, and what is near and alike, agrees",
        ),
    },
)

__all__ = ["REFINEMENTS", "DenseCRF", "Refined"]
