"""Keep parts of a network as they are while the others learn."""

from __future__ import annotations

from torch import nn


def freeze(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Put a network into training mode, in which the named parts keep weights and statistics.

    Called with fewer parts, it lets the others go again.

    Parameters
    ----------
    network : nn.Module
    parts : tuple of str
        Names of modules or of parameters; all that is in a module is meant.

    Raises
    ------
    ValueError
        If the network has no such part, or nothing is left to learn.
    """
    network.train().requires_grad_()
    if not parts:  # this is so in every step of most trainings
        return
    modules, weights = dict(network.named_modules()), dict(network.named_parameters())
    for part in parts:
        if not part or not (part in modules or part in weights):
            there = ", ".join(name for name, _ in network.named_children())
            raise ValueError(f"the network has no part {part!r} to freeze; it has {there}")
    still = {name: weight for name, weight in weights.items() if _within(name, parts)}
    if len(still) == len(weights):
        raise ValueError(f"frozen={list(parts)} leaves no weights to learn; freeze less")
    for weight in still.values():
        weight.requires_grad = False
    for name, module in modules.items():
        # Statistics of normalisations are buffers; they move in training mode alone.
        if _within(name, parts) and next(module.buffers(recurse=False), None) is not None:
            module.eval()


def _within(name: str, parts: tuple[str, ...]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)
