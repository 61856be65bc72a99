"""Where there is something to learn, it is learned: by a linear score for each option, by a head of
labels, by the likelihood of an answer, by writing it; and what was learned can be used.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from tests.conftest import train_in
from tests.questions import choice, taught, write_folder, write_lines, yes_no_maybe
from tests.verbs import typed
from zoo.errors import UserError
from zoo.leaderboard.record import Record

# On one worker, so that each of its models learns once.
pytestmark = pytest.mark.xdist_group("choosing")

Train = Callable[..., Any]
SMALL = [
    "data=questions", "task=multiple_choice", "data.task=folder", "data.vocab_size=400",
    "data.max_length=48", "data.batch_size=32", "trainer.max_epochs=null", "model.hidden_dropout=0",
    "model.attention_dropout=0", "optimizer.lr=3e-3", "logger=none",
]  # fmt: skip


def learn(place: Path, model: str, make: Any, *overrides: str) -> tuple[Path, Record]:
    folder = write_folder(place / "own", make)
    words = [f"model={model}", *SMALL, f"data.folder={os.path.relpath(folder)}", *overrides]
    record = train_in(place / "outputs", *words)
    return place / "outputs" / record.id, record


@pytest.fixture(scope="module")
def by_score(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A decoder with a score of each option."""
    place = tmp_path_factory.mktemp("score")
    return learn(place, "biomedlm_classifier", choice, "trainer.max_steps=70", "optimizer.lr=2e-3")


@pytest.fixture(scope="module")
def by_labels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A decoder with a head of labels, and the paper's markers."""
    place = tmp_path_factory.mktemp("labels")
    words = ("trainer.max_steps=60", "data.markers=tokens")
    return learn(place, "biomedlm_classifier", yes_no_maybe, *words)


