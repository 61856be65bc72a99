"""PipeMare's correction brings back weights that move evenly, and says when those that turn."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from zoo.delay.correction import Correction
from zoo.errors import UserError
from zoo.optim import CompensatedSGD


def corrected(decay: float, delay: float, path: list[float]) -> float:
    """Return the corrected weight after all updates of a path."""
    w = torch.tensor([path[0]], dtype=torch.float64)
    correction = Correction(decay, [delay], [w])
    for before, now in itertools.pairwise(path):
        correction.update([torch.tensor([now], dtype=torch.float64)],
                          [(0, torch.tensor([before], dtype=torch.float64))])  # fmt: skip
    return correction.returned([torch.tensor([path[-1]], dtype=torch.float64)])[0].item()


@pytest.mark.parametrize("delay", [1, 2, 7.5, 66])
def test_weights_that_move_evenly_come_back_to_where_the_forward_pass_saw_them(
    delay: float,
) -> None:
    steps = 60 * math.ceil(delay)
    w = corrected(0.135, delay, [3 - 0.1 * t for t in range(steps + 1)])
    assert w == pytest.approx(3 - 0.1 * (steps - delay))


@pytest.mark.parametrize("delay", [3, 8, 66])
def test_a_parabola_comes_back_at_one_decay_alone_which_tends_to_the_papers(delay: int) -> None:
    path = [0.01 * t**2 for t in range(60 * delay + 1)]
    want = path[-1 - delay]
    exact = (1 - 2 / (delay + 1)) ** delay
    errors = [corrected(c, delay, path) - want for c in (0.8 * exact, exact, 1.2 * exact)]
    assert errors[1] == pytest.approx(0, abs=1e-6)
    assert errors[0] < -1e-3  # shorter memory: too far back
    assert errors[2] > 1e-3
    assert abs(math.exp(-2) - exact) < 0.2 / delay
    assert math.exp(-2) == pytest.approx(0.135, abs=1e-3)


def test_what_is_not_late_is_left_alone_and_no_memory_is_spent_on_it() -> None:
    late, punctual = torch.ones(3), torch.ones(5)
    correction = Correction(0.135, [4.0, 0.0], [late, punctual])
    assert correction.bytes == 3 * 4
    correction.update([late + 1, punctual + 1], [(0, late)])
    present: list[Tensor] = [late + 1, punctual + 1]
    seen = correction.returned(present)
    assert (seen[0] < present[0]).all()
    assert seen[1] is present[1]


@pytest.mark.parametrize("correction", [0.0, 1.0, -0.1])
def test_a_decay_that_makes_no_sense(correction: float) -> None:
    with pytest.raises(UserError, match=r"type optimizer.correction=0.135"):
        CompensatedSGD([torch.zeros(1)], correction=correction)
