"""data=pairs from `python train.py` to `zoo generate`; and questions whose answers are written."""

import json
import os
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.conftest import ROOT, Runner, train_in
from tests.pairs import LEARNS, write, write_pairs
from tests.processes import run_ranks
from tests.questions import choice, write_folder, write_lines, yes_no_maybe
from tests.verbs import typed
from zoo.data.questions.prompt import Form
from zoo.errors import UserError
from zoo.leaderboard import load_records
from zoo.trained import load_trained

pytestmark = pytest.mark.xdist_group("pairs")  # which share what is learned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "backwards")


@pytest.fixture(scope="module")
def learned(folder: Path) -> Path:
    """A run that has learned to tell words backwards."""
    place = folder.parent / "outputs"
    record = train_in(
        place, *LEARNS, f"data.folder={os.path.relpath(folder)}", "trainer.max_steps=130",
        "optimizer.lr=2e-3", "data.rouge_samples=50",
    )  # fmt: skip
    return place / record.id


def metrics(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "record.json").read_text())["metrics"]
    return found


def test_words_are_told_backwards(learned: Path) -> None:
    found = metrics(learned)
    assert found["test/rouge1"] >= 0.95
    assert found["test/rougeL"] >= 0.95
    table = pl.read_parquet(learned / "predictions.parquet")
    assert table.columns == [
        "split", "id", "source", "target", "written", "rouge1", "rouge2", "rougeL",
    ]  # fmt: skip
    assert len(table) == 50
    documented = (ROOT / "docs" / "record.md").read_text()
    for key in ("rouge1", "rouge2", "rougeL"):
        assert f"`test/{key}`" in documented
        assert found[f"test/{key}"] == pytest.approx(table[key].mean())
    right = table.filter(pl.col("written") == pl.col("target"))
    assert len(right) >= 0.95 * len(table)
    first = right.row(0, named=True)
    assert first["written"].split() == first["source"].split()[::-1]
    with pytest.raises(UserError, match="says of no question whether it was answered rightly"):
        typed("mcnemar", str(learned), str(learned))


def test_the_targets_bytes_are_counted(learned: Path) -> None:
    """The mean over all targets of the split, each by itself in transformers' model."""
    trained = load_trained(str(learned))
    t, nats, tokens, size = trained.tokenizer, 0.0, 0, 0
    table = [json.loads(x) for x in (learned.parent.parent / "backwards" / "test.jsonl").open()]
    for row in table:
        prompt, target = t.encode([f"{row['source']}\nTL;DR:", f" {row['target']}"])
        ids = torch.tensor([[t.end_of_text, *prompt, *target, t.end_of_text]])
        labels = ids.clone()
        labels[:, : 1 + len(prompt)] = -100
        with torch.no_grad():
            nats += float(trained.model(ids, labels=labels).loss) * (len(target) + 1)
        tokens += len(target) + 1
        size += len(row["target"]) + 1
    found = metrics(learned)
    assert found["test/loss"] == pytest.approx(nats / tokens, rel=1e-4)
    assert found["test/bits_per_byte"] == pytest.approx(nats / 0.6931471805599453 / size, rel=1e-4)


def test_a_run_of_pairs_takes_sources(learned: Path, tmp_path: Path) -> None:
    words = ["generate", "--checkpoint", str(learned), "--max-new-tokens", "20"]
    sources = write(tmp_path / "s.jsonl", {"source": "oak elm pear "}, {"prompt": "zinc oak swan"})
    out = tmp_path / "out.jsonl"
    done = typed(*words, "--file", str(sources), "--out", str(out))
    assert "attention_mask" not in done.stderr
    about, *rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert about["separator"] == "\\nTL;DR:"
    assert [row["text"] for row in rows] == [" pear elm oak", " swan oak zinc"]
    assert all(row["ended"] for row in rows)
    assert typed(*words, "--prompt", "oak elm pear").stdout == "pear elm oak\n"
    whole = typed(*words, "--no-source", "--prompt", "oak elm pear\nTL;DR:").stdout
    assert whole == "oak elm pear\nTL;DR: pear elm oak\n"


