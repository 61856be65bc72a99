"""`zoo tokenizer train` and `zoo tokenizer compare`."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.data.compression import TERMS, measure, pieces
from zoo.data.text import given
from zoo.data.tokenizers import from_folder, train_bpe, train_wordpiece
from zoo.errors import UserError


def typed(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tokenizer", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A corpus of 60 documents in which thrombin is common."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    lines = [json.dumps({"text": f"We measured the thrombin of patient {i}."}) for i in range(60)]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "all.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "corpus")


def test_a_trained_tokenizer_is_saved_and_compared(folder: str, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    options = ("--vocab-size", "400", "--folder", folder)
    said = json.loads(typed("train", "folder", "--out", str(out), *options, "--json"))
    made = from_folder(str(out))
    assert said["vocab_size"] == made.vocab_size <= 400
    assert said["sha256"] == made.sha256
    assert said["held_out"]["documents"] == 6
    assert said["held_out"]["words"] == 6 * 7
    less = json.loads(
        typed("train", "folder", "--out", str(tmp_path / "less"), *options, "--train-bytes", "400",
              "--json")
    )  # fmt: skip
    assert less["vocab_size"] < said["vocab_size"]
    names = (str(out), "bpe:folder", "wordpiece:folder")
    found = json.loads(
        typed("compare", *names, "--corpora", "folder,text", *options, "--documents", "5",
              "--terms", "thrombin,myocardium", "--json")
    )  # fmt: skip
    assert len(found["rows"]) == 6
    for row in found["rows"]:
        assert row["documents"] == 5
        assert row["tokens_per_word"] == row["tokens"] / row["words"]
        assert row["bytes_per_token"] == row["text_bytes"] / row["tokens"]
    assert found["terms"][str(out)]["thrombin"] == ["thrombin"]
    assert "".join(found["terms"][str(out)]["myocardium"]) == "myocardium"
    table = typed("compare", str(out), *options, "--corpora", "folder", "--terms", "thrombin")
    assert "1 of 1" in table
    with pytest.raises(UserError, match="is not empty; type a folder that is not there yet"):
        typed("train", "folder", "--out", str(out), *options)
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["compare", "gtp2"], "tokenizer gtp2: no such one; type gpt2, bert-base-uncased"),
        (["compare", "bpe:texts"], "corpus=texts: no such corpus as texts; did you mean text"),
        (["compare", "bpe:text", "--vocab-size", "99"], "256 bytes and the end-of-text token"),
        (["compare", "bpe:text", "--terms", ","], "--terms ,: has no term; type e.g. --terms"),
        (["compare", "bpe:text", "--corpora", "x"], "corpus=x: no such corpus"),
        (["compare", "."], "tokenizer=.: has no tokenizer.json; save one with"),
    ],
)
def test_a_users_mistake_is_one_sentence(
    folder: str, arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError) as caught:
        typed(*arguments)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_counted() -> None:
    words = train_wordpiece(lambda: ["a thin cat", "a thin hat"] * 9, 60)
    found = measure(words, ["a  thin\ncat", "é hat!"])
    assert vars(found) == {
        "documents": 2, "words": 5, "text_bytes": 11 + 7,
        "tokens": sum(map(len, words.encode(["a  thin\ncat", "é hat!"]))), "unknown": 2,
    }  # fmt: skip


def test_a_term_is_whole_behind_a_space_too() -> None:
    made = train_bpe(lambda: ["see the thrombin here"] * 9, 300)
    assert len(made.encode(["thrombin"])[0]) > 1  # only with its space it is one token
    assert pieces(made, "thrombin") == ["thrombin"]
    assert len(pieces(made, "myocardium")) > 1


def test_gpt2_splits_the_papers_terms_as_the_paper_says(data_root: Path) -> None:
    gpt2 = given("gpt2", str(data_root), "")
    found: dict[str, Any] = {term: "|".join(pieces(gpt2, term)) for term in TERMS}
    begin = [gpt2.engine.id_to_token(i) for i in gpt2.encode(["Immunohistochemistry"])[0]]
    assert "|".join(begin) == "Imm|un|oh|ist|ochemistry"
    assert found == {
        "chromatography": "chrom|atography",
        "cytotoxicity": "cyt|ot|oxicity",
        "ECG": "EC|G",
        "GATA": "G|ATA",
        "Immunohistochemistry": "Immun|oh|ist|ochemistry",
        "myocardium": "my|ocard|ium",
        "nanoparticles": "nanop|articles",
        "photosynthesis": "photos|ynthesis",
        "probiotic": "prob|iotic",
        "thrombin": "th|rom|bin",
    }
