"""Masked text as a data module: rows, batches, streams, and what is said before training."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

import zoo.data
from zoo.config import build, compose
from zoo.data.masking import IGNORED
from zoo.data.shapes import arguments_without_files
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


def shared(data: Any, rank: int, world: int) -> Any:
    """Return the data as one of several ranks has it."""
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world)
    return data


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


def test_a_further_pass_reads_the_same_documents_further(make: Make) -> None:
    data = make("data.max_length=16", "data.eval_lengths=[64,200]", "data.eval_batch_size=32")
    assert data.model_arguments()["max_length"] == 200
    assert data.task_arguments() == {"max_length": 16, "eval_lengths": (64, 200)}
    first, *further = data.test_dataloader()
    documents = np.minimum(data.splits["test"].lengths, 198) + 2
    for loader, length, rows in zip((first, *further), (16, 64, 200), (32, 8, 2), strict=True):
        batches = list(loader)
        assert {len(batch["lengths"]) for batch in batches[:-1]} == {rows}
        lengths = [n for batch in batches for n in batch["lengths"]]
        assert lengths == np.minimum(documents, length).tolist()
        share = sum(len(batch["targets"]) for batch in batches) / sum(n - 2 for n in lengths)
        assert share == pytest.approx(0.15, abs=0.03)
    short, long = next(iter(first)), [b for _, b in zip(range(16), further[1], strict=False)]
    both = (unmasked(short)[:, :15], torch.cat([unmasked(batch)[:, :15] for batch in long]))
    assert torch.equal(*both)


def test_the_masking_rate_and_its_schedule(make: Make) -> None:
    def rate(batch: dict[str, Any]) -> float:
        return len(batch["targets"]) / (sum(batch["lengths"]) - 2 * len(batch["lengths"]))

    line = list(make("data.mask_rate=0.4", "data.mask_rate_end=0.1").train_dataloader())
    assert rate(line[0]) == pytest.approx(0.4, abs=0.03)
    assert rate(line[20]) == pytest.approx(0.25, abs=0.03)
    assert rate(line[-1]) == pytest.approx(0.1, abs=0.03)
    data = make("data.mask_rate=0.4")
    shares = [rate(b) for b in (*data.val_dataloader(), *data.test_dataloader()[0])]
    assert np.mean(shares) == pytest.approx(0.15, abs=0.02)


def test_ranks_share_a_batch_and_mask_as_one_would(make: Make) -> None:
    data = make()
    whole = data.train_batch(7, 0, 1)
    for rank in range(2):
        part = data.train_batch(7, rank, 2)
        s = part["input_ids"].shape[1]
        assert torch.equal(part["input_ids"], whole["input_ids"][rank::2, :s])
        assert torch.equal(part["labels"], whole["labels"][rank::2, :s])


def test_ranks_make_a_target_where_one_would_and_no_other(make: Make) -> None:
    data = make("data.batch_size=4", "data.mask_rate=0.002")
    made = 0
    for number in range(30):
        whole = data.train_batch(number, 0, 1)["labels"]
        parts = [data.train_batch(number, rank, 4) for rank in range(4)]
        found = [p["labels"][0][p["labels"][0] != IGNORED].tolist() for p in parts]
        assert found == [row[row != IGNORED].tolist() for row in whole]
        assert [len(p["targets"]) for p in parts] == [len(f) for f in found]
        made += sum(map(len, found)) == 1
    assert made > 5


def test_a_batch_tells_its_share_of_an_updates_targets(make: Make) -> None:
    data = make("data.batch_size=4")
    assert "share" not in next(iter(data.train_dataloader()))
    data.accumulate = 4
    batches = list(data.train_dataloader())
    assert [b["share"].batch for b in batches] == [len(b["targets"]) for b in batches]
    for first in range(0, 40, 4):
        update = batches[first : first + 4]
        assert {b["share"].update for b in update} == {sum(len(b["targets"]) for b in update)}
    later = data.train_dataloader()
    later.load_state_dict({"batch": 6})
    assert [b["share"] for b in later] == [b["share"] for b in batches[6:]]


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
    parts = [rows(shared(make(), rank, 3).val_dataloader()) for rank in range(3)]
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


def test_the_same_text_is_evaluated_whatever_the_tokenizer(make: Make) -> None:
    options = ("data.objective=causal", "data.eval_bytes=9000")
    one, two = make(*options), make(*options, "data.vocab_size=400")
    assert one.tokenizer.sha256 != two.tokenizer.sha256
    for split in ("validation", "test"):
        assert 0 < one.splits[split].text_bytes.sum() <= 9000
        assert one.splits[split].sha256 == two.splits[split].sha256
    assert one.splits["train"].sha256 == make("data.objective=causal").splits["train"].sha256
    with pytest.raises(UserError, match=r"data\.eval_bytes=8: the first document .* type a larger"):
        make("data.objective=causal", "data.eval_bytes=8")