@pytest.fixture(scope="module")
def of_encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Record]]:
    """An encoder of each kind, one with scores of options and one with labels."""
    place = tmp_path_factory.mktemp("encoders")
    return {
        "mosaicbert": learn(place / "m", "mosaicbert_classifier", yes_no_maybe, "trainer.max_steps=60"),
        "bert": learn(
            place / "b", "bert_classifier", choice, "trainer.max_steps=130", "optimizer.lr=1e-3"
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def by_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of questions with their answers as running text."""
    return taught(tmp_path_factory.mktemp("words"), choice, max_length=32, steps=120)


def test_a_linear_score_learns_what_there_is_to_learn(by_score: tuple[Path, Record]) -> None:
    _, record = by_score
    m = record.metrics
    assert m["test/acc"] > 0.95
    assert m["test/acc_low"] < m["test/acc"] <= m["test/acc_high"]
    assert m["test/chance"] == pytest.approx(1 / 3)
    assert m["test/majority"] < 0.5
    assert 0 <= m["test/ece"] < 0.2
    assert m["flops/total"] > 0
    assert record.data.subset is None


def test_labels_are_learned(by_labels: tuple[Path, Record]) -> None:
    _, record = by_labels
    assert record.metrics["test/acc"] > 0.95
    assert record.metrics["test/macro_f1"] > 0.95


@pytest.mark.parametrize("model", ["mosaicbert", "bert"])
def test_encoders_learn_through_their_own_heads(
    of_encoders: dict[str, tuple[Path, Record]], model: str
) -> None:
    assert of_encoders[model][1].metrics["test/acc"] > 0.95


def answers(folder: Path, tmp_path: Path, make: Any, *options: str) -> list[dict[str, Any]]:
    """The answers to the very questions of the test split."""
    file = write_lines(tmp_path / "test.jsonl", make, 200, 2)
    out = tmp_path / "answers.jsonl"
    words = ["answer", "--checkpoint", str(folder), "--file", str(file), "--out", str(out)]
    assert typed(*words, *options).exit_code == 0
    return [json.loads(line) for line in out.read_text().splitlines()[1:]]


def test_likelihood_of_the_answer_is_learned_from_running_text(
    by_words: Path, tmp_path: Path
) -> None:
    found = answers(by_words, tmp_path, choice, "--normalise", "token")
    assert sum(row["right"] for row in found) > 0.95 * len(found)


def test_the_answer_is_written(by_words: Path) -> None:
    """Of what may be asked for, a word of the right kind is written: there are no options to see."""
    from tests.questions import KINDS
    from zoo.generation import Settings, texts
    from zoo.trained import load_trained

    trained = load_trained(str(by_words))
    prompts = [f"Question: Which is a {kind}?\nAnswer:" for kind in KINDS]
    settings = Settings(max_new_tokens=8, begins=bool(trained.begins), temperature=0.5)
    names = list(map(str, range(60)))
    found = [text for batch in texts(trained, prompts * 20, settings, names) for text in batch]
    right = [text.text.strip() in KINDS[list(KINDS)[text.place % len(KINDS)]] for text in found]
    assert len(right) == 60
    assert sum(right) > 0.95 * 60


@pytest.mark.parametrize("which", ["score", "labels", "mosaicbert", "bert"])
def test_a_head_answers_as_it_did_in_its_run(
    which: str,
    by_score: tuple[Path, Record],
    by_labels: tuple[Path, Record],
    of_encoders: dict[str, tuple[Path, Record]],
    tmp_path: Path,
) -> None:
    folder, record = {"score": by_score, "labels": by_labels, **of_encoders}[which]
    make = choice if which in ("score", "bert") else yes_no_maybe
    found = answers(folder, tmp_path, make, "--batch-size", "7")
    table = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("split") == "test")
    assert len(table) == len(found) == 200
    for row, scores in zip(found, table["scores"].to_list(), strict=True):
        assert row["scores"] == pytest.approx(scores, rel=1e-3, abs=1e-3)
    right = sum(row["right"] for row in found) / len(found)
    assert right == table["right"].mean() == pytest.approx(record.metrics["test/acc"])


def test_predictions_are_compared_question_by_question(
    by_score: tuple[Path, Record], tmp_path: Path
) -> None:
    folder, record = by_score
    told = json.loads(typed("mcnemar", str(folder), str(folder), "--json").stdout)
    assert told["questions"] == 200
    assert told["accuracies"] == [record.metrics["test/acc"]] * 2
    table = pl.read_parquet(folder / "predictions.parquet")
    assert set(table["split"]) == {"val", "test"}
    assert table.filter(pl.col("split") == "val")["right"].mean() == pytest.approx(
        record.metrics["val/acc"]
    )


def test_labels_may_stand_in_any_order_and_be_fewer(by_labels: tuple[Path, Record]) -> None:
    folder, _ = by_labels
    words = ["answer", "--checkpoint", str(folder), "--context", "Here is a zinc.", "--json"]
    words += ["--question", "Is it a metal?"]
    found = json.loads(typed(*words, "--choice", "no", "--choice", "yes").stdout)
    assert (found["answer"], found["letter"]) == ("yes", "B")
    with pytest.raises(
        UserError, match="the option 'perhaps' is none of the labels .* yes, no, may"
    ):
        typed(*words, "--choice", "no", "--choice", "perhaps")
    with pytest.raises(UserError, match="--normalise token: is of likelihoods, and .* has a head"):
        typed(*words, "--choice", "no", "--choice", "yes", "--normalise", "token")


def test_a_head_writes_no_text(by_score: tuple[Path, Record]) -> None:
    with pytest.raises(UserError, match="of gpt2 and task=multiple_choice, and no model that writ"):
        typed("generate", "--checkpoint", str(by_score[0]), "--prompt", "A")


@pytest.mark.parametrize("which", ["score", "labels", "mosaicbert", "bert"])
def test_an_export_gives_the_same_logits_in_transformers(
    which: str,
    by_score: tuple[Path, Record],
    by_labels: tuple[Path, Record],
    of_encoders: dict[str, tuple[Path, Record]],
    tmp_path: Path,
) -> None:
    import transformers

    import zoo.models.mosaicbert  # noqa: F401  (registers its classes)
    from zoo.choosing import load_chooser

    folder, _ = {"score": by_score, "labels": by_labels, **of_encoders}[which]
    out = tmp_path / "exported"
    done = typed("export", "--checkpoint", str(folder), "--out", str(out), "--json")
    name = "AutoModelForMultipleChoice" if which == "bert" else "AutoModelForSequenceClassification"
    assert json.loads(done.stdout)["class"] == name
    theirs = getattr(transformers, name).from_pretrained(out).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    said = tokenizer(
        ["Question: Which?\nAnswer: iron", "Answer: a swan, of some length"],
        return_tensors="pt", padding=True,
    )  # fmt: skip
    said.pop("token_type_ids", None)
    ours: Any = load_chooser(str(folder))
    lengths = said["attention_mask"].sum(1).tolist()
    with torch.no_grad():
        given = {k: v[None] for k, v in said.items()} if which == "bert" else said
        logits = theirs(**given).logits.view(2, -1)
        wanted = ours.model(**said, lengths=lengths)["logits"]
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)
    # Without its record nobody knows how questions were written: as nothing else is typed.
    again: Any = load_chooser(str(out))
    assert (again.labels, again.layout, again.form) == (ours.labels, ours.layout, None)


def test_a_second_round_goes_on_with_the_head_of_the_first(
    by_score: tuple[Path, Record], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As from MedMCQA to MedQA; a head of labels is another, and new."""
    folder, first = by_score
    still = ["trainer.max_steps=1", "optimizer.lr=1e-12", f"model.checkpoint={folder}"]
    _, second = learn(tmp_path, "biomedlm_classifier", choice, *still)
    assert "all weights of BioMedLM are from it" in capsys.readouterr().err
    assert second.origin is not None
    assert second.origin.run == first.id
    assert second.metrics["test/loss"] == pytest.approx(first.metrics["test/loss"], rel=1e-3)
    learn(tmp_path / "other", "biomedlm_classifier", yes_no_maybe, *still, "data.markers=tokens")
    said = capsys.readouterr().err
    assert "new in BioMedLM, and not trained: score.weight, 3 words of transformer.wte.wei" in said


@pytest.mark.parametrize("how", ["full", "lora", "frozen", "scratch"])
def test_a_language_model_is_tuned_in_every_way(
    language_model: Path, tmp_path: Path, how: str
) -> None:
    words = [f"model.checkpoint={language_model}", f"model.tune={how}", "trainer.max_steps=2"]
    words += ["data.eval_samples=16"]
    if how in ("lora", "frozen"):
        with pytest.raises(UserError, match=f"which model.tune={how} would not learn; type data.m"):
            learn(tmp_path, "biomedlm_classifier", choice, *words, "data.markers=tokens")
    folder, record = learn(tmp_path, "biomedlm_classifier", choice, *words)
    assert record.origin is not None
    given = torch.load(language_model / "last.ckpt", weights_only=True)["state_dict"]
    after = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    after = {k.replace(".base_layer", ""): v for k, v in after.items()}
    body = [k for k in given if k.startswith("net.transformer.h.") and given[k].dim() > 1]
    same = [k for k in body if torch.equal(given[k], after[k])]
    assert len(same) == (len(body) if how in ("lora", "frozen") else 0)
    found = answers(folder, tmp_path, choice)  # adapters are merged
    table = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("split") == "test")
    assert found[0]["scores"] == pytest.approx(table["scores"][0].to_list(), rel=1e-3, abs=1e-4)
