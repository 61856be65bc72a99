"""MosaicBERT against transformers' own classes: training, padding, memory, encoding, features.

Both sides see the same batches: documents of C4 in rows of 128 tokens of bert-base-uncased, 30% of
them masked, where ZOO_DATA has both, and English that ships with Python where it has not. A training
step is forward, backward and AdamW; tokens are real ones. In turns, medians of ratios. Where the
share of padding is the question, ids are random ones.
"""

import contextlib
import io
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.models.bert_sizes import SIZES
from zoo.models.glu import matched_intermediate_size

ROOT = Path(__file__).resolve().parent.parent
WORDS, WIDTH = 30522, 128
FEATURES = (
    "alibi", "glu", "unpad", "low_precision_layernorm", "masked_only_head", "vocab_multiple",
)  # fmt: skip
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def corpus(rows: int, batches: int) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a corpus and its first training batches."""
    from omegaconf import OmegaConf

    from zoo.config import build, compose
    from zoo.errors import UserError
    from zoo.schema import validate

    for typed in (["data=c4", "data.tokenizer=bert-base-uncased"], ["data=text"]):
        composed = compose([*typed, f"data.batch_size={rows}", "data.eval_samples=1"])
        section = validate(OmegaConf.to_container(composed, resolve=True))["data"]  # type: ignore[arg-type]
        try:
            data = build(section, seed=0)
        except UserError:
            continue
        data.total_batches = batches
        return section["name"], list(data.train_dataloader())
    raise AssertionError("the corpus that ships with Python is always there")


def batch(rows: int, padding: float = 0.05, seed: int = 0) -> dict[str, Any]:
    """Return random rows of which the last ones are short: so much of all is padding."""
    g = torch.Generator().manual_seed(seed)
    lengths = [WIDTH] * rows
    hidden = round(padding * rows * WIDTH)
    short = max(1, rows // 8) if padding <= 0.1 else rows
    for i in range(short if hidden else 0):
        lengths[-1 - i] -= hidden // short + (i < hidden % short)
    if padding > 0.1:  # lengths of all kinds, in pairs around the mean
        for i in range(0, rows - 1, 2):
            most = min(WIDTH - lengths[i], lengths[i] - 1, WIDTH // 4)
            shift = int(torch.randint(0, most + 1, (1,), generator=g))
            lengths[i], lengths[i + 1] = lengths[i] + shift, lengths[i + 1] - shift
    ids = torch.randint(1000, WORDS, (rows, WIDTH), generator=g)
    real = torch.arange(WIDTH) < torch.tensor(lengths)[:, None]
    is_target = (torch.rand(rows, WIDTH, generator=g) < 0.3) & real
    labels = torch.where(is_target, ids, -100)
    return {
        "input_ids": ids.masked_fill(is_target, 103).masked_fill(~real, 0),
        "attention_mask": real.long(),
        "labels": labels,
        "lengths": lengths,
        "targets": is_target.flatten().nonzero().flatten(),
    }


def model(kind: str, size: str, **options: Any) -> nn.Module:
    if kind == "bert":
        from zoo.models.bert import masked_lm
    else:
        from zoo.models.mosaicbert.builder import masked_lm  # type: ignore[assignment]
    torch.manual_seed(0)
    with contextlib.redirect_stderr(io.StringIO()):
        return masked_lm(size, WORDS, 0, 512, **options).train()


def step_of(
    made: nn.Module, batches: list[dict[str, Any]], dtype: torch.dtype, *, compiled: bool = False
) -> Callable[[], None]:
    """Return a training step, which goes through the batches in turns."""
    run = torch.compile(made) if compiled else made
    coming = itertools.cycle(batches)
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-5, fused=True)
    is_half = dtype == torch.bfloat16

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            loss = run(**next(coming)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds_in_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):  # the first is to warm up
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            if turn:
                found[name].append(time.perf_counter() - began)
    return found


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(o / u for o, u in zip(over, under, strict=True))


def rows() -> Iterator[tuple[str, str, str, str]]:
    yield from training("mini", rows=32, rounds=5, limit="1.80")
    yield from training("base", rows=8, rounds=2, limit="1.20")
    yield from features()
    yield from padding()
    yield from memory()
    yield from encoding()


def training(size: str, rows: int, rounds: int, limit: str) -> Iterator[tuple[str, str, str, str]]:
    name_of_corpus, batches = corpus(rows, rounds)
    # Batches are visited in turns, the first of them once more to warm up.
    tokens = sum(sum(b["lengths"]) for b in batches)
    share = 1 - tokens / sum(b["labels"].numel() for b in batches)
    for name, dtype in DTYPES.items():
        made = {
            "bert": model("bert", size),
            "bert, compiled": model("bert", size),
            "equal parameters": model("mosaicbert", size, glu_match_parameters=True),
            "the paper's GLU": model("mosaicbert", size),
        }
        steps = {k: step_of(m, batches, dtype, compiled="compiled" in k) for k, m in made.items()}
        found = seconds_in_turns(steps, rounds)
        for which in ("equal parameters", "the paper's GLU"):
            count = sum(p.numel() for p in made[which].parameters()) / 1e6
            ours = tokens / sum(found[which])
            for other in ("bert", "bert, compiled"):
                yield (
                    f"training MosaicBERT {size} against {other}, {name}, {which}",
                    f"{ratio(found[other], found[which]):.2f}",
                    limit if (which, other) == ("equal parameters", "bert") else "",
                    f"{ours:.0f} against {tokens / sum(found[other]):.0f} real tokens/s on "
                    f"{name_of_corpus}, {share:.1%} padding, {count:.1f}M parameters, {rounds} "
                    f"rounds in turns, {torch.get_num_threads()} threads",
                )
        del made, steps, found
    plain = {"attention_dropout": 0.0, "hidden_dropout": 0.0}
    ours_plain = model("mosaicbert", size, glu_match_parameters=True, **plain)
    sides = {
        "bert": step_of(model("bert", size, **plain), batches, torch.float32),
        "ours": step_of(ours_plain, batches, torch.float32),
    }
    found = seconds_in_turns(sides, rounds)
    yield (
        f"the same without any dropout, {size}, fp32, equal parameters",
        f"{ratio(found['bert'], found['ours']):.2f}",
        "",
        f"{1e3 * statistics.median(found['ours']):.0f} ms against "
        f"{1e3 * statistics.median(found['bert']):.0f} ms a step",
    )


def features() -> Iterator[tuple[str, str, str, str]]:
    """One line for each feature that is switched off, at mini in bf16."""
    _, batches = corpus(32, 5)
    sides = {
        "all": step_of(
            model("mosaicbert", "mini", glu_match_parameters=True), batches, torch.bfloat16
        )
    }
    for feature in FEATURES:
        off = {feature: 1 if feature == "vocab_multiple" else False}
        made = model("mosaicbert", "mini", glu_match_parameters=True, **off)
        sides[feature] = step_of(made, batches, torch.bfloat16)
    found = seconds_in_turns(sides, rounds=5)
    for feature in FEATURES:
        yield (
            f"a step with {feature} off against all on, mini, bf16",
            f"{ratio(found[feature], found['all']):.2f}",
            "",
            f"{1e3 * statistics.median(found[feature]):.0f} ms against "
            f"{1e3 * statistics.median(found['all']):.0f} ms",
        )


def padding() -> Iterator[tuple[str, str, str, str]]:
    shares = (0.0, 0.25, 0.5, 0.75)
    made = model("mosaicbert", "mini")
    inputs = {share: batch(32, share) for share in shares}
    sides = {str(share): step_of(made, [inputs[share]], torch.float32) for share in shares}
    found = seconds_in_turns(sides, rounds=5)
    whole = sum(inputs[0.0]["lengths"])
    for share in shares[1:]:
        real = sum(inputs[share]["lengths"]) / whole
        taken = ratio(found[str(share)], found["0.0"])
        yield (
            f"a step's time at {share:.0%} padding against its share of real tokens, mini, fp32",
            f"{taken / real:.2f}",
            "1.15",
            f"{taken:.3f} of the time for {real:.3f} of the tokens",
        )


PEAK = """
import sys, torch
from pathlib import Path
from benchmarks.encoder import WORDS, model
rows, unpad = int(sys.argv[1]), sys.argv[2] == "unpad"
made = model("mosaicbert", "mini", unpad=unpad, hidden_dropout=0.0)
def peak():  # of this program: what getrusage says is at least the parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("VmHWM")).split()[1]) / 1024
def encode(ids):
    lengths = [ids.shape[1]] * len(ids)
    lengths[-1] -= 1
    made.bert(ids, lengths=lengths).last_hidden_state.sum().backward()
