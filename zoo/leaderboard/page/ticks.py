"""Axes for a picture: where the ticks are, what they say, and what lies where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.leaderboard.boards import Axis

_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """A data axis on a stretch of pixels; `low` and `high` are logarithms where `log` is set."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def around(
        cls,
        values: Sequence[float],
        errors: Sequence[float],
        axis: Axis,
        start: float,
        end: float,
    ) -> "Scale":
        """Fit the values and their error bars, with some room.

        The scale is logarithmic where the axis asks for it and every value is positive; a cost
        of zero has no place on a logarithmic axis, and to leave the point out would be worse.
        """
        log = axis.log and all(v > 0 for v in values)
        lows = [v - e if not log or v > e else v for v, e in zip(values, errors, strict=True)]
        highs = [v + e for v, e in zip(values, errors, strict=True)]
        low, high = min(lows), max(highs)
        if log:
            low, high = math.log10(low), math.log10(high)
        pad = 0.1 * (high - low) if high > low else 0.3 if log else abs(low) * 0.05 or 1.0
        return cls(low - pad, high + pad, start, end, log)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; what lies beyond the axis is put on its end."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, count: int = 6) -> list[tuple[float, str]]:
        """Return each tick's value and its text."""
        low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
        values = log_ticks(low, high, count) if self.log else linear_ticks(low, high, count)
        return list(zip(values, tick_texts(values), strict=True))


def linear_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return round numbers within [low, high], about `count` of them.

    >>> linear_ticks(89.3, 96.1)
    [90.0, 91.0, 92.0, 93.0, 94.0, 95.0, 96.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((1.0, 2.0, 2.5, 5.0, 10.0), key=lambda s: abs(math.log(s * power / rough))) * power
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # A product may miss the round number by its last bit; twelve digits bring it back.
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return ticks for a logarithmic axis over [low, high], low > 0.

    Powers of ten where there are enough of them, else 1, 2 and 5 times those, else round numbers.

    >>> log_ticks(3, 4000)
    [10.0, 100.0, 1000.0]
    >>> log_ticks(3, 120)
    [5.0, 10.0, 20.0, 50.0, 100.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        every = [float(f"{f}e{k}") for k in decades for f in factors]
        inside = [v for v in every if low <= v <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / (count + 2))]
    return [v for v in linear_ticks(low, high, count) if v > 0]


def tick_texts(values: Sequence[float]) -> list[str]:
    """Write ticks alike: as many decimals as they need, thousands by their SI prefix.

    >>> tick_texts([0.5, 1.0, 1.5]), tick_texts([1000.0, 20000.0]), tick_texts([2e9, 5e12])
    (['0.5', '1', '1.5'], ['1k', '20k'], ['2G', '5T'])
    """
    return [_tick_text(v) for v in values]


def _tick_text(value: float) -> str:
    size = abs(value)
    if size and not 1e-3 <= size < 1e21:
        mantissa, _, exponent = f"{value:e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    unit, letter = prefix(value)
    return f"{value / unit:.6g}{letter}"


def prefix(value: float) -> tuple[float, str]:
    """Return the SI prefix for a number, from kilo on: its factor and its letter."""
    return next((p for p in _PREFIXES if p[0] <= abs(value)), (1.0, ""))
