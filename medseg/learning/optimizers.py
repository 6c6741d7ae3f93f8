"""What makes a step of the gradients; `medseg.learning.OPTIMIZERS` lists the ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

if TYPE_CHECKING:
    from medseg.learning.settings import Training

_KEPT, _BENEATH_ROOT = 0.9, 1e-4


class DeepMedicRMSProp(Optimizer):
    """RMSProp as DeepMedic has it: 1e-4 beneath the root, and Nesterov's momentum.

    With the gradient g, a = 0.9 a + 0.1 g^2 and s = rate * g / sqrt(a + 1e-4); the velocity
    v = momentum * v - s, and the weights move by momentum * v - s. PyTorch adds its epsilon
    outside the root, and keeps the rate out of the velocity.

    Parameters
    ----------
    parameters : iterable of Tensor
    lr : float
    momentum : float in [0, 1)

    References
    ----------
    K. Kamnitsas et al., "Efficient multi-scale 3D CNN with fully connected CRF for accurate
    brain lesion segmentation", Medical Image Analysis, 2017. doi:10.1016/j.media.2016.10.004
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move the weights that have a gradient."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure; compute the gradients before step")
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if not self.state[weight]:
                    zeros = {name: torch.zeros_like(weight) for name in ("square", "velocity")}
                    self.state[weight] = zeros
            squares = [self.state[weight]["square"] for weight in weights]
            velocities = [self.state[weight]["velocity"] for weight in weights]
            if weights:
                _move(weights, gradients, squares, velocities, group)


def _move(
    weights: list[Tensor],
    gradients: list[Tensor],
    squares: list[Tensor],
    velocities: list[Tensor],
    group: dict[str, Any],
) -> None:
    # Of all weights at once, which on a GPU is a handful of kernels.
    torch._foreach_mul_(squares, _KEPT)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - _KEPT)
    roots = torch._foreach_sqrt(torch._foreach_add(squares, _BENEATH_ROOT))
    steps = torch._foreach_mul(torch._foreach_div(gradients, roots), group["lr"])
    torch._foreach_mul_(velocities, group["momentum"])
    torch._foreach_sub_(velocities, steps)
    torch._foreach_add_(weights, velocities, alpha=group["momentum"])
    torch._foreach_sub_(weights, steps)


def adamw(parameters: Iterable[Tensor], training: Training) -> Optimizer:
    """Adam whose weight decay is no part of the gradient."""
    return AdamW(parameters, training.learning_rate, weight_decay=training.weight_decay, fused=True)


def adam(parameters: Iterable[Tensor], training: Training) -> Optimizer:
    """Adam, without weight decay."""
    return Adam(parameters, training.learning_rate, fused=True)


def sgd(parameters: Iterable[Tensor], training: Training) -> Optimizer:
    """Stochastic gradient descent with Nesterov's momentum."""
    momentum = training.momentum
    return SGD(parameters, training.learning_rate, momentum, nesterov=momentum > 0)


def heavy_ball(parameters: Iterable[Tensor], training: Training) -> Optimizer:
    """Stochastic gradient descent with plain momentum, which is that of Caffe."""
    return SGD(parameters, training.learning_rate, training.momentum)


def rmsprop(parameters: Iterable[Tensor], training: Training) -> Optimizer:
    """DeepMedic's RMSProp."""
    return DeepMedicRMSProp(parameters, training.learning_rate, training.momentum)


def state_names(optimizer: Optimizer) -> set[str]:
    """What an optimiser keeps of each parameter."""
    names = {
        Adam: {"exp_avg", "exp_avg_sq", "step"},
        SGD: {"momentum_buffer"},
        DeepMedicRMSProp: {"square", "velocity"},
    }
    return next(kept for kind, kept in names.items() if isinstance(optimizer, kind))


def add_penalties(network: nn.Module, *, l1: float, l2: float) -> None:
    """Add the gradients of l1 * sum |w| + l2 * sum w^2 over the weights of convolutions."""
    if not (l1 or l2):
        return
    for weight in network.parameters():
        # Biases, and the weights of normalisations and rectifiers, have a single axis.
        if weight.grad is not None and weight.ndim > 2:
            weight.grad += l1 * weight.detach().sign() + 2 * l2 * weight.detach()
