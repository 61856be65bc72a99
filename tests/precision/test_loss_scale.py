"""The rule of dynamic loss scaling, step by step."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import Diverged
from zoo.precision import FORMATS, emulated
from zoo.precision.loss_scale import MINIMUM, PATIENCE, LossScale


def dynamic(value: float = 2.0**15, window: int = 2000) -> LossScale:
    return LossScale(value, dynamic=True, window=window)


def test_it_halves_on_overflow_and_doubles_after_clean_steps() -> None:
    scale = dynamic(1024, window=3)
    seen = []
    for finite in (False, True, True, False, True, True, True, True, True, True, True, True, True):
        scale.update(finite)
        seen.append(scale.value)
    assert seen == [512, 512, 512, 256, 256, 256, 512, 512, 512, 1024, 1024, 1024, 1024]
    assert scale.skipped_steps == 2


def test_it_never_passes_the_first_scale_nor_the_floor() -> None:
    scale = dynamic(2.0**-12, window=1)
    scale.update(True)
    assert scale.value == 2.0**-12
    scale.update(False)
    scale.update(False)
    assert scale.value == MINIMUM == 2.0**-14
    with pytest.raises(Diverged, match="gradients overflow at a loss scale"):
        scale.update(False)


def test_a_static_scale_stays_and_gives_up_in_the_end() -> None:
    scale = LossScale(1024)
    for _ in range(PATIENCE - 1):
        scale.update(False)
    scale.update(True)
    for _ in range(PATIENCE - 1):
        scale.update(False)
    assert scale.value == 1024
    with pytest.raises(Diverged, match="100 updates were skipped in a row"):
        scale.update(False)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5))
def test_it_is_the_rule_of_the_paper_s_system(steps: list[bool], window: int) -> None:
    """Against the rule as it is written down, with counters since the last change."""
    scale, value, clean = dynamic(2.0**60, window), 2.0**60, 0
    for finite in steps:
        scale.update(finite)
        if not finite:
            value, clean = value / 2, 0
        else:
            clean += 1
            if clean == window:
                value, clean = min(2 * value, 2.0**60), 0
        assert scale.value == value


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_gradients_are_divided_and_found_not_finite(bad: float) -> None:
    gradients = [torch.full((3,), 8.0), torch.full((2, 2), 2.0**100)]
    scale = LossScale(4.0)
    assert scale.unscale(gradients)
    assert gradients[0].tolist() == [2.0] * 3
    gradients[1][1, 0] = bad
    assert not scale.unscale(gradients)


def test_finite_gradients_whose_squares_overflow_are_finite() -> None:
    assert LossScale(2.0).unscale([torch.full((10,), 1e38)])


@pytest.mark.parametrize(
    ("name", "first"), [("fp169", 2.0**31), ("fp16", 2.0**15), ("fp8_e5m2", 2.0**15)]
)
def test_it_begins_at_the_top_of_the_gradients_format(name: str, first: float) -> None:
    fmt = FORMATS[name]
    plugin = emulated(
        fmt.exponent_bits, fmt.mantissa_bits, loss_scale="dynamic", device="cpu"
    ).trainer["plugins"][0]
    assert plugin.loss_scale.value == first
    mixed = emulated(
        6, 9, quantize={"gradients": name}, loss_scale="dynamic", device="cpu"
    ).trainer["plugins"][0]
    assert mixed.loss_scale.value == first


@pytest.mark.parametrize("word", ["none", None, 1, "1.0"])
def test_no_scale(word: object) -> None:
    plugin = emulated(6, 9, loss_scale=word, device="cpu").trainer["plugins"][0]  # type: ignore[arg-type]
    assert plugin.loss_scale is None
    assert plugin.measures() == {}


def test_its_state_is_plain_numbers() -> None:
    scale = dynamic(1024, window=5)
    for finite in (False, True, True):
        scale.update(finite)
    other = dynamic(1024, window=5)
    other.load_state_dict(scale.state_dict())
    assert other == scale
    assert {type(v) for v in scale.state_dict().values()} <= {int, float, bool}
