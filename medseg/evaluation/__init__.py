"""Compare predictions with references: one row per number, and what they say together."""

from medseg.evaluation.cases import evaluate_cases
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.scoring import DEFAULT_METRICS, evaluate
from medseg.evaluation.summary import Summary

__all__ = ["DEFAULT_METRICS", "Score", "Scores", "Summary", "evaluate", "evaluate_cases"]
