"""The fact sheet read once more, slowly: one sequence at a time, one head at a time, no kernels.

Nothing of zoo/models is used. Weights come as a state dict under the official names.
"""

import math

import torch
from torch import Tensor

State = dict[str, Tensor]


def slopes(n: int) -> list[float]:
    """By the official recipe: start = ratio = 2^(-2^(3 - log2 n)) for a power of two."""
    if n & (n - 1) == 0:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]
    p = 2 ** int(math.log2(n))
    return slopes(p) + slopes(2 * p)[0::2][: n - p]


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / (variance + 1e-12).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def self_attention(
    w: State, at: str, x: Tensor, positions: Tensor, heads: int, alibi: bool
) -> Tensor:
    d = x.shape[1]
    D = d // heads
    qkv = x @ w[f"{at}.Wqkv.weight"].T + w[f"{at}.Wqkv.bias"]
    q, k, v = qkv[:, :d], qkv[:, d : 2 * d], qkv[:, 2 * d :]
    outs = []
    for h in range(heads):
        part = slice(h * D, (h + 1) * D)
        scores = q[:, part] @ k[:, part].T / math.sqrt(D)
        if alibi:
            distance = (positions[:, None] - positions[None, :]).abs()
            scores = scores - slopes(heads)[h] * distance
        shares = scores.exp() / scores.exp().sum(-1, keepdim=True)
        outs.append(shares @ v[:, part])
    return torch.cat(outs, -1)


def encode(w: State, ids: Tensor, types: Tensor, positions: Tensor, heads: int) -> Tensor:
    """Return hidden states (s, d) of one sequence without padding."""
    words = w["bert.embeddings.word_embeddings.weight"]
    # Word 0 is padding: as an input it is not learned.
    x = torch.cat([words[:1].detach(), words[1:]])[ids]
    x = x + w["bert.embeddings.token_type_embeddings.weight"][types]
    alibi = "bert.embeddings.position_embeddings.weight" not in w
    if not alibi:
        x = x + w["bert.embeddings.position_embeddings.weight"][positions]
    x = norm(x, w["bert.embeddings.LayerNorm.weight"], w["bert.embeddings.LayerNorm.bias"])
    n = 0
    while f"bert.encoder.layer.{n}.mlp.wo.weight" in w:
        at = f"bert.encoder.layer.{n}"
        out = self_attention(w, f"{at}.attention.self", x, positions, heads, alibi)
        out = out @ w[f"{at}.attention.output.dense.weight"].T
        out = out + w[f"{at}.attention.output.dense.bias"]
        ln = f"{at}.attention.output.LayerNorm"
        x = norm(out + x, w[f"{ln}.weight"], w[f"{ln}.bias"])
        if f"{at}.mlp.wi.weight" in w:
            inner = gelu(x @ w[f"{at}.mlp.wi.weight"].T + w[f"{at}.mlp.wi.bias"])
        else:
            both = x @ w[f"{at}.mlp.gated_layers.weight"].T
            width = both.shape[1] // 2
            inner = gelu(both[:, :width]) * both[:, width:]
        out = inner @ w[f"{at}.mlp.wo.weight"].T + w[f"{at}.mlp.wo.bias"]
        x = norm(out + x, w[f"{at}.mlp.layernorm.weight"], w[f"{at}.mlp.layernorm.bias"])
        n += 1
    return x


def masked_lm(
    w: State, ids: Tensor, types: Tensor, mask: Tensor, labels: Tensor, heads: int
) -> tuple[Tensor, list[Tensor]]:
    """Return the loss of a padded batch, and the logits (s, V) of each row's real tokens."""
    losses, logits = [], []
    head = "cls.predictions"
    for row in range(len(ids)):
        real = mask[row].bool()
        positions = torch.arange(ids.shape[1])[real]
        x = encode(w, ids[row][real], types[row][real], positions, heads)
        t = gelu(x @ w[f"{head}.transform.dense.weight"].T + w[f"{head}.transform.dense.bias"])
        t = norm(t, w[f"{head}.transform.LayerNorm.weight"], w[f"{head}.transform.LayerNorm.bias"])
        words = w["bert.embeddings.word_embeddings.weight"]
        scores = t @ words.T + w[f"{head}.decoder.bias"]
        logits.append(scores)
        for score, label in zip(scores, labels[row][real], strict=True):
            if label != -100:
                losses.append(score.exp().sum().log() - score[label])
    return torch.stack(losses).mean(), logits
