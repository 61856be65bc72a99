"""`zoo answer`: the option with the largest score, from a question on the command line or a file."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.verbs import refused, typed
from zoo.answering import Answerer, Settings
from zoo.data.questions.prompt import Form
from zoo.data.questions.question import Question
from zoo.errors import UserError
from zoo.trained import Trained, load_trained

QUESTIONS = [
    Question(
        "1", "Is a name a reference?", ("yes", "no", "maybe so"), "Names refer to objects.", 1
    ),
    Question("2", "Which statement?", ("import", "a much longer option, of many words"), label=0),
    Question("3", "What?", tuple(f"option {i}" * (i % 3 + 1) for i in range(26))),
    Question("x", "é?", ("ü", "a"), label=1),
    Question("5", "Which one of these is it?", ("None", "True", "False", "Ellipsis"), label=3),
]


@pytest.fixture(scope="module")
def trained(language_model: Path) -> Trained:
    return load_trained(str(language_model))


def by_hand(trained: Trained, question: Question, option: str, normalise: str) -> float:
    """The score as the text reads, one full pass of transformers' own model."""
    context = f"Context: {question.context}\n" if question.context else ""
    text = f"{context}Question: {question.question}\nAnswer:"
    prompt = [trained.tokenizer.end_of_text, *trained.tokenizer.encode([text])[0]]
    (answer,) = trained.tokenizer.encode([f" {option}"])
    with torch.no_grad():
        logits = trained.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    sum_p = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item()
    return sum_p / {"none": 1, "token": len(answer), "byte": len(f" {option}".encode())}[normalise]


@pytest.mark.parametrize("normalise", ["none", "token", "byte"])
def test_scores_are_those_of_the_text_as_it_reads(trained: Trained, normalise: Any) -> None:
    answerer = Answerer(trained, Settings(normalise=normalise, batch_size=3))
    asked = answerer.ask(QUESTIONS, [q.id for q in QUESTIONS])
    found = [one for batch in answerer.answers(QUESTIONS, asked) for one in batch]
    for question, one in zip(QUESTIONS, found, strict=True):
        wanted = [by_hand(trained, question, option, normalise) for option in question.options]
        assert one.scores == pytest.approx(wanted, rel=1e-4)
        best = max(range(len(wanted)), key=lambda i: one.scores[i])
        assert one.answer == question.options[best]
        assert one.right == (None if question.label is None else best == question.label)
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.cut == 0
    assert [one.place for one in found] == [0, 1, 2, 3, 4]


def test_a_question_on_the_command_line(language_model: Path, trained: Trained) -> None:
    words = ["answer", "--checkpoint", str(language_model), "--question", "Which statement?"]
    words += ["--choice", "import", "--choice", "a much longer option, of many words"]
    done = typed(*words)
    assert done.stderr.count("no medical advice") == 1
    told = json.loads(typed(*words, "--json").stdout)
    assert done.stdout.rstrip().endswith(f"{told['letter']}. {told['answer']}")
    wanted = [by_hand(trained, QUESTIONS[1], option, "token") for option in QUESTIONS[1].options]
    assert told["scores"] == pytest.approx(wanted, rel=1e-4)
    assert "import" in done.stdout
    plain = json.loads(typed(*words, "--json", "--format", "plain", "--markers", "none").stdout)
    assert plain["scores"] != pytest.approx(told["scores"], rel=1e-4)


