"""Masking: its distribution against transformers' collator, its schedule, and what is never masked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.masking import EVAL_RATE, IGNORED, Masker, Rate
from zoo.data.tokenizers import train_wordpiece
from zoo.data.topics import topics

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = (PAD, UNK, CLS, SEP, MASK)


def rows(b: int, s: int, vocab: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, vocab, (b, s), generator=g)
    lengths = torch.randint(3, s + 1, (b,), generator=g)
    place = torch.arange(s)
    ids[:, 0] = CLS
    ids[torch.arange(b), lengths - 1] = SEP
    ids[place >= lengths[:, None]] = PAD
    ids[(ids > 4) & (torch.rand(b, s, generator=g) < 0.05)] = UNK
    return ids


def shares(ids, inputs, labels, vocab: int) -> torch.Tensor:
    """Targets of the words; of the targets: masked, random, kept; and of random words each half."""
    words = ids > 4
    target = labels != IGNORED
    assert not (target & ~words).any()
    assert torch.equal(labels[target], ids[target])
    assert torch.equal(inputs[~target], ids[~target])
    masked = target & (inputs == MASK)
    kept = target & (inputs == ids)
    other = target & ~masked & ~kept
    low = other & (inputs < vocab // 2)
    n = target.sum()
    return torch.stack(
        [
            n / words.sum(),
            masked.sum() / n,
            other.sum() / n,
            kept.sum() / n,
            low.sum() / other.sum(),
        ]
    )


@pytest.mark.parametrize("rate", [0.15, 0.3])
def test_the_distribution_is_that_of_transformers_collator(rate: float, tmp_path) -> None:
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    made = train_wordpiece(lambda: list(topics())[:200], 1000)
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=made.engine, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    ids = rows(1000, 100, 1000)
    torch.manual_seed(0)
    collate = DataCollatorForLanguageModeling(theirs, mlm_probability=rate)
    batch = collate([{"input_ids": row} for row in ids])
    expected = shares(ids, batch["input_ids"], batch["labels"], 1000)
    masker = Masker(MASK, 1000, SPECIAL)
    ours = shares(ids, *masker(ids, *masker.for_training(0, 0, *ids.shape), rate), 1000)
    n = float((ids > 4).sum())
    targets = n * rate
    # Five standard deviations of the difference between two shares.
    sizes = torch.tensor([n, targets, targets, targets, targets / 10])
    for got in (ours, expected):
        exact = torch.tensor([rate, 0.8, 0.1, 0.1, 0.5])
        sigma = (exact * (1 - exact) / sizes).sqrt()
        assert ((got - exact).abs() < 5 * sigma + torch.tensor([0, 0, 2e-3, 2e-3, 5e-3])).all(), got


@given(st.integers(1, 6), st.integers(3, 12), st.integers(0, 50), st.sampled_from([1e-6, 0.15, 1]))
def test_there_is_always_a_target_and_never_a_special_one(b, s, seed, rate) -> None:
    ids = rows(b, s, 40, seed)
    ids[:, 1] = torch.where(ids[:, 1] == SEP, 7, ids[:, 1])  # a row has a word
    masker = Masker(MASK, 40, SPECIAL)
    drawn = masker.for_training(seed, 3, b, s)
    for each_row in (False, True):
        inputs, labels = masker(ids, *drawn, rate, each_row=each_row)
        target = labels != IGNORED
        assert target.any()
        if each_row:
            assert target.any(1).all()
        lone_unknown = (ids > 4).any(1) == 0  # of these rows the first word is taken, known or not
        assert (ids[target & ~lone_unknown[:, None]] > 4).all()
        assert torch.equal(inputs[~target], ids[~target])
        if rate == 1:
            assert torch.equal(target | lone_unknown[:, None], (ids > 4) | lone_unknown[:, None])


def test_a_forced_target_is_the_smallest_draw_and_is_masked() -> None:
    ids = torch.tensor([[CLS, 7, 8, SEP], [CLS, 9, SEP, PAD]])
    u = torch.tensor([[0.0, 0.9, 0.5, 0.0], [0.0, 0.7, 0.0, 0.0]])
    masker = Masker(MASK, 40, SPECIAL)
    inputs, labels = masker(ids, u, torch.full_like(ids, 11), 0.15)
    assert labels.tolist() == [[-100, -100, 8, -100], [-100] * 4]
    assert inputs.tolist() == [[CLS, 7, MASK, SEP], [CLS, 9, SEP, PAD]]
    _, labels = masker(ids, u, torch.full_like(ids, 11), 0.15, each_row=True)
    assert labels.tolist() == [[-100, -100, 8, -100], [-100, 9, -100, -100]]


def test_zero_is_a_legal_target() -> None:
    masker = Masker(3, 5, (1, 2, 3))
    _, labels = masker(torch.zeros(2, 4, dtype=torch.long), *masker.for_training(0, 0, 2, 4), 1.0)
    assert (labels == 0).all()


def test_draws_are_functions_of_seed_and_batch_and_of_the_row_in_evaluation() -> None:
    masker = Masker(MASK, 1000, SPECIAL)
    u, _ = masker.for_training(0, 5, 8, 16)
    again, _ = masker.for_training(0, 5, 8, 16)
    assert torch.equal(u, again)
    for other in ((1, 5), (0, 6)):
        assert not torch.equal(u, masker.for_training(*other, 8, 16)[0])
    whole = masker.for_evaluation(np.arange(6), 16)
    part = masker.for_evaluation(np.array([4, 2]), 16)
    for w, p in zip(whole, part, strict=True):
        assert torch.equal(w[[4, 2]], p)
    assert len(whole[0].unique()) == whole[0].numel()
    assert EVAL_RATE == 0.15


def test_the_rate_goes_on_a_line_over_the_run() -> None:
    line = Rate(0.3, 0.15)
    assert [line.at(b, 10) for b in (0, 5, 10)] == pytest.approx([0.3, 0.225, 0.15])
    assert {Rate(0.3).at(b, 10) for b in range(10)} == {0.3}
    with pytest.raises(AssertionError):
        line.at(0, 2**31 - 1)
