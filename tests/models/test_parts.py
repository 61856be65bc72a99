"""Dropout, cross-entropy, LayerNorm and GeGLU of the encoders, each against torch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from zoo.models.cross_entropy import cross_entropy
from zoo.models.dropout import Dropout, keep_mask
from zoo.models.glu import geglu, matched_intermediate_size
from zoo.models.layer_norm import LayerNorm


@given(st.integers(1, 40), st.sampled_from([torch.float32, torch.bfloat16]), st.floats(0.1, 30))
def test_cross_entropy_is_torchs(rows: int, dtype: torch.dtype, size: float) -> None:
    g = torch.Generator().manual_seed(rows)
    logits = (size * torch.randn(rows, 50, generator=g)).to(dtype)
    targets = torch.randint(0, 50, (rows,), generator=g)
    found = []
    for function in (cross_entropy, lambda x, y: F.cross_entropy(x.float(), y)):
        x = logits.clone().requires_grad_()
        loss = function(x, targets)
        (3 * loss).backward()
        found.append((loss.detach(), x.grad))
    (loss, gradient), (wanted, wanted_gradient) = found
    torch.testing.assert_close(loss, wanted, atol=1e-6, rtol=1e-5)
    # In bf16 the gradient is rounded once, and once more times 3: each to 8 bits.
    exact = dtype == torch.float32
    torch.testing.assert_close(
        gradient, wanted_gradient, atol=1e-7 if exact else 1e-5, rtol=1e-5 if exact else 2**-7
    )


def test_cross_entropy_in_fp16_takes_a_loss_scale() -> None:
    logits = torch.zeros(6, 50_000, dtype=torch.float16, requires_grad=True)
    (cross_entropy(logits, torch.arange(6)) * 2**17).backward()
    wanted = 2**17 / 6 / 50_000  # of a word that is no target; unscaled it is 3e-6, a subnormal
    torch.testing.assert_close(logits.grad[:, 6:], torch.full((6, 49_994), wanted).half())


def test_cross_entropy_of_certain_and_of_impossible_words() -> None:
    logits = torch.tensor([[200.0, -200.0], [200.0, -200.0]])
    loss = cross_entropy(logits, torch.tensor([0, 1]))
    assert loss == 200  # 0 and 400: a probability of the target itself would underflow
    nothing = torch.zeros(0, 5, requires_grad=True)
    loss = cross_entropy(nothing, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert cross_entropy(torch.full((1, 3), torch.nan), torch.tensor([0])).isnan()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_a_share_of_p_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    n = 1_000_003  # no multiple of four
    x = torch.ones(n, dtype=dtype, requires_grad=True)
    dropped = Dropout(p)(x)
    zeros = (dropped == 0).float().mean().item()
    assert zeros == pytest.approx(p, abs=5 * (p * (1 - p) / n) ** 0.5 + 2**-17)
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(
        1 / (1 - p), rel=2**-8 if dtype == torch.bfloat16 else 1e-4
    )
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    assert torch.equal(Dropout(p).eval()(x), x)


def test_dropout_is_independent_of_place() -> None:
    """Each 64 bits decide over four: neighbours, and what is 4 apart, agree by chance alone."""
    torch.manual_seed(0)
    kept = keep_mask(torch.empty(400_000), 0.5).gt(0).float()
    for apart in (1, 2, 3, 4, 5, 64):
        agree = (kept[apart:] == kept[:-apart]).float().mean().item()
        assert agree == pytest.approx(0.5, abs=5 * 0.5 / 400_000**0.5)
    for lane in range(4):
        assert kept[lane::4].mean().item() == pytest.approx(0.5, abs=5 * 0.5 / 100_000**0.5)


def test_dropout_follows_the_seed() -> None:
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(keep_mask(torch.empty(10, 10), 0.5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_geglu_is_its_equation() -> None:
    x, weight = torch.randn(5, 6), torch.randn(8, 6)
    a, b = (x @ weight.T)[:, :4], (x @ weight.T)[:, 4:]
    torch.testing.assert_close(geglu(x, weight), a * 0.5 * (1 + torch.erf(a / 2**0.5)) * b)
    assert matched_intermediate_size(3072) == 2048
    assert matched_intermediate_size(4096) in (2728, 2736)


@pytest.mark.parametrize("low_precision", [False, True])
def test_layer_norm_follows_autocast_where_it_is_asked_to(low_precision: bool) -> None:
    norm = LayerNorm(16, 1e-12, low_precision)
    norm.weight.data.normal_()
    x = torch.randn(3, 16)
    wanted = F.layer_norm(x, (16,), norm.weight, norm.bias, 1e-12)
    assert torch.equal(norm(x), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
    if not low_precision:
        assert torch.equal(found, wanted)
        return
    assert found.dtype == torch.bfloat16
    weight, bias = norm.weight.bfloat16(), norm.bias.bfloat16()
    assert torch.equal(found, F.layer_norm(x.bfloat16(), (16,), weight, bias, 1e-12))
    torch.testing.assert_close(found.float(), wanted, atol=0.03, rtol=0.03)
