"""CompensatedSGD, in one pass or by torch's operations: SGD's and Nesterov's bits, and each other's."""

import copy
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

import zoo.models  # noqa: F401 - registers its networks with timm
from zoo.optim import CompensatedSGD

SHAPES = [(), (1,), (33,), (4, 1), (5, 67), (3, 2, 3, 3)]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("delay", [0, 1])
def test_delays_of_nothing_and_one_are_torchs_to_the_bit(delay: int, channels_last: bool) -> None:
    """Over 50 steps of a real network, its schedule and its decay."""

    def trained(make: Any) -> list[Tensor]:
        torch.manual_seed(0)
        # Of 8, where channels are last: zoo/models/layout.py says why.
        net = timm.create_model("cifar_resnet8", width=8 if channels_last else 4)
        net = net.to(memory_format=torch.channels_last) if channels_last else net
        optimizer = make(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        for t in range(50):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * (1 - t / 100)
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(8, 3, 8, 8)), torch.randint(10, (8,))).backward()
            optimizer.step()
        return [p.detach() for p in net.parameters()]

    ours = trained(lambda p, **o: CompensatedSGD(p, delay=delay, **o))
    theirs = trained(lambda p, **o: SGD(p, nesterov=delay == 1, **o))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.lists(st.sampled_from([0, 1, 2, 7, 30]), min_size=12, max_size=12),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([{}, {"anneal": 3}, {"a": 0.3, "b": 1.7}, {"spike_compensation": False}]),
)
def test_one_pass_has_the_bits_of_torchs_operations(
    seed: int, delays: list[int], decay: float, options: dict[str, Any]
) -> None:
    """Whatever comes and goes between two steps, as delays, resuming and autograd do."""

    def trained(compiler: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)

        def chance() -> float:
            return float(torch.rand((), generator=generator))

        def normal(shape: Any, dtype: torch.dtype) -> Tensor:
            x = torch.randn(shape, generator=generator, dtype=dtype)
            return x.to(memory_format=torch.channels_last) if x.dim() == 4 and seed % 2 else x

        ps = [nn.Parameter(normal(s, d)) for d in (torch.float32, torch.float64) for s in SHAPES]
        groups = [{"params": ps[::2]}, {"params": ps[1::2], "delay": 3, "momentum": 0.5}]
        optimizer = CompensatedSGD(groups, lr=0.1, weight_decay=decay, **options)
        optimizer.delays = dict(zip(ps[:10], delays[:10], strict=True))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ZOO_COMPILE", compiler)
            for _ in range(5):
                gradients = []
                for p in ps:
                    p.grad = normal(p.shape, p.dtype) if chance() < 0.8 else None
                    if chance() < 0.2 and p.grad is not None:  # in another order than p
                        p.grad = p.grad.contiguous()
                    if chance() < 0.3:  # as a history lends old weights
                        p.data = p.detach().clone()
                    gradients.append(None if p.grad is None else p.grad.clone())
                for group in optimizer.param_groups:
                    group["lr"] *= 0.9
                if chance() < 0.3:  # a checkpoint's velocities are other tensors
                    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer.step()
                for p, g in zip(ps, gradients, strict=True):
                    assert g is None or torch.equal(p.grad, g)  # type: ignore[arg-type]
        return [*ps, *(optimizer.state[p].get("momentum_buffer", p) for p in ps)]

    assert all(torch.equal(a, b) for a, b in zip(trained("1"), trained("0"), strict=True))
