"""BERT as Hugging Face has it, called as the zoo's encoders are: the baseline of MosaicBERT."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForSequenceClassification,
)
from transformers.modeling_outputs import MultipleChoiceModelOutput

from zoo.errors import UserError
from zoo.models.bert_sizes import SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.pretrained import (
    Pretrained,
    check_vocabulary,
    find,
    label_options,
    load_transformers,
)
from zoo.models.sizes import size_of
from zoo.models.tuning import Tuning
from zoo.processes import say

POSITIONS = 512  # rows of the table
HEADS = ("cls.", "classifier.", "bert.pooler.")


class _Batches:
    """What a loader knows of the batch, transformers' classes do not need."""

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        targets: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return what transformers' own class does.

        Raises:
            UserError: the rows are longer than the table of positions.
        """
        if input_ids is not None:
            check_positions(input_ids.shape[1])
        return super().forward(  # type: ignore[misc]
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            labels=labels,
            **options,
        )


class Bert(_Batches, BertForMaskedLM):
    """transformers' own BERT for masked words."""

    published = BertForMaskedLM


class BertClassifier(_Batches, BertForSequenceClassification):
    """transformers' own BERT for classes."""

    published = BertForSequenceClassification


class BertChooser(BertForMultipleChoice):
    """transformers' own BERT for a score of each option."""

    published = BertForMultipleChoice

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        **options: Any,
    ) -> Any:
        """Return what transformers' own class does; with `lengths` logits (R, 1) for ids (R, S).

        A loader's rows are those of all options: questions may have different numbers of them.

        Raises:
            UserError: the rows are longer than the table of positions.
        """
        if input_ids is not None:
            check_positions(input_ids.shape[-1])
        if lengths is None or input_ids is None:
            return super().forward(input_ids, attention_mask, token_type_ids, **options)
        # All options as those of one question.
        rows = (None if x is None else x[None] for x in (input_ids, attention_mask, token_type_ids))
        logits = super().forward(*rows).logits
        return MultipleChoiceModelOutput(logits=logits.view(-1, 1))


def masked_lm(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    attention_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    gradient_checkpointing: bool = False,
    checkpoint: str | Pretrained | None = None,
) -> Bert:
    """Return BERT with a masked-word head: no pooler, no next-sentence prediction.

    Args:
        size: nano, mini, small, base or large; a checkpoint brings its own.
        vocab_size: words of the tokenizer.
        pad_token_id: the tokenizer's.
        max_length: of the sequences.
        attention_dropout: of the shares of attention.
        hidden_dropout: of embeddings and of what each block adds.
        gradient_checkpointing: compute activations again in the backward pass, for less memory.
        checkpoint: a run, a folder or a hub name of weights to start from.

    Raises:
        UserError: no such size, or the sequences, the vocabulary or the checkpoint do not fit.
    """
    check_positions(max_length)
    options = {
        "vocab_size": vocab_size,
        "pad_token_id": pad_token_id,
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
    }
    model = _made(Bert, size, checkpoint, options)
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model


def classifier(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    labels: Sequence[str] | None,
    attention_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    gradient_checkpointing: bool = False,
    checkpoint: str | Pretrained | None = None,
    **tuning: Any,
) -> BertClassifier | BertChooser:
    """Return BERT with a head of classes, a number or a score on the pooled first token.

    Args:
        size: see `masked_lm`, as all that is not here.
        vocab_size: ...
        pad_token_id: ...
        max_length: ...
        labels: the classes' names; a single one: a number is told; None: an option gets its score.
        attention_dropout: ...
        hidden_dropout: ...
        gradient_checkpointing: ...
        checkpoint: ...
        tuning: see `Tuning`.

    Raises:
        UserError: see `masked_lm`.
    """
    check_positions(max_length)
    tuned = Tuning(**tuning)
    options = {
        "vocab_size": vocab_size,
        "pad_token_id": pad_token_id,
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
        **({} if labels is None else label_options(labels)),
    }
    kind = BertChooser if labels is None else BertClassifier
    model = _made(kind, size, checkpoint, options, scratch=tuned.tune == "scratch")
    tuned.apply(model)
    if gradient_checkpointing:
        checkpoint_activations(model)
    return model


def _made(
    kind: type,
    size: str,
    checkpoint: str | Pretrained | None,
    options: dict[str, Any],
    *,
    scratch: bool = False,
) -> Any:
    """Return a model of a size, or of a checkpoint's shape with its weights or new ones."""
    if checkpoint is None:
        shape = size_of(size, SIZES)
        config = BertConfig(
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=POSITIONS,
            attn_implementation="sdpa",
            **options,
        )
        model = kind(config)
        print_size("BERT", size, model.num_parameters())
        return model
    source = find(checkpoint)
    source.must_be(("bert",), "BERT")
    check_vocabulary(source, int(source.config["vocab_size"]), options["vocab_size"])
    config = BertConfig.from_dict({**source.config, **options, "attn_implementation": "sdpa"})
    if scratch:
        say(f"{source.typed}: its shape; all weights are new")
        return kind(config)
    model, new = load_transformers(kind, config, source, HEADS)
    say(source.report(kind.published.__name__, new))  # type: ignore[attr-defined]
    return model


def check_positions(width: int) -> None:
    """Refuse rows that are longer than the table of positions.

    Raises:
        UserError: they are.
    """
    if width > POSITIONS:
        raise UserError(
            f"rows of {width} tokens: are longer than BERT's table of positions, which has "
            f"{POSITIONS}; type data.max_length and data.eval_lengths of {POSITIONS} at most, or "
            "model=mosaicbert"
        )
