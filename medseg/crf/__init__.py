"""Fully connected conditional random fields: labels agree with what is near and alike."""

from medseg.crf.dense_crf import DenseCRF
from medseg.crf.refined import Refined

__all__ = ["DenseCRF", "Refined"]
