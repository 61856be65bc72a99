"""PipelineDelay under Lightning equals samples that move through stages clock by clock.

The other side is tests/delay/clock.py, which shares nothing with zoo.delay.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from tests.delay.clock import Rules, simulate
from tests.delay.test_constant import assert_same_bits, fit
from zoo.delay import PipelineDelay, Stage, pipeline, pipeline_stages
from zoo.errors import UserError
from zoo.optim import CompensatedSGD
from zoo.precision import FORMATS
from zoo.precision.casts import Casts
from zoo.precision.plugin import EmulatedPrecision

Make = Callable[[Any], torch.optim.Optimizer]
LR, M, WD = 0.01, 0.9, 1e-2


def linear_stages(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    first = [nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(count - 1)]
    first[count // 2] = nn.Tanh() if count > 3 else first[count // 2]  # a stage without parameters
    return [*first, nn.Linear(6, 3)]


def image_stages() -> list[nn.Module]:
    torch.manual_seed(0)
    return [
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.Sequential(nn.GroupNorm(2, 4), nn.ReLU()),
        nn.Conv2d(4, 6, 3, stride=2, bias=False),
        nn.Sequential(nn.GroupNorm(3, 6), nn.ReLU(), nn.Flatten()),
        nn.Linear(54, 3),
    ]


def samples(images: bool, count: int = 60) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shape = (1, 1, 8, 8) if images else (1, 6)
    return [
        (torch.randn(shape, generator=generator), torch.randint(3, (1,), generator=generator))
        for _ in range(count)
    ]


class Given(PipelineDelay):
    """The stages are the modules of a Sequential, as the clock has them."""

    def __init__(self, net: nn.Sequential, **options: Any) -> None:
        super().__init__(**options)
        count = len(net)
        self.given = [
            Stage(s, 2 * (count - s), (str(s),), dict(module.named_parameters()), 0)
            for s, module in enumerate(net, start=1)
        ]


@pytest.fixture(autouse=True)
def _given_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a `Given` have its own stages; what cuts models is tested elsewhere."""
    monkeypatch.setattr(pipeline, "pipeline_stages", lambda net, example, n: _cuts[id(net)])


_cuts: dict[int, list[Stage]] = {}


def train(
    modules: list[nn.Module], data: Any, make: Make, *, accumulate: int = 1, **options: Any
) -> nn.Sequential:
    net = nn.Sequential(*modules)
    delay = Given(net, **options)
    _cuts[id(net)] = delay.given
    fit(net, make, delay, data=data, accumulate_grad_batches=accumulate)
    return net


# What it is called, the options here, and the rules there.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "plain": ({"spike_compensation": False}, {}, {}),
    "stash": ({"spike_compensation": False}, {"stash_weights": True}, {"backward": "stash"}),
    "SC": ({}, {}, {"compensate": True}),
    "GSC": ({"a": 0.5, "b": 3.0}, {}, {"compensate": (0.5, 3.0)}),
    "LWPv": (
        {"spike_compensation": False}, {"prediction": "velocity"}, {"predict": "velocity"},
    ),
    "LWPw": ({"spike_compensation": False}, {"prediction": "weight"}, {"predict": "difference"}),
    "LWPv 2D": (
        {"spike_compensation": False}, {"prediction": "velocity", "horizon": "2D"},
        {"predict": "velocity", "horizon": lambda d: 2 * d},
    ),
    "LWPv 3": (
        {"spike_compensation": False}, {"prediction": "velocity", "horizon": 3.0},
        {"predict": "velocity", "horizon": 3.0},
    ),
    "LWPv+SC": ({"prediction": "velocity"}, {}, {"predict": "velocity", "compensate": True}),
    "LWPw+SC": ({"prediction": "weight"}, {}, {"predict": "difference", "compensate": True}),
    "stash, LWPv+SC": (
        {"prediction": "velocity"}, {"stash_weights": True},
        {"backward": "stash", "predict": "velocity", "compensate": True},
    ),
    "PipeMare": ({"spike_compensation": False, "anneal": 40}, {}, {"pipemare": 40}),
    "PipeMare, T1 and T2": (
        {"spike_compensation": False, "anneal": 40, "correction": 0.135}, {},
        {"pipemare": 40, "correct": 0.135},
    ),
    "SpecTrain": (
        {"spike_compensation": False}, {"prediction": "spectrain"}, {"predict": "spectrain"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("stages", "size"),
    [(3, 1), (5, 1), (16, 1), ("images", 1), (3, 2), (3, 3), (5, 2), (5, 3), (5, 12)],
)
@pytest.mark.parametrize("case", CASES)
def test_a_run_is_the_pipeline_clock_by_clock(case: str, stages: int | str, size: int) -> None:
    """With one sample an update, with two and three, and with more than the pipe has under way."""
    options, delay, rules = CASES[case]
    images = stages == "images"
    modules = image_stages() if images else linear_stages(int(stages))
    data = samples(images)
    there = simulate(
        modules, data, F.cross_entropy,
        Rules(lr=LR, momentum=M, weight_decay=WD, update_size=size, **rules),
    )  # fmt: skip
    here = train(
        modules, data,
        lambda p: CompensatedSGD(p, lr=LR, momentum=M, weight_decay=WD, **options),
        accumulate=size, **delay,
    )  # fmt: skip
    for module, state in zip(here, there.states, strict=True):
        for name, p in module.named_parameters():
            assert torch.equal(p.detach(), state.parameters[name]), name


def test_the_backward_pass_sees_other_weights_than_the_forward_pass() -> None:
    """Else stashing and the paper's way would be one, and the comparison above would not tell."""
    make: Make = lambda p: SGD(p, lr=LR, momentum=M)  # noqa: E731
    data = samples(images=True)
    plain = train(image_stages(), data, make)
    stashed = train(image_stages(), data, make, stash_weights=True)
    with pytest.raises(AssertionError):
        assert_same_bits(plain, stashed)


def test_one_stage_is_sgd() -> None:
    make: Make = lambda p: SGD(p, lr=LR, momentum=M, weight_decay=WD)  # noqa: E731
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 3))
    ours = train([net], samples(False), make)
    torch.manual_seed(0)
    assert_same_bits(
        ours, fit(nn.Sequential(nn.Sequential(nn.Linear(6, 3))), make, data=samples(False))
    )


