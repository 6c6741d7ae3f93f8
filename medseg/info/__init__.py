"""What a file, a data set or a training run is, and what is odd about it."""

from __future__ import annotations

from pathlib import Path

from medseg.dataset import Dataset
from medseg.info.dataset import DatasetInfo, dataset_info
from medseg.info.ensemble import EnsembleInfo, ensemble_info
from medseg.info.run import RunInfo, run_info
from medseg.info.volume import LabelInfo, VolumeInfo, volume_info
from medseg.io import is_series

__all__ = ["DatasetInfo", "EnsembleInfo", "LabelInfo", "RunInfo", "VolumeInfo", "info"]

Info = VolumeInfo | DatasetInfo | RunInfo | EnsembleInfo


def info(path: str | Path, *, series: str = "") -> Info:
    """Facts of a volume, a data set, a run or an ensemble, whichever lies there.

    Parameters
    ----------
    path : path
        A folder is, in this order, a run, an ensemble, a data set or a DICOM series.
    series : str, optional
        UID or number of the series that is meant, where a DICOM folder holds several.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    ValueError
        If it is none of them, or is damaged.
    """
    place = Path(path)
    if (place / "plan.json").is_file():
        return run_info(place)
    if (place / "ensemble.json").is_file():
        return ensemble_info(place)
    if place.exists() and Dataset.recognises(place):
        return dataset_info(place)
    if place.is_dir() and not is_series(place):
        raise ValueError(f"{place} is no data set, DICOM series or run; name a file in it")
    return volume_info(place, series)
