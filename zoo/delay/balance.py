"""Cutting a row of costs into consecutive parts, the largest as small as can be."""

from itertools import accumulate

import numpy as np


def balanced_cuts(costs: list[int], parts: int) -> list[int]:
    """Return where each part ends, exclusive, in a cut whose largest part is the smallest.

    Of several such cuts, the most even one: the smallest sum of squares. Both exactly.

    Args:
        costs: not negative.
        parts: from 1 to the number of costs; none of them is empty.

    >>> balanced_cuts([9, 1, 2, 3, 4, 5], 3)
    [1, 4, 6]
    """
    assert 1 <= parts <= len(costs)
    bound = _smallest_bound(costs, parts)
    sums = np.array([0, *accumulate(costs)], dtype=object)  # integers of any size
    scaled = np.array([int(s) for s in sums], dtype=float) / max(bound, 1)
    count = len(costs)
    # least[j]: the smallest sum of squares of the first j costs in k parts.
    least = np.full(count + 1, np.inf)
    least[0] = 0.0
    choices = []
    for _ in range(parts):
        longer = np.full(count + 1, np.inf)
        choice = np.zeros(count + 1, dtype=int)
        for end in range(1, count + 1):
            first = int(np.searchsorted(sums, sums[end] - bound))
            if first < end:
                total = least[first:end] + (scaled[end] - scaled[first:end]) ** 2
                best = int(total.argmin())
                longer[end], choice[end] = total[best], first + best
        least = longer
        choices.append(choice)
    ends = [count]
    for choice in reversed(choices[1:]):
        ends.append(int(choice[ends[-1]]))
    return ends[::-1]


def _smallest_bound(costs: list[int], parts: int) -> int:
    """Return the smallest possible cost of the largest part, by bisection.

    A bound holds where filling part after part up to it takes no more than `parts`; where it takes
    fewer, parts can be cut further, which makes none larger.
    """
    low, high = max(costs), sum(costs)
    while low < high:
        middle = (low + high) // 2
        if _parts_within(costs, middle) <= parts:
            high = middle
        else:
            low = middle + 1
    return low


def _parts_within(costs: list[int], bound: int) -> int:
    parts, filled = 1, 0
    for cost in costs:
        if filled + cost > bound:
            parts, filled = parts + 1, 0
        filled += cost
    return parts
