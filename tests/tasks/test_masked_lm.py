"""Evaluation of masked words over uneven batches, against torch on all of them at once."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.optim.schedules import Constant
from zoo.tasks.masked_lm import MaskedLMTask

WORDS = 7


class Table(nn.Module):
    """Gives prepared logits, row i of them for token i, and the loss of the targets."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_: Any) -> dict[str, Any]:
        logits = self.logits[input_ids]
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        return {"loss": loss, "logits": logits}


def scored(logits: torch.Tensor) -> tuple[dict[str, float], torch.Tensor, torch.Tensor]:
    """Return what is logged for 12 rows in batches of 5, the places of the targets, their words."""
    task = MaskedLMTask(
        Table(logits),
        max_length=4,
        make_optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        schedule=Constant(),
        progress=lambda _: 0.0,
    )
    logged: dict[str, float] = {}
    task.log = lambda key, value, **_: logged.update({key: float(value)})  # type: ignore[assignment]
    ids = torch.arange(48).view(12, 4)
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, WORDS, (12, 4), generator=generator)
    masked = torch.rand(12, 4, generator=generator) < 0.4
    masked[:5] &= torch.arange(4) < 1  # batches with unequal counts
    labels = torch.where(masked, words, -100)
    for part in torch.arange(12).split(5):
        targets = (labels[part].flatten() != -100).nonzero().flatten()
        batch = {
            "input_ids": ids[part], "labels": labels[part], "attention_mask": None,
            "targets": targets, "lengths": [4] * len(part),
        }  # fmt: skip
        task.evaluate(batch, "val")
    task.publish("val")
    return logged, masked.flatten(), words.flatten()


def test_the_mean_is_over_words_and_not_over_batches() -> None:
    logits = torch.randn(48, WORDS, generator=torch.Generator().manual_seed(0))
    logged, masked, words = scored(logits)
    assert 8 < masked.sum() < 30
    assert logged["val/loss"] == pytest.approx(
        F.cross_entropy(logits[masked], words[masked]).item()
    )
    right = (logits.argmax(1) == words)[masked].float().mean().item()
    assert logged["val/acc"] == pytest.approx(right)


def test_logits_of_nan_have_no_score() -> None:
    """Neither the loss of the batches that are left, nor the hits of the first word."""
    logits = torch.zeros(48, WORDS)
    _, masked, _ = scored(logits)
    logits[int(masked.nonzero()[-1])] = torch.nan
    logged, *_ = scored(logits)
    assert set(logged) == {"val/loss", "val/acc"}
    assert all(value != value for value in logged.values())
