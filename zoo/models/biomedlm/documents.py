"""Attention inside documents, of rows in which several stand one after the other, in three ways.

    sdpa    one causal attention for each document; on a GPU one mask for all of them
    flash   flash-attn's kernel, told where documents begin
    eager   a mask

All three take what they need from `arguments`, once for all layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

SDPA = "sdpa_documents"  # our word for torch's attention, which `sdpa` below computes
FLASH = "flash_attention_2"  # transformers' word for the kernels of flash-attn


def sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    documents: list[int] | None = None,
    masks: list[Tensor] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return transformers' `sdpa_attention_forward`, of each document by itself.

    Args:
        module: the layer's attention.
        query: (B, H, S, D), as are key and value.
        key: see query.
        value: see query.
        attention_mask: what transformers adds to scores.
        documents: lengths of the documents of a single row, B = 1, that add up to S; None: there is
            one document a row.
        masks: of each document, (1, 1, n, n), where it is not all tokens before that are looked at.
        options: dropout and scaling, and what transformers passes besides.
    """
    if documents is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    seen: Sequence[Tensor | None] = [None] * len(documents) if masks is None else masks
    qkv = (torch.split(x, documents, dim=2) for x in (query, key, value))
    pieces = zip(*qkv, seen, strict=True)
    outs = [sdpa_attention_forward(module, q, k, v, m, **options)[0] for q, k, v, m in pieces]
    return torch.cat(outs, dim=1), None


AttentionInterface.register(SDPA, sdpa)
AttentionMaskInterface.register(SDPA, sdpa_mask)


def arguments(document_ids: Tensor, way: str) -> tuple[bool, Tensor | None, dict[str, Any]]:
    """Return how the layers are to be called.

    Args:
        document_ids: (B, S), ascending in a row.
        way: SDPA, FLASH, or transformers' "sdpa" or "eager".

    Returns:
        Whether all rows are to be one, (1, B S); a mask (B, 1, S, S) of where a word may look; and
        what else the attention is told.
    """
    on_cpu = document_ids.device.type == "cpu"  # many small kernels would keep a GPU waiting
    if way == FLASH or (way == SDPA and on_cpu):
        edges = _edges(document_ids)
        lengths = edges.diff()
        if way == SDPA:
            return True, None, {"documents": lengths.tolist()}
        edges, longest = edges.int(), int(lengths.max())
        return True, None, {
            "cu_seq_lens_q": edges, "cu_seq_lens_k": edges,
            "max_length_q": longest, "max_length_k": longest,
        }  # fmt: skip
    return False, mask(document_ids), {}


def mask(document_ids: Tensor) -> Tensor:
    """Return (B, 1, S, S), true where a word may look: back, and inside its document."""
    S = document_ids.shape[1]
    back = torch.ones(S, S, dtype=torch.bool, device=document_ids.device).tril()
    return (document_ids[:, :, None] == document_ids[:, None, :])[:, None] & back


def _edges(document_ids: Tensor) -> Tensor:
    """Return where documents begin, of all rows one after the other, and where the last one ends."""
    begins = torch.ones_like(document_ids, dtype=torch.bool)
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return nn.functional.pad(begins.flatten().nonzero().flatten(), (0, 1), value=begins.numel())
