"""Files with something wrong in them: bytes and values changed by a random generator."""

import json
import random
from collections.abc import Callable
from typing import Any

Mutate = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, -1, 1, 2, 7, 255, 32767, 2**31 - 1, 2**31, 2**63, 10**9, 10**30, -(10**9))
FLOATS = (0.0, -0.5, 1.5, 1e-300, 1e300, 1e-9)
TEXTS = ("", "0", "-1", "..", "../../x", "/etc/passwd", "a/b", "nan", "½", "\u202e", "x" * 5000)
ODD: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"a": 1}, [1, [2]], {"": []})
TOKENS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"null", b"[]", b"{}", b'"', b"\\"),
    *(b"[" * 3000, b"9" * 5000, b'"\\ud800"', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b",,", b"\n"),
)


def bytes_changed(content: bytes, rng: random.Random) -> bytes:
    """Up to three stretches set, cut out, doubled or put in."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 50))
        some = rng.randbytes(length)
        match rng.randrange(7):
            case 0:
                data[at : at + length] = some[: len(data[at : at + length])]
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = some
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at:at] = rng.choice(TOKENS)
            case 5:
                del data[at:]
            case _:
                if at < len(data):
                    data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def header_changed(size: int) -> Mutate:
    """Mutator that sets some bytes among the first `size`, often to an extreme value."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        data = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            length = rng.choice((1, 2, 4, 8))
            at = rng.randrange(0, size - length)
            extremes = (b"\xff" * length, b"\0" * length, b"\x7f" + b"\xff" * (length - 1))
            data[at : at + length] = rng.choice((*extremes, rng.randbytes(length)))
        return bytes(data)

    return mutate


def json_changed(content: bytes, rng: random.Random) -> bytes:
    """JSON with up to two values or keys that are others, missing, or too many."""
    document = json.loads(content)
    for _ in range(rng.randint(1, 2)):
        places = list(_places(document))
        if not places:
            break
        parent, key = rng.choice(places)
        match rng.randrange(5):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(TEXTS)] = parent.pop(key)
            case 2 if isinstance(parent, list):
                parent.extend([parent[key]] * rng.choice((1, 2, 200)))
            case _:
                parent[key] = rng.choice((*NUMBERS, *FLOATS, *TEXTS, *ODD))
    return json.dumps(document).encode()


def tensors_changed(content: bytes, rng: random.Random) -> bytes:
    """Safetensors file whose header was changed, its length told right or wrong."""
    length = int.from_bytes(content[:8], "little")
    header = json_changed(content[8 : 8 + length], rng)
    told = rng.choice((len(header), len(header), len(header), 0, 2**40, len(header) + 5))
    return told.to_bytes(8, "little") + header + content[8 + length :]


def either(*mutators: Mutate) -> Mutate:
    """One of some mutators, by chance."""
    return lambda content, rng: rng.choice(mutators)(content, rng)


def _places(node: Any) -> Any:
    """Every (container, key) in a document."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])
