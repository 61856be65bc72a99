"""data=questions: what is in a batch, what is cut, which head is asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.questions import choice, write_folder, write_public, yes_no_maybe
from zoo.config import build, check, compose
from zoo.data.questions.prompt import Form
from zoo.data.questions.question import Question
from zoo.data.questions.question_data import QuestionRows
from zoo.data.tokenizers import TextTokenizer, train_bpe
from zoo.errors import UserError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_public(tmp_path_factory.mktemp("questions"))


def make(root: Path, *overrides: str, model: str = "biomedlm_classifier") -> Any:
    words = [f"model={model}", "data=questions", "task=multiple_choice", f"data.root={root}"]
    words += ["data.vocab_size=300", "data.batch_size=8", "data.max_length=64"]
    settings = check(compose([*words, *overrides]))
    return build(settings["data"], seed=settings["seed"])


@pytest.mark.parametrize("model", ["biomedlm_classifier", "mosaicbert_classifier"])
def test_options_are_scored_and_labels_told_apart(root: Path, model: str) -> None:
    data = make(root, model=model)
    assert data.labels is None
    assert data.sizes == {"train": 40, "validation": 40, "test": 40}
    assert data.subset == ["train", "test"]
    batch = data.train_batch(0, 0, 1)
    assert batch["choices"] == [3] * 8
    assert len(batch["labels"]) == len(batch["rows"]) == 8
    assert len(batch["lengths"]) == (8 if model == "biomedlm_classifier" else 24)
    told = make(root, "data.task=pubmedqa", model=model)
    assert told.labels == ("yes", "no", "maybe")
    assert len(told.train_batch(0, 0, 1)["lengths"]) == 8
    assert make(root, "data.task=pubmedqa", "data.answers=options", model=model).labels is None


def test_an_encoders_row_is_a_prompt_and_an_option(root: Path) -> None:
    data = make(root, model="mosaicbert_classifier")
    t, question = data.tokenizer, data.splits["test"].questions[3]
    batch = data.eval_batch("test", np.array([3]))
    prompt = t.encode([f"Question: {question.question}\nAnswer:"])[0]
    for row, n, option in zip(
        batch["input_ids"].tolist(), batch["lengths"], question.options, strict=True
    ):
        assert row[:n] == [t.cls, *prompt, t.sep, *t.encode([option])[0], t.sep]
        assert set(row[n:]) <= {t.pad}
    assert batch["token_type_ids"][0].tolist()[len(prompt) + 2] == 1


def test_markers_are_three_new_words_of_a_decoder(root: Path) -> None:
    words, tokens = (make(root, f"data.markers={markers}") for markers in ("words", "tokens"))
    assert tokens.tokenizer.vocab_size == words.tokenizer.vocab_size + 3
    assert tokens.model_arguments()["new_words"] == 3
    assert words.model_arguments()["new_words"] == 0
    first = tokens.eval_batch("test", np.array([0]))["input_ids"][0].tolist()
    assert first[:2] == [tokens.tokenizer.end_of_text, tokens.tokenizer.id_of("[Question]")]
    assert tokens.sha256 != words.sha256


def test_another_set_is_the_test(root: Path) -> None:
    data = make(root, "data.eval_task=mmlu_medical", "data.train_samples=30")
    assert data.dataset_name == "medqa_to_mmlu_medical"
    assert {q.id.split("/")[0] for q in data.splits["test"].questions} == {"mmlu_medical"}
    assert {q.id.split("/")[0] for q in data.splits["train"].questions} == {"medqa"}
    assert data.sizes["train"] == 30
    assert data.subset == ["train", "test"]


def test_what_is_cut_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(root, "data.task=pubmedqa", "data.markers=none")
    assert capsys.readouterr().err == ""
    data = make(root, "data.task=pubmedqa", "data.max_length=9", "data.markers=none")
    said = capsys.readouterr().err
    cut = sum(int(rows.asked.cut.sum()) for rows in data.rows_of.values())
    assert f"data.max_length=9: {cut:,} of the" in said
    assert cut > 0
    assert all(max(map(len, rows.asked.prompts)) == 9 for rows in data.rows_of.values())


def test_the_most_frequent_label_is_that_of_training(tmp_path: Path) -> None:
    def always_second(rng: Any) -> Any:
        return {"question": "Which?", "options": ["a", "b"], "answer": 1}

    folder = write_folder(tmp_path / "own", always_second, train=10, test=4)
    data = make(tmp_path, "data.task=folder", f"data.folder={_relative(folder)}")
    assert data.most_frequent == 1
    assert data.subset is None


def _relative(path: Path) -> str:
    import os

    return os.path.relpath(path)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.task=medqaa"], "data.task=medqaa: no such set; type medqa, medqa_5opt"),
        (["data.task=null"], "data.task=null: no such set; type medqa"),
        (["data.task=rte"], "data.task=rte: no such set"),
        (["data.task=mmlu_medical"], "no training questions; type data.task=medmcqa.medqa"),
        (["data.task=folder"], "data.folder=null: the set folder is read from it"),
        (["data.folder=here"], "data.folder=here: data.task=medqa does not read it"),
        (["data.format=plain"], "data.format=plain: has nothing between its parts"),
        (["data.layout=pairs"], "data.layout=pairs: is not for model=biomedlm_classifier"),
        (["data.answers=labels"], "has other options .* type data.answers=options"),
        (["data.max_length=4"], "leave no room for it within 4 tokens; type a larger data.max_len"),
        (["data.tokenizer=wordpiece"], "no padding token and no end-of-text token|lacks"),
        (["model=mosaicbert_classifier", "data.markers=tokens"], "has .SEP.; type data.markers="),
        (["model=resnet8"], "model=resnet8: takes images, and data=questions_medqa is questions"),
        (["task=sequence_classification"], "type task=multiple_choice"),
        (["data=glue"], "takes questions with options, and data=glue_rte is sentences"),
        (["data.batch_size=100"], "the training split has only 40 samples"),
    ],
)
def test_a_mistake_is_one_sentence(root: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        make(root, *overrides)
    assert "\n" not in str(refused.value)


def test_questions_that_cannot_be_learned_from_are_one_sentence(tmp_path: Path) -> None:
    lines = {
        '{"question": "Q"}': "line 1: has no options",
        '{"question": "Q", "options": ["a"]}': "line 1: has one option",
        '{"question": "", "options": ["a", "b"]}': "line 1: has an empty question",
        '{"question": "Q", "options": ["a", "b"], "answer": "c"}': "outside of its options",
        '{"question": "Q", "options": ["a", "b"]}': "has no answer, from which to learn",
        '{"question": "Q", "options"': "line 1: is no JSON with a question",
    }
    for line, said in lines.items():
        folder = tmp_path / "own"
        folder.mkdir(exist_ok=True)
        (folder / "train.jsonl").write_text(f"{line}\n")
        with pytest.raises(UserError, match=said) as refused:
            make(tmp_path, "data.task=folder", f"data.folder={_relative(folder)}")
        assert "\n" not in str(refused.value)


def test_26_options_are_a_question_and_no_padding_is_one_sentence() -> None:
    letters = tuple("abcdefghijklmnopqrstuvwxyz")
    tokenizer = train_bpe(lambda: ["a b c"], 300)
    rows = QuestionRows([Question("1", "Which?", letters)], tokenizer, Form(), "choices", None)
    assert rows.batch(np.array([0]))["choices"] == [26]
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    bare = TextTokenizer(Tokenizer(BPE()), "bare")
    with pytest.raises(UserError, match="has no padding token and no end-of-text token"):
        QuestionRows([Question("1", "Which?", letters)], bare, Form(), "choices", None)


def test_a_folder_with_the_same_options_everywhere_has_labels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own", yes_no_maybe, train=20, test=4)
    data = make(tmp_path, "data.task=folder", f"data.folder={_relative(folder)}")
    assert data.labels == ("yes", "no", "maybe")
    folder = write_folder(tmp_path / "other", choice, train=20, test=4)
    assert make(tmp_path, "data.task=folder", f"data.folder={_relative(folder)}").labels is None
