"""Scores equal scikit-learn's and scipy's, on random and on degenerate answers."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from zoo.tasks.scores import Scores

CLASSES = ("acc", "matthews", "f1")


def told(
    classes: int, kept: tuple[str, ...], logits: torch.Tensor, labels: torch.Tensor
) -> dict[str, float]:
    """Return what is read after two batches of unequal size."""
    scores = Scores(classes, kept)
    cut = len(labels) // 3
    for part in (slice(0, cut), slice(cut, None)):
        if len(labels[part]):
            scores(torch.tensor(float(len(labels[part]))), logits[part], labels[part])
    return scores.read()


pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
triples = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40)


@given(pairs)
def test_two_classes_are_scikit_learns(answers: list[tuple[int, int]]) -> None:
    """Answers of one class alone, or labels of one, are among them."""
    labels, guesses = (torch.tensor(column) for column in zip(*answers, strict=True))
    found = told(2, CLASSES, torch.nn.functional.one_hot(guesses, 2).float(), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fraction is 0/0
        assert found["acc"] == pytest.approx(metrics.accuracy_score(labels, guesses))
        assert found["f1"] == pytest.approx(metrics.f1_score(labels, guesses, zero_division=0))
        assert found["matthews"] == pytest.approx(metrics.matthews_corrcoef(labels, guesses))


@given(triples)
def test_three_classes_are_scikit_learns(answers: list[tuple[int, int]]) -> None:
    labels, guesses = (torch.tensor(column) for column in zip(*answers, strict=True))
    found = told(3, CLASSES[:2], torch.nn.functional.one_hot(guesses, 3).float(), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found["acc"] == pytest.approx(metrics.accuracy_score(labels, guesses))
        assert found["matthews"] == pytest.approx(metrics.matthews_corrcoef(labels, guesses))


few = st.integers(-3, 3).map(lambda i: i / 2)  # ties are common
numbers = few | st.floats(-1e3, 1e3, width=32, allow_subnormal=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_correlations_are_scipys(answers: list[tuple[float, float]]) -> None:
    """Constant numbers, which correlate with nothing, are among them."""
    labels, guesses = (np.array(column, dtype=np.float32) for column in zip(*answers, strict=True))
    found = told(
        1, ("pearson", "spearman"), torch.from_numpy(guesses)[:, None], torch.from_numpy(labels)
    )
    wide = (guesses.astype(np.float64), labels.astype(np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = float(stats.pearsonr(*wide).statistic)
        rho = float(stats.spearmanr(*wide).statistic)
    constant = len(set(guesses)) == 1 or len(set(labels)) == 1
    assert math.isnan(found["pearson"]) == constant
    assert math.isnan(found["spearman"]) == constant
    if not constant:
        assert found["pearson"] == pytest.approx(r, abs=1e-6)
        assert found["spearman"] == pytest.approx(rho, abs=1e-9)


def test_the_loss_is_a_mean_over_rows_and_nan_makes_every_score_nan() -> None:
    logits = torch.eye(2).repeat(3, 1)
    labels = torch.tensor([0, 1] * 3)
    assert told(2, ("acc",), logits, labels) == {
        "acc": 1.0,
        "loss": pytest.approx((2 * 2 + 4 * 4) / 6),
    }
    logits[3, 0] = math.nan
    found = told(2, CLASSES, logits, labels)
    assert all(math.isnan(found[name]) for name in CLASSES)
    numbers = torch.tensor([[0.1], [math.nan], [0.3]])
    found = told(1, ("pearson", "spearman"), numbers, torch.tensor([0.0, 1.0, 2.0]))
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])


def test_reading_starts_anew() -> None:
    scores = Scores(2, ("acc",))
    scores(torch.tensor(1.0), torch.eye(2), torch.tensor([1, 0]))
    assert scores.read()["acc"] == 0
    scores(torch.tensor(1.0), torch.eye(2), torch.tensor([0, 1]))
    assert scores.read()["acc"] == 1
