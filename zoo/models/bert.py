"""BERT as Hugging Face has it, called as the zoo's encoders are: the baseline of MosaicBERT."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from zoo.errors import UserError, first_line
from zoo.models.bert_sizes import SIZES, print_size
from zoo.models.checkpointing import checkpoint_activations
from zoo.models.sizes import size_of

POSITIONS = 512  # rows of the table


class Bert(BertForMaskedLM):
    """transformers' own class. What a loader knows of the batch it does not need."""

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
        """Return what BertForMaskedLM does.

        Raises:
            UserError: the rows are longer than the table of positions.
        """
        if input_ids is not None:
            check_positions(input_ids.shape[1])
        return super().forward(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            labels=labels,
            **options,
        )


def masked_lm(
    size: str,
    vocab_size: int,
    pad_token_id: int,
    max_length: int,
    attention_dropout: float = 0.1,
    hidden_dropout: float = 0.1,
    gradient_checkpointing: bool = False,
    checkpoint: str | None = None,
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
        checkpoint: folder or hub name of weights to start from.

    Raises:
        UserError: no such size, or the sequences or the vocabulary do not fit.
    """
    check_positions(max_length)
    dropouts = {
        "hidden_dropout_prob": hidden_dropout,
        "attention_probs_dropout_prob": attention_dropout,
    }
    if checkpoint is not None:
        try:
            model = Bert.from_pretrained(checkpoint, attn_implementation="sdpa", **dropouts)
        except OSError as error:
            raise UserError(
                f"model.checkpoint={checkpoint}: is no folder of BERT's weights, and cannot be had "
                f"from the hub ({first_line(error)}); type the folder that save_pretrained wrote"
            ) from error
        if model.config.vocab_size != vocab_size:
            raise UserError(
                f"model.checkpoint={checkpoint}: has a vocabulary of {model.config.vocab_size} words, "
                f"and the tokenizer's is {vocab_size}; use the tokenizer that it was trained with"
            )
    else:
        shape = size_of(size, SIZES)
        config = BertConfig(
            vocab_size=vocab_size,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=shape.intermediate_size,
            max_position_embeddings=POSITIONS,
            pad_token_id=pad_token_id,
            attn_implementation="sdpa",
            **dropouts,
        )
        model = Bert(config)
        print_size("BERT", size, model.num_parameters())
    if gradient_checkpointing:
        checkpoint_activations(model)
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
