"""data=pairs: labels are on targets alone, and sources are cut to make room for them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st

from tests.pairs import LEARNS, WORDS, write, write_pairs
from zoo.config import build, check, compose
from zoo.data.masking import IGNORED
from zoo.data.pairs.layout import lay_out, prompts
from zoo.data.pairs.pair import Pair, Pairs
from zoo.data.pairs.pair_data import PairData
from zoo.data.tokenizers import TextTokenizer, train_bpe
from zoo.errors import UserError
from zoo.models.biomedlm import BioMedLM, configuration

TEXTS = [*WORDS, "né quelque chose", "TL;DR: a text of some words, and more words"] * 3
TEXT = st.text(st.sampled_from("abé ,.\n"), min_size=1, max_size=30).filter(str.strip)


@pytest.fixture(scope="module")
def bpe() -> TextTokenizer:
    return train_bpe(lambda: TEXTS, 280)


@pytest.fixture(scope="module")
def net(bpe: TextTokenizer) -> BioMedLM:
    torch.manual_seed(0)
    assert bpe.end_of_text is not None
    return BioMedLM(configuration("nano", bpe.vocab_size, bpe.end_of_text)).eval()


def data_of(found: list[Pair], bpe: TextTokenizer, separator: str, length: int) -> PairData:
    rows, _ = lay_out(found, bpe, separator, length)
    splits = ("train", "validation", "test")
    return PairData(
        "mine", dict.fromkeys(splits, Pairs(found)), dict.fromkeys(splits, rows), bpe, seed=0,
        batch_size=1, eval_batch_size=8, max_length=length,
    )  # fmt: skip


@over(
    st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5),
    st.sampled_from(["\\nTL;DR:", " =>", "\n\n", "x"]),
    st.integers(30, 90),
)
@settings(max_examples=40)
def test_the_loss_is_that_of_transformers_model_on_the_targets(
    bpe: TextTokenizer, net: BioMedLM, texts: list[tuple[str, str]], separator: str, length: int
) -> None:
    end = bpe.end_of_text
    (between,) = bpe.encode([separator.replace("\\n", "\n")])
    rows, labels, wanted = [], [], []
    for source, target in texts:
        first, second = bpe.encode([source.strip(), f" {target.strip()}"])
        room = length - 2 - len(between) - len(second)
        if room < 1:
            continue
        begin = [end, *first[:room], *between]
        rows.append([*begin, *second, end])
        labels.append([IGNORED] * len(begin) + [*second, end])
        wanted.append(Pair("", source, target, ""))
    if not rows:
        return
    data = data_of(wanted, bpe, separator, length)
    batch = data.eval_batch("test", np.arange(len(rows)))
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[end] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    expected = torch.tensor([[*row, *[IGNORED] * (width - len(row))] for row in labels])
    assert torch.equal(batch["input_ids"], ids)
    assert torch.equal(batch["labels"], expected)
    assert batch["lengths"] == list(map(len, rows))
    assert batch["predicted"] == (expected != IGNORED).sum(1).tolist()
    assert batch["bytes"] == sum(len(f" {pair.target.strip()}".encode()) for pair in wanted)
    with torch.no_grad():
        ours = net(**batch)["loss"]
        theirs = net.plain()(ids, attention_mask=mask, labels=expected).loss
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def make(folder: Path, *overrides: str) -> Any:
    words = [*LEARNS, f"data.folder={os.path.relpath(folder)}", "data.batch_size=2", *overrides]
    settings = check(compose(words))
    return build(settings["data"], seed=settings["seed"])


LONG = {"source": " ".join(WORDS * 9), "target": "elm oak plum"}


def test_what_is_cut_is_the_end_of_the_source_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path / "pairs", train=20, test=4)
    make(folder)
    assert capsys.readouterr().err == ""
    write(folder / "test.jsonl", {"source": "elm", "target": "oak"}, LONG)
    data = make(folder)
    source, target = data.tokenizer.encode([LONG["source"], " elm oak plum"])
    (between,) = data.tokenizer.encode(["\nTL;DR:"])
    end, room = data.tokenizer.end_of_text, 32 - 2 - len(between) - len(target)
    ids = data.eval_batch("test", np.array([1]))["input_ids"][0].tolist()
    assert ids == [end, *source[:room], *between, *target, end]
    sources = [pair.source for part in data.splits.values() for pair in part.pairs]
    whole = sum(map(len, data.tokenizer.encode(sources)))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        f"data.max_length=32: {len(source) - room} of the {whole} tokens of the sources are cut, in "
        "1 of 42 pairs"
    )
    # What is written after has the room of the longest target, and its end.
    asked = data.to_write
    assert asked.max_new_tokens == len(target) + 1
    assert len(asked.prompts[1]) + asked.max_new_tokens == 32
    assert asked.prompts[1] == [end, *source[:room], *between]
    assert said[1].startswith(
        f"data.max_new_tokens={len(target) + 1}: {len(source) - room} of the "
    )
    found, cut = prompts([LONG["source"]], data.tokenizer, "\\nTL;DR:")
    assert (found, cut.tokens) == ([[end, *source, *between]], 0)


def test_a_target_that_is_too_long_is_named_by_its_line(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", train=20, test=4)
    write(
        folder / "test.jsonl",
        {"source": "elm", "target": "oak"},
        {"source": "a", "target": LONG["source"]},
    )
    said = (
        r"test.jsonl line 2: its target has (\d+) tokens, and data.max_length=32 has (\d+) beside"
    )
    with pytest.raises(UserError, match=said) as caught:
        make(folder)
    assert "\n" not in str(caught.value)
    typed = int(str(caught.value).split("type data.max_length=")[1].split()[0])
    data = make(folder, f"data.max_length={typed}")
    assert data.eval_batch("test", np.array([1]))["lengths"] == [typed]
    with pytest.raises(UserError, match="line 2: its target has"):
        make(folder, f"data.max_length={typed - 1}")


def test_samples_are_evenly_spaced(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", train=20, test=12)
    data = make(folder, "data.train_samples=10", "data.eval_samples=6", "data.rouge_samples=3")
    assert data.sizes == {"train": 10, "validation": 6, "test": 6}
    assert data.to_write.ids == ["test/1", "test/5", "test/9"]
    assert make(folder, "data.rouge_samples=0").to_write is None
    assert len(make(folder, "data.rouge_samples=null").to_write) == 12
    assert make(folder, "data.max_new_tokens=5").to_write.max_new_tokens == 5


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=mosaicbert"], "takes text with masked words, and data=pairs is sources with targ"),
        (["model=bert_classifier"], "takes sentences with labels, and data=pairs is sources with"),
        (["model=biomedlm_classifier"], "takes questions with options, and data=pairs is"),
        (["model=resnet8"], "model=resnet8: takes images, and data=pairs is sources with targets"),
        (["task=masked_lm"], "data=pairs is sources with targets; type task=causal_lm"),
        (["data.separator=''"], "data.separator=: string should have at least 1 character; type"),
        (["data.rouge_samples=-1"], "data.rouge_samples=-1: input should be greater than or eq"),
        (["data.max_new_tokens=0"], "data.max_new_tokens=0: input should be greater than or eq"),
        (["data.max_new_tokens=29"], r"data.max_new_tokens=29: leaves no room for a source within d"),
        (["data.tokenizer=wordpiece"], "data.tokenizer=wordpiece: has no end-of-text token; a model"),
        (["data.folder=null"], "data.folder=null: data=pairs reads it; type data.folder=FOLDER"),
        (["data.batch_size=100"], "the training split has only 20 samples"),
        (
            ["trainer=fsdp"],
            "data.rouge_samples=200: texts are written with whole weights, of which trainer.strategy="
            "fsdp leaves each device a part; type data.rouge_samples=0 or trainer=ddp",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tmp_path: Path, overrides: list[str], said: str) -> None:
    folder = write_pairs(tmp_path / "pairs", train=20, test=4)
    brought = overrides[0].startswith(("model=", "task="))  # none of its keys is there then
    base = ["data=pairs"] if brought else ["data=pairs", *LEARNS[2:], "data.batch_size=2"]
    model = [] if overrides[0].startswith("model=") else ["model=biomedlm"]
    words = [*model, *base, f"data.folder={os.path.relpath(folder)}", *overrides]
    with pytest.raises(UserError, match=said) as refused:
        build(check(compose(words))["data"], seed=0)
    assert "\n" not in str(refused.value)


def test_a_room_that_is_told_is_enough(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "pairs", train=20, test=4)
    with pytest.raises(UserError) as refused:
        make(folder, "data.max_new_tokens=31")
    typed = int(str(refused.value).split("type data.max_new_tokens=")[1].split()[0])
    asked = make(folder, f"data.max_new_tokens={typed}").to_write
    assert {len(prompt) for prompt in asked.prompts} == {32 - typed}
    with pytest.raises(UserError):
        make(folder, f"data.max_new_tokens={typed + 1}")
