"""Self-attention over packed sequences, in three ways that give the same numbers.

    out_i = sum_j softmax_j( q_i . k_j / sqrt(D) - m_h |i - j| ) v_j        i, j of one sequence

Nothing is padded for it: queries, keys and values are (N, 3, H, D), N the real tokens of all
sequences, and where each begins is in their `Packing`.

    sdpa   scaled_dot_product_attention, once for each block of sequences of one length: any device
    flex   flex_attention over the whole packed row, a block mask keeping sequences apart: GPUs
    flash  flash-attn's varlen kernel with ALiBi slopes: GPUs, 16 bits
"""

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.errors import UserError
from zoo.models.alibi import Alibi
from zoo.models.padding import Packing

Kernel = Literal["auto", "sdpa", "flex", "flash"]


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention of one batch, which every layer computes; what layers share is made once.

    Args:
        packing: where the sequences are.
        alibi: the bias; None for none.
        kernel: which way; auto: the fastest that computes what is asked.
    """

    packing: Packing
    alibi: Alibi | None
    kernel: Kernel = "auto"

    def __call__(self, qkv: Tensor, dropout_p: float) -> Tensor:
        """Return self-attention (N, H * D) of qkv (N, 3, H, D).

        Raises:
            UserError: the kernel cannot compute this.
        """
        kernel = self.kernel
        if kernel == "auto":
            kernel = _choose(qkv, self.packing, dropout_p)
        ways = {"sdpa": _sdpa, "flex": _flex, "flash": _flash}
        return ways[kernel](qkv, self, dropout_p)

    @functools.cached_property
    def biases(self) -> list[Tensor | None]:
        """What is added to the scores of each block: (1, H, s, s) in fp32, or None.

        Only where tokens have positions of their own, or padding has stayed in, is it another one
        for each sequence.
        """
        packing = self.packing
        if self.alibi is None:
            biases: list[Tensor | None] = [None] * len(packing.blocks)
        elif packing.positions is not None:
            splits = torch.split(packing.positions, [n * s for n, s in packing.blocks])
            placed = zip(packing.blocks, splits, strict=True)
            biases = [self.alibi.bias_between(p.view(n, s)) for (n, s), p in placed]
        else:
            biases = [self.alibi.bias(s, packing.device)[None] for _, s in packing.blocks]
        if packing.mask is not None and biases:
            # The least finite number, not -inf: rows that are padding alone stay free of NaN.
            hidden = torch.zeros(packing.mask.shape, device=packing.device)
            hidden = hidden.masked_fill(~packing.mask, torch.finfo(torch.float32).min)
            hidden = hidden[:, None, None]
            biases = [hidden if biases[0] is None else hidden + biases[0]]
        return biases

    @functools.cached_property
    def cu_seqlens(self) -> Tensor:
        return self.packing.cu_seqlens()

    @functools.cached_property
    def slopes(self) -> Tensor | None:
        return None if self.alibi is None else self.alibi.slopes_on(self.packing.device)

    @functools.cached_property
    def flex_arguments(self) -> dict[str, Any]:
        return _flex_arguments(self.packing, self.slopes)


def _choose(qkv: Tensor, packing: Packing, dropout_p: float) -> Kernel:
    if qkv.device.type != "cuda" or packing.mask is not None:
        return "sdpa"
    is_half = qkv.dtype in (torch.float16, torch.bfloat16)
    if is_half and packing.positions is None and _has_flash():
        return "flash"
    return "sdpa" if dropout_p else "flex"


# -- sdpa ----------------------------------------------------------------------------------------


def _blocks(qkv: Tensor, packing: Packing) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield q, k and v, (n, H, s, D) each, of each block of n sequences of one length s: views."""
    H, D = qkv.shape[2:]
    # One split, not slices: the gradient of each slice would be as long as the row.
    for (n, s), block in zip(
        packing.blocks, torch.split(qkv, [n * s for n, s in packing.blocks]), strict=True
    ):
        q, k, v = block.view(n, s, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
        yield q, k, v


def _joined(outs: list[Tensor], qkv: Tensor) -> Tensor:
    """Return the blocks' results, (n, H, s, D) each, as (N, H * D)."""
    width = qkv.shape[2] * qkv.shape[3]
    flat = [out.transpose(1, 2).reshape(-1, width) for out in outs]
    if not flat:  # no token at all; the graph goes on
        return qkv[:, 0].reshape(-1, width)
    return flat[0] if len(flat) == 1 else torch.cat(flat)


def _sdpa(qkv: Tensor, attention: Attention, dropout_p: float) -> Tensor:
    outs = []
    with _widened(qkv) as wide:
        places = zip(_blocks(wide, attention.packing), attention.biases, strict=True)
        for (q, k, v), exact in places:
            bias = exact
            if exact is not None and exact.dtype != q.dtype:
                bias = exact.clamp_min(torch.finfo(q.dtype).min).to(q.dtype)
            outs.append(
                F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout_p)
            )
        return _joined(outs, wide).to(qkv.dtype)


