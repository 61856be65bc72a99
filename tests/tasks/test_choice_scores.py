"""Scores of answers: what scikit-learn and scipy say, on random and on degenerate predictions."""

import math
import warnings

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from zoo.tasks.choice_scores import Answers, measure, padded


def theirs(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The same from scikit-learn and scipy."""
    answers = scores.argmax(1)
    right = int((answers == labels).sum())
    interval = scipy.stats.binomtest(right, len(labels)).proportion_ci(0.95, method="wilson")
    p = scipy.special.softmax(scores, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "acc": sklearn.metrics.accuracy_score(labels, answers),
            "acc_low": interval.low,
            "acc_high": interval.high,
            "macro_f1": sklearn.metrics.f1_score(labels, answers, average="macro", zero_division=0),
            # scikit-learn's log_loss cuts probabilities at 1e-16
            "loss": float(
                np.mean(scipy.special.logsumexp(scores, 1) - scores[np.arange(len(labels)), labels])
            ),
            "ece": binned(p.max(1), answers == labels),
        }


def binned(confidence: np.ndarray, right: np.ndarray) -> float:
    """Guo's formula, bin by bin: the first one from 0, each without its upper edge but the last."""
    edges = np.linspace(0, 1, 16)
    places = np.minimum(np.searchsorted(edges, confidence, side="right") - 1, 14)
    return sum(
        (places == b).sum()
        / len(right)
        * abs(confidence[places == b].mean() - right[places == b].mean())
        for b in set(places.tolist())
    )


def assert_same(scores: np.ndarray, labels: np.ndarray) -> None:
    found = measure(torch.tensor(scores), torch.tensor(labels), 0)
    for name, value in theirs(scores, labels).items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


@given(st.integers(1, 60), st.integers(2, 6), st.integers(0, 10**6))
def test_random_predictions(n: int, c: int, seed: int) -> None:
    g = np.random.default_rng(seed)
    assert_same(g.normal(size=(n, c)) * 3, g.integers(0, c, n))


@pytest.mark.parametrize("n", [1, 5, 40])
def test_degenerate_predictions(n: int) -> None:
    g = np.random.default_rng(0)
    always = np.tile([0.0, 5.0, 1.0], (n, 1))
    some = g.integers(0, 3, n)
    assert_same(always, np.ones(n, dtype=int))  # one class, always right
    assert_same(always, np.zeros(n, dtype=int))  # always wrong
    assert_same(always, some)  # one answer
    assert_same(np.zeros((n, 3)), some)  # all options tie: the first one is answered
    assert_same(g.integers(0, 2, (n, 3)).astype(float), some)  # many ties
    assert_same(g.normal(size=(n, 3)) * 1e3, some)  # certain of each


def test_scores_that_are_nan_make_every_score_so() -> None:
    scores = torch.tensor([[1.0, 2.0], [math.nan, 0.0]])
    found = measure(scores, torch.tensor([1, 0]), 1)
    assert all(
        math.isnan(found[k]) for k in ("acc", "acc_low", "acc_high", "loss", "ece", "macro_f1")
    )
    assert (found["chance"], found["majority"]) == (0.5, 0.5)


def test_chance_and_majority_beside_questions_of_different_options() -> None:
    scores = padded(torch.arange(9.0), [2, 4, 3])
    assert scores.tolist() == [
        [0, 1, -math.inf, -math.inf], [2, 3, 4, 5], [6, 7, 8, -math.inf],
    ]  # fmt: skip
    found = measure(scores, torch.tensor([1, 3, 0]), 0)
    assert found["chance"] == pytest.approx((1 / 2 + 1 / 4 + 1 / 3) / 3)
    assert found["majority"] == pytest.approx(1 / 3)
    assert found["acc"] == pytest.approx(2 / 3)
    by_hand = [
        -torch.log_softmax(row[row > -math.inf], 0)[y]
        for row, y in zip(scores, [1, 3, 0], strict=True)
    ]
    assert found["loss"] == pytest.approx(float(torch.stack(by_hand).mean()), abs=1e-6)


@given(st.lists(st.integers(2, 26), min_size=1, max_size=8))
def test_options_are_put_to_their_questions(choices: list[int]) -> None:
    flat = torch.arange(float(sum(choices)))
    rows = padded(flat, choices)
    assert [row[:n].tolist() for row, n in zip(rows, choices, strict=True)] == [
        part.tolist() for part in torch.split(flat, choices)
    ]
    assert int((rows == -math.inf).sum()) == len(choices) * max(choices) - len(flat)
    assert padded(flat, choices, 26).shape == (len(choices), 26)


def test_gradients_pass_through_the_padding() -> None:
    scores = torch.randn(9, requires_grad=True)
    F.cross_entropy(padded(scores, [2, 4, 3]), torch.tensor([1, 3, 0])).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert (scores.grad != 0).all()


def test_answers_are_gathered_in_the_order_of_the_questions() -> None:
    answers = Answers()
    answers.update(
        torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), [2, 3], torch.tensor([0, 2]), torch.tensor([2, 0])
    )
    answers.update(torch.tensor([6.0, 7.0]), [2], torch.tensor([1]), torch.tensor([1]))
    rows, labels, scores = answers.compute()
    assert rows.tolist() == [0, 1, 2]
    assert labels.tolist() == [2, 1, 0]
    assert [row[row > -math.inf].tolist() for row in scores] == [[3, 4, 5], [6, 7], [1, 2]]
