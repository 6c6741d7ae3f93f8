"""Which class of a method without seeds means which label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from medseg.evaluation.records import confused
from medseg.volume import BACKGROUND, Labels

Pairs = tuple[tuple[int, int], ...]
Table = Mapping[tuple[int, int], int]

_MOST_CLASSES = 256


def table_of(found: Labels, reference: Labels) -> Table:
    """Voxels by class and by label, background included.

    Raises
    ------
    ValueError
        If there are so many classes that they can only be parts of an image, numbered anew
        in each, as supervoxels are.
    """
    if len(found.values()) > _MOST_CLASSES:
        raise ValueError(
            f"{len(found.values())} regions are too many to be classes with a meaning; score them "
            "as objects, by a metric like v_rand"
        )
    differ = confused(found, reference)
    table = {(mine, label): voxels for (label, mine), voxels in differ.items()}
    return table | _agreeing(found, reference)


def matched(tables: Iterable[Table], labels: Iterable[int]) -> Pairs:
    """One label for a class and one class for a label: most Dice in all.

    The Dice of a class and a label is that of all voxels of all cases together. Background
    stays background, and so becomes a class that is left without a label.
    """
    from scipy.optimize import linear_sum_assignment

    table: Counter[tuple[int, int]] = Counter()
    for each in tables:
        table.update(each)
    classes = sorted({mine for mine, _ in table} - {BACKGROUND})
    wanted = sorted(labels)
    dice = np.array([[_dice(table, mine, label) for label in wanted] for mine in classes])
    if not dice.size:
        return ()
    rows, columns = linear_sum_assignment(dice, maximize=True)
    return tuple(
        (classes[row], wanted[column])
        for row, column in zip(rows, columns, strict=True)
        if dice[row, column] > 0
    )


def _agreeing(found: Labels, reference: Labels) -> dict[tuple[int, int], int]:
    same = np.asarray(found.array)[found.array == reference.array]
    values, voxels = np.unique(same, return_counts=True)
    return {(n, n): v for n, v in zip(values.tolist(), voxels.tolist(), strict=True)}


def _dice(table: Table, mine: int, label: int) -> float:
    sizes = sum(v for (a, b), v in table.items() if a == mine) + sum(
        v for (a, b), v in table.items() if b == label
    )
    return 2 * table.get((mine, label), 0) / sizes if sizes else 0.0
