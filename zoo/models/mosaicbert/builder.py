"""MosaicBERT for masked words and for classes, as a configuration asks for it."""

from collections.abc import Sequence
from typing import Any

from zoo.errors import UserError
from zoo.models.bert_sizes import SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.glu import matched_intermediate_size
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.encoder import check_positions
from zoo.models.mosaicbert.heads import (
    MosaicBertForMultipleChoice,
    MosaicBertForSequenceClassification,
)
from zoo.models.mosaicbert.interop import Model, load_pretrained, read_config
from zoo.models.mosaicbert.masked_lm import MosaicBertForMaskedLM
from zoo.models.pretrained import Pretrained, find, label_options
from zoo.models.sizes import size_of
from zoo.models.tuning import Tuning
from zoo.processes import say


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
    checkpoint: str | Pretrained | None = None,
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
        checkpoint: a run, a folder or a hub name of weights to start from.

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
        say(report)
    else:
        model = MosaicBertForMaskedLM(
            configuration(size, glu_match_parameters=glu_match_parameters, **switches)
        )
        print_size("MosaicBERT", size, model.num_parameters())
    return _checked(model, max_length, pad_token_id, vocab_size, gradient_checkpointing)


def classifier(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    labels: Sequence[str] | None,
    unpad: bool = True,
    low_precision_layernorm: bool = True,
    masked_only_head: bool = True,
    attention_dropout: float = 0.0,
    hidden_dropout: float = 0.1,
    attention_kernel: str = "auto",
    gradient_checkpointing: bool = False,
    checkpoint: str | Pretrained | None = None,
    **tuning: Any,
) -> MosaicBertForSequenceClassification | MosaicBertForMultipleChoice:
    """Return MosaicBERT with a head of classes, a number or a score on the pooled first token.

    Args:
        size: see `masked_lm`, as all that is not here.
        vocab_size: ...
        pad_token_id: ...
        max_length: ...
        labels: the classes' names; a single one: a number is told; None: an option gets its score.
        unpad: ...
        low_precision_layernorm: ...
        masked_only_head: the last layer on first tokens alone.
        attention_dropout: ...
        hidden_dropout: ...
        attention_kernel: ...
        gradient_checkpointing: ...
        checkpoint: ...; its shape and its features (alibi, glu) come with it.
        tuning: see `Tuning`.

    Raises:
        UserError: see `masked_lm`.
    """
    tuned = Tuning(**tuning)
    options: dict[str, Any] = {
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
        "unpad": unpad,
        "low_precision_layernorm": low_precision_layernorm,
        "masked_only_head": masked_only_head,
        "attention_kernel": attention_kernel,
        "vocab_size": vocab_size,
        "pad_token_id": pad_token_id,
        **({} if labels is None else label_options(labels)),
    }
    kind: Any = (
        MosaicBertForMultipleChoice if labels is None else MosaicBertForSequenceClassification
    )
    if checkpoint is None:
        model = kind(configuration(size, **options))
        print_size("MosaicBERT", size, model.num_parameters())
    elif tuned.tune == "scratch":
        model = kind(read_config(find(checkpoint), **options))
        say(f"{find(checkpoint).typed}: its shape; all weights are new")
    else:
        model, report = load_pretrained(kind, checkpoint, **options)
        say(report)
    tuned.apply(model)
    return _checked(model, max_length, pad_token_id, vocab_size, gradient_checkpointing)


def configuration(
    size: str, *, glu: bool = True, glu_match_parameters: bool = False, **options: Any
) -> MosaicBertConfig:
    """Return the configuration of a size."""
    shape = size_of(size, SIZES)
    inner = shape.intermediate_size
    return MosaicBertConfig(
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=matched_intermediate_size(inner)
        if glu and glu_match_parameters
        else inner,
        glu=glu,
        **options,
    )


def _checked(
    model: Model, max_length: int, pad_token_id: int, vocab_size: int, gradient_checkpointing: bool
) -> Model:
    check_positions(model.config, max_length)
    if not 0 <= pad_token_id < vocab_size:
        raise UserError(
            f"pad_token_id={pad_token_id}: is no word of a vocabulary of {vocab_size}; give the "
            "tokenizer's"
        )
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model