@pytest.mark.parametrize("wd", [0.0, WD])
@pytest.mark.parametrize(("delay", "nesterov"), [(0, False), (1, True)])
def test_compensation_at_no_delay_is_sgd_and_at_one_is_nesterov_to_the_bit(
    delay: int, nesterov: bool, wd: float
) -> None:
    def trained(make: Make) -> nn.Module:
        return fit(nn.Sequential(*image_stages()), make, data=samples(True))

    ours = trained(lambda p: CompensatedSGD(p, lr=LR, momentum=M, delay=delay, weight_decay=wd))
    theirs = trained(lambda p: SGD(p, lr=LR, momentum=M, nesterov=nesterov, weight_decay=wd))
    assert_same_bits(ours, theirs)


def test_a_prediction_wants_a_velocity() -> None:
    with pytest.raises(UserError, match=r"delay.prediction=velocity: SGD has no velocity"):
        train(image_stages(), samples(True), lambda p: SGD(p, lr=LR), prediction="velocity")
    with pytest.raises(UserError, match=r"delay.prediction=speed: there is velocity"):
        train(
            image_stages(), samples(True), lambda p: SGD(p, lr=LR, momentum=M), prediction="speed"
        )
    with pytest.raises(UserError, match=r"delay.horizon=far: must be a number of updates"):
        train(
            image_stages(), samples(True), lambda p: SGD(p, lr=LR, momentum=M),
            prediction="velocity", horizon="far",
        )  # fmt: skip


def test_rounded_copies_of_the_weights_are_made_anew_for_the_backward_pass() -> None:
    """So that in an emulated format, too, the backward pass sees the weights of its own time."""
    kinds = ("weights", "activations", "gradients", "weight_gradients")
    plugin = EmulatedPrecision(Casts(dict.fromkeys(kinds, FORMATS["fp169"])))  # type: ignore[arg-type]
    x = torch.randn(5, 6, requires_grad=True)

    def input_gradient(layer: nn.Linear, then: Tensor) -> Tensor:
        x.grad = None
        plugin.follow_weights(True)
        with plugin.forward_context():
            y = (layer(x) * 3).sum()
            layer.weight.data.copy_(then)
            plugin.follow_weights(False)
            y.backward()
        assert x.grad is not None
        return x.grad.clone()

    layer, new = nn.Linear(6, 3), torch.randn(3, 6)
    with torch.no_grad():
        other = nn.Linear(6, 3)
        other.weight.copy_(new)
    changed = input_gradient(layer, new)
    assert torch.equal(changed, input_gradient(other, new))  # linear in y: the weights are all
    assert not torch.equal(changed, input_gradient(nn.Linear(6, 3), torch.zeros(3, 6)))


def test_a_model_cut_by_the_zoo_trains_as_its_stages_say() -> None:
    """No stages given: delays are those of `pipeline_stages`, and the memory is their sum."""
    net = nn.Sequential(*image_stages())
    cut = pipeline_stages(net, torch.zeros(2, 1, 8, 8))
    _cuts[id(net)] = cut
    delay = PipelineDelay()
    fit(net, lambda p: SGD(p, lr=LR, momentum=M), delay, data=samples(True))
    assert delay.longest == max(s.delay for s in cut if s.parameters)
    assert delay.history_bytes == sum(s.delay * s.parameter_bytes for s in cut)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("options", "ahead", "beside"),
    [
        ({}, 0, lambda s: 0),
        ({"prediction": "velocity"}, 1, lambda s: 0),
        ({"prediction": "weight"}, 1, lambda s: s.parameter_bytes),
        ({"correction": 0.135}, 0, lambda s: s.parameter_bytes if s.delay else 0),
    ],
    ids=["plain", "LWPv", "LWPw", "PipeMare"],
)
def test_memory_is_what_the_formula_says(
    options: dict[str, Any], ahead: int, beside: Callable[[Stage], int], size: int
) -> None:
    """ceil(D / N) copies of a stage, one more where weights are predicted, and averages of steps."""
    net = nn.Sequential(*image_stages())
    delay = Given(net)
    _cuts[id(net)] = delay.given
    make: Make = lambda p: CompensatedSGD(p, lr=LR, momentum=M, **options)  # noqa: E731
    fit(net, make, delay, data=samples(True, 6), accumulate_grad_batches=size)
    assert delay.history_bytes == sum(
        (math.ceil(s.delay / size) + ahead) * s.parameter_bytes + beside(s) for s in delay.given
    )


def test_stashed_weights_are_measured_against_the_present_ones() -> None:
    net = nn.Sequential(*image_stages())
    delay = Given(net, stash_weights=True)
    _cuts[id(net)] = delay.given
    make: Make = lambda p: SGD(p, lr=LR, momentum=M)  # noqa: E731
    fit(net, make, delay, data=samples(True, 20), log_every_n_steps=10)
    measured = delay.measures()
    assert measured["num/pipeline/distance/001"] > measured["num/pipeline/distance/004"] > 0
    assert measured["num/pipeline/distance/005"] == 0
    assert measured["num/pipeline/distance"] > 0
