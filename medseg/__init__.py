"""Segment medical images, the classical way or with trained networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medseg import metrics
    from medseg.calibrating import Calibration, calibrate, write_calibration_report
    from medseg.chain import Chain
    from medseg.choosing import Choice, Configuration, choose
    from medseg.classical import METHODS, method
    from medseg.cleanup import CLEANUPS
    from medseg.comparison import Comparison, compare
    from medseg.crf import DenseCRF, Refined
    from medseg.dataset import Case, Dataset
    from medseg.evaluation import DEFAULT_METRICS, Rules, Scores, evaluate, evaluate_cases
    from medseg.explaining import Questions, explain
    from medseg.filters import FILTERS
    from medseg.io import read_image, read_labels, write
    from medseg.learning import RECIPES
    from medseg.learning.ensemble import Ensemble
    from medseg.learning.model import Model
    from medseg.learning.plan import Plan
    from medseg.learning.planning import make_plan
    from medseg.learning.predicting import predict
    from medseg.learning.settings import Training
    from medseg.learning.training import train
    from medseg.measuring import LabelStatistics, label_statistics
    from medseg.metrics import METRICS
    from medseg.networks import NETWORKS
    from medseg.networks.receptive import output_size, receptive_field
    from medseg.report import write_report
    from medseg.resampling import crop, resample, with_spacing
    from medseg.segmenter import Probabilistic, Segmenter
    from medseg.tuning import Search, Tuned, TunedCRF, tune, tune_crf
    from medseg.volume import Grid, Image, Labels, orientation, reorient

# Importing torch takes seconds and nibabel a fifth of one, so each name is imported when used.
_HOME = {
    "Calibration": "medseg.calibrating",
    "calibrate": "medseg.calibrating",
    "write_calibration_report": "medseg.calibrating",
    "Chain": "medseg.chain",
    "CLEANUPS": "medseg.cleanup",
    "FILTERS": "medseg.filters",
    "Choice": "medseg.choosing",
    "Configuration": "medseg.choosing",
    "choose": "medseg.choosing",
    "METHODS": "medseg.classical",
    "method": "medseg.classical",
    "Comparison": "medseg.comparison",
    "compare": "medseg.comparison",
    "DenseCRF": "medseg.crf",
    "Refined": "medseg.crf",
    "Case": "medseg.dataset",
    "Dataset": "medseg.dataset",
    "DEFAULT_METRICS": "medseg.evaluation",
    "Rules": "medseg.evaluation",
    "Scores": "medseg.evaluation",
    "evaluate": "medseg.evaluation",
    "evaluate_cases": "medseg.evaluation",
    "Questions": "medseg.explaining",
    "explain": "medseg.explaining",
    "read_image": "medseg.io",
    "read_labels": "medseg.io",
    "write": "medseg.io",
    "RECIPES": "medseg.learning",
    "Ensemble": "medseg.learning.ensemble",
    "Model": "medseg.learning.model",
    "Plan": "medseg.learning.plan",
    "make_plan": "medseg.learning.planning",
    "predict": "medseg.learning.predicting",
    "Training": "medseg.learning.settings",
    "train": "medseg.learning.training",
    "LabelStatistics": "medseg.measuring",
    "label_statistics": "medseg.measuring",
    "METRICS": "medseg.metrics",
    "NETWORKS": "medseg.networks",
    "output_size": "medseg.networks.receptive",
    "receptive_field": "medseg.networks.receptive",
    "write_report": "medseg.report",
    "crop": "medseg.resampling",
    "resample": "medseg.resampling",
    "with_spacing": "medseg.resampling",
    "Probabilistic": "medseg.segmenter",
    "Segmenter": "medseg.segmenter",
    "Search": "medseg.tuning",
    "Tuned": "medseg.tuning",
    "TunedCRF": "medseg.tuning",
    "tune": "medseg.tuning",
    "tune_crf": "medseg.tuning",
    "Grid": "medseg.volume",
    "Image": "medseg.volume",
    "Labels": "medseg.volume",
    "orientation": "medseg.volume",
    "reorient": "medseg.volume",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "metrics":
        return import_module("medseg.metrics")
    raise AttributeError(f"module 'medseg' has no attribute {name!r}")


__all__ = [
    "CLEANUPS",
    "DEFAULT_METRICS",
    "FILTERS",
    "METHODS",
    "METRICS",
    "NETWORKS",
    "RECIPES",
    "Calibration",
    "Case",
    "Chain",
    "Choice",
    "Comparison",
    "Configuration",
    "Dataset",
    "DenseCRF",
    "Ensemble",
    "Grid",
    "Image",
    "LabelStatistics",
    "Labels",
    "Model",
    "Plan",
    "Probabilistic",
    "Questions",
    "Refined",
    "Rules",
    "Scores",
    "Search",
    "Segmenter",
    "Training",
    "Tuned",
    "TunedCRF",
    "calibrate",
    "choose",
    "compare",
    "crop",
    "evaluate",
    "evaluate_cases",
    "explain",
    "label_statistics",
    "make_plan",
    "method",
    "metrics",
    "orientation",
    "output_size",
    "predict",
    "read_image",
    "read_labels",
    "receptive_field",
    "reorient",
    "resample",
    "train",
    "tune",
    "tune_crf",
    "with_spacing",
    "write",
    "write_calibration_report",
    "write_report",
]
