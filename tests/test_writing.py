"""`zoo answer --by generation`: what a model writes is matched with the options."""

import json
from pathlib import Path

import pytest
import torch

from tests.questions import taught, write_lines, yes_no_maybe
from tests.verbs import typed
from zoo.answering import Settings
from zoo.data.questions.matching import match
from zoo.data.questions.prompt import Form
from zoo.data.questions.question import Question
from zoo.errors import UserError
from zoo.trained import Trained, load_trained
from zoo.writing import Writer

OPTIONS = ["Beta-blockers", "-2", "+2", "1.5", "15", "None of these"]


@pytest.fixture(scope="module", name="taught")
def _taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of contexts and questions with yes, no or maybe, as running text."""
    return taught(tmp_path_factory.mktemp("taught"), yes_no_maybe, max_length=48, steps=80)


@pytest.fixture(scope="module")
def untaught(language_model: Path) -> Trained:
    return load_trained(str(language_model))


def test_what_is_taught_is_written_and_matched(taught: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "test.jsonl", yes_no_maybe, 200, 2)
    out, likely = tmp_path / "written.jsonl", tmp_path / "likely.jsonl"
    words = ["answer", "--checkpoint", str(taught), "--file", str(file)]
    said = typed(*words, "--out", str(out), "--by", "generation").stdout
    rows = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert sum(row["right"] for row in rows) > 0.95 * len(rows) == 190
    unmatched = sum(row["answer"] is None for row in rows)
    assert f"200 answers in {out}, {unmatched} of them unmatched" in said
    for row in rows:
        assert row["scores"] is row["probabilities"] is None
        assert row["answer"] in (None, row["written"].strip())
    typed(*words, "--out", str(likely), "--by", "likelihood")
    told = json.loads(typed("mcnemar", str(out), str(likely), "--json").stdout)
    assert told["questions"] == 200
    assert told["accuracies"][0] == sum(row["right"] for row in rows) / 200


@pytest.mark.parametrize(
    ("written", "letters", "place"),
    [
        ("beta blockers", False, 0), (' "Beta\u2013Blockers." \nQuestion: -2', False, 0),
        ("\u22122", False, 1), ("+2", False, 2), ("2", False, None), ("1.5", False, 3),
        ("1.5.", False, 3), ("15", False, 4), ("1,5", False, None), ("beta", False, None),
        ("none  of THESE!", False, 5), ("", False, None), ("...", False, None), ("A", False, None),
        ("a", True, 0), ("(B)", True, 1), ("C.", True, 2), ("F. none of these", True, 5),
        ("A. -2", True, None), ("G", True, None), ("15", True, 4), ("A and B", True, None),
    ],
)  # fmt: skip
def test_matching(written: str, letters: bool, place: int | None) -> None:
    assert match(written, OPTIONS, letters=letters) == place


def test_what_may_be_several_options_is_none() -> None:
    assert match("Na", ["na", "NA"], letters=False) is None
    assert match("NA", ["na", "NA"], letters=False) == 1
    assert match("B", ["B", "A"], letters=True) is None


QUESTIONS = [
    Question(str(n), f"Which {n}?", ("yes", "no", "it may be so" * (n % 3 + 1)), "Names. " * n, 1)
    for n in range(13)
]


@pytest.mark.parametrize("letters", [False, True])
def test_prompt_and_text_are_those_of_the_model(untaught: Trained, letters: bool) -> None:
    """Batched, padded and with a cache each is what transformers' model writes alone, step by step."""
    writer = Writer(untaught, Settings(form=Form(letters=letters), batch_size=5), 32)
    asked = writer.ask(QUESTIONS, [q.id for q in QUESTIONS])
    found = [one for batch in writer.answers(QUESTIONS, asked) for one in batch]
    end = untaught.tokenizer.end_of_text
    for question, one in zip(QUESTIONS[:4], found, strict=False):
        context = f"Context: {question.context.strip()}\n" if question.context else ""
        pairs = zip("ABC", question.options, strict=True)
        listed = "".join(f"\n{a}. {option}" for a, option in pairs) if letters else ""
        text = f"{context}Question: {question.question}{listed}\nAnswer:"
        prompt = untaught.tokenizer.decode(asked.prompts[one.place][1:])
        assert prompt == text
        ids = list(asked.prompts[one.place])
        begin = len(ids)
        while len(ids) < begin + writer.max_new_tokens and (len(ids) == begin or ids[-1] != end):
            with torch.no_grad():
                ids.append(int(untaught.model(torch.tensor([ids])).logits[0, -1].argmax()))
        new = ids[begin:-1] if one.ended else ids[begin:]
        assert one.written == untaught.tokenizer.decode(new)
        assert one.tokens == len(ids) - begin
        assert one.right is (one.letter == "B")


@pytest.mark.parametrize("share", [0, 0.3, 0.8, 1])
def test_a_file_goes_on_where_it_was_cut_off(
    untaught: Trained, tmp_path: Path, share: float
) -> None:
    names = [q.id for q in QUESTIONS]
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    writer = Writer(untaught, Settings(batch_size=4))
    assert list(writer.into_file(QUESTIONS, names, whole)) == [0, 4, 8, 12, 13]
    content = whole.read_bytes()
    cut.write_bytes(content[: int(share * len(content))])
    list(writer.into_file(QUESTIONS, names, cut))
    assert cut.read_bytes() == content
    with pytest.raises(UserError, match="holds answers to other questions, settings or weights"):
        list(Writer(untaught, Settings(batch_size=4), 60).into_file(QUESTIONS, names, cut))


def test_an_unmatched_answer_is_said(language_model: Path) -> None:
    words = ["answer", "--checkpoint", str(language_model), "--question", "Which?"]
    words += ["--choice", "xyzzy", "--choice", "plugh", "--by", "generation"]
    assert "unmatched: is none of the options" in typed(*words).stdout
    told = json.loads(typed(*words, "--json").stdout)
    assert told["answer"] is told["letter"] is told["right"] is told["scores"] is None


def test_mistakes_are_one_sentence(language_model: Path, untaught: Trained) -> None:
    words = ["answer", "--checkpoint", str(language_model), "--question", "Which?"]
    words += ["--choice", "import", "--choice", "a much longer option, of many words"]
    for options, said in (
        (["--by", "generation", "--normalise", "byte"], "--normalise byte: is of likelihoods"),
        (["--max-new-tokens", "9"], "--max-new-tokens 9: is of what is written"),
        (["--by", "generation", "--max-new-tokens", "4"], r"--max-new-tokens 4: an option of "),
        (["--by", "generation", "--max-new-tokens", "1023"], "leaves no room for a question"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            typed(*words, *options)
        assert "\n" not in str(caught.value)
    broken = load_trained(str(language_model))
    with torch.no_grad():
        broken.model.transformer.ln_f.weight.fill_(float("nan"))
    writer = Writer(broken, Settings())
    with pytest.raises(UserError, match="scores are no finite numbers"):
        next(writer.answers(QUESTIONS, writer.ask(QUESTIONS, [""] * len(QUESTIONS))))