def test_what_ends_a_line_elsewhere_may_be_in_a_source(learned: Path, tmp_path: Path) -> None:
    sources = tmp_path / "s.jsonl"
    sources.write_text('{"source": "oak\u2028elm\u0085pear"}\n', encoding="utf-8")
    words = ["generate", "--checkpoint", str(learned), "--max-new-tokens", "2"]
    assert (
        "1 texts in" in typed(*words, "--file", str(sources), "--out", str(tmp_path / "o")).stdout
    )


def test_from_the_command_line_with_a_checkpoint(
    run_train: Runner, learned: Path, folder: Path, tmp_path: Path
) -> None:
    run = os.path.relpath(learned, ROOT)
    words = [
        *LEARNS, f"data.folder={os.path.relpath(folder, ROOT)}", f"model.checkpoint={run}",
        "data.separator=' =>\\n'", "trainer.max_steps=2", "data.rouge_samples=3",
    ]  # fmt: skip
    done = run_train(*words)
    assert done.returncode == 0, done.stderr
    (record,) = load_records(tmp_path / "outputs")
    assert record.origin is not None
    assert record.origin.run == learned.name
    assert record.data.train == 1000
    assert {"test/rouge1", "test/rouge2", "test/rougeL"} < set(record.metrics)
    assert load_trained(str(tmp_path / "outputs" / record.id)).separator == " =>\\n"


@pytest.mark.parametrize(
    ("overrides", "right"),
    [
        (["precision=169"], True),
        (["precision=custom", "precision.exponent_bits=3", "precision.mantissa_bits=1"], False),
        (["precision=bf16", "trainer.accumulate=2"], True),
        (["delay=constant", "delay.steps=2", "optimizer=sgd"], True),
    ],
)
def test_texts_are_written_in_the_runs_own_arithmetic(
    learned: Path, folder: Path, tmp_path: Path, overrides: list[str], right: bool
) -> None:
    record = train_in(
        tmp_path, *LEARNS, f"data.folder={os.path.relpath(folder)}", f"model.checkpoint={learned}",
        "trainer.max_steps=3", "optimizer.lr=1e-12", "data.rouge_samples=20", *overrides,
    )  # fmt: skip
    assert (record.metrics["test/rouge1"] >= 0.95) is right


def test_two_processes_write_what_one_does(learned: Path, folder: Path, tmp_path: Path) -> None:
    words = [
        *LEARNS, f"data.folder={os.path.relpath(folder, ROOT)}", "trainer.max_steps=2",
        f"model.checkpoint={os.path.relpath(learned, ROOT)}", "optimizer.lr=1e-12",
        "data.rouge_samples=11", "data.eval_batch_size=4",
    ]  # fmt: skip
    one = train_in(tmp_path / "one", *words)
    environment = {**os.environ, "ZOO_COMPILE": "0", "ZOO_OUTPUT": str(tmp_path / "two")}
    ended = run_ranks(["train.py", *words, "trainer=ddp"], environment)
    assert [p.returncode for p in ended] == [0, 0], ended[0].stderr
    (two,) = load_records(tmp_path / "two")
    for key in ("test/loss", "test/rouge1", "test/rouge2", "test/rougeL"):
        assert two.metrics[key] == pytest.approx(one.metrics[key], rel=2e-6), key
    tables = [
        pl.read_parquet(tmp_path / name / record.id / "predictions.parquet")
        for name, record in (("one", one), ("two", two))
    ]
    assert tables[0].equals(tables[1])


