"""Which of two sides has the faster step, and with what certainty?

Each round runs both sides one after the other, in fresh processes, in alternating order, so that what
slows the machine for a while slows both. Over the rounds i, with median step times a_i and b_i:

    ratio = exp(mean(log(b_i / a_i)))      with the interval of Student's t over the logarithms
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zoo.leaderboard.statistics.interval import Interval
from zoo.leaderboard.statistics.paired import summarise


@dataclass(frozen=True, slots=True)
class Ratio:
    """The second side's step time over the first's; the interval is None of a single round."""

    value: float
    interval: Interval | None
    rounds: int

    @property
    def verdict(self) -> str:
        if self.interval is None:
            return "one round tells no certainty"
        if 1.0 in self.interval:
            return "no difference is shown"
        return "B is slower" if self.value > 1 else "B is faster"


def ratio_of(first: Sequence[float], second: Sequence[float]) -> Ratio:
    """Return second over first, of step times in seconds, one of each a round."""
    logs = [math.log(b / a) for a, b in zip(first, second, strict=True)]
    found = summarise(logs)
    interval = None
    if found.interval is not None:
        interval = Interval(math.exp(found.interval.low), math.exp(found.interval.high))
    return Ratio(math.exp(found.effect), interval, found.n)
