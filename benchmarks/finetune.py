"""Fine-tuning MosaicBERT on SST-2 and MNLI against transformers' BertForSequenceClassification.

Both sides see the same shuffled batches of the recipe's size (16 and 48 rows of at most 256 tokens of
bert-base-uncased), each padded to its longest row; neither puts rows of similar length together.
A step is forward, backward and AdamW, in turns; of the ratios of rounds the median is shown, and
tokens are real ones. The weights are new and the parameters equal: a step's time does not ask what a
weight is. Where ZOO_DATA has no GLUE there is nothing to measure.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.encoder import DTYPES
from zoo.models.bert_sizes import SIZES
from zoo.models.mosaicbert.builder import configuration
from zoo.models.mosaicbert.heads import MosaicBertForSequenceClassification

TASKS = {"sst2": 16, "mnli": 48}  # rows of an update, as the recipe has them
CASES = {"mini": (24, 5, "1.50"), "base": (2, 2, "")}  # batches of a round, rounds, limit
Batches = list[dict[str, Any]]


def batches_of(task: str, count: int) -> tuple[int, int, Batches] | None:
    """Return the number of words, that of classes and the first training batches."""
    from omegaconf import OmegaConf

    from zoo.config import build, compose
    from zoo.errors import UserError
    from zoo.schema import validate

    typed = [f"experiment=glue/{task}", "data.tokenizer=bert-base-uncased"]
    section = validate(OmegaConf.to_container(compose(typed), resolve=True))["data"]  # type: ignore[arg-type]
    assert section["batch_size"] == TASKS[task]
    assert not section["bucket"]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            data = build(section, seed=0)
    except UserError as error:
        print(f"  left out: {error}")
        return None
    data.total_batches = count
    arguments = data.model_arguments()
    return arguments["vocab_size"], len(arguments["labels"]), list(data.train_dataloader())


def models(size: str, words: int, classes: int) -> dict[str, nn.Module]:
    """Return both sides, with parameters as equal as two thirds of a width can be."""
    torch.manual_seed(0)
    shape = SIZES[size]
    bert = BertConfig(
        vocab_size=words, num_labels=classes, hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate_size,
    )  # fmt: skip
    ours = configuration(size, glu_match_parameters=True, vocab_size=words, num_labels=classes)
    return {
        "BERT": BertForSequenceClassification(bert).train(),
        "MosaicBERT": MosaicBertForSequenceClassification(ours).train(),
    }


def seconds_of(model: nn.Module, optimizer: Any, batches: Batches, dtype: torch.dtype) -> float:
    """Train on the batches and return the seconds."""
    began = time.perf_counter()
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - began


def known_to(name: str, batches: Batches) -> Batches:
    """Return what a side takes of the loader's batches: transformers wants ids, mask, types, labels."""
    if name == "MosaicBERT":
        return batches
    kept = ("input_ids", "attention_mask", "token_type_ids", "labels")
    return [{k: batch[k] for k in kept if k in batch} for batch in batches]


def rows() -> Iterator[tuple[str, str, str, str]]:
    for size, (count, rounds, limit) in CASES.items():
        for task in TASKS:
            found = batches_of(task, count)
            if found is None:
                continue
            words, classes, batches = found
            for name, dtype in DTYPES.items():
                yield tuning(
                    task, size, name, dtype, models(size, words, classes), batches, rounds, limit
                )


def tuning(
    task: str,
    size: str,
    name: str,
    dtype: torch.dtype,
    sides: dict[str, nn.Module],
    batches: Batches,
    rounds: int,
    limit: str,
) -> tuple[str, str, str, str]:
    optimizers = {
        k: torch.optim.AdamW(m.parameters(), lr=1e-5, fused=True) for k, m in sides.items()
    }
    given = {k: known_to(k, batches) for k in sides}
    seconds: dict[str, list[float]] = {k: [] for k in sides}
    for number in range(rounds + 1):  # the first is to warm up
        for k, model in sides.items():
            taken = seconds_of(model, optimizers[k], given[k], dtype)
            if number:
                seconds[k].append(taken)
    tokens = sum(sum(batch["lengths"]) for batch in batches)
    share = 1 - tokens / sum(batch["input_ids"].numel() for batch in batches)
    ratio = statistics.median(
        b / m for b, m in zip(seconds["BERT"], seconds["MosaicBERT"], strict=True)
    )
    rates = {k: tokens / statistics.median(s) for k, s in seconds.items()}
    counts = {k: sum(p.numel() for p in m.parameters()) / 1e6 for k, m in sides.items()}
    return (
        f"fine-tuning MosaicBERT {size} on {task} against transformers' BERT, {name}",
        f"{ratio:.2f}",
        limit,
        f"{rates['MosaicBERT']:.0f} against {rates['BERT']:.0f} real tokens/s, batches of "
        f"{TASKS[task]}, {share:.0%} padding, {counts['MosaicBERT']:.1f}M and {counts['BERT']:.1f}M "
        f"parameters, {rounds} rounds of {len(batches)} batches in turns, "
        f"{torch.get_num_threads()} threads",
    )
