"""Options that share a prompt: the scores of one full pass an option, in every kind of attention."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from zoo.data.questions.choices import Choices
from zoo.data.questions.prompt import Asked
from zoo.models.biomedlm import BioMedLM, configuration
from zoo.models.biomedlm.documents import SDPA

WORDS, END = 97, 96


def asked(counts: list[int], seed: int = 0) -> Asked:
    """Questions with so many options, of random tokens; the padding token is among them."""
    g = np.random.default_rng(seed)
    prompts = [g.integers(0, WORDS, int(n)).tolist() for n in g.integers(1, 20, len(counts))]
    options = [[g.integers(0, WORDS, int(n)).tolist() for n in g.integers(1, 7, c)] for c in counts]
    options[0][0] = [END, END]
    sizes = [[len(o) * 3 for o in row] for row in options]
    nothing = np.zeros(len(counts), dtype=int)
    return Asked(prompts, options, sizes, nothing, nothing)


def model(way: str = SDPA) -> BioMedLM:
    torch.manual_seed(0)
    config = configuration("nano", WORDS, END, layers=3, attn_implementation=way)
    net = BioMedLM(config)
    for weight in net.parameters():  # so that attention is no mean over all tokens
        torch.nn.init.normal_(weight, std=0.3) if weight.dim() > 1 else None
    return net


def full_passes(net: GPT2LMHeadModel, questions: Asked) -> Tensor:
    """One row, one pass, all logits: each option by itself."""
    scores = []
    for prompt, options in zip(questions.prompts, questions.options, strict=True):
        for option in options:
            ids = torch.tensor([prompt + option])
            log_p = net(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            scores.append(log_p.gather(1, torch.tensor(option)[:, None]).sum())
    return torch.stack(scores)


@pytest.mark.parametrize("way", [SDPA, "sdpa", "eager"])
@pytest.mark.parametrize("counts", [[4, 4, 4], [2, 26, 3, 5]])
def test_options_score_as_in_rows_of_their_own(way: str, counts: list[int]) -> None:
    net, questions = model(way).eval(), asked(counts)
    batch = Choices.of(questions, [0] * len(counts)).batch(np.arange(len(counts)), END)
    with torch.no_grad():
        found = net.option_log_likelihoods(**batch)
        wanted = full_passes(net.plain(), questions)
    assert wanted.std() > 1
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4)


def test_a_batch_changes_no_score() -> None:
    net, questions = model().eval(), asked([3] * 7)
    rows = Choices.of(questions, [0] * 7)
    with torch.no_grad():
        whole = net.option_log_likelihoods(**rows.batch(np.arange(7), END)).view(7, 3)
        some = net.option_log_likelihoods(**rows.batch(np.array([5, 2]), END)).view(2, 3)
    torch.testing.assert_close(some, whole[[5, 2]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", [SDPA, "eager"])
def test_gradients_are_those_of_full_passes(way: str) -> None:
    """Dropout apart: of the prompt it is drawn once."""
    questions = asked([3, 2])
    batch = Choices.of(questions, [0, 0]).batch(np.arange(2), END)
    gradients = []
    for of in (
        lambda net: net.option_log_likelihoods(**batch),
        lambda net: full_passes(net, questions),
    ):
        net: Any = model(way).eval()
        (of(net) * torch.tensor([1.0, -2.0, 0.5, 3.0, -1.0])).sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for shared, separate in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, separate, rtol=1e-4, atol=1e-4)


def test_the_batch_says_where_options_end_and_how_long_they_are() -> None:
    questions = asked([2, 3, 4])
    batch = Choices.of(questions, [1, 0, -1]).batch(np.array([2, 0]), END)
    flat, ids = iter(batch["ends"].tolist()), batch["input_ids"]
    lengths = iter(batch["option_tokens"].tolist())
    width = ids.shape[1]
    for row, question in enumerate((2, 0)):
        for option in questions.options[question]:
            end, n = next(flat), next(lengths)
            assert end // width == row
            assert ids.flatten()[end - n + 1 : end + 1].tolist() == option
            places = batch["position_ids"].flatten()[end - n + 1 : end + 1].tolist()
            first = len(questions.prompts[question])
            assert places == list(range(first, first + n))
    assert batch["choices"] == [4, 2]
    assert batch["labels"].tolist() == [-1, 1]
    assert batch["option_bytes"].tolist() == [3 * n for n in batch["option_tokens"].tolist()]
