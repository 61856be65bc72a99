"""MosaicBERT's configuration: every feature of the paper is a switch."""

from typing import Any

from transformers import PreTrainedConfig

from zoo.errors import UserError


class MosaicBertConfig(PreTrainedConfig):
    """Configuration of the MosaicBERT classes; names are those of BERT's where it has them.

    Args:
        vocab_size: words; rounded up to `vocab_multiple`.
        hidden_size: d, width of the model.
        num_hidden_layers: layers.
        num_attention_heads: H; divides d.
        intermediate_size: I, width inside the feed-forward layers, gated or not.
        hidden_dropout_prob: of embeddings, attention's output, and inside the feed-forward layers.
        attention_probs_dropout_prob: of the shares of attention.
        max_position_embeddings: rows of the learned position table, where `alibi` is off.
        type_vocab_size: token types.
        layer_norm_eps: added to the variance.
        initializer_range: standard deviation of new weights.
        classifier_dropout: before a classifier; None: hidden_dropout_prob.
        alibi: distances bias attention; off: learned position embeddings, as BERT has them.
        glu: gated feed-forward layers (GeGLU); off: BERT's, with GELU.
        unpad: compute real tokens only; off: padding is computed, and masked in attention.
        low_precision_layernorm: under autocast, LayerNorm in its dtype; off: in fp32.
        masked_only_head: with labels, the last layer and the head on the rows with a label only.
        vocab_multiple: what the vocabulary's size is a multiple of; 1 leaves it.
        attention_kernel: auto, sdpa, flex or flash; see zoo.models.attention.
    """

    model_type = "mosaicbert"

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    pad_token_id: int | None = 0
    classifier_dropout: float | int | None = None
    alibi: bool = True
    glu: bool = True
    unpad: bool = True
    low_precision_layernorm: bool = True
    masked_only_head: bool = True
    vocab_multiple: int = 64
    attention_kernel: str = "auto"
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        if self.vocab_multiple < 1:
            raise UserError(
                f"vocab_multiple={self.vocab_multiple}: must be at least 1; type vocab_multiple=64"
            )
        self.vocab_size = -(-self.vocab_size // self.vocab_multiple) * self.vocab_multiple
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size={self.hidden_size}: is not a multiple of "
                f"num_attention_heads={self.num_attention_heads}; give another of the two"
            )
        if self.attention_kernel not in ("auto", "sdpa", "flex", "flash"):
            raise UserError(
                f"attention_kernel={self.attention_kernel}: no such kernel; type auto, sdpa, flex or "
                "flash"
            )
        super().__post_init__(**kwargs)
