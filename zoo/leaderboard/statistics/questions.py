"""One model's accuracy over questions, and two models' question by question.

Of n questions k are right. The interval is Wilson's (1927, Probable inference): the p for which k/n is
within z standard errors of p,

    |k/n - p| <= z sqrt(p (1 - p) / n)

which stays inside [0, 1], also for k = 0 and k = n, and is narrower than the exact one of Clopper and
Pearson, whose coverage it has on average. It is of the questions as a sample; that of seeds is another.

Of the questions that two models answer differently, b are right with the first alone and c with the
second alone. Were they equally good each of the b + c would be a fair coin (McNemar 1947, exact):

    p = P(|X - (b + c)/2| >= |b - c|/2),  X binomial of b + c coins

scipy has both.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from zoo.leaderboard.statistics.interval import LEVEL, Interval

METHOD = "Wilson's interval over questions"


def wilson(right: int, questions: int, level: float = LEVEL) -> Interval:
    """Return the interval of an accuracy; without a question it is not a number."""
    if not questions:
        return Interval(math.nan, math.nan, level)
    from scipy.stats import binomtest

    found = binomtest(right, questions).proportion_ci(level, method="wilson")
    return Interval(float(found.low), float(found.high), level)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two models on the questions that both have answered.

    Attributes:
        questions: their number.
        both, first, second, neither: how many of them are right with which model.
        p: of the exact test.
    """

    questions: int
    both: int
    first: int
    second: int
    neither: int
    p: float

    @property
    def accuracies(self) -> tuple[float, float]:
        """Those of the two models on these questions."""
        first, second = self.both + self.first, self.both + self.second
        return first / self.questions, second / self.questions


def mcnemar(first: Mapping[str, bool], second: Mapping[str, bool]) -> McNemar | None:
    """Compare two models; None where no question was answered by both.

    Args:
        first: whether each question, by its id, was answered rightly.
        second: likewise.
    """
    shared = first.keys() & second.keys()
    if not shared:
        return None
    from scipy.stats import binomtest

    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for name in shared:
        counts[bool(first[name]), bool(second[name])] += 1
    alone = counts[True, False], counts[False, True]
    p = float(binomtest(alone[0], sum(alone), 0.5).pvalue) if sum(alone) else 1.0
    return McNemar(len(shared), counts[True, True], *alone, counts[False, False], p)
