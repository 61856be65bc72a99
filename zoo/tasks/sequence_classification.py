"""Sequence classification: which class has a sentence, or a pair of them? Or which number?"""

import statistics
from typing import Any

import torch
from torch import nn

from zoo.data.sentences import Scored
from zoo.example import Example
from zoo.tasks.base import meta
from zoo.tasks.meter import Extent, extent_of
from zoo.tasks.scores import Scores
from zoo.tasks.sequences import SequenceTask


class SequenceClassificationTask(SequenceTask):
    """Learn the label of a sequence.

    A batch is that of zoo.data.sentences. Besides each measured score there is `score`, the one
    number of a set: the mean of those that are defined for it, over the test split and the further
    ones (MNLI's matched and mismatched).

    Args:
        net: takes a batch; returns the `loss`, its mean over the rows, and `logits` (B, classes).
        max_length: tokens of the longest row.
        scored: the labels, and what is measured.
        shared: see `Task`.
    """

    def __init__(self, net: nn.Module, *, max_length: int, scored: Scored, **shared: Any) -> None:
        super().__init__(net, max_length=max_length, **shared)
        self.scored = scored
        self.tests = ("test", *(f"test/{name}" for name in scored.further))
        self.points: dict[
            str, float
        ] = {}  # the one number of each split, out of its last evaluation
        classes = len(scored.labels)
        self.scores = nn.ModuleDict(
            {name: Scores(classes, scored.scores) for name in ("val", *self.tests)}
        )

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        loss = self.net(**batch)["loss"]
        return {"loss": loss, "metrics": {"loss": loss.detach()}}

    def evaluate(self, batch: dict[str, Any], split: str) -> None:
        output = self.net(**batch)
        self.scores[split](output["loss"], output["logits"].float(), batch["labels"])

    def publish(self, split: str) -> None:
        scores = self.scores[split]
        assert isinstance(scores, Scores)
        values = scores.read()
        for key, value in values.items():
            self._log(f"{split}/{key}", value)
        self.points[split] = statistics.fmean(values[name] for name in self.scored.score)

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        self._log("val/score", self.points["val"])

    def on_test_epoch_end(self) -> None:
        super().on_test_epoch_end()
        self._log("test/score", statistics.fmean(self.points[name] for name in self.tests))

    def _log(self, key: str, value: float) -> None:
        # Over the ranks already: their mean is the same number.
        self.log(key, torch.tensor(value, dtype=torch.float64, device=self.device), sync_dist=True)

    def extent(self, batch: dict[str, Any]) -> Extent:
        return extent_of(batch["lengths"], [1] * len(batch["lengths"]))

    def batch_of(self, rows: int, length: int, targets: int) -> dict[str, Any]:
        """Return a batch without padding on the meta device; a row has one target."""
        kind = torch.float32 if len(self.scored.labels) == 1 else torch.long
        return {
            "input_ids": meta(rows, length, dtype=torch.long),
            "attention_mask": None,
            "labels": meta(rows, dtype=kind),
            "lengths": [length] * rows,
        }

    def example(self, samples: int) -> Example:
        return self.batch_of(samples, self.max_length, 1)
