"""What a parameter of a method may be: which values it takes, which are usual, and its unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

# Unit of what is compared with intensities: the images say between which values to look.
INTENSITY = "intensity"
_DOMAIN = "medseg.parameter"
_KINDS: dict[Any, str] = {bool: "bool", int: "int", float: "float", str: "str"}
_WORDS = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a text"}


@dataclass(frozen=True)
class Interval:
    """Numbers between two ends, each of which belongs to it or not.

    Parameters
    ----------
    low, high : float
    with_low, with_high : bool
    """

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = False
    with_high: bool = False

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Interval as mathematics writes it: "[0, 1)" has 0 and has not 1."""
        low, high = (float(end) for end in text[1:-1].split(","))
        if text[0] not in "[(" or text[-1] not in ")]" or not low < high:
            raise ValueError(f"an interval is written like [0, 1) or (0, inf), got {text!r}")
        return cls(low, high, text[0] == "[", text[-1] == "]")

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.with_low else value > self.low
        return above and (value <= self.high if self.with_high else value < self.high)

    def __str__(self) -> str:
        opening, closing = "[" if self.with_low else "(", "]" if self.with_high else ")"
        return f"{opening}{self.low:g}, {self.high:g}{closing}"

    def words(self) -> str:
        """What an error says of it: "above 0 and at most 1"."""
        low = f"of at least {self.low:g}" if self.with_low else f"above {self.low:g}"
        high = f"at most {self.high:g}" if self.with_high else f"below {self.high:g}"
        parts = [low] * math.isfinite(self.low) + [high] * math.isfinite(self.high)
        return " and ".join(parts)


@dataclass(frozen=True)
class Domain:
    """What `parameter` says of a field; the fields are its arguments."""

    legal: Interval | None = None
    usual: tuple[float, float] | None = None
    log: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Parameter:
    """A field of a method, with all that a listing or a search needs to know of it.

    Parameters
    ----------
    name : str
    kind : str
        bool, int, float, str, or the annotation if it is none of these.
    default : object
    legal : Interval or None
        Of a number: what the method takes, where it was declared.
    usual : (float, float) or None
        Of a number: the values between which a search looks, ends included.
    log : bool
        Whether it is ratios that count, so that 1 is as far from 2 as 2 from 4.
    unit : str
        Empty for counts and shares.
    choices : tuple
        All values, where they are few.
    """

    name: str
    kind: str
    default: Any
    legal: Interval | None
    usual: tuple[float, float] | None
    log: bool
    unit: str
    choices: tuple[Any, ...]

    @property
    def searchable(self) -> bool:
        """Whether it is known between what values to look."""
        return bool(self.choices) or self.usual is not None

    def at(self, share: float) -> Any:
        """Value at a share of the usual range: uniform shares in [0, 1) give uniform values.

        Raises
        ------
        ValueError
            If it has neither choices nor a usual range.
        """
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        if self.usual is None:
            raise ValueError(f"{self.name} has no usual range to look in; give it a value")
        low, high = self.usual
        whole = self.kind == "int"
        end = high + 1 if whole else high
        value = low * (end / low) ** share if self.log else low + share * (end - low)
        return min(math.floor(value), int(high)) if whole else min(value, high)

    def to_json(self) -> dict[str, Any]:
        """Mapping of plain values; the interval is a text, as JSON has no infinity."""
        content: dict[str, Any] = {"kind": self.kind, "default": self.default}
        if self.legal is not None and self.kind in ("int", "float"):
            content["legal"] = str(self.legal)
        if self.usual is not None:
            content |= {"usual": list(self.usual), "log": self.log}
        if self.choices:
            content["choices"] = list(self.choices)
        return content | ({"unit": self.unit} if self.unit else {})


def parameter(
    default: Any,
    legal: str = "(-inf, inf)",
    *,
    usual: tuple[float, float] | None = None,
    log: bool = False,
    unit: str = "",
) -> Any:
    """Field of a dataclass, with what its values may be.

    Parameters
    ----------
    default : object
    legal : str
        Interval of the numbers that the method takes, as "(0, inf)" or "[2, 4096]".
    usual : (float, float), optional
        Where a search looks; without it, none looks for this parameter.
    log : bool
        Whether ratios count rather than differences.
    unit : str
        As printed: "mm", "standard deviations".
    """
    interval = Interval.parse(legal)
    if usual is not None and not (
        usual[0] < usual[1] and usual[0] in interval and usual[1] in interval
    ):
        raise ValueError(f"a usual range lies in the legal one, {legal}, got {usual}")
    if log and (usual is None or usual[0] <= 0):
        raise ValueError(f"ratios count only in a usual range above 0, got {usual}")
    return field(default=default, metadata={_DOMAIN: Domain(interval, usual, log, unit)})


@cache
def parameters(kind: Any) -> Mapping[str, Parameter]:
    """Parameters of a dataclass, by name and in order."""
    hints = get_type_hints(kind)
    found = {}
    for each in fields(kind):
        domain = each.metadata.get(_DOMAIN, Domain())
        name, choices = _kind(hints[each.name])
        found[each.name] = Parameter(
            each.name,
            name,
            None if each.default is MISSING else each.default,
            domain.legal,
            domain.usual,
            domain.log,
            domain.unit,
            choices,
        )
    return MappingProxyType(found)


def require_legal(method: Any) -> None:
    """Check the fields of a dataclass against what `parameter` and its annotations say.

    Raises
    ------
    ValueError
        If a number lies outside its interval, or a value is none of the choices.
    TypeError
        If a number is none, or not a whole one.
    """
    kind: Any = type(method)
    for name, known in parameters(kind).items():
        value = getattr(method, name)
        if known.choices and known.kind != "bool":
            if value not in known.choices:
                raise ValueError(f"{name} is {_listed(known.choices)}, got {value!r}")
        elif known.kind in ("int", "float") and not (value is None and known.default is None):
            _require_number(known, value)


def _require_number(known: Parameter, value: Any) -> None:
    what = f"{known.name} is {_WORDS[known.kind]}"
    if not hasattr(value, "__index__" if known.kind == "int" else "__float__"):
        raise TypeError(f"{what}, got {value!r}")
    legal = known.legal or Interval()
    if value not in legal:
        raise ValueError(f"{what} {legal.words() or 'that is finite'}, got {value}")


def _kind(hint: Any) -> tuple[str, tuple[Any, ...]]:
    """Name of a kind, and its choices; what may be None is of the kind that it else is."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is Literal:
        return _KINDS[type(parts[0])], tuple(parts)
    if len(parts) == 1 and type(None) in get_args(hint):
        return _kind(parts[0])
    return _KINDS.get(hint, str(hint)), (False, True) if hint is bool else ()


def _listed(choices: tuple[Any, ...]) -> str:
    return " or ".join(map(repr, choices))
