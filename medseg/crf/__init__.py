"""Fully connected conditional random fields: labels agree with what is near and alike."""

from medseg.crf.dense_crf import DenseCRF

__all__ = ["DenseCRF"]
