"""GLUE (Wang et al. 2019, arXiv 1804.07461): nine sets of English sentences with labels.

The labels of the public test sets are kept by its makers, so the public validation set is what is
reported, as test; a validation split of our own is carved out of the training set, by which epochs
and rates are chosen. It is the same for every seed. Sets that are smaller than the public ones are
marked as such in every record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo import places
from zoo.data.images import require_at_most, stratified
from zoo.data.sentences import Scored, SentenceData, Sentences
from zoo.data.text import chosen_tokenizer
from zoo.data.tokenizers import TextTokenizer, trained
from zoo.errors import UserError, first_line
from zoo.processes import say
from zoo.seeding import SPLIT, generator

HUB = "nyu-mll/glue"
ONE_IN, AT_MOST = (
    20,
    1000,
)  # of the training sentences, and of them so many, are the validation split


@dataclass(frozen=True)
class Set:
    """One of the nine.

    Args:
        texts: the columns with the sentences.
        scored: its labels, and what is measured.
        sizes: rows of the public splits, by their names there; train, and what is reported as test.
    """

    texts: tuple[str, ...]
    scored: Scored
    sizes: dict[str, int]


PAIR = ("sentence1", "sentence2")
FOLLOWS = ("entailment", "not_entailment")
SETS = {
    "cola": Set(
        ("sentence",),
        Scored(("unacceptable", "acceptable"), ("matthews", "acc"), ("matthews",)),
        {"train": 8_551, "validation": 1_043},
    ),
    "sst2": Set(
        ("sentence",), Scored(("negative", "positive")), {"train": 67_349, "validation": 872}
    ),
    "mrpc": Set(
        PAIR,
        Scored(("not_equivalent", "equivalent"), ("acc", "f1"), ("acc", "f1")),
        {"train": 3_668, "validation": 408},
    ),
    "stsb": Set(
        PAIR,
        Scored(("similarity",), ("spearman", "pearson"), ("spearman",)),
        {"train": 5_749, "validation": 1_500},
    ),
    "qqp": Set(
        ("question1", "question2"),
        Scored(("not_duplicate", "duplicate"), ("acc", "f1"), ("acc", "f1")),
        {"train": 363_846, "validation": 40_430},
    ),
    "mnli": Set(
        ("premise", "hypothesis"),
        Scored(("entailment", "neutral", "contradiction"), further=("mismatched",)),
        {"train": 392_702, "validation_matched": 9_815, "validation_mismatched": 9_832},
    ),
    "qnli": Set(
        ("question", "sentence"), Scored(FOLLOWS), {"train": 104_743, "validation": 5_463}
    ),
    "rte": Set(PAIR, Scored(FOLLOWS), {"train": 2_490, "validation": 277}),
    "wnli": Set(
        PAIR, Scored(("not_entailment", "entailment")), {"train": 635, "validation": 71}
    ),
}  # fmt: skip


def glue(
    *,
    task: str,
    root: str,
    cache_dir: str,
    seed: int,
    batch_size: int,
    eval_batch_size: int,
    max_length: int,
    tokenizer: str = "auto",
    vocab_size: int = 4096,
    tokenizer_folder: str | None = None,
    train_samples: int | None = None,
    bucket: bool = False,
    own_tokenizer: TextTokenizer | None = None,
) -> SentenceData:
    """Return one of GLUE's sets as rows of tokens; conf/data/glue.yaml says what each argument means.

    Raises:
        UserError: its files are not there or are broken, or the tokenizer does not fit.
    """
    about = SETS[task]
    stored = dict(_stored(task, about, Path(root), cache_dir))
    names = list(about.sizes)
    everything = stored["train"]
    held_out, rest = _carved(everything)
    count = require_at_most(train_samples, len(rest), "data.train_samples")
    if count < len(rest):
        rest = np.sort(rest[np.arange(count) * len(rest) // count])
    splits = {
        "train": everything.take(rest),
        "validation": everything.take(held_out),
        "test": stored[names[1]],
        **dict(zip(about.scored.further, (stored[n] for n in names[2:]), strict=True)),
    }

    def trained_here(kind: str) -> TextTokenizer:
        texts = [text for column in splits["train"].texts for text in column]
        key = f"{HUB} {task} {splits['train'].sha256}"
        return trained(kind, lambda: texts, vocab_size, key=key, cache_dir=cache_dir)

    made = chosen_tokenizer(
        tokenizer, own_tokenizer, "wordpiece", trained_here,
        root=root, cache_dir=cache_dir, folder=tokenizer_folder,
    )  # fmt: skip
    data = SentenceData(
        task, splits, made,
        scored=about.scored, subset=_subset(about, stored, count < len(everything) - len(held_out)),
        bucket=bucket, seed=seed, batch_size=batch_size, eval_batch_size=eval_batch_size,
        max_length=max_length,
    )  # fmt: skip
    cut = sum(rows.cut for rows in data.rows_of.values())
    if cut:
        said = f"data.max_length={max_length}: {cut} tokens of the longest sentences are left out"
        say(said)
    return data


def _carved(train: Sentences) -> tuple[np.ndarray, np.ndarray]:
    """Return the training sentences that are the validation split, and the others."""
    count = max(1, min(len(train) // ONE_IN, AT_MOST))
    labels = torch.from_numpy(train.labels)
    if not labels.is_floating_point():
        held_out, rest = stratified(labels, count)
        return held_out.numpy(), rest.numpy()
    order = torch.randperm(len(train), generator=generator(SPLIT, 0)).numpy()
    return np.sort(order[:count]), np.sort(order[count:])


def _subset(about: Set, stored: dict[str, Sentences], fewer: bool) -> list[str]:
    """Return which of train and test are a part of the public set."""
    short = {name for name, size in about.sizes.items() if len(stored[name]) != size}
    train = fewer or "train" in short
    return [
        *(["train"] if train else []),
        *(["test"] if short - {"train"} else []),
    ]


# -- where it is stored ------------------------------------------------------------------------------


def _stored(task: str, about: Set, root: Path, cache_dir: str) -> Iterator[tuple[str, Sentences]]:
    """Yield each public split that is used, under its name."""
    files = places.glue(task, root)
    if files is not None:
        for split, paths in files.items():
            yield (
                split,
                _checked(
                    _of_parquet(task, about, paths), about, f"data.task={task}: {paths[0].name}"
                ),
            )
        return
    from zoo.data.hub import load_from_hub

    sets = load_from_hub(
        HUB, cache_dir, configuration=task,
        missing=f"data.task={task}: no glue/{task}/train.parquet and "
        f"{list(about.sizes)[1]}.parquet in data.root={root}",
        put=str(root / "glue" / task),
    )  # fmt: skip
    for split in about.sizes:
        columns = {name: sets[split][name][:] for name in (*about.texts, "label")}
        yield split, _checked(columns, about, f"data.task={task}: the hub's {split}")


def _of_parquet(task: str, about: Set, paths: list[Path]) -> dict[str, list[Any]]:
    import polars as pl

    wanted = [*about.texts, "label"]
    try:
        table = pl.concat([pl.read_parquet(path, columns=wanted) for path in paths])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(
            f"data.task={task}: {paths[0].name} is no parquet file with the columns "
            f"{', '.join(wanted)} ({first_line(error)}); download it again"
        ) from None
    return {name: table[name].to_list() for name in wanted}


def _checked(columns: dict[str, list[Any]], about: Set, where: str) -> Sentences:
    """Refuse what is no text, and labels outside of the set."""
    for name in about.texts:
        for row, text in enumerate(columns[name]):
            if not isinstance(text, str):
                raise UserError(
                    f"{where}, row {row}: {name} is {text!r}, and no text; download it again"
                )
    labels, names = columns["label"], about.scored.labels
    for row, label in enumerate(labels):
        if len(names) == 1:
            fits = isinstance(label, int | float) and 0 <= label <= 5
        else:
            fits = isinstance(label, int) and 0 <= label < len(names)
        if not fits:
            known = "0 to 5" if len(names) == 1 else f"0 to {len(names) - 1} ({', '.join(names)})"
            raise UserError(
                f"{where}, row {row}: the label {label!r} is outside of {known}; download it again"
            )
    if not labels:
        raise UserError(f"{where}: has no rows; download it again")
    kind = np.float32 if len(names) == 1 else np.int64
    return Sentences(tuple(columns[name] for name in about.texts), np.array(labels, dtype=kind))
