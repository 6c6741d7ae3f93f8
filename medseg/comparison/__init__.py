"""Which of several methods is better, by how much, and how sure that is."""

from medseg.comparison.comparing import Comparison, Difference, compare
from medseg.comparison.patients import read_patients
from medseg.comparison.ranking import Ranking

__all__ = ["Comparison", "Difference", "Ranking", "compare", "read_patients"]
