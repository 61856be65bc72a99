"""Corpora: their splits, what is left out, and files that are broken or not there."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.data.corpus import SPLITS, Corpus, find_corpus
from zoo.data.documents import LeftOut, read_file
from zoo.data.topics import LENGTH, passages, topics
from zoo.errors import UserError


def corpus_of(texts: list[str]) -> Corpus:
    return Corpus("mine", "key", {"train": lambda _: iter(texts)})


def in_folder(folder: Path, **options: Any) -> Corpus:
    return find_corpus("folder", root="", cache_dir="", folder=str(folder), **options)


def write_jsonl(path: Path, texts: list[str]) -> None:
    lines = "".join(json.dumps({"text": t, "url": "u"}) + "\n" for t in texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())


@given(st.lists(st.text("ab ", min_size=1, max_size=3), max_size=60))
def test_carved_splits_share_no_text_and_leave_nothing_out(texts: list[str]) -> None:
    corpus = corpus_of(texts)
    if len(set(texts)) < 3:
        with pytest.raises(UserError, match=f"corpus mine: has {len(set(texts))} different doc"):
            list(corpus.documents("train"))
        return
    splits = {s: list(corpus.documents(s)) for s in SPLITS}
    assert all(splits.values())
    kinds = {s: set(found) for s, found in splits.items()}
    assert sum(map(len, kinds.values())) == len(set(texts))
    assert sorted(t for found in splits.values() for t in found) == sorted(texts)
    assert len(kinds["test"]) == len(kinds["validation"]) == max(1, len(set(texts)) // 10)


def test_a_carved_text_is_not_trained_on_where_it_is_repeated_far_behind(monkeypatch) -> None:
    monkeypatch.setattr("zoo.data.corpus.WINDOW", 30)
    texts = [f"document {i}" for i in range(30)]
    corpus = corpus_of([*texts, "late", *texts])
    train = list(corpus.documents("train"))
    assert "late" in train
    held_out = {t for s in ("validation", "test") for t in corpus.documents(s)}
    assert len(held_out) == 6
    assert not held_out & set(train)


def test_splits_that_are_given_stay_and_only_the_missing_one_is_carved(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "web_train.jsonl.gz", [f"t{i}" for i in range(40)])
    write_jsonl(tmp_path / "sub" / "dev-00001.jsonl", ["v1", "v2"])
    corpus = in_folder(tmp_path)
    assert list(corpus.documents("validation")) == ["v1", "v2"]
    train, test = list(corpus.documents("train")), list(corpus.documents("test"))
    assert (len(train), len(test)) == (36, 4)
    assert sorted(train + test) == sorted(f"t{i}" for i in range(40))


def test_the_key_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    for place, texts in (("a", "xyz"), ("b", "xyz"), ("c", "xyw")):
        write_jsonl(tmp_path / place / "train.jsonl", list(texts))
    a, b, c = (in_folder(tmp_path / place).key for place in "abc")
    assert a == b != c
    (tmp_path / "b" / "train.jsonl").rename(tmp_path / "b" / "test.jsonl")
    assert in_folder(tmp_path / "b").key != a


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"text": "cut', "is no JSON"),
        (b'{"body": "x"}', "has no text under the key `text`"),
        (b'{"text": 3}', "has no text under the key `text`"),
        (b'["text"]', "has no text under the key `text`"),
        (b'{"text": "\xff"}', "is not in UTF-8"),
        (b'{"text": "\\ud800"}', "has half a character"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_a_broken_line_is_named_or_skipped_and_counted(
    tmp_path: Path, line: bytes, what: str
) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(b'{"text": "one"}\n\n' + line + b'\n{"text": " \\n"}\n{"text": "two"}\n')
    with pytest.raises(UserError) as caught:
        list(read_file(path, skip_broken=False, left_out=LeftOut()))
    assert str(caught.value).startswith(f"some.jsonl, line 3: {what}")
    assert "data.skip_broken=true" in str(caught.value)
    assert "\n" not in str(caught.value)
    left_out = LeftOut()
    assert list(read_file(path, skip_broken=True, left_out=left_out)) == ["one", "two"]
    assert left_out == LeftOut(empty=2, broken=1)


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    write_jsonl(path, [f"{i} {hash(str(i))}" for i in range(200)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"train.jsonl.gz: cannot be unpacked to its end"):
        list(read_file(path, skip_broken=True, left_out=LeftOut()))


def test_blank_lines_part_the_documents_of_a_txt_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n\nOne,\nstill one.\n \t\nTwo.\r\n\r\n  Three.")
    found = list(read_file(tmp_path / "a.txt", skip_broken=False, left_out=LeftOut()))
    assert found == ["One,\nstill one.", "Two.", "  Three."]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no .jsonl, .jsonl.gz or .txt file; type"),
        ({"a.csv": "x"}, "has no .jsonl, .jsonl.gz or .txt file; type"),
        ({"a.txt": ""}, "corpus folder: has 0 different documents, and"),
        ({"a.txt": "one line"}, "corpus folder: has 1 different documents, and"),
        ({"test.txt": "one\n\ntwo"}, "corpus folder: has no training documents here; type"),
    ],
)
def test_an_empty_corpus_ends_in_one_sentence(tmp_path: Path, files, sentence: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError) as caught:
        list(in_folder(tmp_path).documents("train"))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_and_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there; type a folder of such files"):
        in_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="type data.folder=FOLDER"):
        find_corpus("folder", root="", cache_dir="")
    with pytest.raises(
        UserError, match=r"data.corpus=pubmd: no such corpus as pubmd; did you mean"
    ):
        find_corpus("pubmd", root="", cache_dir="")


def test_a_corpus_that_is_not_there_says_what_to_download_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    with pytest.raises(UserError) as caught:
        list(find_corpus("c4", root=str(tmp_path), cache_dir=str(tmp_path)).documents("train"))
    sentence = str(caught.value)
    for part in ("corpus c4", "allenai/c4", str(tmp_path / "text" / "c4"), "data.root=FOLDER"):
        assert part in sentence
    assert "\n" not in sentence


def test_documents_and_files_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its client would give them; this says what it is asked for."""
    import datasets
    import huggingface_hub

    from zoo.data.text import given as given_tokenizer
    from zoo.data.tokenizers import BERT_SPECIAL

    asked: list[Any] = []

    def load(*place: Any, **options: Any) -> list[dict[str, str]]:
        asked.append((*place, options["split"], options["streaming"]))
        return [{"text": f"t{i}"} for i in range(9)] + [{"text": " "}]

    monkeypatch.setattr("zoo.data.hub.answers", lambda _: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    corpus = find_corpus("c4", root=str(tmp_path), cache_dir="")
    left_out = LeftOut()
    train = list(corpus.documents("train", left_out))
    assert (len(train), left_out.empty) == (8, 1)
    assert len(list(corpus.documents("validation"))) == 9
    assert set(asked) == {("allenai/c4", "en", s, True) for s in ("train", "validation")}

    (tmp_path / "vocab.txt").write_text("\n".join([*BERT_SPECIAL, "a"]))
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *place, **_: str(tmp_path / place[1])
    )
    assert given_tokenizer("bert-base-uncased", str(tmp_path / "x"), "").encode(["a"]) == [[5]]


