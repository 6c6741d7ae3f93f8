"""Choose by name and build from parameters, with errors that list what there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar

T = TypeVar("T")


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
        If it has no such parameter, lacks one, or refuses the value or its type.
    """
    known = signature(make).parameters
    if unknown := parameters.keys() - known.keys():
        near = get_close_matches(min(unknown), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise ValueError(f"{what} has no parameter {', '.join(sorted(unknown))}; {hint}")
    try:
        return make(**parameters)
    except TypeError as error:
        raise ValueError(f"{what} can't be built from {dict(parameters)}: {error}") from error
