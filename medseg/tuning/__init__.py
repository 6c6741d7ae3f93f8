"""Fit the parameters of classical methods to annotated cases."""

from medseg.tuning.halving import Search
from medseg.tuning.seeds import REFERENCE, seeds_of
from medseg.tuning.tuned import Tuned
from medseg.tuning.tuner import tune

__all__ = ["REFERENCE", "Search", "Tuned", "seeds_of", "tune"]
