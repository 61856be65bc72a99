"""Causal text: packed blocks and padded rows are windows of one stream, and bytes are counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from zoo.data.causal import CausalTextData, Stream
from zoo.data.corpus import Corpus
from zoo.data.masking import IGNORED
from zoo.data.tokenizers import TextTokenizer, train_bpe
from zoo.data.tokens import Tokens, tokenised
from zoo.errors import UserError

TEXTS = ["né", "document two is longer than this", "x", "four and more of it, and more", "end"] * 3


@pytest.fixture(scope="module")
def bpe() -> TextTokenizer:
    return train_bpe(lambda: TEXTS, 270)


@pytest.fixture(scope="module")
def tokens(bpe: TextTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    corpus = Corpus("mine", "key", {s: lambda _: iter(TEXTS) for s in ("train", "test")})
    return tokenised(corpus, "test", bpe, cache_dir=str(tmp_path_factory.mktemp("cache")))


def make(tokens: Tokens, bpe: TextTokenizer, **options: Any) -> CausalTextData:
    defaults: dict[str, Any] = {
        "packing": True, "end_of_text": True, "within_documents": False, "bucket": False,
        "max_length": 10, "seed": 0, "batch_size": 2, "eval_batch_size": 3,
    }  # fmt: skip
    splits = dict.fromkeys(("train", "validation", "test"), tokens)
    data = CausalTextData("mine", splits, bpe, **{**defaults, **options})
    data.total_batches = 50
    return data


def whole_stream(bpe: TextTokenizer, end_of_text: bool) -> list[int]:
    """The stream as plain lists."""
    opened = [bpe.end_of_text] if end_of_text else []
    return [t for ids in bpe.encode(TEXTS) for t in (*opened, *ids)] + opened


@pytest.mark.parametrize("end_of_text", [True, False])
def test_training_blocks_lie_side_by_side(bpe, tokens, end_of_text: bool) -> None:
    data = make(tokens, bpe, end_of_text=end_of_text)
    stream = whole_stream(bpe, end_of_text)
    blocks = {tuple(stream[i : i + 10]) for i in range(0, len(stream) - 9, 10)}
    assert data.sizes["train"] == len(stream) // 10
    found = []
    for i in range(data.batches_per_epoch):
        batch = data.train_batch(i, 0, 1)
        assert batch["attention_mask"] is None
        assert batch["lengths"] == [10, 10]
        assert torch.equal(batch["labels"][:, 1:], batch["input_ids"][:, 1:])
        assert (batch["labels"][:, 0] == IGNORED).all()
        found += map(tuple, batch["input_ids"].tolist())
    assert set(found) <= blocks
    assert len(found) == data.batches_per_epoch * 2


@over(st.integers(4, 30), st.integers(1, 5), st.booleans())
@settings(max_examples=25)
def test_evaluation_predicts_every_token_once_and_counts_the_texts_bytes(
    bpe, tokens, length, size, end_of_text
) -> None:
    data = make(tokens, bpe, max_length=length, eval_batch_size=size, end_of_text=end_of_text)
    stream = whole_stream(bpe, end_of_text)
    predicted, text_bytes, rows = [], 0, 0
    for batch in data.test_dataloader():
        for ids, labels, n in zip(
            batch["input_ids"].tolist(), batch["labels"].tolist(), batch["lengths"], strict=True
        ):
            assert ids[1:n] == labels[1:n]
            assert set(labels[n:]) <= {IGNORED}
            assert set(ids[n:]) <= {bpe.pad}
            predicted += [x for x in labels if x != IGNORED]
            rows += 1
        text_bytes += batch["bytes"]
    assert predicted == stream[1:]
    assert rows == data.sizes["test"]
    # Without an end-of-text token before it, the first token of all is predicted from nothing.
    unseen = 0 if end_of_text else 1
    assert bpe.decode(stream[:1]) in ("n", "<|endoftext|>")
    assert text_bytes == sum(len(t.encode()) for t in TEXTS) - unseen


def test_a_document_a_row(bpe, tokens) -> None:
    data = make(tokens, bpe, packing=False, max_length=12)
    assert data.sizes["train"] == len(TEXTS)
    rows = []
    for batch in data.test_dataloader():
        mask = batch["attention_mask"]
        for i, n in enumerate(batch["lengths"]):
            rows.append(batch["input_ids"][i, :n].tolist())
            assert batch["input_ids"][i, n:].tolist() == [bpe.pad] * (mask.shape[1] - n)
            assert mask[i].tolist() == [1] * n + [0] * (mask.shape[1] - n)
            assert batch["labels"][i, n:].eq(IGNORED).all()
            assert batch["labels"][i, 1:n].tolist() == rows[-1][1:]
    eot = bpe.end_of_text
    assert rows == [[eot, *ids, eot][:12] for ids in bpe.encode(TEXTS)]
    assert any(len(row) == 12 for row in rows)  # one is cut, and does not end there
    bare = make(tokens, bpe, packing=False, end_of_text=False, max_length=12)
    batch = next(iter(bare.test_dataloader()))
    expected = [ids[:12] for ids in bpe.encode(TEXTS)]
    assert batch["input_ids"][0, : batch["lengths"][0]].tolist() == expected[0]


@pytest.mark.parametrize("end_of_text", [True, False])
def test_documents_and_positions_within_a_block(bpe, tokens, end_of_text: bool) -> None:
    data = make(tokens, bpe, within_documents=True, end_of_text=end_of_text, max_length=16)
    batch = data.eval_batch("train", np.arange(data.sizes["train"]))
    opened = int(end_of_text)
    owner = [(d, i) for d, ids in enumerate(bpe.encode(TEXTS)) for i in range(len(ids) + opened)]
    owner += [(len(TEXTS), 0)] * opened
    for row in range(data.sizes["train"]):
        block = owner[row * 16 : (row + 1) * 16]
        documents, positions = batch["document_ids"][row].tolist(), batch["position_ids"][row]
        assert documents == [d - block[0][0] for d, _ in block]
        first = [next(j for j, o in enumerate(block) if o[0] == d) for d, _ in block]
        assert positions.tolist() == [i - f for i, f in enumerate(first)]
        dropped = [i == 0 or (not end_of_text and o == 0) for i, (_, o) in enumerate(block)]
        assert batch["labels"][row].eq(IGNORED).tolist() == dropped


def test_bytes_of_a_batch_are_those_of_its_labels(bpe, tokens) -> None:
    data = make(tokens, bpe)
    batch = data.train_batch(0, 0, 1)
    targets = [x for x in batch["labels"].flatten().tolist() if x != IGNORED]
    alphabet = "".join(bpe.engine.id_to_token(t) for t in targets if t != bpe.end_of_text)
    assert batch["bytes"] == len(alphabet)  # a character of a byte-level token is one byte
    assert type(batch["bytes"]) is int


def test_the_stream_of_batches_is_the_same_from_any_batch_and_on_any_ranks(bpe, tokens) -> None:
    for options in ({}, {"packing": False, "bucket": True}, {"within_documents": True}):
        whole = list(make(tokens, bpe, **options).train_dataloader())
        stream = make(tokens, bpe, **options).train_dataloader()
        stream.load_state_dict({"batch": 17})
        for batch, expected in zip(stream, whole[17:], strict=True):
            assert torch.equal(batch["input_ids"], expected["input_ids"])
        data = make(tokens, bpe, **options)
        parts = [data.train_batch(3, rank, 2)["input_ids"] for rank in range(2)]
        s = parts[1].shape[1]
        assert torch.equal(whole[3]["input_ids"][1::2, :s], parts[1])


def test_a_stream_of_several_chunks(bpe, tokens) -> None:
    cut = int(tokens.starts[7])
    chunked = Tokens(
        [tokens.values[0][:cut], tokens.values[0][cut:]],
        (np.arange(len(tokens)) >= 7).astype(np.int64),
        tokens.starts - cut * (np.arange(len(tokens)) >= 7),
        tokens.lengths, tokens.text_bytes, tokens.sha256, tokens.left_out,
    )  # fmt: skip
    one, two = Stream(tokens, bpe.end_of_text), Stream(chunked, bpe.end_of_text)
    places = np.arange(one.length)
    assert one.at(places, one.documents(places)).tolist() == whole_stream(bpe, True)
    assert two.at(places, two.documents(places)).tolist() == whole_stream(bpe, True)


def test_a_text_that_fills_no_block_ends_in_one_sentence(bpe, tokens) -> None:
    with pytest.raises(UserError, match=r"data.max_length=5000: the training text has only \d+ to"):
        make(tokens, bpe, max_length=5000)


def test_real_text_in_blocks_has_its_bytes(data_root: Path, tmp_path: Path) -> None:
    from zoo.data.corpus import find_corpus
    from zoo.data.text import given

    gpt2 = given("gpt2", str(data_root), "")
    c4 = find_corpus("c4", root=str(data_root), cache_dir="")
    tokens = tokenised(c4, "validation", gpt2, cache_dir=str(tmp_path), documents=40)
    data = make(tokens, gpt2, max_length=512, eval_batch_size=7)
    counted = sum(batch["bytes"] for batch in data.test_dataloader())
    assert counted == tokens.text_bytes.sum() > 50_000
