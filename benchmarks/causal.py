"""BioMedLM: training against transformers in a plain loop; packed blocks against padded rows.

Training: both sides read the same batches of the bundled text, with the same optimizer and clipping,
from the same initial weights. The zoo's side is all of `python train.py`: Lightning's loop, the
recorder, the progress bar, the checkpoints. In turns, medians of ratios.

Packing: abstracts of PubMed where ZOO_DATA has them, one model, batches of 32 rows of up to 1,024
tokens; a padded batch is as wide as its longest row, and its head is of the real tokens only. Blocks
whose attention stays inside documents compute what padded rows do; without that, words look back at
the documents before, too, which takes more arithmetic. Tokens are real ones.
"""

import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

from benchmarks.step import trained
from zoo.config import build, check, compose
from zoo.seeding import INIT, seed_everything

CASES = {
    "mini, 32 x 128": (["model.size=mini"], 8, 5),
    "125m, 4 x 256": (["model.size=125m", "data.batch_size=4", "data.max_length=256"], 4, 3),
}
VARIANTS = {"": [], ", no dropout": ["model.attention_dropout=0", "model.hidden_dropout=0"]}


def settings_of(folder: str, *overrides: str) -> dict[str, Any]:
    return check(
        compose([
            "model=biomedlm", *overrides, f"paths.output_dir={folder}", "force=true",
            "trainer.max_epochs=null", "trainer.eval_every_steps=1000000",
        ])
    )  # fmt: skip


def ours(settings: dict[str, Any], steps: int) -> float:
    """Return seconds a step of the zoo, from the end of the first to the end of the last."""
    _, ends = trained(settings)
    return (ends[-1] - ends[0]) / (steps - 1)


def theirs(settings: dict[str, Any], steps: int) -> float:
    """Return seconds a step of transformers' class in a plain loop."""
    data: Any = build(settings["data"], seed=settings["seed"])
    data.total_batches = steps
    seed_everything(INIT, 0)
    # What fills the memory of a second model decides no time: the same weights, in their class.
    made = build(settings["model"], **data.model_arguments())
    net = GPT2LMHeadModel(made.config).train()
    net.load_state_dict(made.state_dict())
    del made
    optimizer = build(settings["optimizer"], params=net.parameters())
    ends = []
    for batch in data.train_dataloader():
        loss = net(
            batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"]
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / (steps - 1)


def training() -> Iterator[tuple[str, str, str, str]]:
    for name, (overrides, steps, rounds) in CASES.items():
        for variant, more in VARIANTS.items():
            us, them = [], []
            with tempfile.TemporaryDirectory() as folder:
                settings = settings_of(folder, *overrides, *more, f"trainer.max_steps={steps}")
                tokens = settings["data"]["batch_size"] * settings["data"]["max_length"]
                for _ in range(rounds):
                    with contextlib.redirect_stderr(io.StringIO()):
                        them.append(theirs(settings, steps))
                        us.append(ours(settings, steps))
            ratio = statistics.median(t / u for t, u in zip(them, us, strict=True))
            yield (
                f"training BioMedLM {name}{variant}, against transformers in a plain loop",
                f"{ratio:.2f}",
                "1.00",
                f"{tokens / statistics.median(us):.0f} against {tokens / statistics.median(them):.0f} "
                f"tokens/s, fp32, {rounds} rounds in turns, {torch.get_num_threads()} threads",
            )


LAYOUTS = {
    "packed": [],
    "packed, attention inside documents": ["data.within_documents=true"],
    "padded": ["data.packing=false"],
}


def packing(rows: int = 32, batches: int = 6) -> Iterator[tuple[str, str, str, str]]:
    root = os.environ.get("ZOO_DATA", "")
    has_abstracts = (Path(root) / "biomed_text").is_dir()
    what = "PubMed abstracts" if has_abstracts else "the bundled text"
    corpus = ["data=pubmed", f"data.root={root}", "data.train_documents=2000"]
    rates: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    shares = []
    loaders = {}
    for name, options in LAYOUTS.items():
        settings = settings_of(
            "outputs", *(corpus if has_abstracts else []), "data.max_length=1024", "model.size=mini",
            "model.attention_dropout=0", "trainer.max_steps=1", f"data.batch_size={rows}", *options,
        )  # fmt: skip
        loaders[name] = build(settings["data"], seed=0)
    with contextlib.redirect_stderr(io.StringIO()):
        net = build(settings["model"], **loaders["packed"].model_arguments()).train()
    optimizer = build(settings["optimizer"], params=net.parameters())
    for number in range(batches + 1):  # the first is to warm up
        for name, data in loaders.items():
            batch = data.train_batch(number, 0, 1)
            real = sum(batch["lengths"])
            began = time.perf_counter()
            net(**batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if number:
                rates[name].append(real / (time.perf_counter() - began))
                if name == "padded":
                    shares.append(real / batch["input_ids"].numel())
    padded = statistics.median(rates["padded"])
    for name in ("packed", "packed, attention inside documents"):
        packed = statistics.median(rates[name])
        yield (
            f"{name}, against padded, {what}, mini, {rows} x 1024",
            f"{packed / padded:.2f}",
            "1.50" if has_abstracts else "",
            f"{packed:.0f} against {padded:.0f} real tokens/s; {statistics.mean(shares):.0%} of a "
            f"padded batch is real, {batches} rounds",
        )


def rows() -> Iterator[tuple[str, str, str, str]]:
    yield from training()
    yield from packing()
