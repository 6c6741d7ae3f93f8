"""Numbers on an axis."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from medseg.charts.chart import GRID, PALE, tag, text

_TICKS = 6
_LEAST, _ALIKE = 1e-9, 1e-9  # below, there are no digits left for ticks


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` on px from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(
        cls, values: Iterable[float], ends: tuple[float, float], within: tuple[float, float]
    ) -> Scale:
        """Scale that holds all finite values, from tick to tick, and no more than `within`.

        Parameters
        ----------
        values : iterable of float
        ends : (float, float)
            Px.
        within : (float, float)
            What the numbers can be at most, infinite where nobody knows.
        """
        known = [value for value in values if isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        size = max(abs(low), abs(high), _LEAST)
        if high - low < _ALIKE * size:
            low, high = low - size / 10, high + size / 10
        step = step_of(high - low)
        low, high = floor(low / step) * step, ceil(high / step) * step
        return cls(max(low, within[0]), min(high, within[1]), *ends)

    def __call__(self, value: float) -> float:
        """Px of a number."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers, both ends among them as a rule."""
        step = step_of(self.high - self.low)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]

    def written(self, value: float) -> str:
        """A tick with as many digits as the step has."""
        digits = max(0, -floor(log10(step_of(self.high - self.low)) + 1e-9))
        return f"{value + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def step_of(extent: float) -> float:
    """1, 2 or 5 times a power of ten: the distance of about six ticks."""
    rough = extent / _TICKS
    power: float = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def across(scale: Scale, top: float, bottom: float) -> str:
    """Vertical lines at the ticks of a horizontal scale, and their numbers below."""
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(tag("line", x1=x, x2=x, y1=top, y2=bottom, stroke=GRID))
        parts.append(text(scale.written(tick), x, bottom + 16, text_anchor="middle", fill=PALE))
    return "".join(parts)


def up(scale: Scale, left: float, right: float) -> str:
    """Horizontal lines at the ticks of a vertical scale, and their numbers to the left."""
    parts = []
    for tick in scale.ticks():
        y = scale(tick)
        parts.append(tag("line", x1=left, x2=right, y1=y, y2=y, stroke=GRID))
        parts.append(text(scale.written(tick), left - 8, y + 4, text_anchor="end", fill=PALE))
    return "".join(parts)
