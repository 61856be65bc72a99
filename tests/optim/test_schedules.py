"""Against transformers' schedules and torch's, step by step."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import MultiStepLR
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from zoo.optim.schedules import Constant, Cosine, Linear, Steps

TOTAL, WARMUP = 200, 20


def theirs(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = make(optimizer)
    factors = []
    for _ in range(TOTAL):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (Linear(warmup_fraction=0.1), lambda o: get_linear_schedule_with_warmup(o, WARMUP, TOTAL)),
        (Cosine(warmup_fraction=0.1), lambda o: get_cosine_schedule_with_warmup(o, WARMUP, TOTAL)),
        (Linear(), lambda o: get_linear_schedule_with_warmup(o, 0, TOTAL)),
        (Steps(), lambda o: MultiStepLR(o, [TOTAL // 2, TOTAL * 3 // 4], 0.1)),
        (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0)),
    ],
)
def test_the_same_rate_at_every_step(ours, make) -> None:
    assert [ours(t / TOTAL) for t in range(TOTAL)] == pytest.approx(theirs(make), abs=1e-12)


@pytest.mark.parametrize("schedule", [Linear, Cosine])
def test_the_floor_is_what_is_left(schedule) -> None:
    s = schedule(floor=0.02, warmup_fraction=0.06)
    assert s(1.0) == pytest.approx(0.02)
    assert s(0.06) == 1.0
    assert s(0.03) == pytest.approx(0.5)


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.sampled_from([Linear, Cosine]),
)
def test_never_above_the_peak_nor_rising_after_the_warm_up(a, b, warmup, floor, kind) -> None:
    s = kind(warmup_fraction=warmup, floor=floor)
    low, high = sorted((warmup + a * (1 - warmup), warmup + b * (1 - warmup)))
    assert -1e-12 <= s(high) <= s(low) + 1e-9
    assert s(low) <= 1.0 + 1e-12
    assert 0.0 <= s(a * warmup) <= 1.0
