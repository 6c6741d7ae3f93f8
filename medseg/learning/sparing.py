"""What a network need not see at once, or twice."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from medseg.learning.memory import memory_errors

log = logging.getLogger("medseg")


def in_halves(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network that halves the batches for which there is not enough memory."""
    most: int | None = None

    def halved(tiles: Tensor) -> Tensor:
        nonlocal most
        if most is not None and len(tiles) > most:
            return torch.cat([halved(some) for some in tiles.split(most)])
        try:
            with memory_errors():
                return network(tiles)
        except MemoryError:
            if len(tiles) == 1:
                raise
        # Outside of the handler, so that what the error refers to is free.
        most = len(tiles) // 2
        log.warning("memory is short: batches of %d tiles instead of %d", most, len(tiles))
        return halved(tiles)

    return halved


def constant_once(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a network that sees one of all tiles in which each channel has one value.

    Around a head that is cut out, and in the air around a body, there are many of them.
    """
    known: dict[tuple[float, ...] | int, Tensor] = {}

    def once(tiles: Tensor) -> Tensor:
        nonlocal known
        along = tuple(range(2, tiles.ndim))
        low = tiles.amin(along)
        constant = (low == tiles.amax(along)).all(1).tolist()
        if not any(constant):
            return network(tiles)
        if len(tiles) == 1:  # its logits are not copied, which may be large
            (value,) = map(tuple, low.tolist())
            if value not in known:
                known.clear()
                known[value] = network(tiles)[0]
            return known[value][None]
        # The value of each channel, or a number that is no other tile's.
        values = [tuple(row) for row in low.tolist()]
        keys = [values[k] if same else k for k, same in enumerate(constant)]
        new = [key for key in dict.fromkeys(keys) if key not in known]
        seen = dict(known)
        if new:
            seen.update(zip(new, network(tiles[[keys.index(key) for key in new]]), strict=True))
        last = values[max(k for k, same in enumerate(constant) if same)]
        if last not in known:  # one is kept, as logits may be large
            known = {last: seen[last].clone()}
        return torch.stack([seen[key] for key in keys])

    return once
