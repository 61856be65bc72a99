"""A small GLUE on disk, in the layout of the public sets: its labels can be told from its words."""

import random
from pathlib import Path

import polars as pl

from zoo.data.glue import SETS

WORDS = [
    "the",
    "a",
    "small",
    "old",
    "dog",
    "cat",
    "house",
    "river",
    "sees",
    "takes",
    "leaves",
    "finds",
    "quickly",
    "never",
    "often",
    "today",
]
# A word of each class; of numbers, how often the first one is there.
TELLING = ("apple", "pear", "plum")


def write_glue(root: Path, *tasks: str, train: int = 64, test: int = 24) -> Path:
    """Write sets below `root`; the first text holds the word that tells the label."""
    rng = random.Random(0)
    for task in tasks or tuple(SETS):
        about = SETS[task]
        classes = len(about.scored.labels)
        for split in about.sizes:
            rows = train if split == "train" else test
            columns: dict[str, list[object]] = {name: [] for name in (*about.texts, "label")}
            for i in range(rows):
                words = rng.choices(WORDS, k=rng.randint(3, 9))
                if classes == 1:
                    told = i % 6
                    words += [TELLING[0]] * told
                else:
                    told = i % classes
                    words += [TELLING[told]] * 2
                rng.shuffle(words)
                columns["label"].append(float(told) if classes == 1 else told)
                columns[about.texts[0]].append(" ".join(words))
                for name in about.texts[1:]:
                    columns[name].append(" ".join(rng.choices(WORDS, k=rng.randint(2, 12))))
            path = root / "glue" / task / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(columns).write_parquet(path)
    return root
