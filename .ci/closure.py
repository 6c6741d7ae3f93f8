"""What an installation of medseg is made of, counted and held against the constraints file.

`python .ci/closure.py` prints the pins of the environment it runs in;
`python .ci/closure.py FILE` checks that they stand in FILE.
"""

import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MOST_PACKAGES = 40
# Torch built for CUDA brings NVIDIA's libraries in some twenty packages; its CPU build has none.
CUDA = re.compile(r"nvidia-|cuda-|triton$")


def closure(name: str, *extras: str) -> dict[str, str]:
    """Version of each distribution that `name` with its extras needs, itself included."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while waiting:
        if (wanted := waiting.pop()) in seen:
            continue
        seen.add(wanted)
        found = distribution(wanted[0])
        versions[wanted[0]] = found.version
        for needed in map(Requirement, found.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": wanted[1]}):
                part = canonicalize_name(needed.name)
                waiting += [(part, extra) for extra in ("", *needed.extras)]
    return versions


def pins(versions: dict[str, str]) -> list[str]:
    """Lines of a constraints file; the build of a version (+cpu) is left to the machine."""
    return [
        f"{name}=={version.partition('+')[0]}"
        for name, version in sorted(versions.items())
        if name != "medseg" and not CUDA.match(name)
    ]


def complaints(file: Path) -> list[str]:
    """What is wrong with this environment and with the pins in `file`."""
    found = []
    plain = [name for name in closure("medseg") if not CUDA.match(name)]
    print(f"a plain install is {len(plain)} packages, medseg among them")
    if len(plain) > MOST_PACKAGES:
        found.append(f"at most {MOST_PACKAGES} packages, got {', '.join(sorted(plain))}")
    pinned = file.read_text().split()
    return found + [f"{file} lacks {p}" for p in pins(closure("medseg", "test")) if p not in pinned]


def main(arguments: list[str]) -> int:
    """Print the pins, or what is wrong with those in the file that was named."""
    if not arguments:
        print("\n".join(pins(closure("medseg", "test"))))
        return 0
    found = complaints(Path(arguments[0]))
    print("\n".join(found) or f"{arguments[0]} pins what is installed")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
