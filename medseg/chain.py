"""Filters, a method, a CRF and clean-ups as one segmenter: n4+otsu+keep-largest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from medseg import strict_json
from medseg.classical import METHODS
from medseg.cleanup import CLEANUPS
from medseg.cleanup.cleaning import Cleanup, cleaned
from medseg.crf import REFINEMENTS, Refined
from medseg.filters import FILTERS
from medseg.filters.filtering import Filter
from medseg.io import replace_file
from medseg.registry import Registry, build, pick
from medseg.segmenter import Probabilistic, Segmenter, segment_with
from medseg.volume import BACKGROUND, Image, Labels

if TYPE_CHECKING:
    from torch import Tensor

Models = Callable[[str, Mapping[str, Any]], Segmenter | None]

# What a chain is made of, in this order.
PARTS: tuple[Registry[Any], ...] = (FILTERS, METHODS, REFINEMENTS, CLEANUPS)
_ABOUT_A_METHOD = {*FILTERS, *REFINEMENTS, *CLEANUPS}


@dataclass(frozen=True)
class Chain:
    """A method, what is done to its image before and to its labels after; a `Segmenter`.

    Seeds and mask go to the method; filters take their statistics inside the mask, and outside
    of it all is 0 at the end too. A classical method gets the tensors of the filters as they
    are, on one device, and the clean-ups get its own.

    Parameters
    ----------
    method : Segmenter
        A classical method, or a trained model; or one of them with a CRF behind it, `Refined`,
        which sees the image as the filters leave it.
    filters : tuple of Filter
    cleanups : tuple of Cleanup
    device : str
        auto, cpu, cuda or cuda:N; of a chain about a classical method, where all of it runs.
    """

    method: Segmenter
    filters: tuple[Filter, ...] = ()
    cleanups: tuple[Cleanup, ...] = ()
    device: str = "auto"

    def segment(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Labels:
        """Filter, segment and clean up."""
        if hasattr(self.method, "run"):
            return segment_with(self.run, image, seeds, mask, self.device)
        for each in self.filters:
            image = each(image, mask)
        return cleaned(self.method.segment(image, seeds, mask), self.cleanups, mask)

    def probabilities(
        self, image: Image, seeds: Labels | None = None, mask: Labels | None = None
    ) -> Image:
        """Filter, and say how probable each label is; clean-ups play no part.

        Raises
        ------
        ValueError
            If the method gives no probabilities.
        """
        if not isinstance(self.method, Probabilistic):
            raise ValueError(f"{type(self.method).__name__} gives labels, and no probabilities")
        for each in self.filters:
            image = each(image, mask)
        return self.method.probabilities(image, seeds, mask)

    def run(
        self, image: Tensor, spacing: tuple[float, ...], seeds: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Labels of a (C, ...) tensor, for a method that works on tensors."""
        import torch

        for each in self.filters:
            image = each.run(image, spacing, mask)
        found: Tensor = cast(Any, self.method).run(image, spacing, seeds, mask)
        if mask is not None:
            found = torch.where(mask, found, BACKGROUND)
        for cleanup in self.cleanups:
            found = cleanup.run(found, spacing)
        return found

    def steps(self) -> list[dict[str, Any]]:
        """Name and parameters of each part, as `of` takes them; without the device.

        Raises
        ------
        ValueError
            If a part is in no registry, as a trained model.
        """
        method = self.method
        inner = (method.method, method.crf) if isinstance(method, Refined) else (method,)
        return [_step(part) for part in (*self.filters, *inner, *self.cleanups)]

    def save(self, path: str | Path) -> None:
        """Write the steps as JSON, for `load`; beside the place, then renamed."""
        replace_file(Path(path), json.dumps({"chain": self.steps()}, indent=2) + "\n")

    @classmethod
    def load(
        cls,
        path: str | Path,
        parameters: Mapping[str, object] | None = None,
        device: str = "auto",
        models: Models | None = None,
    ) -> Chain:
        """Build what `save` wrote; the arguments are those of `parse`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it holds no chain, or one that can't be built.
        """
        content = strict_json.read(Path(path))
        steps = content.get("chain") if isinstance(content, dict) else None
        if not isinstance(steps, list) or not all(map(_is_step, steps)):
            raise ValueError(
                f"{path} holds no chain; expected "
                '{"chain": [{"name": "otsu", "classes": 3}, ...]}'
            )
        return cls.of(with_parameters(steps, parameters or {}), device, models)

    @classmethod
    def parse(
        cls,
        text: str,
        parameters: Mapping[str, object] | None = None,
        device: str = "auto",
        models: Models | None = None,
    ) -> Chain:
        """Build a chain of names with + between them, as in "n4+gaussian-mixture+crf+open".

        Parameters
        ----------
        text : str
        parameters : mapping of str, optional
            "otsu.classes" is a parameter of otsu, "classes" one of the method.
        device : str
            For all parts.
        models : function of (name, parameters), optional
            Gives the trained model of that name, or None if there is none.

        Raises
        ------
        ValueError
            If there is no such part or parameter, the order is not filters, one method, at
            most one refinement, clean-ups, or the method gives nothing to refine.
        """
        steps = [{"name": name.strip()} for name in text.split("+")]
        return cls.of(with_parameters(steps, parameters or {}), device, models)

    @classmethod
    def of(
        cls,
        steps: Sequence[Mapping[str, Any]],
        device: str = "auto",
        models: Models | None = None,
    ) -> Chain:
        """Build a chain of steps, each a mapping of "name" and parameters; else as `parse`."""
        parts: dict[str, list[Any]] = {registry.kind: [] for registry in PARTS}
        kinds = []
        for step in steps:
            kind, part = _built(step, device, models)
            kinds.append(kind)
            parts[kind].append(part)
        ordered = kinds == sorted(kinds, key=list(parts).index)
        if not ordered or kinds.count("method") != 1 or kinds.count("refinement") > 1:
            raise ValueError(
                "a chain is filters, one method, crf if wished, then clean-ups, joined by +; got "
                f"{_names(steps)} ({', '.join(kinds)})"
            )
        (method,) = parts["method"]
        for crf in parts["refinement"]:
            method = Refined(method, crf)
        return cls(method, tuple(parts["filter"]), tuple(parts["clean-up"]), device)