encode(torch.ones(1, 128, dtype=torch.long))
before = peak()
encode(torch.ones(rows, 2048, dtype=torch.long))
print(peak() - before)
"""


def peak_mb(rows: int, how: str) -> float:
    """Return how much a forward and backward pass at length 2048 adds to a new process."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(rows), how],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return float(done.stdout)


def memory() -> Iterator[tuple[str, str, str, str]]:
    for rows in (2, 8):
        ours, dense = peak_mb(rows, "unpad"), peak_mb(rows, "dense")
        bias = SIZES["mini"].heads * 2048**2 * 4 / 2**20
        yield (
            f"peak memory at length 2048, {rows} rows, against a dense (B, H, s, s) bias, mini",
            f"{ours / dense:.2f}",
            "",
            f"{ours:.0f} MB against {dense:.0f} MB; the bias is {bias:.0f} MB, dense {rows * bias:.0f} MB",
        )


def encode_of(encoder: nn.Module, inputs: dict[str, Any], dtype: torch.dtype) -> Callable[[], None]:
    """Return an encoding of ids and mask: what a loader knows is not told."""
    known = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    is_half = dtype == torch.bfloat16

    def encode() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=is_half):
            encoder(**known)

    return encode


def encoding() -> Iterator[tuple[str, str, str, str]]:
    """Inference of the bare encoders, at 5% and at 50% padding."""
    from transformers import ModernBertConfig, ModernBertModel

    shape = SIZES["mini"]
    modern = ModernBertModel(
        ModernBertConfig(
            vocab_size=WORDS,
            hidden_size=shape.hidden_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=matched_intermediate_size(shape.intermediate_size),
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=None,
            cls_token_id=None,
            sep_token_id=None,
            attn_implementation="sdpa",
        )
    )
    encoders = {
        "MosaicBERT": model("mosaicbert", "mini", glu_match_parameters=True).bert,
        "BERT": model("bert", "mini").bert,
        "ModernBERT": modern,
    }
    for share in (0.05, 0.5):
        inputs = batch(32, share)
        tokens = sum(inputs["lengths"])
        for name, dtype in DTYPES.items():
            sides = {k: encode_of(e.eval(), inputs, dtype) for k, e in encoders.items()}
            found = seconds_in_turns(sides, rounds=7)
            for other in ("BERT", "ModernBERT"):
                yield (
                    f"encoding with MosaicBERT mini against {other}, {name}, {share:.0%} padding",
                    f"{ratio(found[other], found['MosaicBERT']):.2f}",
                    "",
                    f"{tokens / statistics.median(found['MosaicBERT']):.0f} against "
                    f"{tokens / statistics.median(found[other]):.0f} real tokens/s",
                )
