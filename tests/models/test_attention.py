"""Slopes, and the ways to attention against each other."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import UserError
from zoo.models.alibi import Alibi, alibi_slopes
from zoo.models.attention import Attention
from zoo.models.padding import Packing, pack_by_lengths, pack_by_mask

CPU = torch.device("cpu")
LENGTHS = [7, 3, 7, 12, 1]
WRITTEN = {  # in the sheet, number by number
    2: [0.0625, 0.00390625],
    4: [0.25, 0.0625, 0.015625, 0.00390625],
    6: [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125],
    8: [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256],
    12: [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256,
         0.707107, 0.353553, 0.176777, 0.088388],
    16: [2 ** (-k / 2) for k in range(1, 17)],
}  # fmt: skip


@pytest.mark.parametrize("heads", WRITTEN)
def test_slopes_are_those_of_the_sheet(heads: int) -> None:
    assert alibi_slopes(heads) == pytest.approx(WRITTEN[heads], abs=1e-6)


@pytest.mark.parametrize("heads", [1, 3, 5, 7, 24])
def test_any_number_of_heads_has_as_many_slopes(heads: int) -> None:
    slopes = alibi_slopes(heads)
    assert len(slopes) == heads
    assert len(set(slopes)) == heads
    assert all(0 < m < 1 for m in slopes)


def random_qkv(packing: Packing, heads: int = 4, size: int = 8) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(packing.tokens, 3, heads, size, generator=g)


@pytest.mark.parametrize("alibi", [Alibi(4), None])
@pytest.mark.parametrize("holes", [False, True])
def test_flex_and_sdpa_are_equal(alibi: Alibi | None, holes: bool) -> None:
    packing = pack_by_lengths(LENGTHS, 12, CPU)
    if holes:
        packing = pack_by_mask(torch.rand(5, 12, generator=torch.Generator().manual_seed(0)) < 0.7)
        assert packing.positions is not None
    qkv = random_qkv(packing)
    sdpa = Attention(packing, alibi, "sdpa")(qkv, 0.0)
    flex = Attention(packing, alibi, "flex")(qkv, 0.0)
    torch.testing.assert_close(flex, sdpa, atol=2e-6, rtol=1e-5)


def test_the_bias_is_made_once_and_never_for_each_sequence() -> None:
    alibi = Alibi(4)
    packing = pack_by_lengths([64, 20, 64, 64, 64, 9], 64, CPU)
    attention = Attention(packing, alibi)
    assert [b.shape for b in attention.biases if b is not None] == [
        (1, 4, 64, 64),
        (1, 4, 20, 20),
        (1, 4, 9, 9),
    ]
    assert attention.biases is attention.biases
    made = alibi.bias(64, CPU)
    for bias in (*attention.biases, alibi.bias(30, CPU)):
        assert bias is not None
        assert bias.untyped_storage().data_ptr() == made.untyped_storage().data_ptr()
    assert alibi.bias(65, CPU).shape == (4, 65, 65)


def test_equal_lengths_are_one_block_and_a_view() -> None:
    packing = pack_by_lengths([5, 9, 5, 9, 9, 2, 0], 9, CPU)
    assert packing.blocks == [(3, 9), (2, 5), (1, 2)]
    assert packing.rows == (1, 3, 4, 0, 2, 5)
    assert packing.cu_seqlens().tolist() == [0, 9, 18, 27, 32, 37, 39]
    assert packing.cu_seqlens().dtype == torch.int32
    x = torch.arange(7 * 9.0).view(7, 9, 1)
    packed = packing.pack(x)
    assert packed[:9, 0].tolist() == x[1, :, 0].tolist()
    assert packed[27:32, 0].tolist() == x[0, :5, 0].tolist()
    kept = (torch.arange(9) < torch.tensor([5, 9, 5, 9, 9, 2, 0])[:, None])[..., None]
    assert torch.equal(packing.unpack(packed), x * kept)
    whole = pack_by_lengths([9, 9], 9, CPU)
    assert whole.index is None
    assert whole.pack(x[:2]).data_ptr() == x.data_ptr()


def test_left_padding_keeps_no_positions_and_holes_do() -> None:
    left = pack_by_mask(torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]]))
    assert left.positions is None
    assert left.index is not None
    assert left.index.tolist() == [5, 6, 7, 2, 3]
    holes = pack_by_mask(torch.tensor([[1, 0, 1, 1], [0, 1, 1, 0]]))
    assert holes.positions is not None
    assert holes.positions.tolist() == [0, 2, 3, 1, 2]
    assert holes.first_tokens().tolist() == [0, 5]


def test_flash_is_called_by_its_documented_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself needs a GPU: a stand-in computes what its documentation says."""
    told: dict[str, Any] = {}

    def flash_attn_varlen_qkvpacked_func(
        qkv: Tensor,
        cu_seqlens: Tensor,
        max_seqlen: int,
        dropout_p: float = 0.0,
        softmax_scale: float | None = None,
        causal: bool = False,
        window_size: tuple[int, int] = (-1, -1),
        softcap: float = 0.0,
        alibi_slopes: Tensor | None = None,
        deterministic: bool = False,
        return_attn_probs: bool = False,
    ) -> Tensor:
        told.update(max_seqlen=max_seqlen, causal=causal, dropout_p=dropout_p)
        assert cu_seqlens.dtype == torch.int32
        assert alibi_slopes is not None
        assert alibi_slopes.dtype == torch.float32
        outs = []
        for i, j in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
            q, k, v = qkv[i:j].permute(1, 2, 0, 3)
            place = torch.arange(j - i)
            bias = -alibi_slopes[:, None, None] * (place[:, None] - place).abs()
            outs.append(F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(0, 1))
        return torch.cat(outs)

    packing = pack_by_lengths(LENGTHS, 12, CPU)
    qkv = random_qkv(packing)
    with pytest.raises(UserError, match="flash-attn is not installed"):
        Attention(packing, Alibi(4), "flash")(qkv, 0.0)
    module = ModuleType("flash_attn")
    module.flash_attn_varlen_qkvpacked_func = flash_attn_varlen_qkvpacked_func  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    flash = Attention(packing, Alibi(4), "flash")(qkv, 0.0)
    sdpa = Attention(packing, Alibi(4), "sdpa")(qkv, 0.0)
    torch.testing.assert_close(flash, sdpa, atol=2e-6, rtol=1e-5)
    assert told == {"max_seqlen": 12, "causal": False, "dropout_p": 0.0}
    holes = pack_by_mask(torch.tensor([[1, 0, 1, 1]]))
    with pytest.raises(UserError, match="attention_kernel=flash: measures distances"):
        Attention(holes, Alibi(4), "flash")(random_qkv(holes), 0.0)


def test_flex_refuses_dropout() -> None:
    packing = pack_by_lengths([3], 3, CPU)
    with pytest.raises(
        UserError, match=r"attention_dropout is 0.1; type model.attention_dropout=0"
    ):
        Attention(packing, None, "flex")(random_qkv(packing), 0.1)
