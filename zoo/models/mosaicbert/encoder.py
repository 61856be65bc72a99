"""MosaicBERT's layers. From the first to the last they see packed tokens (N, d), no padding.

Module names are the official checkpoint's. Both blocks of a layer are post-LN:

    x = LN(x + dropout(attention(x)))        x = LN(x + W_o dropout(GeGLU(x)) + b)
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from zoo.errors import UserError
from zoo.models.alibi import Alibi
from zoo.models.attention import Attention, attention_shares
from zoo.models.dropout import Dropout
from zoo.models.glu import geglu
from zoo.models.layer_norm import LayerNorm
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.padding import Packing


def layer_norm(config: MosaicBertConfig) -> LayerNorm:
    """Return a LayerNorm over the model's width."""
    return LayerNorm(config.hidden_size, config.layer_norm_eps, config.low_precision_layernorm)


class Embeddings(nn.Module):
    """Words and token types; positions only where there is no ALiBi."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, d, padding_idx=config.pad_token_id)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, d)
        self.position_embeddings = (
            None if config.alibi else nn.Embedding(config.max_position_embeddings, d)
        )
        self.LayerNorm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: Tensor | None,
        token_type_ids: Tensor | None,
        positions: Tensor,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Return (N, d) for packed ids (N,), or for words that are embedded already (N, d)."""
        x = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if token_type_ids is None:  # all of type 0: one row for all
            token_type_ids = torch.zeros(1, dtype=torch.long, device=x.device)
        x = x + self.token_type_embeddings(token_type_ids)
        if self.position_embeddings is not None:
            x = x + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class Heads(nn.Module):
    """Attention of all heads, without weights: one layer, however many blocks it is computed in."""

    def forward(
        self,
        qkv: Tensor,
        attention: Attention,
        p_dropout: float,
        shares: list[list[Tensor]] | None,
    ) -> Tensor:
        """Return (N, d) of qkv (N, 3, H, D); where shares are asked for, append this layer's."""
        p = p_dropout if self.training else 0.0
        if shares is None:
            return attention(qkv, p)
        out, own = attention_shares(qkv, attention, p)
        shares.append(own)
        return out


class SelfAttention(nn.Module):
    """Queries, keys and values of all heads in one product, and attention."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.head_size = config.hidden_size // self.heads
        self.p_dropout = config.attention_probs_dropout_prob
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.of_heads = Heads()

    def forward(self, x: Tensor, attention: Attention, shares: list[list[Tensor]] | None) -> Tensor:
        qkv = self.Wqkv(x).view(len(x), 3, self.heads, self.head_size)
        return self.of_heads(qkv, attention, self.p_dropout, shares)


class SelfOutput(nn.Module):
    """The output projection of attention, and the first post-LN."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = layer_norm(config)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, out: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(out)) + x)


class AttentionBlock(nn.Module):
    """Attention from input to post-LN."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = SelfOutput(config)

    def forward(
        self,
        x: Tensor,
        attention: Attention,
        rows: Tensor | None,
        shares: list[list[Tensor]] | None,
    ) -> Tensor:
        out = self.self(x, attention, shares)
        if rows is not None:  # all tokens are looked at; only these go on
            out, x = out.index_select(0, rows), x.index_select(0, rows)
        return self.output(out, x)


class GatedMlp(nn.Module):
    """GeGLU without a bias, dropout inside, projection with a bias, post-LN."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        d, width = config.hidden_size, config.intermediate_size
        self.gated_layers = nn.Linear(d, 2 * width, bias=False)
        self.wo = nn.Linear(width, d)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.layernorm = layer_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        h = self.dropout(geglu(x, self.gated_layers.weight))
        return self.layernorm(self.wo(h) + x)


class Mlp(nn.Module):
    """BERT's feed-forward block: GELU between two projections, dropout behind, post-LN."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        d, width = config.hidden_size, config.intermediate_size
        self.wi = nn.Linear(d, width)
        self.wo = nn.Linear(width, d)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.layernorm = layer_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.layernorm(self.dropout(self.wo(F.gelu(self.wi(x)))) + x)


class Layer(GradientCheckpointingLayer):
    """Attention and feed-forward."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.attention = AttentionBlock(config)
        self.mlp = GatedMlp(config) if config.glu else Mlp(config)

    def forward(
        self,
        x: Tensor,
        attention: Attention,
        rows: Tensor | None = None,
        shares: list[list[Tensor]] | None = None,
    ) -> Tensor:
        """Return the tokens (N, d) after this layer; of these rows (M,) only, where given."""
        return self.mlp(self.attention(x, attention, rows, shares))


class Encoder(nn.Module):
    """All layers."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.alibi = Alibi(config.num_attention_heads) if config.alibi else None
        self.kernel = config.attention_kernel

    def forward(
        self,
        x: Tensor,
        packing: Packing,
        rows: Tensor | None,
        states: list[Tensor] | None,
        shares: list[list[Tensor]] | None,
    ) -> Tensor:
        """Return packed tokens (N, d) after all layers, or the rows (M, d) of them.

        Args:
            x: the embeddings, (N, d).
            packing: where the sequences are.
            rows: which packed tokens are wanted; None: all.
            states: where given, the input of each layer and the last output are appended.
            shares: where given, the attention of each layer is appended.
        """
        attention = Attention(packing, self.alibi, self.kernel)  # type: ignore[arg-type]
        last = len(self.layer) - 1
        for i, layer in enumerate(self.layer):
            if states is not None:
                states.append(x)
            x = layer(x, attention, rows if i == last else None, shares)
        if states is not None:
            states.append(x)
        return x


def check_positions(config: MosaicBertConfig, width: int) -> None:
    """Refuse rows that are longer than the table of positions.

    Raises:
        UserError: they are.
    """
    if not config.alibi and width > config.max_position_embeddings:
        raise UserError(
            f"rows of {width} tokens: are longer than the table of learned positions, which has "
            f"{config.max_position_embeddings}; type model.alibi=true, or shorter data.max_length "
            "and data.eval_lengths"
        )
