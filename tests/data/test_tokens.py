"""The token cache: what goes in comes out, made once, whole or not at all."""

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from zoo.data import tokens as module
from zoo.data.corpus import Corpus
from zoo.data.tokenizers import TextTokenizer, train_bpe, train_wordpiece
from zoo.data.tokens import tokenised
from zoo.errors import UserError

TEXTS = [f"document {i} " + "word " * (i % 7) for i in range(40)] + ["\x00\x01", "é" * 9]


def corpus_of(texts: list[str], key: str = "key") -> Corpus:
    def read(left_out):
        left_out.broken += 3
        return iter(texts)

    return Corpus("mine", key, {"train": read, "validation": read, "test": read})


@pytest.fixture(scope="module")
def bpe() -> TextTokenizer:
    return train_bpe(lambda: TEXTS, 300)


def read_back(found, count: int) -> list[list[int]]:
    return [found.take(np.full(n, i), np.arange(n)).tolist()
            for i, n in enumerate(found.lengths[:count].tolist())]  # fmt: skip


@pytest.mark.parametrize("chunk", [1 << 20, 50, 1])
def test_documents_come_back_whatever_the_chunks(
    tmp_path: Path, bpe: TextTokenizer, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(module, "TOGETHER", 4)
    found = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    assert len(found.values) == {1 << 20: 1}.get(chunk, len(found.values))
    assert (len(found.values) > 3) == (chunk < 1 << 20)
    assert read_back(found, len(TEXTS)) == bpe.encode(TEXTS)
    assert found.text_bytes.tolist() == [len(t.encode()) for t in TEXTS]
    assert found.left_out.broken == 3
    mixed = np.array([[3, 41], [0, 17]]), np.array([[1, 0], [2, 1]])
    expected = [[bpe.encode(TEXTS)[d][o] for d, o in zip(*r, strict=True)]
                for r in zip(*(m.tolist() for m in mixed), strict=True)]  # fmt: skip
    assert found.take(*mixed).tolist() == expected


def test_a_document_without_a_token_is_left_out_and_counted(tmp_path: Path) -> None:
    words = train_wordpiece(lambda: TEXTS, 100)
    found = tokenised(corpus_of(TEXTS), "train", words, cache_dir=str(tmp_path))
    assert len(found) == len(TEXTS) - 1  # BERT drops control characters
    assert found.left_out.empty == 1
    assert tokenised(corpus_of(TEXTS), "train", words, cache_dir=str(tmp_path)).left_out.empty == 1


def test_it_is_made_once_and_keyed_by_content(tmp_path: Path, bpe: TextTokenizer) -> None:
    def count() -> int:
        return len(list((tmp_path / "tokens").glob("*/tokens.arrow")))

    first = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    never = Corpus("mine", "key", {"train": None, "validation": None, "test": None})  # type: ignore[dict-item]
    again = tokenised(never, "train", bpe, cache_dir=str(tmp_path))
    assert again.sha256 == first.sha256
    assert count() == 1
    few = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path), documents=5)
    assert len(few) == 5
    assert few.sha256 != first.sha256
    tokenised(corpus_of(TEXTS), "test", bpe, cache_dir=str(tmp_path))
    tokenised(corpus_of(TEXTS, "other"), "train", bpe, cache_dir=str(tmp_path))
    other = train_bpe(lambda: TEXTS, 262)
    tokenised(corpus_of(TEXTS), "train", other, cache_dir=str(tmp_path))
    assert count() == 5


@pytest.mark.parametrize("harm", ["cut", "about", "gone", "short"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, bpe: TextTokenizer, harm: str) -> None:
    first = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    folder = next((tmp_path / "tokens").glob("*/tokens.arrow")).parent
    arrow, about = folder / "tokens.arrow", folder / "about.json"
    if harm == "cut":
        arrow.write_bytes(arrow.read_bytes()[:-100])
    elif harm == "about":
        about.write_text("{")
    elif harm == "short":
        about.write_text(json.dumps(json.loads(about.read_text()) | {"documents": 3}))
    else:
        arrow.unlink()
    again = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    assert read_back(again, 5) == read_back(first, 5) or harm == "cut"
    assert again.sha256 == first.sha256
    assert read_back(again, len(TEXTS)) == bpe.encode(TEXTS)


def test_a_mistake_in_the_texts_leaves_nothing_behind(tmp_path: Path, bpe: TextTokenizer) -> None:
    def texts(left_out):
        yield "good"
        raise UserError("some.jsonl, line 2")

    broken = Corpus("mine", "key", {"train": texts, "validation": texts, "test": texts})
    with pytest.raises(UserError, match="line 2"):
        tokenised(broken, "train", bpe, cache_dir=str(tmp_path))
    assert [p.name for p in (tmp_path / "tokens").iterdir() if p.suffix != ".lock"] == []


def make(cache_dir: str, results) -> None:
    bpe = train_bpe(lambda: TEXTS, 300)
    found = tokenised(corpus_of(TEXTS * 50), "train", bpe, cache_dir=cache_dir)
    results.put((found.sha256, len(found), int(found.lengths.sum())))


def test_two_processes_at_once_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=make, args=(str(tmp_path), results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found[0] == found[1]
    assert found[0][1] == len(TEXTS) * 50
    left = [p for p in (tmp_path / "tokens").iterdir() if p.suffix != ".lock"]
    assert [p.name for p in left[0].iterdir()].count("about.json") == len(left) == 1


def test_the_same_without_locks(tmp_path: Path, bpe: TextTokenizer, monkeypatch) -> None:
    """Another process has made the folder while this one was at it: its own is thrown away."""
    first = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    folder = next((tmp_path / "tokens").glob("*/tokens.arrow")).parent
    module.store(TEXTS[:3], bpe, folder, module.LeftOut())
    again = tokenised(corpus_of(TEXTS), "train", bpe, cache_dir=str(tmp_path))
    assert again.sha256 == first.sha256
    assert not list(folder.parent.glob("*.tmp"))
