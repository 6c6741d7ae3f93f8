"""Cases on disk: which files belong together. Nothing is read until a case is asked."""

from medseg.dataset.case import Case
from medseg.dataset.collection import Dataset
from medseg.dataset.inputs import find_cases, place_outputs
from medseg.dataset.layouts import LAYOUTS

__all__ = ["LAYOUTS", "Case", "Dataset", "find_cases", "place_outputs"]
