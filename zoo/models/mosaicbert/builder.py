"""MosaicBERT for masked words, as a configuration asks for it."""

import sys
from typing import Any

from zoo.errors import UserError
from zoo.models.bert_sizes import SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.glu import matched_intermediate_size
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.encoder import check_positions
from zoo.models.mosaicbert.interop import load_pretrained
from zoo.models.mosaicbert.masked_lm import MosaicBertForMaskedLM
from zoo.models.sizes import size_of


def masked_lm(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    alibi: bool = True,
    glu: bool = True,
    glu_match_parameters: bool = False,
    unpad: bool = True,
    low_precision_layernorm: bool = True,
    masked_only_head: bool = True,
    vocab_multiple: int = 64,
    attention_dropout: float = 0.0,
    hidden_dropout: float = 0.1,
    attention_kernel: str = "auto",
    gradient_checkpointing: bool = False,
    checkpoint: str | None = None,
) -> MosaicBertForMaskedLM:
    """Return MosaicBERT with a masked-word head.

    Args:
        size: nano, mini, small, base or large; a checkpoint brings its own.
        vocab_size: words of the tokenizer.
        pad_token_id: the tokenizer's.
        max_length: of the sequences.
        alibi: see MosaicBertConfig, as the further switches.
        glu: ...
        glu_match_parameters: 2/3 of the intermediate size, so that three matrices have the weights
            of BERT's two.
        unpad: ...
        low_precision_layernorm: ...
        masked_only_head: ...
        vocab_multiple: ...
        attention_dropout: ...
        hidden_dropout: ...
        attention_kernel: ...
        gradient_checkpointing: compute activations again in the backward pass, for less memory.
        checkpoint: folder or hub name of weights to start from.

    Raises:
        UserError: no such size, or the sequences, the vocabulary or the checkpoint do not fit.
    """
    switches: dict[str, Any] = {
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
        "alibi": alibi,
        "glu": glu,
        "unpad": unpad,
        "low_precision_layernorm": low_precision_layernorm,
        "masked_only_head": masked_only_head,
        "vocab_multiple": vocab_multiple,
        "attention_kernel": attention_kernel,
        "vocab_size": vocab_size,
        "pad_token_id": pad_token_id,
    }
    if checkpoint is not None:
        model, report = load_pretrained(MosaicBertForMaskedLM, checkpoint, **switches)
        print(report, file=sys.stderr)
    else:
        shape = size_of(size, SIZES)
        inner = shape.intermediate_size
        config = MosaicBertConfig(
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=matched_intermediate_size(inner)
            if glu and glu_match_parameters
            else inner,
            **switches,
        )
        model = MosaicBertForMaskedLM(config)
        print_size("MosaicBERT", size, model.num_parameters())
    check_positions(model.config, max_length)
    if not 0 <= pad_token_id < vocab_size:
        raise UserError(f"pad_token_id={pad_token_id}: is no word of a vocabulary of {vocab_size}")
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model
