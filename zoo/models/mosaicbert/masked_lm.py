"""MosaicBERT for masked words; the head and the end of the last layer run on these alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import MaskedLMOutput

from zoo.errors import UserError
from zoo.models.cross_entropy import cross_entropy
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.encoder import layer_norm
from zoo.models.mosaicbert.model import (
    MosaicBertModel,
    MosaicBertPreTrainedModel,
    as_asked,
    check_shape,
    wants_everything,
)
from zoo.models.padding import Packing

NO_TARGET = -100  # and nothing else: word 0 is a word


class Transform(nn.Module):
    """What stands between the encoder and the decoder: linear, GELU, LayerNorm."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = layer_norm(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class Predictions(nn.Module):
    """Scores of all words. The decoder's weight is the word embeddings'; its bias is its own."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class MaskedWords(nn.Module):
    """The head, under the official checkpoint's name."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__()
        self.predictions = Predictions(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.predictions(x)


class MosaicBertForMaskedLM(MosaicBertPreTrainedModel):
    """MosaicBERT for masked words."""

    _tied_weights_keys = {  # noqa: RUF012 - transformers' own
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"
    }

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config)
        self.bert = MosaicBertModel(config, add_pooling_layer=False)
        self.cls = MaskedWords(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        self.cls.predictions.decoder = new_embeddings

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        lengths: Sequence[int] | None = None,
        targets: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Score words, and with labels compute the loss.

        Where hidden states or attentions are asked for, or `masked_only_head` is off, everything is
        computed for every token, labels or not.

        Args:
            input_ids: see MosaicBertModel, as all that is not here.
            attention_mask: ...
            token_type_ids: ...
            position_ids: ...
            labels: (B, S); -100 is no target.
            inputs_embeds: ...
            lengths: real tokens of each row as host numbers.
            targets: (M,) places b * S + s of the labels that are targets; None: looked for in the
                labels, which asks the device.
            output_attentions: ...
            output_hidden_states: ...
            return_dict: ...

        Returns:
            `loss`: mean cross-entropy over the targets; without any target it is 0 and its gradients
            are zeros. `logits`: (B, S, V), zero vectors decoded on padding; with labels and the
            masked-only head (M, V), in the order of `targets`, for those rows alone are computed.

        Raises:
            UserError: what MosaicBertModel refuses; a label that is no word, or on padding.
        """
        tokens = inputs_embeds if input_ids is None else input_ids
        if tokens is None:
            raise UserError("input_ids: give either these or inputs_embeds")
        check_shape("labels", labels, tokens)  # else its places would be those of other tokens
        packing = self.bert.pack(tokens, attention_mask, position_ids, lengths)
        if labels is None:
            targets = None
        elif targets is None:
            targets = labels.flatten().ne(NO_TARGET).nonzero().flatten()
        words = None
        if labels is not None and targets is not None:
            words = labels.flatten().index_select(0, targets)
            self._check(words, targets, packing)
        everything = wants_everything(self.config, output_attentions, output_hidden_states)
        is_masked_only = targets is not None and self.config.masked_only_head and not everything
        encoded = self.bert(
            input_ids,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            packing=packing,
            targets=targets if is_masked_only else None,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        x = encoded.last_hidden_state
        logits = self.cls(x if is_masked_only else packing.unpack(x))
        loss = None
        if labels is not None and words is not None:
            if is_masked_only or not len(words):
                loss = cross_entropy(logits if is_masked_only else logits[:0, 0], words)
            else:
                loss = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        output = MaskedLMOutput(
            loss=loss,
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return as_asked(output, return_dict, self.config)

    def _check(self, words: Tensor, targets: Tensor, packing: Packing) -> None:
        if words.device.type != "cpu" or not len(words) or torch.compiler.is_compiling():
            return
        least, most = (int(x) for x in words.aminmax())
        if least < 0 or most >= self.config.vocab_size:
            raise UserError(
                f"labels: hold {least if least < 0 else most}, and the vocabulary has "
                f"{self.config.vocab_size} words; give what is no target {NO_TARGET}"
            )
        if packing.is_padding(targets):
            raise UserError(f"labels: ask for a word on padding; label padding {NO_TARGET}")
