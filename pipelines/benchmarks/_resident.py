"""How much memory this process holds, and has held at most, in bytes."""

import resource
from pathlib import Path


def resident() -> int:
    """What it holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def most_resident() -> int:
    """What it has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
