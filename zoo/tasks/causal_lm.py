"""Causal language modelling: which token comes next?

    loss = mean over tokens of -log p(token | those before)        nats a token
    perplexity = exp(loss)
    bits per byte = sum of -log2 p / UTF-8 bytes of the tokens' text

Perplexities compare models with one tokenizer; bits per byte compare any, for the bytes are the
text's. The end-of-text token is predicted like any other: its bits count, and it has no bytes.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from zoo.example import Example
from zoo.precision.kinds import Kind
from zoo.tasks.base import Task, meta, on_meta
from zoo.tasks.meter import Extent, Meter, SequenceMeter, extent_of


class Surprise(Metric):
    """Nats, tokens and bytes of a split, added up exactly over its batches and all ranks.

    The nats are summed in 64 bits; a NaN among them stays one.
    """

    nats: Tensor
    tokens: Tensor
    bytes: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Apple's GPUs have no 64-bit floating point.
        real = torch.float32 if torch.backends.mps.is_available() else torch.float64
        for name, kind in (("nats", real), ("tokens", torch.int64), ("bytes", torch.int64)):
            self.add_state(name, torch.zeros((), dtype=kind), dist_reduce_fx="sum")

    def update(self, loss: Tensor, tokens: int, text_bytes: int) -> None:
        """Add a batch, of which `loss` is the mean over so many tokens."""
        self.nats += loss.to(self.nats.dtype) * tokens
        self.tokens += tokens
        self.bytes += text_bytes

    def compute(self) -> dict[str, Tensor]:
        """Return the scores over all batches."""
        loss = self.nats / self.tokens
        return {
            "loss": loss,
            "perplexity": loss.exp(),
            "bits_per_byte": self.nats / math.log(2) / self.bytes,
        }


class CausalLMTask(Task):
    """Learn to tell the next token.

    Args:
        net: takes a batch of zoo.data.causal; returns the `loss`, the mean cross-entropy over the
            batch's targets.
        max_length: tokens of the longest row.
        shared: see `Task`.
    """

    def __init__(self, net: nn.Module, *, max_length: int, **shared: Any) -> None:
        super().__init__(net, **shared)
        self.max_length = max_length
        self.surprises = nn.ModuleDict({"val": Surprise(), "test": Surprise()})

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        loss = self.net(**batch)["loss"]
        return {"loss": loss, "metrics": {"loss": loss.detach()}}

    def _evaluate(self, batch: dict[str, Any], split: str) -> None:
        tokens = sum(batch["predicted"])
        if tokens:
            loss = self.net(**batch)["loss"]
            self.surprises[split].update(loss, tokens, batch["bytes"])  # type: ignore[operator]

    def _publish(self, split: str) -> None:
        surprise: Any = self.surprises[split]
        for key, value in surprise.compute().items():
            # Summed over the ranks already: their mean is the same number.
            self.log(f"{split}/{key}", value, sync_dist=True)
        surprise.reset()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self._publish("val")

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def on_test_epoch_end(self) -> None:
        self._publish("test")

    def count(self, batch: dict[str, Any]) -> tuple[int, int | None]:
        return len(batch["lengths"]), sum(batch["lengths"])

    def extent(self, batch: dict[str, Any]) -> Extent:
        return extent_of(batch["lengths"], batch["predicted"])

    def example(self, samples: int) -> Example:
        return self.batch_of(samples, self.max_length, self.max_length - 1)

    def batch_of(self, rows: int, length: int, targets: int) -> dict[str, Any]:
        """Return a batch without padding on the meta device, with so many targets in each row."""
        return {
            "input_ids": meta(rows, length, dtype=torch.long),
            "labels": meta(rows, length, dtype=torch.long),
            "lengths": [length] * rows,
            "targets": meta(rows * targets, dtype=torch.long),
        }

    def meter(self, batch_size: int, accumulate: int, bits: dict[Kind, int]) -> Meter | None:  # type: ignore[override]
        try:
            return SequenceMeter(on_meta(self.net), self.batch_of, bits)
        except Exception:  # whatever a model raises that wants numbers
            return None
