"""What methods demand of their input, refused in the same words by all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medseg.volume import BACKGROUND

if TYPE_CHECKING:
    from torch import Tensor


def one_channel(image: Tensor, method: str) -> Tensor:
    """Return the only channel of a (C, ...) image; ValueError if there are several."""
    if len(image) != 1:
        raise ValueError(
            f"{method} takes one channel, got {len(image)}; choose one with image.channel(i), "
            "or name only its file"
        )
    return image[0]


def no_seeds(seeds: Tensor | None, method: str) -> None:
    """Raise ValueError if seeds were given."""
    if seeds is not None:
        raise ValueError(f"{method} takes no seeds, and was given some")


def some_seeds(seeds: Tensor | None, mask: Tensor | None, method: str) -> Tensor:
    """Return the seeds inside `mask`.

    Raises
    ------
    ValueError
        If there are none, they mark no region, hold something below -1, or a label has
        all of its seeds outside the mask.
    """
    if seeds is None:
        raise ValueError(f"{method} needs seeds: labels with a few voxels marked")
    # Few are marked as a rule, and found faster than all are looked at again and again.
    places = seeds.flatten().nonzero().flatten()
    values = seeds.flatten()[places]
    known = values.unique().tolist() or [BACKGROUND]
    if known[0] < -1:
        raise ValueError(
            f"seeds are 0 (unknown), -1 (background) or a label above 0, got {known[0]}"
        )
    if known[-1] <= 0:
        held = "only background (-1)" if known[-1] else "nothing but 0"
        raise ValueError(f"{method} needs seeds of at least one label, the seed volume has {held}")
    if mask is None:
        return seeds
    within = mask.flatten()[places]
    if bool(within.all()):
        return seeds
    if lost := set(known) - set(values[within].unique().tolist()):
        raise ValueError(
            f"all seeds of label {', '.join(map(str, sorted(lost)))} lie outside the mask; "
            "mark some inside it"
        )
    return seeds * mask


def marked(seeds: Tensor) -> list[int]:
    """Return the labels of seeds (...), -1 for background."""
    flat = seeds.flatten()
    return list(flat[flat.nonzero().flatten()].unique().tolist())
