"""What methods demand of their input, refused in the same words by all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    low, high = int(seeds.min()), int(seeds.max())
    if low < -1:
        raise ValueError(f"seeds are 0 (unknown), -1 (background) or a label above 0, got {low}")
    if high <= 0:
        held = "only background (-1)" if low else "nothing but 0"
        raise ValueError(f"{method} needs seeds of at least one label, the seed volume has {held}")
    if mask is None:
        return seeds
    inside = seeds * mask
    marked = set(seeds[seeds != 0].unique().tolist())
    if lost := marked - set(inside[inside != 0].unique().tolist()):
        raise ValueError(
            f"all seeds of label {', '.join(map(str, sorted(lost)))} lie outside the mask; "
            "mark some inside it"
        )
    return inside
