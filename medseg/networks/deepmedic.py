"""DeepMedic, as published and as its authors changed it."""

from __future__ import annotations

from dataclasses import dataclass

from medseg.networks.multi_resolution import DeepMedicConfig


@dataclass(frozen=True)
class DeepMedic(DeepMedicConfig):
    """Three paths of residual layers: the default of v0.8.4.

    The fields are those of `DeepMedicConfig`. A batch normalisation takes the statistics of the
    last 60 batches; with 1e-6 beside the variance, where the original has nearly 0 and gives NaN
    for a constant channel. Dropout scales up in training what is left, not down in inference.

    References
    ----------
    K. Kamnitsas et al., "Efficient multi-scale 3D CNN with fully connected CRF for accurate
    brain lesion segmentation", Medical Image Analysis, 2017. doi:10.1016/j.media.2016.10.004;
    K. Kamnitsas et al., "Ensembles of multiple models and architectures for robust brain tumour
    segmentation", BrainLes 2017. doi:10.1007/978-3-319-75238-9_38
    """


@dataclass(frozen=True)
class DeepMedicOriginal(DeepMedicConfig):
    """Two paths, as in the article of 2017. See `DeepMedic` for the reference."""

    factors: tuple[int, ...] = (3,)
    residual: tuple[int, ...] = ()
    hidden: tuple[int, ...] = (150, 150)
    kernels: tuple[int, ...] = (1, 1, 1)
    hidden_residual: tuple[int, ...] = ()
    side: int = 25


@dataclass(frozen=True)
class DeepMedicResidual(DeepMedicConfig):
    """Two paths with shortcuts.

    References
    ----------
    K. Kamnitsas et al., "DeepMedic for brain tumor segmentation", BrainLes 2016.
    doi:10.1007/978-3-319-55524-9_14
    """

    factors: tuple[int, ...] = (3,)
    hidden: tuple[int, ...] = (150, 150)
    side: int = 25


@dataclass(frozen=True)
class DeepMedicWide(DeepMedicConfig):
    """Three paths of up to 100 features. See `DeepMedic` for the reference."""

    features: tuple[int, ...] = (30, 40, 50, 60, 70, 80, 90, 100)
    hidden: tuple[int, ...] = (300, 300)


@dataclass(frozen=True)
class DeepMedicTiny(DeepMedicConfig):
    """Two paths of three layers, which train in a minute. See `DeepMedic` for the reference."""

    features: tuple[int, ...] = (4, 5, 6)
    factors: tuple[int, ...] = (3,)
    residual: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    kernels: tuple[int, ...] = (1,)
    hidden_residual: tuple[int, ...] = ()
    dropout: tuple[float, ...] = (0.5,)
    side: int = 25