def as_lines(questions: list[Question]) -> str:
    rows = [
        {"id": q.id, "question": q.question, "options": q.options, "context": q.context,
         **({} if q.label is None else {"answer": q.label})}
        for q in questions
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("share", [0, 0.001, 0.45, 0.7, 1])
def test_a_file_goes_on_where_it_was_cut_off(
    trained: Trained, tmp_path: Path, share: float
) -> None:
    questions = [Question(f"{n} {q.id}", *_rest(q)) for n in range(5) for q in QUESTIONS]
    names = [q.id for q in questions]
    answerer = Answerer(trained, Settings(batch_size=4))
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    counts = list(answerer.into_file(questions, names, whole))
    assert counts == [0, 4, 8, 12, 16, 20, 24, 25]
    content = whole.read_bytes()
    kept = content[: int(share * len(content))]
    cut.write_bytes(kept)
    again = list(answerer.into_file(questions, names, cut))
    assert cut.read_bytes() == content
    lines = max(0, kept.count(b"\n") - 1)
    assert again == [n for n in counts if n >= (lines // 4 * 4 if share < 1 else 25)]
    rows = [json.loads(line) for line in cut.read_text().splitlines()[1:]]
    assert [row["id"] for row in rows] == names


def _rest(q: Question) -> tuple[Any, ...]:
    return q.question, q.options, q.context, q.label


def test_what_is_there_already_is_not_taken_away(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    answerer = Answerer(trained, Settings(batch_size=2))
    list(answerer.into_file(QUESTIONS, [""] * 5, out))
    before = out.read_bytes()
    other = "holds answers to other questions, settings or weights; type another --out"
    for questions, settings in (
        (QUESTIONS, Settings(batch_size=2, normalise="byte")),
        (QUESTIONS, Settings(batch_size=2, form=Form(markers="none"))),
        ([*QUESTIONS[:4], Question("5", "Else?", ("a", "b"))], Settings(batch_size=2)),
        (QUESTIONS[:4], Settings(batch_size=2)),
    ):
        with pytest.raises(UserError, match=other):
            list(Answerer(trained, settings).into_file(questions, [""] * 5, out))
    (tmp_path / "mine.txt").write_text("my notes, without a line's end")
    with pytest.raises(UserError, match=other):
        list(answerer.into_file(QUESTIONS, [""] * 5, tmp_path / "mine.txt"))
    assert (tmp_path / "mine.txt").read_text() == "my notes, without a line's end"
    writing = answerer.into_file(QUESTIONS, [""] * 5, tmp_path / "two.jsonl")
    next(writing)
    with pytest.raises(UserError, match="another process is writing it"):
        next(answerer.into_file(QUESTIONS, [""] * 5, tmp_path / "two.jsonl"))
    assert out.read_bytes() == before


def test_a_job_that_is_killed_loses_nothing_and_does_nothing_twice(
    language_model: Path, tmp_path: Path
) -> None:
    source, out, whole = (tmp_path / name for name in ("q.jsonl", "out.jsonl", "whole.jsonl"))
    questions = [Question(f"{n} {q.id}", *_rest(q)) for n in range(24) for q in QUESTIONS]
    source.write_text(as_lines(questions))
    words = [
        "answer",
        "--checkpoint",
        str(language_model),
        "--file",
        str(source),
        "--batch-size",
        "2",
    ]
    assert typed(*words, "--out", str(whole)).exit_code == 0
    process = os.fork()  # a process of its own that need not import everything again
    if not process:
        typed(*words, "--out", str(out))
        os._exit(0)
    for _ in range(30_000):
        if out.exists() and out.stat().st_size > 5_000:
            break
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    given = out.read_bytes()
    kept = given[: given.rindex(b"\n") + 1]
    assert whole.read_bytes().startswith(kept)
    assert 5 < kept.count(b"\n") < 120, "it was killed in the middle"
    done = typed(*words, "--out", str(out))
    assert f"120 answers in {out}" in done.stdout
    assert done.stderr.count("no medical advice") == 1
    assert "120 of 120 questions" in done.stderr
    assert out.read_bytes() == whole.read_bytes()


def test_mistakes_are_one_sentence(
    language_model: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("answer", "--checkpoint", str(language_model))
    assert "--file FILE with --out FILE" in refused(*ask)
    assert "go together" in refused(*ask, "--file", "q.jsonl")
    assert "are of --question" in refused(*ask, "--file", "q", "--out", "o", "--choice", "a")
    assert "has no options, and a choice wants two" in refused(*ask, "--question", "Which?")
    one = ("--question", "Which?", "--choice", "a")
    assert "has one option, 'a', and a choice wants two" in refused(*ask, *one)
    assert "option B is empty" in refused(*ask, *one, "--choice", " ")
    empty = ("--question", " ", "--choice", "a", "--choice", "b")
    assert "--question ' ': has an empty question" in refused(*ask, *empty)
    assert "--markers none" in refused(*ask, *one, "--choice", "b", "--format", "plain")
    form = {"format": "plain", "markers": "none"}  # of the questions that it was trained on
    monkeypatch.setattr("zoo.verbs.answer.load", lambda _: replace(trained, form=Form(**form)))
    typed(*ask, *one, "--choice", "b", "--format", "plain")
    assert "--markers is words" in refused(*ask, *one, "--choice", "b", "--markers", "words")
    monkeypatch.undo()
    long = refused(*ask, *one, "--choice", "b " * 1200)
    assert "leave no room for it within 1024 tokens" in long
    source = tmp_path / "q.jsonl"
    source.write_text(as_lines(QUESTIONS) + '{"question": \n')
    said = refused(*ask, "--file", str(source), "--out", str(tmp_path / "o.jsonl"))
    assert said.startswith(f"--file {source} line 6: is no JSON with a question")
    source.write_text(as_lines([*QUESTIONS, Question("7", "Which?", ("a", "b " * 1200))]))
    said = refused(*ask, "--file", str(source), "--out", str(tmp_path / "o.jsonl"))
    assert said.startswith(f"--file {source} question 7: its options")
    assert not (tmp_path / "o.jsonl").exists()


def test_a_prompt_beyond_the_context_is_cut_and_said(language_model: Path) -> None:
    words = ["answer", "--checkpoint", str(language_model), "--question", "Which one?"]
    words += ["--choice", "a", "--choice", "b", "--context", "Names refer to objects. " * 300]
    done = typed(*words)
    assert "tokens of it did not fit and were cut" in done.stderr
    assert json.loads(typed(*words, "--json").stdout)["cut"] > 500


def test_broken_weights_are_one_sentence(language_model: Path) -> None:
    trained = load_trained(str(language_model))
    with torch.no_grad():
        trained.model.transformer.ln_f.weight.fill_(float("nan"))
    answerer = Answerer(trained, Settings())
    with pytest.raises(UserError, match="scores are no finite numbers"):
        next(answerer.answers(QUESTIONS, answerer.ask(QUESTIONS, [""] * 5)))
