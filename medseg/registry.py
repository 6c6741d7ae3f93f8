"""Choose by name and build from parameters, with errors that list what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from math import isfinite
from typing import Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")
_PLAIN = (bool, int, float, str, type(None))
_LARGEST = 2**63 - 1
_LONGEST_SHOWN = 300


class Registry(Mapping[str, T]):
    """Names, and what they stand for, imported when first asked for.

    Listing names and summaries imports nothing, so the command line starts at once.

    Parameters
    ----------
    kind : str
        What the entries are, for error messages.
    entries : mapping of str to (str, str)
        Name -> ("module:attribute", one line that says what it is).
    """

    def __init__(self, kind: str, entries: Mapping[str, tuple[str, str]]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        module, _, attribute = self._entries[name][0].partition(":")
        found: T = getattr(import_module(module), attribute)
        return found

    def __contains__(self, name: object) -> bool:  # Mapping's own would import the entry
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def summary(self, name: str) -> str:
        """One line that says what `name` is."""
        return self._entries[name][1]

    def to_json(self, thing: Any) -> dict[str, Any]:
        """Fields of a dataclass that is an entry's, and the name under which it is found again."""
        name = next(name for name in self if type(thing) is self[name])
        return {"name": name, **asdict(thing)}

    def from_json(self, content: Mapping[str, Any]) -> Any:
        """Dataclass from what `to_json` gave; ValueError if there is none such."""
        if not isinstance(content, Mapping):
            raise ValueError(f"a {self.kind} is an object with a name, got {content!r}")
        fields = dict(content)
        kind: Any = self.pick(str(fields.pop("name", "")))
        return build(kind, fields, self.kind)

    def pick(self, name: str) -> T:
        """Return the entry called `name`; ValueError with the nearest name if there is none."""
        return pick(self, name, self.kind)


def pick(choices: Mapping[str, T], name: str, kind: str) -> T:
    """Return the entry called `name`; `kind` says in the error what the entries are.

    Raises
    ------
    ValueError
        If there is none; the message has the nearest name, or all.
    """
    if name in choices:
        return choices[name]
    near = get_close_matches(name, choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(choices)}"
    raise ValueError(f"no {kind} is called {name!r}; {hint}")


def build(make: Callable[..., T], parameters: Mapping[str, Any], what: str) -> T:
    """Call `make` with `parameters`; `what` names it in the error.

    Raises
    ------
    ValueError
        If it has no such parameter, lacks one, or refuses the value or its type; or a number
        is not finite.
    """
    known = signature(make).parameters
    if unknown := parameters.keys() - known.keys():
        near = get_close_matches(min(unknown), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise ValueError(f"{what} has no parameter {', '.join(sorted(unknown))}; {hint}")
    try:
        if is_dataclass(make):
            hints = get_type_hints(make)
            for name, value in parameters.items():
                _require_kind(name, value, _kinds(hints.get(name, Any)))
        return make(**parameters)
    except (TypeError, AttributeError, OverflowError) as error:
        given = str(dict(parameters))
        given = given if len(given) <= _LONGEST_SHOWN else given[:_LONGEST_SHOWN] + "..."
        raise ValueError(f"{what} can't be built from {given}: {error}") from error


def _kinds(hint: Any) -> set[Any]:
    """Types out of which a hint is made: {int} of tuple[int, ...]; Literals give their values."""
    parts = [part for part in get_args(hint) if part is not ...]
    return set[Any]().union(*map(_kinds, parts)) if parts else {hint}


def _require_kind(name: str, value: Any, kinds: set[Any]) -> None:
    """Raise TypeError for a value, or a part of a list, of no kind that is named.

    How deep lists are nested is left to the class, and so is all but plain values.
    """
    if isinstance(value, list | tuple):
        for part in value:
            _require_kind(name, part, kinds)
    elif isinstance(value, _PLAIN) and kinds <= set(_PLAIN):
        allowed = kinds | {int} if float in kinds else kinds
        if (type(value) is bool and bool not in kinds) or not isinstance(value, tuple(allowed)):
            named = " or ".join(sorted(kind.__name__ for kind in kinds - {type(None)}))
            raise TypeError(f"{name} is made of {named}, got {value!r}")
    if isinstance(value, int | float) and not (isfinite(value) and abs(value) <= _LARGEST):
        raise TypeError(f"{name} is a finite number below 2^63, got {str(value)[:20]}")
