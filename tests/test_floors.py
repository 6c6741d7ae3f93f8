"""The architecture, as a test: a module imports only from the floors below its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "medseg"

FLOORS = [  # from the ground up; parts of one floor do not see each other
    {"volume", "contour", "registry", "parameter", "device", "progress", "strict_json"},
    {"segmenter", "clicks", "measuring", "io", "resampling", "components", "distance", "smoothing"},
    {
        "intensity",
        "sampling",
        "tiling",
        "cohort",
        "pictures",
        "charts",
        "page",
        "phantom",
        "filters",
        "cleanup",
        "relief",
        "crf",
    },
    {"classical", "networks", "metrics", "dataset"},
    {"learning", "evaluation", "chain", "interaction"},
    {"demo", "info", "report", "comparison", "tuning", "choosing", "explaining", "calibrating"},
    {"cli"},
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}


def imported(path: Path) -> set[str]:
    """Names of the top-level parts of medseg that a file imports."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "medseg":
            parts |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("medseg."):
            parts.add(node.module.split(".")[1])
    return parts


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_from_lower_floors(path: Path) -> None:
    part = path.relative_to(ROOT).with_suffix("").parts[0]
    if part == "__init__":
        return
    for other in imported(path) - {part}:
        assert FLOOR[other] < FLOOR[part], f"{part} imports {other}, which is not below it"
