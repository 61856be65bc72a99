"""What tasks on text share: batches of rows of tokens, and how they are counted."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from zoo.precision.kinds import Kind
from zoo.tasks.base import Task, meta, on_meta
from zoo.tasks.meter import Meter, SequenceMeter


class SequenceTask(Task):
    """A task whose batch is a mapping with `input_ids` (B, S), `lengths` and `labels`.

    Labels of a language model are (B, S), beside its `targets`; of a head for a row, (B,).

    Args:
        net: the model.
        max_length: tokens of the longest row.
        shared: see `Task`.
    """

    def __init__(self, net: nn.Module, *, max_length: int, **shared: Any) -> None:
        super().__init__(net, **shared)
        self.max_length = max_length

    def count(self, batch: dict[str, Any]) -> tuple[int, int | None]:
        return len(batch["lengths"]), sum(batch["lengths"])

    def batch_of(self, rows: int, length: int, targets: int) -> dict[str, Any]:
        """Return a batch without padding on the meta device, with so many targets in each row."""
        return {
            "input_ids": meta(rows, length, dtype=torch.long),
            "attention_mask": None,
            "labels": meta(rows, length, dtype=torch.long),
            "lengths": [length] * rows,
            "targets": meta(rows * targets, dtype=torch.long),
        }

    def meter(self, batch_size: int, accumulate: int, bits: Mapping[Kind, int]) -> Meter | None:
        try:
            return SequenceMeter(on_meta(self.net), self.batch_of, dict(bits))
        except Exception:  # whatever a model raises that wants numbers
            return None
