"""What the README says of medseg is what medseg says of itself."""

import re
from pathlib import Path

import pytest

from medseg.classical import METHODS
from medseg.cleanup import CLEANUPS
from medseg.crf import REFINEMENTS
from medseg.filters import FILTERS
from medseg.io import READERS
from medseg.learning import AUGMENTATIONS, LOSSES, VARIANTS
from medseg.metrics import METRICS
from medseg.networks import NETWORKS
from medseg.registry import Registry
from medseg.sampling import SAMPLERS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
REGISTRIES = {
    "method": METHODS,
    "filter": FILTERS,
    "refinement": REFINEMENTS,
    "clean-up": CLEANUPS,
    "network": NETWORKS,
    "loss": LOSSES,
    "sampler": SAMPLERS,
    "augmentation": AUGMENTATIONS,
    "kind of variants": VARIANTS,
    "metric": METRICS,
    "format": READERS,
}


def table(kind: str, registry: Registry) -> str:
    """The rows that the README should have."""
    rows = [f"| `{name}` | {registry.summary(name)} |" for name in registry]
    return "\n".join([f"| {kind} | what it is |", "|---|---|", *rows])


@pytest.mark.parametrize("kind", REGISTRIES)
def test_tables_are_those_of_the_registries(kind: str) -> None:
    expected = table(kind, REGISTRIES[kind])
    assert expected in README, f"put this table into the README:\n{expected}"


def test_both_commands_use_the_pinned_versions() -> None:
    assert "pip install -c .ci/constraints.txt -e . && medseg demo" in README
    assert "pip install -c .ci/constraints.txt -e '.[test]' && pytest" in README


def test_every_command_of_the_readme_exists() -> None:
    from medseg.cli import app

    commands = (each.name or each.callback.__name__ for each in app.registered_commands)
    known = {command.replace("_", "-") for command in commands}
    named = set(re.findall(r"^\$? ?medseg ([a-z-]+)", README, flags=re.MULTILINE))
    assert named
    assert named <= known
