"""Masked language modelling: which tokens stood where the masks are?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.example import Example
from zoo.tasks.mean import Mean
from zoo.tasks.meter import Extent, extent_of
from zoo.tasks.sequences import SequenceTask


class MaskedLMTask(SequenceTask):
    """Learn to tell masked tokens.

    A batch holds `input_ids` (B, S), `attention_mask` (B, S) or None where nothing is padded,
    `labels` (B, S), -100 where there is no target, and for the host `lengths`, the real tokens of
    each row, and `targets` (M,), the places of the labels in B x S.

    The loss is the mean cross-entropy over the targets of a batch. Evaluation averages over all
    targets of the split; these are 15% of its tokens whatever the training masks (zoo.data.masking).

    Args:
        net: takes a batch; returns the `loss`, the mean cross-entropy over the targets, and
            `logits`, of all tokens or of the targets alone.
        max_length: tokens of the longest row.
        eval_lengths: of the rows of further passes over the test split: the loader's second, ...
            Their scores are test/length/256/loss and so on.
        shared: see `Task`.
    """

    def __init__(
        self, net: nn.Module, *, max_length: int, eval_lengths: Sequence[int] = (), **shared: Any
    ) -> None:
        super().__init__(net, max_length=max_length, **shared)
        self.tests = ("test", *(f"test/length/{length}" for length in eval_lengths))
        names = ("val", *self.tests)
        self.losses = nn.ModuleDict({name: Mean() for name in names})
        self.hits = nn.ModuleDict({name: Mean() for name in names})

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        loss = self._loss(self.net(**batch), batch)
        return {"loss": loss, "metrics": {"loss": loss.detach()}}

    @staticmethod
    def _loss(output: Any, batch: dict[str, Any]) -> Tensor:
        """Return the model's own mean over the targets; without any, 0 with a graph."""
        if len(batch["targets"]):
            return output["loss"]
        return output["logits"].sum() * 0.0

    def evaluate(self, batch: dict[str, Any], split: str) -> None:
        output, count = self.net(**batch), len(batch["targets"])
        if not count:
            return
        logits = output["logits"]
        if logits.dim() == 3:  # of all tokens
            logits = logits.flatten(0, 1)[batch["targets"]]
        hits = logits.argmax(1) == batch["labels"].flatten()[batch["targets"]]
        self.losses[split].update(self._loss(output, batch), weight=count)  # type: ignore[operator]
        self.hits[split].update(hits.float().mean(), weight=count)  # type: ignore[operator]

    def publish(self, split: str) -> None:
        loss = self._mean(self.losses[split])
        acc = self._mean(self.hits[split])
        self.log(f"{split}/loss", loss, sync_dist=True)
        # A word is answered for logits of NaN, too: the first.
        self.log(f"{split}/acc", loss if loss.isnan() else acc, sync_dist=True)

    @staticmethod
    def _mean(metric: Any) -> Tensor:
        value: Tensor = metric.compute()
        metric.reset()
        return value

    def extent(self, batch: dict[str, Any]) -> Extent:
        rows, width = batch["labels"].shape
        targets = torch.bincount(batch["targets"] // width, minlength=rows)
        return extent_of(batch["lengths"], targets.tolist())

    def example(self, samples: int) -> Example:
        return self.batch_of(samples, self.max_length, max(1, 3 * self.max_length // 10))
