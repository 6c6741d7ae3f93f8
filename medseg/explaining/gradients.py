"""Which voxels, and which places inside a network, a score follows: by its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from medseg.explaining.score import Score, in_groups
from medseg.networks.layer_field import recorded


def integrated_gradients(
    score: Score, volume: Tensor, baseline: Tensor, *, steps: int = 32, batch: int = 1
) -> Tensor:
    """What each voxel of each channel adds to the score, on the way from a baseline.

    The gradient along the straight way, by Gauss and Legendre's rule, times how far each voxel
    goes. All together they add up to the difference of both scores, the better the more steps.

    Parameters
    ----------
    score : function of (B, C, ...) -> (B,)
    volume : (C, ...) float tensor
    baseline : (C,) float tensor
    steps : int
    batch : int
        How many go through the network together.

    Returns
    -------
    (C, ...) float tensor

    References
    ----------
    M. Sundararajan et al., "Axiomatic attribution for deep networks", ICML 2017, arXiv:1703.01365
    """
    if steps < 1:
        raise ValueError(f"integrated gradients take at least one step, got {steps}")
    places, weights = np.polynomial.legendre.leggauss(steps)
    rule = torch.from_numpy(np.stack([(places + 1) / 2, weights / 2], 1)).to(volume)
    along = (-1, *[1] * volume.ndim)
    start = baseline.reshape(-1, *[1] * (volume.ndim - 1))
    way = volume - start
    total = torch.zeros_like(volume)
    for group in in_groups(rule, batch):
        between = (start + group[:, 0].reshape(along) * way).requires_grad_()
        (slopes,) = torch.autograd.grad(score(between).sum(), between)
        total += (group[:, 1].reshape(along) * slopes).sum(0)
    return total * way


@dataclass(frozen=True, eq=False)
class Cam:
    """What a layer gives, and how a score follows its features.

    Parameters
    ----------
    activations : (F, ...) float tensor
    weights : (F,) float tensor
        Mean gradient of the score, of each feature.
    """

    activations: Tensor
    weights: Tensor

    @property
    def map(self) -> Tensor:
        """(...) Grad-CAM: the weighted sum of the features, where it is above 0."""
        return torch.einsum("f,f...->...", self.weights, self.activations).relu()

    @property
    def telling(self) -> list[int]:
        """Features, the one first whose changes from place to place count most for the score."""
        spread = self.activations.flatten(1).std(1, correction=0)
        count = (self.weights.abs() * spread).cpu()
        return torch.argsort(count, descending=True, stable=True).tolist()


def grad_cam(score: Score, volume: Tensor, network: nn.Module, layer: str) -> Cam:
    """Where a layer speaks for what the score stands for.

    Parameters
    ----------
    score : function of (B, C, ...) -> (B,)
        It calls the network once.
    volume : (C, ...) float tensor
    network : nn.Module
    layer : str
        Name of one of its modules.

    References
    ----------
    R. R. Selvaraju et al., "Grad-CAM", ICCV 2017, doi:10.1109/ICCV.2017.74;
    of a region of a segmentation: K. Vinogradova et al., "Towards interpretable semantic
    segmentation via gradient-weighted class activation mapping", AAAI 2020,
    doi:10.1609/aaai.v34i10.7244
    """
    with recorded(network, layer) as outputs:
        number = score(volume[None].clone().requires_grad_()).sum()
    if not number.requires_grad or not outputs:
        raise ValueError(f"the score does not go through layer {layer!r}; choose another")
    (slopes,) = torch.autograd.grad(number, outputs[-1], allow_unused=True)
    if slopes is None:
        raise ValueError(f"the score does not depend on layer {layer!r}; choose another")
    return Cam(outputs[-1][0].detach(), slopes[0].flatten(1).mean(1))
