"""Thresholds that are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medseg.classical.demands import no_seeds, one_channel
from medseg.parameter import INTENSITY, parameter, require_legal
from medseg.segmenter import segment_with
from medseg.volume import Image, Labels

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """Label 1 where the intensity lies in an interval, ends included; 0 elsewhere.

    For intensities that mean the same in every image: Hounsfield units of a CT, or an image
    that was normalised before (`normalise+threshold`). Where they don't, let a method find
    the threshold, such as `otsu`; where noise crosses it, take `hysteresis`; to keep only
    what touches a seed, `region-growing`.

    Parameters
    ----------
    low, high : float, optional
        Ends of the interval, at least one of them. Without one, the interval is open there.
    device : str
        auto, cpu, cuda or cuda:N.

    References
    ----------
    M. Sezgin, B. Sankur, "Survey over image thresholding techniques and quantitative
    performance evaluation", J. Electron. Imaging 13(1):146-165, 2004. doi:10.1117/1.1631315
    """

    low: float | None = parameter(None, unit=INTENSITY)
    high: float | None = parameter(None, unit=INTENSITY)
    device: str = "auto"

    def __post_init__(self) -> None:
        require_legal(self)
        if self.low is None and self.high is None:
            raise ValueError("threshold takes low, high or both, as in --set low=200")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"threshold takes low up to high, got low={self.low}, high={self.high}"
            )

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Label what is in the interval; `image` has one channel, and there are no seeds."""
        return segment_with(self.run, image, seeds, mask, self.device)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (1, ...) tensor."""
        import torch

        no_seeds(seeds, "threshold")
        values = one_channel(image, "threshold")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return ((values >= low) & (values <= high)).to(torch.int32)
