"""Fit the parameters of classical methods, and of a CRF, to annotated cases."""

from medseg.tuning.halving import Search
from medseg.tuning.refining import TunedCRF, not_trained_on, tune_crf
from medseg.tuning.seeds import REFERENCE, seeds_of
from medseg.tuning.tuned import Tuned
from medseg.tuning.tuner import tune

__all__ = [
    "REFERENCE",
    "Search",
    "Tuned",
    "TunedCRF",
    "not_trained_on",
    "seeds_of",
    "tune",
    "tune_crf",
]
