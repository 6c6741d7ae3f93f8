"""Whole tumour from FLAIR and T1c, click by click: all interactive and deformable methods.

python pipelines/tumour_interactive.py DATA OUT    # DATA: folders train/ and validation/
"""

from pathlib import Path

import numpy as np
import typer

import medseg
from medseg.charts import line_chart
from medseg.distance import distance_to
from medseg.interaction import rounds

# Chosen on train/, where T1c misleads who weighs channels alike. FLAIR is in deviations.
CHOSEN = {"threshold-level-set": {"lower": 1.0, "upper": 20.0}, "graph-cut": {"boundary": 50.0}}
BOTH_CHANNELS = {"morphological-chan-vese", "morphological-gac", "chan-vese", "geodesic-contour"}
THICK, APART = 4.0, 8.0  # mm: how thick a scribble is, and how far outside it is drawn


def scribbles(reference: medseg.Labels, mask: medseg.Labels) -> medseg.Labels:
    """A line inside and one around the tumour, in the slice in which it lies deepest."""
    depth, away = (distance_to(reference.array == n, reference.grid.spacing) for n in (0, 1))
    inner = np.abs(depth - depth.max() / 2) < THICK / 2
    outer = (np.abs(away - APART) < THICK / 2) & (mask.array > 0)
    slices = np.arange(depth.shape[2]) == depth.argmax() % depth.shape[2]
    return reference.on((inner.astype(int) - outer) * slices, reference.grid)


def main(
    data: Path, out: Path, clicks: int = 10, spacing: float = 2.0, only: list[str] | None = None
) -> None:
    """Work at a spacing, inside the brain; leave each Dice in OUT/dice.csv, means as curves."""
    table, lines = {}, ["case,method,dice by scribbles,after each click"]
    kinds = {n: k for n, k in medseg.METHODS.items() if hasattr(k, "begin") or hasattr(k, "states")}
    for case in sum((medseg.Dataset.read(data / s).cases for s in ("train", "validation")), ()):
        parts = case.image(), case.labels(), case.mask()
        grid = medseg.with_spacing(parts[0].grid, spacing)
        image, labels, mask = (medseg.resample(part, grid) for part in parts)
        whole = labels.on((labels.array > 0).astype(int), grid)
        for name in only or kinds:
            begin = {"radius": 5.0} if hasattr(kinds[name], "states") else {}  # mm about each seed
            method = medseg.method(name, **begin, **CHOSEN.get(name, {}))
            seen = image if name in BOTH_CHANNELS else image.channel(0)
            drawn = method.segment(seen, scribbles(whole, mask), mask)
            dices = [medseg.metrics.binary.dc(drawn.array > 0, whole.array > 0)]
            dices += [each.dice for each in rounds(method, seen, whole, mask, clicks=clicks)]
            table.setdefault(name, []).append(dices + [1.0] * (1 + clicks - len(dices)))
            lines.append(",".join([case.name, name, *(f"{dice:.4f}" for dice in table[name][-1])]))
            typer.echo(lines[-1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "dice.csv").write_text("\n".join(lines) + "\n")
    curves = {m: list(enumerate(np.mean(each, axis=0)[1:], 1)) for m, each in table.items()}
    words = {"within": (0, 1), "description": "Mean Dice of all cases after each click."}
    (out / "dice.svg").write_text(line_chart(curves, "Tumour", ("clicks", "Dice"), **words).svg())


if __name__ == "__main__":
    typer.run(main)
