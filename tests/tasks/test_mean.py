"""Means over a split against torchmetrics' and NumPy's."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics import MeanMetric

from zoo.tasks.mean import Mean

FLOATS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.tuples(FLOATS, st.integers(1, 1000)), min_size=1, max_size=20))
def test_it_is_torchmetrics_to_the_bit_and_numpys(batches: list[tuple[float, int]]) -> None:
    ours, theirs = Mean(), MeanMetric()
    for value, weight in batches:
        ours.update(torch.tensor(value), weight)
        theirs.update(torch.tensor(value), weight=weight)
    assert ours.compute().item() == theirs.compute().item()
    values, weights = zip(*batches, strict=True)
    scale = max(map(abs, values))
    assert abs(ours.compute() - np.average(values, weights=weights)) <= 1e-5 * scale + 1e-30


def test_nan_stays() -> None:
    ours = Mean()
    for value in (1.0, math.nan, 2.0):
        ours.update(torch.tensor(value), 3)
    assert ours.compute().isnan()
    ours.reset()
    ours.update(torch.tensor(2.0), 3)
    assert ours.compute() == 2
