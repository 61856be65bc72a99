"""MosaicBERT with a head: masked words, classes, spans, choices.

A head and the last layer behind it run on the tokens that its loss needs, and on no others.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import (
    MaskedLMOutput,
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from zoo.errors import UserError
from zoo.models.cross_entropy import cross_entropy
from zoo.models.dropout import Dropout
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.encoder import layer_norm
from zoo.models.mosaicbert.model import (
    MosaicBertModel,
    MosaicBertPreTrainedModel,
    Pooler,
    as_asked,
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
                f"{self.config.vocab_size} words; what is no target is {NO_TARGET}"
            )
        if packing.is_padding(targets):
            raise UserError(f"labels: ask for a word on padding; label padding {NO_TARGET}")


def classification_loss(config: MosaicBertConfig, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of the problem: squared error, cross-entropy, or one of each label.

    `config.problem_type` says which; None: regression where there is one label, classes where the
    labels are integers, else several labels at once.
    """
    problem = config.problem_type
    if problem is None:
        is_whole = not labels.is_floating_point()
        whole = "single_label_classification" if is_whole else "multi_label_classification"
        problem = "regression" if config.num_labels == 1 else whole
    scores = logits.float()
    if problem == "regression":
        return F.mse_loss(scores.squeeze(-1), labels.reshape(scores.squeeze(-1).shape).float())
    if problem == "single_label_classification":
        return F.cross_entropy(scores.reshape(-1, config.num_labels), labels.flatten())
    return F.binary_cross_entropy_with_logits(scores, labels.float())


class _Pooled(MosaicBertPreTrainedModel):
    """A classifier on the pooled first token; the last layer runs on first tokens alone."""

    def __init__(self, config: MosaicBertConfig, outputs: int) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = MosaicBertModel(config)
        p = config.classifier_dropout
        self.dropout = Dropout(config.hidden_dropout_prob if p is None else p)
        self.classifier = nn.Linear(config.hidden_size, outputs)
        self.post_init()

    def _scores(
        self, tokens: dict[str, Any], packing: Packing, asked: dict[str, Any]
    ) -> tuple[Tensor, Any]:
        """Return (B, outputs), and what the encoder gave."""
        first = packing.first_tokens()
        everything = wants_everything(self.config, **asked)
        encoded = self.bert(
            **tokens,
            packing=packing,
            targets=None if everything or not self.config.masked_only_head else first,
            return_dict=True,
            **asked,
        )
        x = encoded.last_hidden_state
        if len(x) != len(first):
            x = x.index_select(0, packing.find(first))
        assert isinstance(self.bert.pooler, Pooler)
        pooled = self.bert.pooler(packing.by_row(x))
        return self.classifier(self.dropout(pooled)), encoded


class MosaicBertForSequenceClassification(_Pooled):
    """MosaicBERT for classes, labels or a number of a whole sequence (`config.num_labels`)."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config, config.num_labels)

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
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return `logits` (B, num_labels), and with labels the loss; see `classification_loss`.

        The first real token of a row is looked at, wherever its padding is; of a row without one, a
        vector of zeros.
        """
        tokens = _tokens(input_ids, inputs_embeds, token_type_ids)
        packing = self.bert.pack(_given(tokens), attention_mask, position_ids, lengths)
        asked = {
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
        }
        logits, encoded = self._scores(tokens, packing, asked)
        output = SequenceClassifierOutput(
            loss=None if labels is None else classification_loss(self.config, logits, labels),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return as_asked(output, return_dict, self.config)


class MosaicBertForMultipleChoice(_Pooled):
    """MosaicBERT for the best of C continuations, each a sequence of its own."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config, 1)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return `logits` (B, C) for ids (B, C, S), and with labels (B,) the loss."""
        tokens = _tokens(input_ids, inputs_embeds, token_type_ids)
        B, C = _given(tokens).shape[:2]
        tokens = {k: None if x is None else x.flatten(0, 1) for k, x in tokens.items()}
        mask, places = (
            None if x is None else x.flatten(0, 1) for x in (attention_mask, position_ids)
        )
        packing = self.bert.pack(_given(tokens), mask, places)
        asked = {
            "output_attentions": output_attentions,
            "output_hidden_states": output_hidden_states,
        }
        scores, encoded = self._scores(tokens, packing, asked)
        logits = scores.view(B, C)
        output = MultipleChoiceModelOutput(
            loss=None if labels is None else F.cross_entropy(logits.float(), labels),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return as_asked(output, return_dict, self.config)


class _EachToken(MosaicBertPreTrainedModel):
    """A linear layer on every token."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = MosaicBertModel(config, add_pooling_layer=False)


class MosaicBertForTokenClassification(_EachToken):
    """MosaicBERT for a class of each token."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config)
        p = config.classifier_dropout
        self.dropout = Dropout(config.hidden_dropout_prob if p is None else p)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return `logits` (B, S, num_labels), and with labels (B, S) the loss; -100 is none."""
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            return_dict=True,
            **options,
        )
        logits = self.classifier(self.dropout(encoded.last_hidden_state))
        loss = None
        if labels is not None:
            kept = labels.flatten()[labels.flatten() != NO_TARGET]
            scores = logits.flatten(0, 1)[labels.flatten() != NO_TARGET]
            loss = cross_entropy(scores, kept)
        output = TokenClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return as_asked(output, return_dict, self.config)


class MosaicBertForQuestionAnswering(_EachToken):
    """MosaicBERT for the span of a text that answers a question."""

    def __init__(self, config: MosaicBertConfig) -> None:
        super().__init__(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Return `start_logits` and `end_logits` (B, S), and with positions (B,) the mean loss.

        A position outside of the row (an answer that was cut off) is no target.
        """
        return_dict = options.pop("return_dict", None)
        encoded = self.bert(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            return_dict=True,
            **options,
        )
        starts, ends = self.qa_outputs(encoded.last_hidden_state).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (_place_loss(starts, start_positions) + _place_loss(ends, end_positions)) / 2
        output = QuestionAnsweringModelOutput(
            loss=loss,
            start_logits=starts,
            end_logits=ends,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return as_asked(output, return_dict, self.config)


def _place_loss(logits: Tensor, places: Tensor) -> Tensor:
    places = places.flatten()
    is_inside = (places >= 0) & (places < logits.shape[1])
    return cross_entropy(logits[is_inside], places[is_inside])


def _tokens(
    input_ids: Tensor | None, inputs_embeds: Tensor | None, token_type_ids: Tensor | None
) -> dict[str, Tensor | None]:
    return {
        "input_ids": input_ids,
        "inputs_embeds": inputs_embeds,
        "token_type_ids": token_type_ids,
    }


def _given(tokens: dict[str, Tensor | None]) -> Tensor:
    found = tokens["inputs_embeds"] if tokens["input_ids"] is None else tokens["input_ids"]
    if found is None:
        raise UserError("input_ids: give either these or inputs_embeds")
    return found
