"""Intervals over questions and McNemar's test, against scipy's and against all coins by hand."""

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from zoo.leaderboard.statistics.questions import mcnemar, wilson


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.9, 0.95]))
def test_the_interval_solves_wilsons_equation(n: int, share: float, level: float) -> None:
    k = round(share * n)
    found = wilson(k, n, level)
    z = scipy.stats.norm.ppf(0.5 + level / 2)
    assert 0 <= found.low <= k / n <= found.high <= 1
    for p in (found.low, found.high):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(k / n - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n), rel=1e-6)


def test_without_questions_there_is_no_interval() -> None:
    assert math.isnan(wilson(0, 0).low)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=14))
def test_mcnemar_counts_the_coins(pairs: list[tuple[bool, bool]]) -> None:
    first = {str(i): a for i, (a, _) in enumerate(pairs)}
    second = {str(i): b for i, (_, b) in enumerate(pairs)}
    found = mcnemar({**first, "only here": True}, {**second, "only there": False})
    assert found is not None
    b = sum(x and not y for x, y in pairs)
    c = sum(y and not x for x, y in pairs)
    far = [k for k in range(b + c + 1) if abs(2 * k - b - c) >= abs(b - c)]
    assert found.p == pytest.approx(sum(math.comb(b + c, k) for k in far) / 2 ** (b + c))
    assert (found.first, found.second, found.questions) == (b, c, len(pairs))
    assert found.both + found.first + found.second + found.neither == found.questions
    assert found.accuracies[0] == pytest.approx(sum(first.values()) / len(pairs))


def test_no_question_in_common_is_no_comparison() -> None:
    assert mcnemar({"a": True}, {"b": True}) is None
