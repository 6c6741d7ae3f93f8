"""A CRF as JSON, beside the model whose probabilities it refines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medseg import strict_json
from medseg.crf.dense_crf import DenseCRF
from medseg.io import replace_file
from medseg.registry import build

CRF_FILE = "crf.json"
log = logging.getLogger("medseg")


def save_crf(crf: DenseCRF, folder: Path, how: Mapping[str, Any]) -> None:
    """Write `crf.json` into the folder of a model, for `load_crf`, and how it was found."""
    fields = {key: value for key, value in asdict(crf).items() if key != "device"}
    content = {"crf": fields, "tuned": dict(how)}
    replace_file(folder / CRF_FILE, json.dumps(content, indent=2, allow_nan=False) + "\n")


def load_crf(
    folder: str | Path, device: str = "auto", parameters: Mapping[str, object] | None = None
) -> DenseCRF:
    """CRF that was tuned to the model in a folder; that of the defaults, if none was.

    Parameters
    ----------
    folder : path
    device : str
    parameters : mapping of str, optional
        Take the place of those in the file.

    Raises
    ------
    ValueError
        If the file holds something else, or there is no such parameter.
    """
    file = Path(folder) / CRF_FILE
    fields: dict[str, Any] = {}
    if file.is_file():
        content = strict_json.read(file)
        found = content.get("crf") if isinstance(content, dict) else None
        if not isinstance(found, dict):
            raise ValueError(f'{file} holds no CRF; expected {{"crf": {{"smooth_mm": 3.0, ...}}}}')
        try:
            build(DenseCRF, fields := {**found, "device": device}, "crf")
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        log.info("the CRF has the parameters of %s", file)
    return build(DenseCRF, {**fields, "device": device, **(parameters or {})}, "crf")
