"""Text to a mapped file of tokens, against `tokenizers` alone; and making batches out of it.

Both sides have the texts in memory and the same tokenizer, in turns. Theirs is one call of
`encode_batch_fast` for as many documents as ours takes at once; ours hashes the texts and writes
the Arrow file besides. Real abstracts where ZOO_DATA has them, else the bundled text.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from zoo.config import build, check, compose
from zoo.data.corpus import find_corpus
from zoo.data.documents import LeftOut
from zoo.data.tokenizers import TRAINERS, TextTokenizer, batched
from zoo.data.tokens import TOGETHER, store

ROUNDS = 15
DOCUMENTS = 4000


def texts() -> tuple[str, list[str]]:
    root = os.environ.get("ZOO_DATA", "")
    if (Path(root) / "biomed_text").is_dir():
        corpus = find_corpus("pubmed", root=root, cache_dir="")
        return "PubMed abstracts", list(islice(corpus.documents("train"), DOCUMENTS))
    return "the bundled text", list(
        find_corpus("text", root="", cache_dir="").documents("train")
    ) * 3


def alone(tokenizer: TextTokenizer, documents: list[str]) -> float:
    began = time.perf_counter()
    for batch in batched(documents, TOGETHER):
        tokenizer.engine.encode_batch_fast(batch, add_special_tokens=False)
    return time.perf_counter() - began


def ours(tokenizer: TextTokenizer, documents: list[str], folder: Path) -> float:
    began = time.perf_counter()
    store(documents, tokenizer, folder, LeftOut())
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return seconds


def batch_seconds(*overrides: str) -> float:
    """Return the seconds that a training batch takes to make: the median over two epochs."""
    data: Any = build(check(compose(["data=text", "model=mosaicbert", *overrides]))["data"], seed=0)
    data.total_batches = 2 * data.batches_per_epoch
    times = []
    for number in range(data.total_batches):
        began = time.perf_counter()
        data.train_batch(number, 0, 1)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def rows() -> Iterator[tuple[str, str, str, str]]:
    what, documents = texts()
    size = sum(len(text.encode()) for text in documents) / 1e6
    for kind, train in TRAINERS.items():
        tokenizer = train(lambda: documents, 8192)
        us, them = [], []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(ROUNDS):
                them.append(alone(tokenizer, documents))
                us.append(ours(tokenizer, documents, Path(folder) / "tokens"))
        ratio = statistics.median(t / u for t, u in zip(them, us, strict=True))
        yield (
            f"tokenising {what}, {kind}, against tokenizers alone",
            f"{ratio:.2f}",
            "0.90",
            f"{size / statistics.median(us):.2f} MB/s against {size / statistics.median(them):.2f} "
            f"MB/s, {size:.1f} MB, {ROUNDS} rounds in turns",
        )
    for name, overrides in (
        ("masked rows, 32 x 128", ()),
        ("packed blocks, 8 x 1024", ("model=biomedlm", "data.max_length=1024",
                                     "data.batch_size=8")),
    ):  # fmt: skip
        yield f"making a batch, {name}", f"{1e3 * batch_seconds(*overrides):.2f} ms", "", "median"
