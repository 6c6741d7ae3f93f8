"""Compare predictions with references: one row per number, and what they say together."""

from medseg.evaluation.cases import evaluate_cases
from medseg.evaluation.records import Counts, Record
from medseg.evaluation.resuming import scored_before
from medseg.evaluation.rules import Rules
from medseg.evaluation.scores import Score, Scores
from medseg.evaluation.scoring import DEFAULT_METRICS, evaluate
from medseg.evaluation.summary import Bootstrap, Summary

__all__ = [
    "DEFAULT_METRICS",
    "Bootstrap",
    "Counts",
    "Record",
    "Rules",
    "Score",
    "Scores",
    "Summary",
    "evaluate",
    "evaluate_cases",
    "scored_before",
]
