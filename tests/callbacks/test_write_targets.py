"""ROUGE: torchmetrics' F against the definition, counted by hand."""

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.callbacks.write_targets import rouge

TEXT = st.text(st.sampled_from("ab cA1.é\n"), max_size=14)


def words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def f(overlap: int, ours: int, theirs: int) -> float:
    return 2 * overlap / (ours + theirs) if ours and theirs else 0.0


def by_n_grams(text: str, target: str, n: int) -> float:
    a, b = (Counter(zip(*(words(t)[i:] for i in range(n)), strict=False)) for t in (text, target))
    return f((a & b).total(), a.total(), b.total())


def by_subsequence(text: str, target: str) -> float:
    """All subsequences of one are looked for in the other."""
    a, b = words(text), words(target)
    for length in range(min(len(a), len(b)), 0, -1):
        for places in itertools.combinations(range(len(a)), length):
            rest = iter(b)
            if all(a[i] in rest for i in places):
                return f(length, len(a), len(b))
    return 0.0


@given(TEXT, TEXT)
def test_rouge_is_the_overlap_of_words(text: str, target: str) -> None:
    found = rouge(text, target)
    assert found["rouge1"] == pytest.approx(by_n_grams(text, target, 1), abs=1e-6)
    assert found["rouge2"] == pytest.approx(by_n_grams(text, target, 2), abs=1e-6)
    assert found["rougeL"] == pytest.approx(by_subsequence(text, target), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "target", "scores"),
    [
        ("police killed the gunman", "police kill the gunman", (0.75, 1 / 3, 0.75)),
        ("the gunman kill police", "police kill the gunman", (1, 1 / 3, 0.5)),
        ("the the the", "The cat.", (0.4, 0, 0.4)),
        ("", "a", (0, 0, 0)),
        ("a", "a", (1, 0, 1)),
    ],
)
def test_lins_examples(text: str, target: str, scores: tuple[float, float, float]) -> None:
    assert tuple(rouge(text, target).values()) == pytest.approx(scores)
