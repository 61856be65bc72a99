"""Tokenizers against transformers' own, and trained ones: the same from the same texts."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.tokenizers import (
    BERT_SPECIAL,
    END_OF_TEXT,
    bert_base_uncased,
    from_folder,
    gpt2,
    train_bpe,
    train_wordpiece,
    trained,
)
from zoo.data.topics import topics
from zoo.errors import UserError

TEXTS = [
    "The cat sat on the mat.",
    "Déjà vu: the Cats' 3 mats, 北京 and \u0301 too!",
    "a b a b",
] * 4


PASSAGES = list(topics())[:120]


def passages():
    return iter(PASSAGES)


def little(texts=TEXTS):
    return lambda: iter(texts)


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory):
    """BERT's tokenizer over a vocabulary of ours, and transformers' over the same file."""
    from transformers import BertTokenizer

    made = train_wordpiece(passages, 1500)
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    vocabulary = made.engine.get_vocab()
    path.write_text("".join(w + "\n" for w in sorted(vocabulary, key=vocabulary.__getitem__)))
    return bert_base_uncased(path), BertTokenizer(vocab=str(path))


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    from transformers import GPT2Tokenizer

    made = train_bpe(passages, 1500)
    folder = tmp_path_factory.mktemp("gpt2")
    made.save(folder)
    files = folder / "vocab.json", folder / "merges.txt"
    return gpt2(*files), GPT2Tokenizer(vocab=str(files[0]), merges=str(files[1]))


texts = st.text(max_size=60) | st.text("aäbc \n\t.'’1北\u0301\x00", max_size=60)
text = texts.filter(lambda t: not any(s in t for s in (*BERT_SPECIAL, END_OF_TEXT)))


@given(text)
@settings(max_examples=60)
def test_wordpiece_is_transformers_bert_tokenizer(wordpiece, text) -> None:
    ours, theirs = wordpiece
    assert ours.encode([text])[0] == theirs.encode(text, add_special_tokens=False)
    if ours.encode([text])[0]:
        whole = theirs(text)["input_ids"]
        assert whole == [ours.cls, *ours.encode([text])[0], ours.sep]


@given(text)
@settings(max_examples=60)
def test_byte_level_bpe_is_transformers_gpt2_tokenizer_and_keeps_every_byte(byte_level, text):
    ours, theirs = byte_level
    ids = ours.encode([text])[0]
    assert ids == theirs.encode(text)
    assert ours.decode(ids) == text
    assert int(ours.token_bytes[ids].sum()) == len(text.encode())
    assert ours.keeps_bytes


def test_the_given_vocabularies(data_root: Path) -> None:
    from transformers import BertTokenizer, GPT2Tokenizer

    folder = data_root / "tokenizers"
    bert = bert_base_uncased(folder / "bert-base-uncased" / "vocab.txt")
    assert (bert.vocab_size, bert.pad, bert.unk, bert.cls, bert.sep, bert.mask) == (
        30522, 0, 100, 101, 102, 103,
    )  # fmt: skip
    files = folder / "gpt2" / "vocab.json", folder / "gpt2" / "merges.txt"
    bpe = gpt2(*files)
    assert (bpe.vocab_size, bpe.end_of_text, bpe.pad) == (50257, 50256, 50256)
    sample = list(topics())[::25] + TEXTS
    theirs = BertTokenizer(vocab=str(folder / "bert-base-uncased" / "vocab.txt"))
    assert bert.encode(sample) == theirs(sample, add_special_tokens=False)["input_ids"]
    theirs = GPT2Tokenizer(vocab=str(files[0]), merges=str(files[1]))
    assert bpe.encode(sample) == theirs(sample)["input_ids"]


def test_special_tokens_in_a_text_are_text(wordpiece, byte_level) -> None:
    assert wordpiece[0].mask not in wordpiece[0].encode(["a [MASK] b"])[0]
    ids = byte_level[0].encode([f"a{END_OF_TEXT}b"])[0]
    assert byte_level[0].end_of_text not in ids
    assert byte_level[0].decode(ids) == f"a{END_OF_TEXT}b"


def test_training_is_a_function_of_the_texts_whatever_the_threads(monkeypatch) -> None:
    """The library's own WordPiece training is not: it numbers the letters as a hash map has them."""
    for train, size in ((train_wordpiece, 1200), (train_bpe, 700)):
        found = set()
        for parallel in ("false", "true", "true"):
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", parallel)
            found.add(train(passages, size).sha256)
        assert len(found) == 1


