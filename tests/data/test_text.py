"""Masked text as a data module: rows, batches, streams, and what is said before training."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import zoo.data
from zoo.config import build, compose
from zoo.data.masking import IGNORED
from zoo.data.shapes import arguments_without_files
from zoo.data.text_data import EvalLoader
from zoo.errors import UserError
from zoo.schema import validate

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(cache: Path) -> Make:
    """Build data=text as train.py does, from a cache that the tests share."""

    def made(*overrides: str, seed: int = 0, batches: int = 40) -> Any:
        composed = compose(["data=text", f"paths.cache_dir={cache}", *overrides])
        section = validate(OmegaConf.to_container(composed, resolve=True))["data"]  # type: ignore[arg-type]
        data = build(section, seed=seed)
        data.total_batches = batches
        return data

    return made


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    assert a.keys() == b.keys()
    return all(
        torch.equal(x, b[k]) if isinstance(x, torch.Tensor) else x == b[k] for k, x in a.items()
    )


def unmasked(batch: dict[str, Any]) -> torch.Tensor:
    return torch.where(batch["labels"] == IGNORED, batch["input_ids"], batch["labels"])


def test_a_batch_is_documents_between_cls_and_sep_cut_and_padded(make: Make) -> None:
    data = make("data.max_length=64")
    t = data.tokenizer
    train = data.splits["train"]
    batch = next(iter(data.train_dataloader()))
    original = unmasked(batch)
    b, s = original.shape
    assert b == 32
    assert s == max(batch["lengths"]) <= 64
    assert min(batch["lengths"]) < s
    for row, length, mask, document in zip(
        original, batch["lengths"], batch["attention_mask"], data.order[0].tolist(), strict=True
    ):
        whole = train.take(np.full(train.lengths[document], document),
                           np.arange(train.lengths[document])).tolist()  # fmt: skip
        assert row[:length].tolist() == [t.cls, *whole[:62], t.sep]
        assert row[length:].tolist() == [t.pad] * (s - length)
        assert mask.tolist() == [1] * length + [0] * (s - length)
    flat = batch["labels"].flatten()
    assert torch.equal(batch["targets"], (flat != IGNORED).nonzero().flatten())
    assert {k: v.dtype for k, v in batch.items() if k != "lengths"} == dict.fromkeys(
        ("input_ids", "attention_mask", "labels", "targets"), torch.int64
    )
    assert all(type(n) is int for n in batch["lengths"])


def test_nothing_padded_has_no_attention_mask(make: Make) -> None:
    data = make("data.max_length=8", "data.batch_size=16")
    assert next(iter(data.train_dataloader()))["attention_mask"] is None


@pytest.mark.parametrize("options", [(), ("data.bucket=true", "data.mask_rate_end=0.15")])
def test_the_stream_is_the_same_from_any_batch(make: Make, options: tuple[str, ...]) -> None:
    whole = list(make(*options).train_dataloader())
    for first in (1, 15, 16, 33):
        data = make(*options)
        stream = data.train_dataloader()
        stream.load_state_dict({"batch": first})
        assert all(equal(x, y) for x, y in zip(stream, whole[first:], strict=True))
    assert not equal(whole[0], whole[16])  # another epoch, other masks and order
    assert not equal(whole[0], next(iter(make(*options, seed=1).train_dataloader())))


def test_another_pass_masks_anew(make: Make) -> None:
    data = make("data.batch_size=513")
    first, second = data.train_batch(0, 0, 1), data.train_batch(1, 0, 1)
    rows = {tuple(r.tolist()): row for r, row in zip(unmasked(first), first["labels"], strict=True)}
    again = zip(unmasked(second), second["labels"], strict=True)
    assert sum(torch.equal(rows[tuple(r.tolist())], labels) for r, labels in again) < 20


def test_the_masking_rate_and_its_schedule(make: Make) -> None:
    def rate(batch: dict[str, Any]) -> float:
        return len(batch["targets"]) / (sum(batch["lengths"]) - 2 * len(batch["lengths"]))

    line = list(make("data.mask_rate=0.4", "data.mask_rate_end=0.1").train_dataloader())
    assert rate(line[0]) == pytest.approx(0.4, abs=0.03)
    assert rate(line[20]) == pytest.approx(0.25, abs=0.03)
    assert rate(line[-1]) == pytest.approx(0.1, abs=0.03)
    data = make("data.mask_rate=0.4")
    shares = [rate(b) for b in (*data.val_dataloader(), *data.test_dataloader())]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.02)


def test_ranks_share_a_batch_and_mask_as_one_would(make: Make) -> None:
    data = make()
    whole = data.train_batch(7, 0, 1)
    for rank in range(2):
        part = data.train_batch(7, rank, 2)
        s = part["input_ids"].shape[1]
        assert torch.equal(part["input_ids"], whole["input_ids"][rank::2, :s])
        assert torch.equal(part["labels"], whole["labels"][rank::2, :s])


def test_evaluation_masks_the_same_whatever_the_batches_seed_and_ranks(make: Make) -> None:
    def rows(loader: Any) -> dict[tuple[int, ...], list[int]]:
        found = {}
        for batch in loader:
            for row, labels, n in zip(
                unmasked(batch), batch["labels"], batch["lengths"], strict=True
            ):
                found[tuple(row[:n].tolist())] = labels[:n].tolist()
        return found

    expected = rows(make().val_dataloader())
    assert len(expected) == 64
    assert all(any(x != IGNORED for x in labels) for labels in expected.values())
    assert rows(make("data.eval_batch_size=7", seed=3).val_dataloader()) == expected
    assert rows(make("data.mask_rate=0.9", "data.bucket=true").val_dataloader()) == expected
    parts = [rows(EvalLoader(make(), "validation", r, 3)) for r in range(3)]
    assert {k: v for part in parts for k, v in part.items()} == expected
    assert sum(map(len, parts)) == 64
    few = make("data.eval_samples=10")
    assert few.sizes == {"train": 513, "validation": 10, "test": 10}
    assert rows(few.val_dataloader()).items() < expected.items()
    assert len(few.val_dataloader()) == 1


def test_buckets_hold_rows_of_similar_length(make: Make) -> None:
    def padding(data: Any) -> float:
        batches = [data.train_batch(i, 0, 1) for i in range(data.batches_per_epoch)]
        return 1 - sum(sum(b["lengths"]) for b in batches) / sum(
            b["input_ids"].numel() for b in batches
        )

    assert padding(make("data.bucket=true")) < 0.3 * padding(make())


def test_the_fingerprint_is_of_texts_and_tokenizer(make: Make) -> None:
    same = {make().sha256, make("data.mask_rate=0.15", "data.bucket=true", seed=2).sha256}
    others = {
        make("data.vocab_size=700").sha256,
        make("data.objective=causal").sha256,
    }
    assert len(same) == 1
    assert len(same | others) == 3


def test_what_models_and_tasks_are_told(make: Make) -> None:
    data = make()
    assert data.model_arguments() == {"vocab_size": 4096, "pad_token_id": 0, "max_length": 128}
    for objective in ("masked", "causal"):
        section = dict(compose(["data=text", f"data.objective={objective}"]).data)
        data = make(f"data.objective={objective}")
        assert arguments_without_files(section) == (data.model_arguments(), data.task_arguments())
    section = dict(compose(["data=c4", "data.tokenizer=gpt2"]).data)
    assert arguments_without_files(section)[0]["pad_token_id"] == 50256  # type: ignore[index]


def corpus(folder: Path, texts: list[str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": t}) + "\n" for t in texts)
    (folder / "all.jsonl").write_text("".join(lines))
    return str(folder)


def test_a_folder_of_ones_own(make: Make, tmp_path: Path, capsys: Any) -> None:
    folder = corpus(tmp_path / "a", [f"the text number {i} of some" for i in range(60)] + [" "])
    options = ("data=folder", f"data.folder={folder}", "data.vocab_size=80", "data.batch_size=4")
    data = make(*options)
    assert data.sizes == {"train": 48, "validation": 6, "test": 6}
    assert "1 empty documents and 0 broken lines are left out" in capsys.readouterr().err
    moved = tmp_path / "elsewhere"
    (tmp_path / "a").rename(moved)
    assert make(*options[:1], f"data.folder={moved}", *options[2:]).sha256 == data.sha256
    (moved / "more.jsonl").write_text('{"text": "cut')
    with pytest.raises(UserError, match=r"more.jsonl, line 1: is no JSON"):
        make(*options[:1], f"data.folder={moved}", *options[2:])
    skipped = make(*options[:1], f"data.folder={moved}", *options[2:], "data.skip_broken=true")
    assert skipped.sizes == data.sizes


def test_held_out_text_and_tokenizer_of_other_corpora(make: Make, tmp_path: Path) -> None:
    folder = corpus(tmp_path / "b", [f"another text, number {i}" for i in range(60)])
    here = (f"data.folder={folder}", "data.batch_size=4", "data.vocab_size=300")
    whole = make()
    data = make("data.eval_corpus=folder", *here)
    assert data.sizes == {"train": 513, "validation": 6, "test": 6}
    assert data.splits["train"].sha256 == whole.splits["train"].sha256
    data = make("data=folder", "data.tokenizer_corpus=text", *here)
    assert data.tokenizer.sha256 == make("data.vocab_size=300").tokenizer.sha256
    assert data.sizes["train"] == 48


def test_a_tokenizer_that_does_not_fit_ends_in_one_sentence(make: Make, tmp_path: Path) -> None:
    bpe = make("data.objective=causal").tokenizer
    bpe.save(tmp_path / "bpe")
    words = make().tokenizer
    words.save(tmp_path / "words")
    folder = ["data.tokenizer=folder", f"data.tokenizer_folder={tmp_path / 'words'}"]
    assert make(*folder).tokenizer.sha256 == words.sha256
    for options, sentence in (
        (["data.tokenizer=bpe"], "data.tokenizer=bpe: has no [CLS] token, which data.objective=ma"),
        ([*folder, "data.objective=causal"], "data.tokenizer=folder: has no end-of-text token"),
        (["data.tokenizer=gpt2", f"data.root={tmp_path}"], "openai-community/gpt2"),
        (["data.train_documents=20"], "data.batch_size=32: the training split has only 20"),
    ):
        with pytest.raises(UserError) as caught:
            make(*options)
        assert sentence in str(caught.value)
        assert "\n" not in str(caught.value)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    """Not on top of a module of zoo/data: training on digits wants none of them."""
    heavy = {"datasets", "huggingface_hub", "polars", "pyarrow", "tokenizers", "transformers"}
    folder = Path(zoo.data.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & heavy, path.name


def test_bytes_of_training_text_are_counted_document_by_document(make: Make) -> None:
    """Also those of the tokenizer; a split that is evaluated is whole."""
    whole = make("data.objective=causal")
    some = make("data.objective=causal", "data.train_bytes=40000")
    read = int(some.splits["train"].text_bytes.sum())
    assert 0 < read <= 40_000
    after = int(whole.splits["train"].text_bytes[: len(some.splits["train"]) + 1].sum())
    assert after > 40_000  # one more would have been too many
    assert some.splits["test"].text_bytes.sum() == whole.splits["test"].text_bytes.sum()
    assert some.tokenizer.sha256 != whole.tokenizer.sha256
