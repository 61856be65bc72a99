"""BioMedLM's heads: short cuts change no score, and the class is transformers' own."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2ForSequenceClassification

from zoo.data.questions.prompt import Form, add_markers
from zoo.data.questions.question import Question
from zoo.data.questions.question_data import QuestionRows
from zoo.data.tokenizers import TextTokenizer, train_bpe
from zoo.models.biomedlm import classifier
from zoo.tasks.multiple_choice import ASIDE

QUESTIONS = [
    Question("1", "Which?", ("iron", "a much longer option", "no"), "Of some length, this.", 1),
    Question("2", "What is it then, of all these?", ("yes", "no"), label=0),
]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    texts = [t for q in QUESTIONS for t in (q.question, q.context, *q.options)]
    return add_markers(train_bpe(lambda: texts, 300))


def model_for(tokenizer: TextTokenizer, labels: Any) -> Any:
    torch.manual_seed(0)
    return classifier(
        "nano", tokenizer.vocab_size, tokenizer.pad or 0, 64, labels,
        attention_dropout=0.0, hidden_dropout=0.0,
    ).eval()  # fmt: skip


def plain(model: Any) -> Any:
    config = model.config.__class__.from_dict(model.config.to_dict())
    made = GPT2ForSequenceClassification(config).eval()
    made.load_state_dict(model.state_dict())
    return made


def of_net(batch: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in batch.items() if key not in ASIDE}


@pytest.mark.parametrize("markers", ["tokens", "words", "none"])
def test_an_options_score_is_that_of_a_row_of_its_own(
    tokenizer: TextTokenizer, markers: Any
) -> None:
    model = model_for(tokenizer, None)
    rows = QuestionRows(QUESTIONS, tokenizer, Form(markers=markers), "choices", None)
    batch = rows.batch(np.arange(2))
    assert batch["choices"] == [3, 2]
    found = model(**of_net(batch))["logits"].flatten()
    theirs = plain(model)
    wanted = []
    with torch.no_grad():
        for prompt, options in zip(rows.asked.prompts, rows.asked.options, strict=True):
            wanted += [float(theirs(torch.tensor([[*prompt, *o]])).logits[0, 0]) for o in options]
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=1e-4, atol=1e-5)
    # All options of a question get what a bias would add, so there is none.
    assert [name for name, _ in model.named_parameters() if name.startswith("score")] == [
        "score.weight"
    ]


def test_the_scores_of_labels_are_those_of_transformers_on_padded_rows(
    tokenizer: TextTokenizer,
) -> None:
    labels = ("yes", "no", "maybe")
    model = model_for(tokenizer, labels)
    rows = QuestionRows(QUESTIONS, tokenizer, Form(markers="tokens"), "choices", labels)
    batch = rows.batch(np.arange(2))
    assert batch["choices"] == [3, 3]
    assert batch["attention_mask"] is not None  # there is padding
    with torch.no_grad():
        wanted = plain(model)(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        torch.testing.assert_close(model(**of_net(batch))["logits"], wanted)
    answer = tokenizer.id_of("[Answer]")
    assert [prompt[-1] for prompt in rows.asked.prompts] == [answer, answer]


def test_gradients_reach_the_prompt_through_every_option(tokenizer: TextTokenizer) -> None:
    """As in rows of their own: the shared prompt's gradient is the sum over the options."""
    model = model_for(tokenizer, None)
    rows = QuestionRows(QUESTIONS, tokenizer, Form(), "choices", None)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0])
    (model(**of_net(rows.batch(np.arange(2))))["logits"].flatten() @ weights).backward()
    theirs = plain(model)
    place = 0
    for prompt, options in zip(rows.asked.prompts, rows.asked.options, strict=True):
        for option in options:
            (weights[place] * theirs(torch.tensor([[*prompt, *option]])).logits.sum()).backward()
            place += 1
    for (name, ours), other in zip(model.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)
