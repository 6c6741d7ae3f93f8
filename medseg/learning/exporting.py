"""Write the network of a model for other runtimes, and its plan beside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from medseg.io import replace_file
from medseg.learning.model import Model
from medseg.learning.plan import Plan

_NEEDED = ("onnx", "onnxscript")
_Writer = Callable[[nn.Module, Tensor], bytes]


def export(model: Model, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a network as ONNX or as a program of torch.export, as the suffix says.

    It takes (B, channels, ...) patches of one size, any number at once, and gives their logits
    (B, classes, ...). What is around it, from reading to the weighing of tiles, is in the plan,
    which is written beside it as JSON. `pipelines/exported.py` runs both.

    Parameters
    ----------
    model : Model
    path : path
        Ends in .onnx or .pt2.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Path
        The plan.

    Raises
    ------
    FileExistsError
        If a file exists.
    ModuleNotFoundError
        If ONNX is asked for and not installed.
    ValueError
        If the suffix is another, or the network can't be written.
    """
    target = Path(path)
    beside = target.with_suffix(".json")
    writers: Mapping[str, _Writer] = {".onnx": _as_onnx, ".pt2": _as_program}
    if target.suffix not in writers:
        raise ValueError(f"networks are exported as {', '.join(writers)}, got {target}")
    if existing := [file for file in (target, beside) if file.exists() and not overwrite]:
        raise FileExistsError(f"{existing[0]} exists already; replace it with --overwrite")
    if missing := [name for name in _NEEDED if target.suffix == ".onnx" and not find_spec(name)]:
        raise ModuleNotFoundError(
            f"ONNX needs {' and '.join(missing)}; install it with: pip install 'medseg[onnx]'"
        )
    # Each tile is of the size of the patch: that is what the file takes.
    plan = replace(model.plan, conventions=replace(model.plan.conventions, tiles="patch"))
    try:
        content = writers[target.suffix](model.network, _patches(plan))
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ValueError(f"the network can't be exported: {error}") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, content)
    plan.save(beside)
    return beside


def _patches(plan: Plan) -> Tensor:
    """(2, channels, ...) as the network sees them; of 1, torch would conclude that it is fixed."""
    network = plan.network
    sides = tuple(plan.patch[axis] for axis in plan.axes)
    if any(network.margin):
        around = zip(network.fitted(network.tile(sides)), network.margin, network.rim, strict=True)
        sides = tuple(side + 2 * (margin + rim) for side, margin, rim in around)
    return torch.zeros(2, plan.inputs, *sides)


def _as_program(network: nn.Module, patches: Tensor) -> bytes:
    file = BytesIO()
    torch.export.save(_program(network, patches), file)
    return file.getvalue()


def _as_onnx(network: nn.Module, patches: Tensor) -> bytes:
    with warnings.catch_warnings():
        # The exporter complains of functions of torch that it calls itself.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            _program(network, patches),
            input_names=["patches"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch gave no program")
    content: bytes = program.model_proto.SerializeToString()
    return content


def _program(network: nn.Module, patches: Tensor) -> torch.export.ExportedProgram:
    # A copy on the CPU, in the layout that all runtimes know.
    plain = deepcopy(network).cpu().eval()
    for values in plain.parameters():
        values.data = values.data.contiguous()
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        return torch.export.export(plain, (patches,), dynamic_shapes=({0: batch},))
