"""The encoder as Hugging Face has its models: padded in, padded out, packed in between."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from zoo.errors import UserError
from zoo.models.attention import unpack_shares
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.encoder import Embeddings, Encoder, Layer, check_positions
from zoo.models.padding import Packing, check_lengths, keep_padding, pack_by_lengths, pack_by_mask


class MosaicBertPreTrainedModel(PreTrainedModel):
    """What all MosaicBERT classes share: initialisation N(0, 0.02), saving, loading."""

    config_class = MosaicBertConfig
    config: MosaicBertConfig
    base_model_prefix = "bert"
    supports_gradient_checkpointing = True
    _no_split_modules = [Layer.__name__, Embeddings.__name__]  # noqa: RUF012 - transformers' own
    _supports_sdpa = True


class Pooler(nn.Module):
    """A linear layer and tanh on the first token of each sequence."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: Tensor) -> Tensor:
        return self.dense(first).tanh()


class MosaicBertModel(MosaicBertPreTrainedModel):
    """The encoder (Portes et al. 2023, arXiv 2312.17482).

    Args:
        config: sizes and switches.
        add_pooling_layer: whether there is a pooler behind it.
    """

    def __init__(self, config: MosaicBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if add_pooling_layer else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.embeddings.word_embeddings = value

    def pack(
        self,
        tokens: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> Packing:
        """Return where the real tokens of a batch are.

        Args:
            tokens: (B, S) ids, or (B, S, d) embedded ones.
            attention_mask: (B, S), 0 for padding; it is read on the host.
            position_ids: (B, S) or (S,), where tokens are not at 0, 1, 2, ... of their row.
            lengths: of the rows, padding being on the right; then the mask is not looked at.
        """
        batch, width = tokens.shape[:2]
        check_positions(self.config, width)
        check_shape("attention_mask", attention_mask, tokens)
        if lengths is not None and len(lengths) != batch:
            raise UserError(
                f"lengths: are {len(lengths)}, and the batch has {batch} rows; give one for each row"
            )
        if not self.config.unpad:
            if lengths is not None:
                check_lengths(lengths, width)
                columns = torch.arange(width, device=tokens.device)
                attention_mask = columns < torch.tensor(lengths, device=tokens.device)[:, None]
            packing = keep_padding(batch, width, tokens.device, attention_mask)
        elif lengths is None and attention_mask is not None:
            packing = pack_by_mask(attention_mask)
        else:
            packing = pack_by_lengths(lengths or [width] * batch, width, tokens.device)
        if position_ids is not None:
            places = packing.pack(position_ids.expand(batch, width))
            packing = replace(packing, positions=places)
        return packing

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        packing: Packing | None = None,
        targets: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Encode a batch.

        A row that is padding alone is legal: zeros come out of it, as out of all padding.

        Args:
            input_ids: (B, S).
            attention_mask: (B, S), 0 for padding, wherever it is.
            token_type_ids: (B, S); None: all 0.
            position_ids: (B, S) or (S,): what distances are measured between, or the rows of the
                learned table; None: the column.
            inputs_embeds: (B, S, d) in place of input_ids.
            lengths: real tokens of each row as host numbers, padding on the right: nothing is asked
                of the device then, and the mask is not looked at.
            packing: of `pack`, in place of mask and lengths; then hidden states stay packed.
            targets: (M,) places b * S + s of the only tokens that are wanted after the last layer;
                only with a packing.
            output_attentions: give the attention of each layer, (B, H, S, S).
            output_hidden_states: give the embeddings and each layer's output, (B, S, d).
            return_dict: False: a tuple.

        Returns:
            `last_hidden_state` (B, S, d); with a packing (N, d), with targets (M, d). And
            `pooler_output` (B, d), where there is a pooler.

        Raises:
            UserError: ids beyond the vocabulary, rows beyond the table of positions, or a mask or
                lengths that do not fit.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise UserError("input_ids: give either these or inputs_embeds")
        tokens = inputs_embeds if input_ids is None else input_ids
        assert tokens is not None
        stays_packed = packing is not None
        if packing is None:
            packing = self.pack(tokens, attention_mask, position_ids, lengths)
        if input_ids is not None:
            check_ids(input_ids, self.config.vocab_size)
        check_shape("token_type_ids", token_type_ids, tokens)
        places = packing.positions
        if places is None:
            places = packing.columns()
        config = self.config
        states: list[Tensor] | None = (
            [] if _asked(output_hidden_states, config, "hidden_states") else None
        )
        shares: list[list[Tensor]] | None = (
            [] if _asked(output_attentions, config, "attentions") else None
        )
        x = self.embeddings(
            None if input_ids is None else packing.pack(input_ids),
            None if token_type_ids is None else packing.pack(token_type_ids),
            places,
            None if inputs_embeds is None else packing.pack(inputs_embeds),
        )
        rows = None if targets is None else packing.find(targets)
        x = self.encoder(x, packing, rows, states, shares)
        pooled = None
        if self.pooler is not None and not stays_packed:
            first = x.index_select(0, packing.find(packing.first_tokens()))
            pooled = self.pooler(packing.by_row(first))
        output = BaseModelOutputWithPooling(
            last_hidden_state=x if stays_packed else packing.unpack(x),
            pooler_output=pooled,
            hidden_states=None if states is None else tuple(packing.unpack(s) for s in states),
            attentions=None if shares is None else tuple(unpack_shares(s, packing) for s in shares),
        )
        return as_asked(output, return_dict, config)


def _asked(argument: bool | None, config: MosaicBertConfig, name: str) -> bool:
    return bool(getattr(config, f"output_{name}") if argument is None else argument)


def wants_everything(
    config: MosaicBertConfig, output_attentions: bool | None, output_hidden_states: bool | None
) -> bool:
    """Return whether hidden states or attentions are asked for, which are those of all tokens."""
    return _asked(output_attentions, config, "attentions") or _asked(
        output_hidden_states, config, "hidden_states"
    )


def as_asked(output: Any, return_dict: bool | None, config: MosaicBertConfig) -> Any:
    """Return an output as it is, or as a tuple where that is asked for."""
    wants_dict = config.return_dict if return_dict is None else return_dict
    return output if wants_dict else output.to_tuple()


def check_shape(name: str, given: Tensor | None, tokens: Tensor) -> None:
    """Refuse what has not one number for each token.

    Args:
        name: of the argument.
        given: its value.
        tokens: (B, S) or (B, S, d).

    Raises:
        UserError: it is of another shape.
    """
    wanted = tuple(tokens.shape[:2])
    if given is not None and given.shape != wanted:
        raise UserError(
            f"{name}: is {tuple(given.shape)}, and the ids are {wanted}; "
            "give one number for each token"
        )


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Refuse ids that are no rows of the table, where looking costs nothing: on the CPU.

    Raises:
        UserError: there is one.
    """
    if ids.device.type != "cpu" or not ids.numel() or torch.compiler.is_compiling():
        return
    least, most = (int(x) for x in ids.aminmax())
    if least < 0 or most >= vocab_size:
        raise UserError(
            f"input_ids: hold {least if least < 0 else most}, and the vocabulary has {vocab_size} "
            "words; use the tokenizer that the model was made for"
        )
