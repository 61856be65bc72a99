"""Scores of answers to questions with options.

    acc          right answers k over questions n, with Wilson's interval acc_low to acc_high
    chance       mean of 1 / options: what guessing has
    majority     share of the questions whose answer is the label that training has most often
    loss         mean of -log p(right option), p = softmax of the scores over a question's options
    ece          calibration: mean over 15 bins of p(answer), weighted by their questions, of the distance
                 of p(answer) and accuracy (Guo et al. 2017)
    macro_f1     mean of F1 over the labels that were right or answered at least once

torchmetrics has the last two. Where a model's scores are NaN, all of them are.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_calibration_error, multiclass_f1_score
from torchmetrics.utilities import dim_zero_cat

from zoo.data.questions.question import LETTERS
from zoo.leaderboard.statistics.questions import wilson

BINS = 15


def padded(scores: Tensor, choices: Sequence[int], width: int | None = None) -> Tensor:
    """Return the scores of options (R,) by their questions (B, C), -inf where there is no option.

    Args:
        scores: one question's after the other's.
        choices: options of each question.
        width: C; None: the most options of a question.
    """
    if width is None and len(set(choices)) == 1:
        return scores.view(len(choices), -1)
    width = max(choices) if width is None else width
    rows = torch.full((len(choices), width), -torch.inf, dtype=scores.dtype, device=scores.device)
    counts = torch.tensor(choices, device=scores.device)
    return rows.masked_scatter(torch.arange(width, device=scores.device) < counts[:, None], scores)


def measure(scores: Tensor, labels: Tensor, most_frequent: int) -> dict[str, float]:
    """Return every score by its name.

    Args:
        scores: (N, C), -inf where a question has no such option.
        labels: (N,).
        most_frequent: the label that training has most often.
    """
    n = len(labels)
    options = (scores != -torch.inf).sum(1)
    about = {
        "chance": float((1 / options.double()).mean()),
        "majority": float((labels == most_frequent).double().mean()),
    }
    names = ("acc", "acc_low", "acc_high", "loss", "ece", "macro_f1")
    if not n or bool(scores.isnan().any()):
        return {**dict.fromkeys(names, math.nan), **about}
    answers = scores.argmax(1)
    is_right = answers == labels
    right = int(is_right.sum())
    interval = wilson(right, n)
    p = scores.double().softmax(1)
    return {
        "acc": right / n,
        "acc_low": interval.low,
        "acc_high": interval.high,
        "loss": float(F.cross_entropy(scores.double(), labels)),
        "ece": float(binary_calibration_error(p.max(1).values, is_right.long(), n_bins=BINS)),
        "macro_f1": float(
            multiclass_f1_score(answers, labels, num_classes=scores.shape[1], average="macro")
        ),
        **about,
    }


class Answers(Metric):
    """The scores of all questions of a split, over its batches and all ranks."""

    rows: list[Tensor]
    labels: list[Tensor]
    scores: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("rows", "labels", "scores"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, choices: Sequence[int], labels: Tensor, rows: Tensor) -> None:
        """Add a batch.

        Args:
            scores: (R,), of the options of all its questions.
            choices: options of each question.
            labels: (B,) the right ones.
            rows: (B,) which questions they are.
        """
        self.rows.append(rows)
        self.labels.append(labels)
        self.scores.append(padded(scores.detach().float(), choices, len(LETTERS)))

    def compute(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return which questions these are (N,), in order, their labels (N,) and scores (N, 26)."""
        rows, labels, scores = (
            dim_zero_cat(part).cpu() for part in (self.rows, self.labels, self.scores)
        )
        order = rows.argsort()
        return rows[order], labels[order], scores[order]