def test_a_trained_wordpiece_vocabulary() -> None:
    made = train_wordpiece(passages, 800)
    assert made.vocab_size == 800
    assert [made.engine.id_to_token(i) for i in range(5)] == list(BERT_SPECIAL)
    assert made.special == (0, 1, 2, 3, 4)
    sample = "the statement is executed"
    assert made.decode(made.encode([sample])[0]) == sample
    assert not made.keeps_bytes
    least = train_wordpiece(little(), 1000).vocab_size  # too few texts for so many
    assert least < 1000
    with pytest.raises(UserError, match=r"data.vocab_size=10: the corpus has \d+ letters"):
        train_wordpiece(little(), 10)


def test_bpe_has_biomedlms_settings() -> None:
    """The library trains the same from the settings of the paper's script, but for the last token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = train_bpe(passages, 700)
    assert made.vocab_size == 700
    assert made.end_of_text == 699
    assert made.special == (699,)
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.train_from_iterator(
        passages(),
        trainers.BpeTrainer(
            vocab_size=699,
            min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    theirs = plain.get_vocab()
    ours = made.engine.get_vocab()
    assert {t: i for t, i in ours.items() if t != END_OF_TEXT} == theirs
    with pytest.raises(UserError, match=r"data.vocab_size=256: 256 bytes and the end-of-text"):
        train_bpe(passages, 256)


def test_a_saved_tokenizer_loads_in_transformers_and_here(tmp_path: Path, wordpiece) -> None:
    from transformers import AutoTokenizer

    for made, name in ((train_bpe(passages, 400), "bpe"), (wordpiece[0], "wordpiece")):
        made.save(tmp_path / name)
        theirs = AutoTokenizer.from_pretrained(tmp_path / name)
        sample = list(topics())[:20]
        assert theirs(sample, add_special_tokens=False)["input_ids"] == made.encode(sample)
        assert theirs.eos_token_id == made.end_of_text
        assert theirs.pad_token_id == made.pad
        again = from_folder(str(tmp_path / name))
        assert again.sha256 == made.sha256
        assert again.special == made.special
    with pytest.raises(UserError, match=r"data.tokenizer_folder=/none: has no tokenizer.json"):
        from_folder("/none")
    (tmp_path / "bpe" / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match=r"its tokenizer.json cannot be read"):
        from_folder(str(tmp_path / "bpe"))


def test_a_trained_tokenizer_is_read_again_and_a_damaged_one_made_again(tmp_path: Path) -> None:
    reads = []

    def texts():
        reads.append(1)
        return iter(TEXTS)

    options = {"key": "k", "cache_dir": str(tmp_path)}
    first = trained("bpe", texts, 300, **options)
    count = len(reads)
    assert trained("bpe", texts, 300, **options).sha256 == first.sha256
    assert len(reads) == count
    path = next((tmp_path / "tokenizers").glob("bpe-300-*.json"))
    path.write_text(path.read_text()[:100])
    assert trained("bpe", texts, 300, **options).sha256 == first.sha256
    assert json.loads(path.read_text())["model"]["type"] == "BPE"
    assert len(reads) > count
    trained("bpe", texts, 301, **options)
    trained("bpe", texts, 300, **{**options, "key": "other"})
    assert len(list((tmp_path / "tokenizers").glob("*.json"))) == 3


def test_the_fingerprint_is_of_what_decides_the_tokens() -> None:
    a, b = train_bpe(little(), 300), train_bpe(little(), 300)
    assert a.sha256 == b.sha256
    b.engine.add_special_tokens(["<more>"])
    del b.__dict__["_stored"], b.__dict__["sha256"]
    assert a.sha256 != b.sha256
    assert np.array_equal(a.token_bytes[:256], np.ones(256))
