"""Training MosaicBERT against transformers' BERT on the same masked rows, AdamW's step included.

The rows are C4's where ZOO_DATA has it (bert-base-uncased's words, 128 tokens, 30% masked), else the
bundled text's with a vocabulary of its own. Rates are of real tokens. `python -m benchmarks encoder`.
"""

import contextlib
import io
import itertools
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.optim import AdamW

from zoo.config import build, compose
from zoo.models import bert
from zoo.models.mosaicbert import builder
from zoo.schema import validate

# Size, rows of a batch, updates of a round, rounds, limit.
CASES = (("mini", 32, 3, 3, "1.80"), ("base", 8, 1, 2, "1.20"))
EQUAL = {"glu_match_parameters": True}  # as many weights as BERT has
OFF: dict[str, dict[str, Any]] = {
    "the wider GLU": {"glu_match_parameters": False},
    "alibi=false": {**EQUAL, "alibi": False},
    "glu=false": {"glu": False},
    "unpad=false": {**EQUAL, "unpad": False},
    "low_precision_layernorm=false": {**EQUAL, "low_precision_layernorm": False},
    "masked_only_head=false": {**EQUAL, "masked_only_head": False},
    "vocab_multiple=1": {**EQUAL, "vocab_multiple": 1},
}


def rows_of(batch_size: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return eight batches, and what the models must know of them."""
    real = bool(os.environ.get("ZOO_DATA"))
    words = ["data=c4", "data.tokenizer=bert-base-uncased"] if real else ["data=text"]
    composed = compose([*words, "data.max_length=128", f"data.batch_size={batch_size}"])
    data = build(validate(OmegaConf.to_container(composed, resolve=True))["data"], seed=0)  # type: ignore[arg-type]
    data.total_batches = 8
    return list(data.train_dataloader()), data.model_arguments()


class Training:
    """A model with its optimizer, going round and round over the batches.

    Args:
        net: for masked words.
        batches: what a data loader gives.
        bf16: under autocast, else in fp32.
    """

    def __init__(self, net: torch.nn.Module, batches: list[dict[str, Any]], *, bf16: bool) -> None:
        self.net = net.train()
        self.batches = itertools.cycle(batches)
        self.bf16 = bf16
        self.optimizer = AdamW(net.parameters(), lr=1e-5, foreach=True)

    def tokens_per_s(self, updates: int) -> float:
        began, tokens = time.perf_counter(), 0
        for batch in itertools.islice(self.batches, updates):
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                loss = self.net(**batch)["loss"]
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            tokens += sum(batch["lengths"])
        return tokens / (time.perf_counter() - began)


def in_turns(sides: dict[str, Training], updates: int, rounds: int) -> dict[str, float]:
    """Return each side's median rate over rounds in turns, after one update to warm up."""
    for side in sides.values():
        side.tokens_per_s(1)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side.tokens_per_s(updates))
    return {name: statistics.median(rates) for name, rates in found.items()}


def rows() -> Iterator[tuple[str, str, str, str]]:
    for size, batch_size, updates, rounds, limit in CASES:
        batches, known = rows_of(batch_size)
        slots = sum(b["input_ids"].numel() for b in batches)
        padding = 100 - 100 * sum(sum(b["lengths"]) for b in batches) / slots
        for bf16 in (False, True):
            options = {"BERT": None, "equal": EQUAL, "wide": OFF["the wider GLU"]}
            if size == "mini":
                options |= {k: v for k, v in OFF.items() if k != "the wider GLU"}
            with contextlib.redirect_stderr(io.StringIO()):  # sizes, which models say
                sides = {
                    name: Training(
                        bert.masked_lm(size=size, **known)
                        if switches is None
                        else builder.masked_lm(size=size, **switches, **known),
                        batches,
                        bf16=bf16,
                    )
                    for name, switches in options.items()
                }
            rates = in_turns(sides, updates, rounds)
            arithmetic = "bf16" if bf16 else "fp32"
            for name, rate in rates.items():
                if name == "BERT":
                    continue
                words = {"equal": "MosaicBERT, equal parameters", "wide": "MosaicBERT, wide GLU"}
                yield (
                    f"{words.get(name, name)}, against BERT, {size}, {arithmetic}",
                    f"{rate / rates['BERT']:.2f}",
                    limit if name == "equal" else "",
                    f"{rate:,.0f} against {rates['BERT']:,.0f} real tokens/s, {padding:.0f}% "
                    f"padding, {rounds} rounds in turns, {torch.get_num_threads()} threads",
                )
