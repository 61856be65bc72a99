"""Fine-tuning heads: losses by hand, and the last layer on the tokens that they look at."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.models.mosaicbert.batches import assert_same, batch, config, gradients
from zoo.models.mosaicbert import (
    MosaicBertForMultipleChoice,
    MosaicBertForQuestionAnswering,
    MosaicBertForSequenceClassification,
    MosaicBertForTokenClassification,
)


def pair(kind: Any, **options: Any) -> tuple[Any, Any]:
    """Return two models with the same weights: all features on, and off."""
    torch.manual_seed(0)
    one = kind(config(**options))
    other = kind(config(**options, unpad=False, masked_only_head=False))
    other.load_state_dict(one.state_dict())
    return one, other


def inputs_of(lengths: list[int], width: int) -> dict[str, Any]:
    return {k: x for k, x in batch(lengths, width).items() if k != "labels"}


@pytest.mark.parametrize(
    ("options", "labels", "loss"),
    [
        ({"num_labels": 3}, torch.tensor([0, 2, 1]), F.cross_entropy),
        (
            {"num_labels": 1},
            torch.tensor([0.5, -1.0, 2.0]),
            lambda x, y: F.mse_loss(x.squeeze(1), y),
        ),
        (
            {"num_labels": 2},
            torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]),
            F.binary_cross_entropy_with_logits,
        ),
    ],
)
def test_sequence_classification(options: dict[str, Any], labels: Any, loss: Any) -> None:
    one, other = pair(MosaicBertForSequenceClassification, **options)
    inputs = inputs_of([5, 8, 3], 8)
    found = []
    for made in (one, other):
        output = made(**inputs, labels=labels)
        torch.testing.assert_close(output.loss, loss(output.logits, labels))
        output.loss.backward()
        found.append((output.logits, gradients(made)))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-4)
    assert_same(found[0][1], found[1][1], atol=5e-6)
    asked = one(**inputs, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(asked.logits, found[0][0], atol=1e-5, rtol=1e-4)
    assert len(asked.hidden_states) == 3
    assert len(asked.attentions) == 2


def test_multiple_choice_is_the_best_of_its_sequences() -> None:
    one, other = pair(MosaicBertForMultipleChoice)
    inputs = {k: x.view(2, 3, 8) for k, x in inputs_of([5, 8, 3, 2, 8, 6], 8).items()}
    labels = torch.tensor([2, 0])
    for made in (one, other):
        output = made(**inputs, labels=labels)
        assert output.logits.shape == (2, 3)
        torch.testing.assert_close(output.loss, F.cross_entropy(output.logits, labels))
    alone = one(**{k: x[1:, 1:2] for k, x in inputs.items()})
    torch.testing.assert_close(alone.logits[0, 0], one(**inputs).logits[1, 1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one(**inputs).logits, output.logits, atol=1e-5, rtol=1e-4)


def test_token_classification_leaves_out_what_has_no_label() -> None:
    one, other = pair(MosaicBertForTokenClassification, num_labels=4)
    inputs = inputs_of([5, 8], 8)
    labels = torch.randint(0, 4, (2, 8)).masked_fill(inputs["attention_mask"] == 0, -100)
    labels[0, 0] = 0
    for made in (one, other):
        output = made(**inputs, labels=labels)
        assert output.logits.shape == (2, 8, 4)
        wanted = F.cross_entropy(output.logits.flatten(0, 1), labels.flatten())
        torch.testing.assert_close(output.loss, wanted)
    assert one(**inputs, labels=torch.full_like(labels, -100)).loss == 0
    torch.testing.assert_close(one(**inputs).logits, output.logits, atol=1e-5, rtol=1e-4)


def test_question_answering_leaves_out_answers_that_were_cut_off() -> None:
    one, other = pair(MosaicBertForQuestionAnswering)
    inputs = inputs_of([5, 8], 8)
    starts, ends = torch.tensor([1, 9]), torch.tensor([3, 12])
    for made in (one, other):
        output = made(**inputs, start_positions=starts, end_positions=ends)
        begin = F.cross_entropy(output.start_logits[:1], starts[:1])
        end = F.cross_entropy(output.end_logits[:1], ends[:1])
        torch.testing.assert_close(output.loss, (begin + end) / 2)
    torch.testing.assert_close(one(**inputs).end_logits, output.end_logits, atol=1e-5, rtol=1e-4)
