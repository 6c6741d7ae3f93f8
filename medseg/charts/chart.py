"""A chart: a piece of SVG that says its size and, in words, what it shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from xml.sax.saxutils import escape, quoteattr

# Of Okabe and Ito, "Color universal design", 2008: told apart by the colour-blind and in print;
# their yellow is left out, as it can't be seen on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
INK, PALE, GRID = "#222222", "#666666", "#dddddd"
TEXT = 13  # px
TITLE = 16

_FONT = "Helvetica, Arial, sans-serif"
_LETTER = 0.56  # of the size, on the average
# XML has no way to write these, not even escaped.
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Chart:
    """A chart, ready to be put into a page or a file.

    Parameters
    ----------
    width, height : float
        Px.
    title, description : str
        For those who can't see it; the title stands above it too.
    body : str
        SVG elements.
    """

    width: float
    height: float
    title: str
    description: str
    body: str

    def svg(self) -> str:
        """The whole of it as an `<svg>` element, or as an SVG file."""
        key = (
            "c" + sha256(f"{self.title}\n{self.description}\n{self.body}".encode()).hexdigest()[:10]
        )
        inside = (
            tag("title", plain(self.title), id=f"{key}t")
            + tag("desc", plain(self.description), id=f"{key}d")
            + tag("rect", width=self.width, height=self.height, fill="#ffffff")
            + self.body
        )
        return tag(
            "svg",
            inside,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            width=self.width,
            height=self.height,
            role="img",
            aria_labelledby=f"{key}t {key}d",
            font_family=_FONT,
            font_size=TEXT,
            fill=INK,
        )


def stack(charts: Sequence[Chart], title: str) -> Chart:
    """Charts below each other as one; what it shows is what they show."""
    parts, height = [], 0.0
    for chart in charts:
        parts.append(tag("g", chart.body, transform=f"translate(0 {number(height)})"))
        height += chart.height
    told = " ".join(f"{chart.title}: {chart.description}" for chart in charts)
    return Chart(max(chart.width for chart in charts), height, title, told, "".join(parts))


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """An element; an underscore in the name of an attribute stands for a hyphen."""
    given = "".join(
        f" {key.replace('_', '-')}={quoteattr(number(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def text(words: str, x: float, y: float, **attributes: object) -> str:
    """Words at a place; "end" and "middle" of `text_anchor` are to the left and about it."""
    return tag("text", plain(words), x=x, y=y, **attributes)


def plain(words: str) -> str:
    """Words as they stand in XML."""
    return escape(_UNWRITABLE.sub("\ufffd", words))


def number(value: object) -> str:
    """A number as short as a hundredth of a px allows; all else as it is."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return _UNWRITABLE.sub("\ufffd", str(value))


def shortened(words: str, letters: int = 28) -> str:
    """Words, with an ellipsis if there are too many letters."""
    return words if len(words) <= letters else words[: letters - 1] + "…"


def width_of(words: str, size: float = TEXT) -> float:
    """About how many px words take."""
    return _LETTER * size * len(words)
