"""GLUE's sets: read as they are published, split, laid out, and refused where they are broken."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.glue import write_glue
from zoo.config import build, check, compose
from zoo.data.glue import SETS
from zoo.data.rows import share
from zoo.errors import UserError


def make(root: Path, task: str, *overrides: str) -> Any:
    words = ["model=mosaicbert_classifier", f"data.task={task}", f"data.root={root}"]
    settings = check(compose([*words, "data.vocab_size=200", "data.batch_size=8", *overrides]))
    return build(settings["data"], seed=settings["seed"])


@pytest.mark.parametrize("task", SETS)
def test_every_set_is_read_and_parted(glue_root: Path, task: str) -> None:
    data, scored = make(glue_root, task), SETS[task].scored
    assert data.sizes == {"train": 61, "validation": 3, "test": 24}
    assert data.subset == ["train", "test"]
    ids = [set(map(tuple, _rows(data, split))) for split in ("train", "validation")]
    assert not ids[0] & ids[1]
    assert len(data.test_dataloader()) == 1 + len(scored.further)
    batch = data.train_batch(0, 0, 1)
    assert batch["input_ids"].shape[0] == len(batch["labels"]) == 8
    assert batch["labels"].is_floating_point() == (len(scored.labels) == 1)
    pairs = len(SETS[task].texts) == 2
    assert (batch["token_type_ids"] is not None) == pairs


def _rows(data: Any, split: str) -> list[list[int]]:
    batch = data.eval_batch(split, np.arange(data.rows(split)))
    return [row[:n].tolist() for row, n in zip(batch["input_ids"], batch["lengths"], strict=True)]


def test_a_row_is_its_texts_between_special_tokens(glue_root: Path) -> None:
    data = make(glue_root, "rte")
    table = pl.read_parquet(glue_root / "glue" / "rte" / "validation.parquet")
    t = data.tokenizer
    batch = data.eval_batch("test", np.arange(4))
    for row, (one, two) in enumerate(zip(table["sentence1"], table["sentence2"], strict=True)):
        if row == 4:
            break
        (first, second) = t.encode([one, two])
        wanted = [t.cls, *first, t.sep, *second, t.sep]
        assert batch["input_ids"][row].tolist()[: len(wanted)] == wanted
        assert set(batch["input_ids"][row].tolist()[len(wanted) :]) <= {t.pad}
        types = batch["token_type_ids"][row].tolist()
        assert types == [0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * (
            len(types) - len(wanted)
        )
    assert batch["labels"].tolist() == table["label"].to_list()[:4]


def test_training_is_shuffled_and_reads_every_row_once_an_epoch(glue_root: Path) -> None:
    data = make(glue_root, "cola", "data.batch_size=61")
    data.total_batches = 2
    seen = [sorted(_of(data.train_batch(n, 0, 1))) for n in range(2)]
    assert seen[0] == seen[1] == sorted(map(tuple, _rows(data, "train")))
    assert _of(data.train_batch(0, 0, 1)) != _of(data.train_batch(1, 0, 1))


def _of(batch: Any) -> list[tuple[int, ...]]:
    ids, lengths = batch["input_ids"], batch["lengths"]
    return [tuple(row[:n].tolist()) for row, n in zip(ids, lengths, strict=True)]


def test_the_validation_split_has_the_classes_of_the_whole(tmp_path: Path) -> None:
    data = make(write_glue(tmp_path, "mnli", train=300), "mnli")
    assert Counter(data.labels["validation"].tolist()) == {0: 5, 1: 5, 2: 5}
    assert make(tmp_path, "mnli", "seed=7").splits["validation"].sha256 == (
        data.splits["validation"].sha256
    )


def test_fewer_samples_are_a_subset_of_the_whole(tmp_path: Path) -> None:
    about = SETS["wnli"].sizes
    root = write_glue(tmp_path, "wnli", train=about["train"], test=about["validation"])
    assert make(root, "wnli").subset == []
    less = make(root, "wnli", "data.train_samples=100")
    assert less.subset == ["train"]
    assert less.sizes["train"] == 100
    with pytest.raises(UserError, match=r"data\.train_samples=9999"):
        make(root, "wnli", "data.train_samples=9999")


@given(st.integers(2, 60), st.integers(0, 80), st.integers(0, 80))
def test_of_a_pair_the_longer_text_is_cut(room: int, first: int, second: int) -> None:
    kept = share(room, first, second)
    assert sum(kept) == min(room, first + second)
    assert kept[0] <= first
    assert kept[1] <= second
    cut = (first - kept[0], second - kept[1])
    if cut[0] and kept[0] < kept[1] - 1:
        pytest.fail("the shorter one was cut")
    if cut[1] and kept[1] < kept[0] - 1:
        pytest.fail("the shorter one was cut")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"label": [0, 2]}, r"train.parquet, row 1: the label 2 is outside of 0 to 1 \(entailment"),
        ({"label": [0, None]}, r"row 1: the label None is outside"),
        ({"sentence1": ["a", None]}, r"row 1: sentence1 is None, and no text; download it again"),
        ({"sentence2": None}, r"is no parquet file with the columns sentence1, sentence2, label"),
        ({"label": []}, "has no rows; download it again"),
    ],
)
def test_a_broken_set_is_one_sentence(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    root = write_glue(tmp_path, "rte")
    whole = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "label": [0, 1], **columns}
    if columns.get("label") == []:
        whole = {"sentence1": [], "sentence2": [], "label": []}
    table = pl.DataFrame({k: v for k, v in whole.items() if v is not None})
    table.write_parquet(root / "glue" / "rte" / "train.parquet")
    with pytest.raises(UserError, match=said):
        make(root, "rte")


def test_what_is_not_there_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.task=rte: no glue/rte/train.parquet and valid"):
        make(tmp_path, "rte")
    (tmp_path / "glue" / "rte").mkdir(parents=True)
    for split in ("train", "validation"):
        (tmp_path / "glue" / "rte" / f"{split}.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="train.parquet is no parquet file with the columns"):
        make(tmp_path, "rte")


def test_the_real_sets_are_as_large_as_published_where_they_are_whole(data_root: Path) -> None:
    for task, subset in (("rte", []), ("wnli", []), ("mrpc", []), ("mnli", ["train", "test"])):
        data = make(data_root, task)
        assert data.subset == subset, task
        assert data.sizes["train"] + data.sizes["validation"] == (
            SETS[task].sizes["train"] if not subset else 10_471
        )
