"""Which functions count as products, and that nothing else is touched."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.precision.oracles import same
from zoo.errors import UserError
from zoo.precision import FORMATS, quantize
from zoo.precision.casts import Casts
from zoo.precision.kinds import KINDS
from zoo.precision.products import RULES, RoundProducts, attend

FMT = FORMATS["fp8_e5m2"]  # coarse: what is not rounded is far off


def q(x: Tensor) -> Tensor:
    return quantize(x, FMT)


def rounding() -> RoundProducts:
    return RoundProducts(Casts(dict.fromkeys(KINDS, FMT)))


torch.manual_seed(0)
A, B, V, W = torch.randn(5, 6), torch.randn(6, 4), torch.randn(6), torch.randn(6)
BATCH_A, BATCH_B, ADD = torch.randn(3, 5, 6), torch.randn(3, 6, 4), torch.randn(5, 4)
IMAGE, KERNEL, BIAS = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3), torch.randn(4)

PRODUCTS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "@": (lambda a, b: a @ b, (A, B)),
    "@ of a number of rows": (lambda a, b: b.__rmatmul__(a), (A, B)),
    "matmul": (torch.matmul, (A, B)),
    "Tensor.matmul": (lambda a, b: a.matmul(b), (A, B)),
    "by keyword": (lambda a, b: torch.matmul(input=a, other=b), (A, B)),
    "mm": (torch.mm, (A, B)),
    "bmm": (torch.bmm, (BATCH_A, BATCH_B)),
    "Tensor.bmm": (lambda a, b: a.bmm(b), (BATCH_A, BATCH_B)),
    "mv": (torch.mv, (A, V)),
    "dot": (torch.dot, (V, W)),
    "linear, cross-entropy": (
        lambda x, w: F.linear_cross_entropy(x, w, torch.zeros(5, dtype=torch.long)),
        (A, B.t().contiguous()),
    ),
    "per_sample_weights": (
        lambda w, p: F.embedding_bag(
            torch.tensor([[1, 2], [4, 0]]), w, mode="sum", per_sample_weights=p
        ),
        (A, torch.rand(2, 2)),
    ),
    "conv with a word": (lambda x, w: F.conv2d(x, w, padding="same"), (IMAGE, KERNEL)),
    "conv in groups": (lambda x, w: F.conv2d(x, w, groups=3), (IMAGE, KERNEL[:3, :1])),
    "inner": (torch.inner, (V, W)),
    "addmm": (torch.addmm, (ADD, A, B)),
    "baddbmm": (torch.baddbmm, (torch.randn(3, 5, 4), BATCH_A, BATCH_B)),
    "einsum": (lambda a, b: torch.einsum("ij,jk->ik", a, b), (A, B)),
    "tensordot": (lambda a, b: torch.tensordot(a, b, dims=([1], [0])), (A, B)),
    "linalg.matmul": (torch.linalg.matmul, (A, B)),
    "linear": (F.linear, (A, B.t().contiguous(), BIAS)),
    "linear by keyword": (
        lambda x, w, b: F.linear(x, weight=w, bias=b),
        (A, B.t().contiguous(), BIAS),
    ),
    "conv1d": (F.conv1d, (torch.randn(2, 3, 9), torch.randn(4, 3, 3), BIAS)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), (IMAGE, KERNEL, BIAS)),
    "conv2d positionally": (lambda x, w, b: F.conv2d(x, w, b, 2, 1), (IMAGE, KERNEL, BIAS)),
    "conv2d without bias": (F.conv2d, (IMAGE, KERNEL)),
    "conv3d": (F.conv3d, (torch.randn(1, 2, 5, 5, 5), torch.randn(3, 2, 3, 3, 3))),
    "conv_transpose2d": (F.conv_transpose2d, (torch.randn(2, 4, 5, 5), torch.randn(4, 3, 3, 3))),
    "bilinear": (F.bilinear, (A, torch.randn(5, 4), torch.randn(2, 6, 4), torch.randn(2))),
    "embedding_bag": (lambda w: F.embedding_bag(torch.tensor([[1, 2], [4, 0]]), w), (A,)),
}


@pytest.mark.parametrize("name", [n for n in PRODUCTS if n != "linear, cross-entropy"])
def test_operands_and_result_are_rounded_and_so_are_all_gradients(name: str) -> None:
    f, operands = PRODUCTS[name]
    leaves = [x.clone().requires_grad_() for x in operands]
    with rounding():
        y = f(*leaves)
    exact = [q(x).requires_grad_() for x in operands]
    product = f(*exact)
    assert same(y.detach(), q(product.detach()))
    assert not same(y.detach(), f(*operands))
    upstream = torch.randn_like(y)
    got = torch.autograd.grad(y, leaves, upstream)
    want = torch.autograd.grad(product, exact, q(upstream))
    for ours, theirs in zip(got, want, strict=True):
        assert same(ours, q(theirs))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.softmax(-1),
        lambda x: F.layer_norm(x, (6,)),
        lambda x: x * x + x,
        F.gelu,
        lambda x: F.cross_entropy(x, torch.zeros(5, dtype=torch.long)),
        lambda x: x.sum(),
        lambda x: F.avg_pool1d(x, 2),
        lambda x: torch.outer(x[0], x[1]),  # sums up nothing
        lambda x: torch.einsum("ij->ji", x),
        lambda x: torch.einsum("ij->i", x),
        lambda x: torch.einsum("i,j->ij", x[0], x[1]),
    ],
)
def test_everything_else_is_fp32(f: Callable[[Tensor], Tensor]) -> None:
    with rounding():
        y = f(A)
    assert same(y, f(A))


def test_the_loss_of_a_large_vocabulary() -> None:
    f, (x, w) = PRODUCTS["linear, cross-entropy"]
    with rounding():
        loss = f(x, w)
    assert same(loss, F.cross_entropy(q(q(x) @ q(w).t()), torch.zeros(5, dtype=torch.long)))


KINDS_ROUNDED: dict[str, dict[Any, Any]] = {
    "all": dict.fromkeys(KINDS, FMT),
    "gradients": {"gradients": FMT},
    "weights": {"weights": FMT},
    "none, watched": {},
}


class Sees:
    def site(self) -> str:
        return "here"

    def see(self, kind: Any, site: str, x: Tensor) -> None:
        assert site == "here"


@pytest.mark.parametrize("rounded", list(KINDS_ROUNDED))
def test_a_model_may_write_into_results(rounded: str) -> None:
    casts = Casts(KINDS_ROUNDED[rounded])
    if "watched" in rounded:
        casts.observer = Sees()
    layer = nn.Linear(6, 3)
    table = nn.Embedding(5, 6, max_norm=0.5)
    with RoundProducts(casts):
        y = table(torch.tensor([0, 1]))
        y *= 2.0
        z = layer(y)
        z += 1.0
        z = F.relu_(z)
        z.sum().backward()
    assert layer.weight.grad is not None
    assert table.weight.grad is not None
    assert table.weight.detach()[0].norm() <= 0.5 + 1e-6


@pytest.mark.parametrize("rounded", list(KINDS_ROUNDED))
def test_two_gradients_never_share_memory(rounded: str) -> None:
    casts = Casts(KINDS_ROUNDED[rounded])
    if "watched" in rounded:
        casts.observer = Sees()
    one, two = nn.Parameter(ADD.clone()), nn.Parameter(ADD.clone())
    with RoundProducts(casts):
        (torch.addmm(one, A, B) + torch.addmm(two, A, B)).sum().backward()
    assert one.grad is not None
    assert two.grad is not None
    assert one.grad.data_ptr() != two.grad.data_ptr()


def test_three_operands_at_once_are_refused() -> None:
    with rounding(), pytest.raises(UserError, match="write it as products of two"):
        torch.einsum("ij,jk,kl->il", A, B, torch.randn(4, 2))


def test_entered_twice_it_rounds_once() -> None:
    seen = []

    class Counts(Sees):
        def see(self, kind: Any, site: str, x: Tensor) -> None:
            seen.append(kind)

    mode = rounding()
    mode.casts.observer = Counts()
    with mode, mode:
        y = A @ B
    assert seen == ["activations"] * 3
    assert same(y, q(q(A) @ q(B)))


def test_a_negated_view_keeps_its_sign() -> None:
    assert same(q(torch._neg_view(A)), q(-A))


def test_a_weight_is_told_from_an_activation() -> None:
    casts = Casts({"weights": FMT, "weight_gradients": FMT})
    weight, turned = nn.Parameter(B.clone()), nn.Parameter(B.t().contiguous())
    with RoundProducts(casts):
        assert same((A @ weight).detach(), A @ q(B))
        assert same((A @ turned.t()).detach(), A @ q(turned.detach()).t())
        assert same(A @ B, A @ B)
        assert same(F.linear(A, B.t()), F.linear(A, q(B).t()))


def test_an_embedding_is_rounded_as_a_weight_and_its_gradient_as_a_whole() -> None:
    table = nn.Parameter(A.clone())
    indices = torch.tensor([0, 2, 2, 2])
    with rounding():
        y = F.embedding(indices, table)
    assert same(y.detach(), q(A)[indices])
    upstream = torch.full_like(y, 1.25)
    y.backward(upstream)
    assert table.grad is not None
    assert table.grad[2, 0] == q(torch.tensor(3.75)) != 3.75
    assert table.grad[1, 0] == 0


def test_a_sparse_embedding() -> None:
    table = nn.Parameter(A.clone())
    with rounding():
        y = F.embedding(torch.tensor([0, 2, 2, 2]), table, sparse=True)
    y.backward(torch.full_like(y, 1.25))
    assert table.grad is not None
    assert table.grad.is_sparse
    assert table.grad.to_dense()[2, 0] == q(torch.tensor(3.75))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"attn_mask": torch.randn(2, 1, 7, 7)},
        {"attn_mask": torch.rand(2, 1, 7, 7) > 0.3},
        {"attn_mask": torch.zeros(7, 7, dtype=torch.bool)},
        {"scale": 0.3},
    ],
)
def test_attention_in_fp32_is_torchs(options: dict[str, Any]) -> None:
    x, k, v = (torch.randn(2, 4, 7, 8, requires_grad=True) for _ in range(3))
    ours = attend(RoundProducts(Casts({})), x, k, v, **options)
    theirs = F.scaled_dot_product_attention(x, k, v, **options)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (x, k, v), upstream),
        torch.autograd.grad(theirs, (x, k, v), upstream),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_attention_with_shared_keys() -> None:
    x, k, v = torch.randn(2, 4, 7, 8), torch.randn(2, 2, 7, 8), torch.randn(2, 2, 7, 8)
    torch.testing.assert_close(
        attend(RoundProducts(Casts({})), x, k, v, enable_gqa=True),
        F.scaled_dot_product_attention(x, k, v, enable_gqa=True),
    )


def test_attention_drops_its_shares() -> None:
    torch.manual_seed(0)
    x, values = torch.zeros(1, 1, 4, 8), torch.eye(4)[None, None]
    dropped = attend(RoundProducts(Casts({})), x, x, values, dropout_p=0.5)
    assert set(dropped.unique().tolist()) == {0.0, 0.5}  # a quarter each, dropped or doubled


def test_rows_that_see_nothing_are_zero_and_not_nan() -> None:
    x = torch.randn(1, 1, 3, 4, requires_grad=True)
    mask = torch.tensor([[True, True, True], [False, False, False], [True, False, True]])
    y = attend(RoundProducts(Casts(dict.fromkeys(KINDS, FORMATS["fp169"]))), x, x, x, mask)
    assert (y[0, 0, 1] == 0).all()
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_multi_head_attention_is_gone_into() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(2, 5, 8)
    with rounding():
        y = layer(x, x, x, need_weights=False)[0]
        again = layer(x, x, x, need_weights=True)[0]
    exact = layer(x, x, x, need_weights=False)[0]
    assert same(q(y.detach()), y.detach())
    torch.testing.assert_close(y, exact, rtol=0.5, atol=0.3)
    assert not same(y.detach(), q(exact.detach()))
    torch.testing.assert_close(y, again, rtol=0.5, atol=0.1)


def test_a_transformer_layer_is_the_same_in_evaluation() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    x = torch.randn(2, 5, 8)
    with rounding():
        trained = layer(x)
        with torch.no_grad():
            evaluated = layer.eval()(x)
    assert same(trained.detach(), evaluated)


@pytest.mark.parametrize(
    "layer", [nn.LSTM(4, 4), nn.GRU(4, 4), nn.RNN(4, 4), nn.LSTMCell(4, 4), nn.GRUCell(4, 4)]
)
def test_recurrent_kernels_are_refused(layer: nn.Module) -> None:
    with rounding(), pytest.raises(UserError, match="type precision=fp32"):
        layer(torch.randn(3, 4))


def test_a_product_into_a_given_tensor() -> None:
    out = torch.empty(5, 4)
    with rounding():
        torch.matmul(A, B, out=out)
    assert same(out, q(q(A) @ q(B)))


def test_checkpointed_activations_are_rounded_again() -> None:
    from torch.utils.checkpoint import checkpoint

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor, saves: bool) -> Tensor:
            def body(x: Tensor) -> Tensor:
                return self.two(self.one(x).tanh())  # type: ignore[no-any-return]

            return checkpoint(body, x, use_reentrant=False) if saves else body(x)

    net = Twice()
    found = []
    for saves in (True, False):
        net.zero_grad()
        with rounding():
            loss = net(A, saves).square().sum()
        with rounding():
            loss.backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
        with rounding():
            loss = net(A, saves).square().sum()
        with rounding():
            found.append(list(torch.autograd.grad(loss, list(net.parameters()))))
    assert all(same(a, b) for others in found[1:] for a, b in zip(found[0], others, strict=True))


def test_every_rule_is_a_function_of_torch() -> None:
    assert len(RULES) > 50
    assert all(callable(function) for function in RULES)
