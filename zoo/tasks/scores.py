"""Scores of answers to sentences: accuracy, F1, Matthews' coefficient, and correlations of numbers.

    F1 = 2 TP / (2 TP + FP + FN)                  of class 1
    Matthews = (c s - sum_k t_k p_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2))

with c answers right of s, and t_k samples and p_k answers of class k. Both are 0 where the fraction is
0/0, as in scikit-learn. Pearson's r is of the numbers, Spearman's of their ranks, ties having the mean
of theirs; both are NaN where either side is constant, as in scipy. What torchmetrics has under these
names says otherwise in such cases, so that of it we use the counting, over batches and ranks of
devices; the formulas are computed in 64 bits.

Where a model answers NaN, every score is.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric, SumMetric
from torchmetrics.classification import MulticlassConfusionMatrix
from torchmetrics.utilities import dim_zero_cat

from zoo.tasks.mean import Mean


class Classes(MulticlassConfusionMatrix):
    """Scores of classes, from how often each was answered for each."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, validate_args=False)

    def compute(self) -> dict[str, float]:  # type: ignore[override]
        """Return acc, f1 (of two classes) and matthews."""
        confusion = [[int(n) for n in row] for row in super().compute()]
        samples = sum(map(sum, confusion))
        right = sum(row[k] for k, row in enumerate(confusion))
        true = [sum(row) for row in confusion]
        told = [sum(column) for column in zip(*confusion, strict=True)]
        covariance = right * samples - sum(t * p for t, p in zip(true, told, strict=True))
        spread = (samples**2 - sum(p * p for p in told)) * (samples**2 - sum(t * t for t in true))
        found = {
            "acc": right / samples if samples else math.nan,
            "matthews": covariance / math.sqrt(spread) if spread else 0.0,
        }
        if len(confusion) == 2:
            (_, false), (missed, hit) = confusion
            wrong = false + missed
            found["f1"] = 2 * hit / (2 * hit + wrong) if hit + wrong else 0.0
        return found


class Numbers(Metric):
    """Correlations of the numbers that are told with the true ones."""

    told: list[Tensor]
    true: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("told", [], dist_reduce_fx="cat")
        self.add_state("true", [], dist_reduce_fx="cat")

    def update(self, told: Tensor, true: Tensor) -> None:
        """Add a batch: both (B,)."""
        self.told.append(told.detach().double())
        self.true.append(true.double())

    def compute(self) -> dict[str, float]:
        """Return pearson and spearman."""
        told, true = (
            dim_zero_cat(part).cpu() if len(part) else torch.empty(0)
            for part in (self.told, self.true)
        )
        return {"pearson": pearson(told, true), "spearman": pearson(ranks(told), ranks(true))}


def pearson(x: Tensor, y: Tensor) -> float:
    """Return the correlation of two vectors (N,) of 64 bits; NaN where it is not defined."""
    if len(x) < 2 or bool((x == x[0]).all()) or bool((y == y[0]).all()):
        return math.nan
    dx, dy = x - x.mean(), y - y.mean()
    # Divided first, so that squares of small numbers are no zeros.
    dx, dy = dx / dx.abs().max(), dy / dy.abs().max()
    r = float((dx / dx.norm()) @ (dy / dy.norm()))
    return max(-1.0, min(1.0, r)) if math.isfinite(r) else math.nan


def ranks(x: Tensor) -> Tensor:
    """Return each number's rank from 1, that of equal ones the mean of theirs; NaN stays one."""
    if bool(x.isnan().any()):
        return torch.full_like(x, math.nan)
    _, place, counts = torch.unique(x, return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2)[place].double()


class Scores(nn.Module):
    """The loss and the scores of a split.

    Args:
        classes: how many there are; 1: a number is told.
        kept: names of the scores that are wanted.
    """

    def __init__(self, classes: int, kept: tuple[str, ...]) -> None:
        super().__init__()
        self.kept = kept
        self.loss = Mean()
        self.broken = SumMetric(nan_strategy="disable")  # answers that are NaN
        self.answers: Any = Numbers() if classes == 1 else Classes(classes)

    def forward(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            loss: the mean over the batch.
            logits: (B, classes).
            labels: (B,).
        """
        self.loss.update(loss, len(labels))
        self.broken.update(logits.isnan().any(1).sum().float())
        told = logits.squeeze(1) if logits.shape[1] == 1 else logits.argmax(1)
        self.answers.update(told, labels)

    def read(self) -> dict[str, float]:
        """Return the loss and the scores over all batches and ranks, and start anew."""
        found = self.answers.compute()
        is_broken = float(self.broken.compute()) > 0
        values = {name: math.nan if is_broken else found[name] for name in self.kept}
        values["loss"] = float(self.loss.compute())
        for metric in (self.loss, self.broken, self.answers):
            metric.reset()
        return values
