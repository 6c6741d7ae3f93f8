"""What `-m` names, built: a method, a chain, a trained model with its clean-ups."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medseg.chain import Chain
    from medseg.segmenter import Segmenter


def chain_called(name: str, device: str, parameters: dict[str, object]) -> Chain:
    """Build the chain of that name, out of that file, or about the model in that folder.

    Raises
    ------
    ValueError
        If there is none, or no such device, or a parameter is wrong.
    FileNotFoundError
        If `name` can only be a file or a folder, and there is none.
    """
    from medseg.chain import Chain, with_parameters
    from medseg.cleanup.saved import load_cleanups
    from medseg.crf import Refined
    from medseg.crf.saved import load_crf
    from medseg.device import resolve

    resolve(device)  # refuses one that is not there before any case is read
    folders: list[str] = []

    def models(part: str, given: Mapping[str, object]) -> Segmenter | None:
        model = _model(device, part, given)
        if model is not None:
            folders.append(part)
        return model

    if Path(name).is_dir():  # whose name may have a + in it
        chain = Chain.of(with_parameters([{"name": name}], parameters), device, models)
    elif name.endswith(".json"):
        chain = Chain.load(name, parameters, device, models)
    else:
        chain = Chain.parse(name, parameters, device, models)
        if folders and isinstance(chain.method, Refined):
            of_crf = {k[4:]: v for k, v in parameters.items() if k.startswith("crf.")}
            crf = load_crf(folders[0], device, of_crf)
            chain = replace(chain, method=replace(chain.method, crf=crf))
    own = (cleanup for folder in folders for cleanup in load_cleanups(folder, device))
    return replace(chain, cleanups=(*own, *chain.cleanups))


def _model(device: str, name: str, parameters: Mapping[str, object]) -> Segmenter | None:
    """Trained model in the folder `name`; None if that can't be meant for a folder."""
    from medseg.registry import build

    if Path(name).is_dir():
        from medseg.learning.ensemble import loader_of

        settings = {"folder": Path(name), "device": device, **parameters}
        return build(loader_of(name), settings, "loading a trained model")
    if os.sep in name:
        raise FileNotFoundError(f"{name} does not exist; -m takes a method or the folder of a run")
    return None


def channels_of(segmenter: Segmenter) -> int | None:
    """How many channels a trained model takes; a classical method says so itself."""
    plan = getattr(segmenter, "plan", None)
    return None if plan is None else len(plan.channels)
