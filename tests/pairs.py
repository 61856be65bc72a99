"""Small sets of pairs whose targets can be learned: three words, told backwards."""

import json
import random
from pathlib import Path
from typing import Any

WORDS = ["iron", "zinc", "swan", "gull", "pear", "plum", "oak", "elm"]

# A model of a few seconds that learns to tell them.
LEARNS = [
    "model=biomedlm", "data=pairs", "data.max_length=32", "data.vocab_size=300",
    "data.batch_size=16", "model.hidden_dropout=0", "model.attention_dropout=0",
    "logger=none",
]  # fmt: skip


def backwards(rng: random.Random) -> dict[str, str]:
    words = rng.choices(WORDS, k=3)
    return {"source": " ".join(words), "target": " ".join(reversed(words))}


def write_pairs(folder: Path, *, train: int = 1000, test: int = 60) -> Path:
    """Write a folder of pairs."""
    rng = random.Random(0)
    for split, count in (("train", train), ("validation", 20), ("test", test)):
        write(folder / f"{split}.jsonl", *(backwards(rng) for _ in range(count)))
    return folder


def write(path: Path, *rows: Any) -> Path:
    """Write rows as JSON lines, and a text as a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path
