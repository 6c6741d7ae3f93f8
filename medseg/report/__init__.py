"""Scores as a page to look at: one HTML file that needs nothing else."""

from medseg.report.writing import write_report

__all__ = ["write_report"]
