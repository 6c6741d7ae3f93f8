"""Take over networks that other toolkits have trained."""

from medseg.learning.importing.nnunet import import_nnunet

__all__ = ["import_nnunet"]