def with_parameters(
    steps: Sequence[Mapping[str, Any]], parameters: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Steps with some parameters set: "otsu.classes" is of otsu, "classes" of the method.

    Raises
    ------
    ValueError
        If a parameter is of a part that is not in the chain.
    """
    changed = [dict(step) for step in steps]
    for key, value in parameters.items():
        part, dot, name = key.rpartition(".")
        meant = [
            step
            for step in changed
            if (step["name"] == part if dot else step["name"] not in _ABOUT_A_METHOD)
        ]
        if not meant or name == "name":
            raise ValueError(f"{_names(steps)} has no parameter {key}")
        for step in meant:
            step[name] = value
    return changed


def _built(
    step: Mapping[str, Any], device: str, models: Models | None
) -> tuple[str, Segmenter | Filter | Cleanup]:
    """Kind of a step, and what it is."""
    parameters = dict(step)
    name = parameters.pop("name")
    known = {part: registry for registry in PARTS for part in registry}
    if name not in known and models is not None:
        model = models(name, parameters)
        if model is not None:
            return "method", model
    registry = pick(known, name, "filter, method, refinement or clean-up")
    return registry.kind, build(registry[name], {"device": device, **parameters}, name)


def _names(steps: Sequence[Mapping[str, Any]]) -> str:
    return "+".join(str(step["name"]) for step in steps) or "nothing"


def _is_step(step: object) -> bool:
    return isinstance(step, dict) and isinstance(step.get("name"), str)


def _step(part: Any) -> dict[str, Any]:
    for registry in PARTS:
        for name in registry:
            if type(part) is registry[name]:
                return {"name": name, **{k: v for k, v in asdict(part).items() if k != "device"}}
    raise ValueError(
        f"a chain is saved as names and parameters, and {type(part).__name__} has none"
    )
