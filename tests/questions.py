"""Small sets of questions whose answers can be learned, on disk in the layout of the public sets."""

import json
import os
import random
from pathlib import Path
from typing import Any

import polars as pl

KINDS = {
    "metal": ["iron", "zinc", "gold"],
    "bird": ["swan", "gull", "wren"],
    "fruit": ["pear", "plum", "lime"],
}


def choice(rng: random.Random) -> dict[str, Any]:
    """Return a question with an option of each kind, of which it asks for one."""
    kinds = list(KINDS)
    rng.shuffle(kinds)
    asked = rng.randrange(len(kinds))
    options = [rng.choice(KINDS[kind]) for kind in kinds]
    return {"question": f"Which is a {kinds[asked]}?", "options": options, "answer": asked}


def yes_no_maybe(rng: random.Random) -> dict[str, Any]:
    """Return a question about a context, which says nothing of it in one case of three."""
    answer = rng.randrange(3)
    kind = "metal" if answer == 0 else rng.choice(["bird", "fruit"])
    word = "thing" if answer == 2 else rng.choice(KINDS[kind])
    return {
        "context": f"Here is a {word}.", "question": "Is it a metal?",
        "options": ["yes", "no", "maybe"], "answer": answer,
    }  # fmt: skip


def write_lines(path: Path, make: Any, count: int, seed: int = 0) -> Path:
    """Write so many questions as JSON lines."""
    rng = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(make(rng)) + "\n" for _ in range(count)))
    return path


def write_folder(folder: Path, make: Any, *, train: int = 600, test: int = 200) -> Path:
    """Write a folder of questions of your own."""
    write_lines(folder / "train.jsonl", make, train, 0)
    write_lines(folder / "validation.jsonl", make, 40, 1)
    write_lines(folder / "test.jsonl", make, test, 2)
    return folder


def write_texts(folder: Path, make: Any) -> Path:
    """Write questions with their answers as running text, a folder of documents."""
    rng = random.Random(0)
    folder.mkdir(parents=True)
    for split, count in (("train", 800), ("validation", 20), ("test", 20)):
        rows = [{"text": as_text(make(rng))} for _ in range(count)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def taught(place: Path, make: Any, max_length: int, steps: int) -> Path:
    """The folder of a language model's run that learned such texts, a document a row."""
    from tests.conftest import train_in

    texts = write_texts(place / "texts", make)
    record = train_in(
        place / "outputs", "model=biomedlm", "data=folder", f"data.folder={os.path.relpath(texts)}",
        "data.vocab_size=400", f"data.max_length={max_length}", "data.packing=false",
        "data.batch_size=32", "model.hidden_dropout=0", "model.attention_dropout=0",
        "trainer.max_epochs=null", f"trainer.max_steps={steps}", "optimizer.lr=4e-3", "logger=none",
    )  # fmt: skip
    return place / "outputs" / record.id


def as_text(q: dict[str, Any]) -> str:
    """Return a question with its answer as `zoo answer` writes them."""
    context = f"Context: {q['context']}\n" if "context" in q else ""
    return f"{context}Question: {q['question']}\nAnswer: {q['options'][q['answer']]}"


def write_public(root: Path, count: int = 40) -> Path:
    """Write medqa, pubmedqa and the medical subjects of MMLU below a data.root."""
    rng = random.Random(0)
    for name, splits in (
        ("medqa", ("train", "validation", "test")),
        ("mmlu_medical", ("validation", "dev", "test")),
        ("pubmedqa", ("train", "test")),
    ):
        folder = root / "biomed_qa" / name
        folder.mkdir(parents=True, exist_ok=True)
        for split in splits:
            rows = [ROWS[name](rng, f"{split}{i}") for i in range(count)]
            pl.DataFrame(rows).write_parquet(folder / f"{split}.parquet")
    return root


def _medqa(rng: random.Random, name: str) -> dict[str, Any]:
    q = choice(rng)
    options = dict(zip("ABC", q["options"], strict=True))
    return {"question": q["question"], "options": options, "answer_idx": "ABC"[q["answer"]]}


def _mmlu(rng: random.Random, name: str) -> dict[str, Any]:
    q = choice(rng)
    return {
        "question": q["question"], "subject": "anatomy", "choices": q["options"],
        "answer": q["answer"],
    }  # fmt: skip


def _pubmedqa(rng: random.Random, name: str) -> dict[str, Any]:
    q = yes_no_maybe(rng)
    return {
        "pubid": name, "question": q["question"], "context": {"contexts": [q["context"]]},
        "final_decision": q["options"][q["answer"]],
    }  # fmt: skip


ROWS = {"medqa": _medqa, "mmlu_medical": _mmlu, "pubmedqa": _pubmedqa}
