"""What is seeded is seeded as torch, numpy and random do it themselves."""

import random

import numpy as np
import pytest
import torch

from zoo import seeding
from zoo.seeding import STEP, mix, seed_everything


@pytest.mark.parametrize("accelerator", [False, True])
def test_a_stream_is_that_of_its_seed(monkeypatch: pytest.MonkeyPatch, accelerator: bool) -> None:
    """The short way, where there is no accelerator, and torch's own."""
    monkeypatch.setattr(seeding, "_has_accelerator", lambda: accelerator)
    seed = mix(STEP, 0, 7)
    torch.manual_seed(seed)
    want = torch.rand(3), np.random.RandomState(seed % 2**32).rand(), random.Random(seed).random()
    seed_everything(STEP, 0, 7)
    got = torch.rand(3), np.random.rand(), random.random()
    assert torch.equal(got[0], want[0])
    assert got[1:] == want[1:]
    assert torch.initial_seed() == seed
