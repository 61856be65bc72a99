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
from zoo.tasks.meter import Extent, extent_of
from zoo.tasks.sequences import SequenceTask


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


class CausalLMTask(SequenceTask):
    """Learn to tell the next token.

    Args:
        net: takes a batch of zoo.data.causal; returns the `loss`, the mean cross-entropy over the
            batch's targets.
        max_length: tokens of the longest row.
        shared: see `Task`.
    """

    def __init__(self, net: nn.Module, *, max_length: int, **shared: Any) -> None:
        super().__init__(net, max_length=max_length, **shared)
        self.surprises = nn.ModuleDict({"val": Surprise(), "test": Surprise()})

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        loss = self.net(**batch)["loss"]
        return {"loss": loss, "metrics": {"loss": loss.detach()}}

    def evaluate(self, batch: dict[str, Any], split: str) -> None:
        loss = self.net(**batch)[
            "loss"
        ]  # by every rank: where weights are shared out all wait for it
        tokens = sum(batch["predicted"])
        if tokens:
            self.surprises[split].update(loss, tokens, batch["bytes"])  # type: ignore[operator]

    def publish(self, split: str) -> None:
        surprise: Any = self.surprises[split]
        for key, value in surprise.compute().items():
            # Summed over the ranks already: their mean is the same number.
            self.log(f"{split}/{key}", value, sync_dist=True)
        surprise.reset()

    def extent(self, batch: dict[str, Any]) -> Extent:
        return extent_of(batch["lengths"], batch["predicted"])

    def example(self, samples: int) -> Example:
        return self.batch_of(samples, self.max_length, self.max_length - 1)
