"""MosaicBERT with a head for classes, spans or choices.

A head and the last layer behind it run on the tokens that its loss needs, and on no others.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import (
    MultipleChoiceModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

from zoo.errors import UserError
from zoo.models.cross_entropy import cross_entropy
from zoo.models.dropout import Dropout
from zoo.models.mosaicbert.config import MosaicBertConfig
from zoo.models.mosaicbert.masked_lm import NO_TARGET
from zoo.models.mosaicbert.model import (
    MosaicBertModel,
    MosaicBertPreTrainedModel,
    Pooler,
    as_asked,
    check_shape,
    wants_everything,
)
from zoo.models.padding import Packing


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
        lengths: Sequence[int] | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return `logits` (B, C) for ids (B, C, S), and with labels (B,) the loss.

        With `lengths`, which a loader knows, ids are (R, S), those of all options, and logits (R, 1):
        questions may have different numbers of options.
        """
        tokens = _tokens(input_ids, inputs_embeds, token_type_ids)
        if lengths is not None:
            packing = self.bert.pack(_given(tokens), None, position_ids, lengths)
            off = {"output_attentions": False, "output_hidden_states": False}
            scores, _ = self._scores(tokens, packing, off)
            return as_asked(MultipleChoiceModelOutput(logits=scores), return_dict, self.config)
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
        tokens = _given(_tokens(input_ids, inputs_embeds, token_type_ids))
        check_shape("labels", labels, tokens)
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