def test_the_bundled_passages_have_every_paragraph_once() -> None:
    found = list(topics())
    words = [" ".join(p.split()) for text in found for p in text.split("\n\n")]
    assert len(found) > 500
    assert len(set(found)) == len(found)
    assert max(words.count(w) for w in words[:200]) == 1
    long = [text for text in found if len(text) > LENGTH + 2]
    assert all("\n\n" not in text for text in long)  # one paragraph, which is never cut
    whole = " ".join(words)
    from pydoc_data import topics as stored

    for paragraph in stored.topics["assert"].split("\n\n"):
        assert " ".join(paragraph.split()) in whole


def test_a_passage_is_of_one_topic() -> None:
    assert list(passages({"b": "x.\n\ny.", "a": "z."})) == ["z.", "x.\n\ny."]


def test_several_corpora_are_one_each_split_on_its_own(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "biomed_text" / "pubmed_abstracts_train.jsonl.gz", list("abcdefghij"))
    write_jsonl(tmp_path / "biomed_text" / "pubmed_abstracts_validation.jsonl.gz", ["v"])
    write_jsonl(tmp_path / "biomed_text" / "pmc_fulltext.jsonl.gz", list("ABCDEFGHIJ"))
    where = {"root": str(tmp_path), "cache_dir": ""}
    parts = [find_corpus(n, **where) for n in ("pubmed", "pmc")]
    both = find_corpus("pubmed+pmc", **where)
    for split in SPLITS:
        expected = [t for part in parts for t in part.documents(split)]
        assert list(both.documents(split)) == expected
    assert len({both.key, *(p.key for p in parts)}) == 3


def test_the_real_corpora(data_root: Path) -> None:
    sizes = {}
    for name in ("c4", "wikitext2"):
        corpus = find_corpus(name, root=str(data_root), cache_dir="")
        kept = ("validation", "test") if name == "wikitext2" else SPLITS
        sizes[name] = [sum(1 for _ in corpus.documents(s)) for s in kept]
    assert sizes == {"c4": [2862, 191, 318], "wikitext2": [2461, 2891]}
