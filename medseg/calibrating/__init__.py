"""Make the probabilities of a model come true as often as they say, and show whether they do."""

from medseg.calibrating.calibration import Calibration, calibrate, calibrate_folder
from medseg.calibrating.judging import Judged
from medseg.calibrating.report import write_calibration_report

__all__ = ["Calibration", "Judged", "calibrate", "calibrate_folder", "write_calibration_report"]