# -- questions whose answers are written -----------------------------------------------------------


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that has learned to write yes, no or maybe, in a form that is not the default."""
    place = tmp_path_factory.mktemp("answers")
    folder = write_folder(place / "own", yes_no_maybe)
    record = train_in(
        place / "outputs", "model=biomedlm", "data=questions", "data.answers=text",
        "data.task=folder", f"data.folder={os.path.relpath(folder)}", "data.vocab_size=400",
        "data.max_length=48", "data.batch_size=32", "data.format=question_first", "data.markers=none",
        "model.hidden_dropout=0", "model.attention_dropout=0", "trainer.max_epochs=null",
        "trainer.max_steps=100", "optimizer.lr=4e-3", "logger=none",
    )  # fmt: skip
    return place / "outputs" / record.id


@pytest.mark.parametrize("by", ["likelihood", "generation"])
def test_answers_are_learned_by_writing(answers: Path, tmp_path: Path, by: str) -> None:
    file = write_lines(tmp_path / "test.jsonl", yes_no_maybe, 200, 2)
    out = tmp_path / "out.jsonl"
    typed(
        "answer", "--checkpoint", str(answers), "--file", str(file), "--out", str(out), "--by", by
    )
    about, *rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert about["form"]["format"] == "question_first"  # the run's own
    assert about["form"]["markers"] == "none"
    assert sum(row["right"] for row in rows) >= 0.95 * len(rows) == 190


def test_a_run_of_written_answers_knows_its_form(answers: Path, language_model: Path) -> None:
    form = load_trained(str(answers)).form
    assert form == Form(format="question_first", markers="none", max_length=48)
    assert load_trained(str(language_model)).form is None
    assert "test/rouge1" not in metrics(answers)


def test_a_row_is_what_is_asked_and_the_right_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoo.config import build, check, compose

    folder = write_folder(tmp_path / "own", choice, train=20, test=4)
    words = [
        "model=biomedlm", "data=questions", "data.answers=text", "data.task=folder",
        f"data.folder={os.path.relpath(folder)}", "data.vocab_size=300", "data.batch_size=4",
    ]  # fmt: skip
    section = check(compose(words))["data"]
    data = build(section, seed=0)
    assert section["layout"] == "choices"
    t, question = data.tokenizer, data.splits["train"].questions[3]
    prompt, option = t.encode(
        [f"Question: {question.question}\nAnswer:", f" {question.options[question.label]}"]
    )
    import numpy as np

    batch = data.eval_batch("train", np.array([3]))
    assert batch["input_ids"].tolist() == [[t.end_of_text, *prompt, *option, t.end_of_text]]
    assert batch["labels"].tolist() == [[*[-100] * (1 + len(prompt)), *option, t.end_of_text]]
    assert capsys.readouterr().err == ""
    longest = max(data.eval_batch("train", np.arange(20))["lengths"]) - 2
    short = build(check(compose([*words, f"data.max_length={longest}"]))["data"], seed=0)
    assert max(short.eval_batch("train", np.arange(20))["lengths"]) <= longest
    assert f"data.max_length={longest}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model=biomedlm_classifier"], "is sources with targets; type data.answers=auto, or model="),
        (["model=bert_classifier"], "is sources with targets; type data.answers=auto, or model=bio"),
        (["model=biomedlm", "data.answers=auto"], "takes running text, .* type data.answers=text, or"),
        (["model=biomedlm", "data.markers=tokens"], "data.markers=tokens: are new words, and a langu"),
        (["model=biomedlm", "data.layout=pairs"], "data.layout=pairs: is not for model=biomedlm_nano"),
        (["model=biomedlm", "task=multiple_choice"], "type task=causal_lm"),
    ],
)  # fmt: skip
def test_who_does_not_write_is_refused(overrides: list[str], said: str) -> None:
    from zoo.config import check, compose

    model, *others = overrides
    with pytest.raises(UserError, match=said) as refused:
        check(compose([model, "data=questions", "data.answers=text", *others]))
    assert "\n" not in str(refused.value)
