"""Fit a scaling of logits to what was true, by likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medseg.calibrating.seeing import Seen
from medseg.learning.scaling import Scaling
from medseg.registry import pick

_TINY = float(np.finfo(np.float32).tiny)
_STEPS = 100


def fit(seen: Sequence[Seen], method: str) -> Scaling:
    """Scaling with which what was true is the most likely, all voxels counting the same.

    Parameters
    ----------
    seen : sequence of Seen
    method : str
        "temperature": one factor for all classes; "vector": a factor and an offset for each.

    Raises
    ------
    ValueError
        If there is no such method, or nothing to fit to.
    """
    make = pick(METHODS, method, "way to calibrate")
    classes = len(seen[0].probabilities)
    logs = np.concatenate([each.probabilities for each in seen], axis=1)
    true = torch.from_numpy(np.concatenate([each.classes for each in seen]).astype(np.int64))
    if not len(true):
        raise ValueError("no case has an annotated structure, so there is nothing to calibrate on")
    logits = torch.from_numpy(logs).clamp_min(_TINY).log().T.double()  # (n, classes)
    start, scaled = make(classes)
    parameters = start.double().requires_grad_()
    search = torch.optim.LBFGS(
        [parameters], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_change=1e-10
    )

    def loss() -> Tensor:
        search.zero_grad()
        factors, offsets = scaled(parameters)
        found = functional.cross_entropy(logits * factors + offsets, true)
        found.backward()
        return found

    search.step(loss)
    factors, offsets = (some.detach().expand(classes).tolist() for some in scaled(parameters))
    if not np.isfinite([*factors, *offsets]).all():
        raise ValueError("the calibration diverged; are the probabilities those of this task?")
    return Scaling(tuple(factors), tuple(offsets))


_Made = tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]


def _temperature(classes: int) -> _Made:
    # Of its logarithm, so that it stays above 0.
    return torch.zeros(1), lambda p: (p.exp(), torch.zeros(classes, dtype=p.dtype))


def _vector(classes: int) -> _Made:
    """Factors of 1 and offsets of 0 at first; the offsets have a mean of 0."""

    def scaled(p: Tensor) -> tuple[Tensor, Tensor]:
        return p[:classes], p[classes:] - p[classes:].mean()

    return torch.cat([torch.ones(classes), torch.zeros(classes)]), scaled


METHODS: dict[str, Callable[[int], _Made]] = {"temperature": _temperature, "vector": _vector}
