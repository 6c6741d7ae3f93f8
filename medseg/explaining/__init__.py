"""A look inside trained networks: what they see in an image, and what they have learnt."""

from medseg.explaining.explaining import Explanation, explain
from medseg.explaining.questions import PARTS, Questions

__all__ = ["PARTS", "Explanation", "Questions", "explain"]