@contextlib.contextmanager
def _widened(qkv: Tensor) -> Iterator[Tensor]:
    """Give attention 16-bit operands in fp32 on CPUs, where that kernel is twice as fast.

    (Forward and backward: 218 ms in bf16 and 106 ms in fp32 for 8 x 512 tokens, 4 heads of 64, on
    a processor with AVX512-BF16.)
    """
    if qkv.device.type != "cpu" or qkv.dtype == torch.float32:
        yield qkv
        return
    with torch.autocast("cpu", enabled=False):
        yield qkv.float()


def attention_shares(
    qkv: Tensor, attention: Attention, dropout_p: float
) -> tuple[Tensor, list[Tensor]]:
    """Compute attention and keep what share each token has, which kernels do not show.

    Returns:
        (N, H * D), and for each block the shares (n, H, s, s), after their dropout.
    """
    outs, shares = [], []
    for (q, k, v), bias in zip(_blocks(qkv, attention.packing), attention.biases, strict=True):
        scores = (q @ k.transpose(-2, -1)).float() * q.shape[-1] ** -0.5
        share = F.dropout((scores if bias is None else scores + bias).softmax(-1), dropout_p)
        outs.append(share.to(v.dtype) @ v)
        shares.append(share)
    return _joined(outs, qkv), shares


def unpack_shares(shares: list[Tensor], packing: Packing) -> Tensor:
    """Put the shares of each block to where its tokens were: (B, H, S, S), zeros for padding."""
    S = packing.width
    if packing.mask is not None:
        return shares[0] * packing.mask[:, None, :, None]
    H = shares[0].shape[1] if shares else 1
    full = torch.zeros(packing.batch, H, S, S, device=packing.device)
    singles = [share for block in shares for share in block]
    columns = torch.split(packing.columns(), list(packing.lengths)) if singles else ()
    for row, share, place in zip(packing.rows, singles, columns, strict=True):
        full[row, :, place[:, None], place] = share
    return full


# -- flex ----------------------------------------------------------------------------------------


def _flex(qkv: Tensor, attention: Attention, dropout_p: float) -> Tensor:
    if dropout_p:
        raise UserError(
            f"attention_kernel=flex: has no dropout, and attention_dropout is {dropout_p}; "
            "type model.attention_dropout=0"
        )
    if attention.packing.mask is not None:
        raise UserError("attention_kernel=flex: packs sequences; type model.unpad=true")
    q, k, v = qkv.permute(1, 2, 0, 3).unsqueeze(1).unbind(0)
    out = _flex_kernel(qkv.device.type)(q, k, v, **attention.flex_arguments)
    return out[0].transpose(0, 1).flatten(1)


def _flex_arguments(packing: Packing, slopes: Tensor | None) -> dict[str, Any]:
    from torch.nn.attention.flex_attention import create_block_mask

    N, device = packing.tokens, packing.device
    lengths = torch.tensor(packing.lengths, device=device)
    sequence = torch.repeat_interleave(lengths, output_size=N)
    place = torch.arange(N, device=device) if packing.positions is None else packing.positions

    def same_sequence(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return sequence[i] == sequence[j]

    def fall(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        assert slopes is not None
        return score - slopes[h] * (place[i] - place[j]).abs()

    mask = create_block_mask(same_sequence, None, None, N, N, device=device.type)
    return {"score_mod": None if slopes is None else fall, "block_mask": mask}


@functools.cache
def _flex_kernel(device_type: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    # Only compiled it is fused, and only on a GPU is that worth the compiler's time.
    fused: Callable[..., Any] = flex_attention
    return torch.compile(fused, dynamic=True) if device_type == "cuda" else fused


# -- flash ---------------------------------------------------------------------------------------


def _has_flash() -> bool:
    return importlib.util.find_spec("flash_attn") is not None


def _flash(qkv: Tensor, attention: Attention, dropout_p: float) -> Tensor:
    """Call flash-attn's varlen kernel: its bias is -slope |i - j| where it is not causal."""
    try:
        from flash_attn import flash_attn_varlen_qkvpacked_func
    except ImportError as error:
        raise UserError(
            "attention_kernel=flash: flash-attn is not installed; type pip install 'zoo[flash]' on "
            "a machine with a GPU, or model.attention_kernel=auto"
        ) from error
    packing = attention.packing
    if packing.mask is not None:
        raise UserError("attention_kernel=flash: packs sequences; type model.unpad=true")
    if packing.positions is not None and attention.alibi is not None:
        raise UserError(
            "attention_kernel=flash: measures distances inside the packed row, and this batch has "
            "gaps or positions of its own; type model.attention_kernel=flex"
        )
    out = flash_attn_varlen_qkvpacked_func(
        qkv,
        cu_seqlens=attention.cu_seqlens,
        max_seqlen=packing.max_length,
        dropout_p=dropout_p,
        causal=False,
        alibi_slopes=attention.slopes,
    )
    return out.flatten(1)
