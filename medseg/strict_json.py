"""JSON that was meant: what Python's reader takes beyond it, or takes on trust, is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn


def read(path: Path) -> Any:
    """Content of a JSON file; see `parse`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        return parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON that medseg reads: {error}") from error


def parse(text: str | bytes) -> Any:
    """Content of a JSON text.

    Raises
    ------
    ValueError
        If it is no JSON, nested too deeply, has a key twice in one object, a number that is
        not finite, or characters that can't be written.
    """
    try:
        content = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\ud" in (text if isinstance(text, str) else text.decode()).lower():
        json.dumps(content, ensure_ascii=False).encode()  # fails on half a surrogate pair
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} comes twice")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number
