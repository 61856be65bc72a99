"""The public sets: their columns under data.root and on the hub, and how they are split."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from zoo.data import hub
from zoo.data.questions.question import Question, fingerprint
from zoo.data.questions.sets import SETS, find_questions
from zoo.errors import UserError

# One row of each set in the columns of the hub, its question, options and label.
OPTIONS = {"A": "iron", "B": "zinc", "C": "lead", "D": "gold"}
ROWS: dict[str, tuple[dict[str, Any], tuple[str, ...], int]] = {
    "medqa": ({"question": "Q", "options": OPTIONS, "answer_idx": "C", "answer": "lead"},
              tuple(OPTIONS.values()), 2),
    "medqa_5opt": ({"question": "Q", "answer_idx": "E", "answer": "tin", "meta_info": "",
                    "options": [{"key": k, "value": v} for k, v in {**OPTIONS, "E": "tin"}.items()]},
                   (*OPTIONS.values(), "tin"), 4),
    "medmcqa": ({"id": "x", "question": "Q", "opa": "iron", "opb": "zinc", "opc": "lead", "opd": "gold",
                 "cop": 3, "subject_name": "Dental", "exp": None}, tuple(OPTIONS.values()), 3),
    "mmlu_medical": ({"question": "Q", "subject": "anatomy", "choices": list(OPTIONS.values()),
                      "answer": 0}, tuple(OPTIONS.values()), 0),
    "pubmedqa": ({"pubid": 10808977, "question": "Q", "context": {"contexts": ["One.", "Two."]},
                  "long_answer": "", "final_decision": "maybe"}, ("yes", "no", "maybe"), 2),
    "bioasq": ({"id": "x", "question": "Q", "snippets": ["One.", "Two."], "answer": "no"},
               ("yes", "no"), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_row_is_a_question(name: str) -> None:
    row, options, label = ROWS[name]
    read = SETS[name].read(row)
    assert (read.question, read.options, read.label) == ("Q", options, label)
    assert read.context == ("One. Two." if name in ("pubmedqa", "bioasq") else "")
    assert set(SETS[name].columns) <= set(row)


def store(folder: Path, name: str, rows: int = 20, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    row = ROWS[name][0]
    for file in files.values():
        made = [{**row, **({"id": f"{file}{i}"} if "id" in row else {})} for i in range(rows)]
        pl.DataFrame(made).write_parquet(folder / f"{file}.parquet")


def find(name: str, root: Path) -> Any:
    return find_questions(name, root=str(root), cache_dir=str(root / "cache"))


def test_files_of_the_hub_are_read_where_they_were_put(tmp_path: Path) -> None:
    names = {"a": "train-00000-of-00002", "b": "train-00001-of-00002", "c": "validation"}
    store(tmp_path / "medmcqa", "medmcqa", **names)
    found = find("medmcqa", tmp_path)
    assert {split: len(part) for split, part in found.splits.items()} == {
        "train": 36, "validation": 4, "test": 20,
    }  # fmt: skip
    assert found.splits["test"][0] == Question(
        "medmcqa/validation0", "Q", tuple(OPTIONS.values()), label=3, subject="Dental"
    )
    assert found.subset == ["train", "test"]


def test_a_validation_split_is_carved_by_label_and_always_the_same(tmp_path: Path) -> None:
    rows = [
        {**ROWS["bioasq"][0], "id": str(i), "answer": "yes" if i % 4 else "no"} for i in range(80)
    ]
    (tmp_path / "bioasq_yesno").mkdir()
    for file in ("train", "test"):
        pl.DataFrame(rows).write_parquet(tmp_path / "bioasq_yesno" / f"{file}.parquet")
    first, again = find("bioasq", tmp_path), find("bioasq", tmp_path)
    assert first == again
    held_out = first.splits["validation"]
    assert Counter(q.label for q in held_out) == {0: 6, 1: 2}
    ids = {q.id for q in held_out} | {q.id for q in first.splits["train"]}
    assert len(ids) == 80


def test_what_has_no_training_file_is_learned_from_its_validation_file(tmp_path: Path) -> None:
    store(tmp_path / "medqa", "medqa_5opt", a="validation_5opt", b="test_5opt")
    found = find("medqa_5opt", tmp_path)
    assert [len(found.splits[s]) for s in ("train", "validation", "test")] == [18, 2, 20]
    assert found.subset == ["train", "test"]


def test_several_sets_are_one(tmp_path: Path) -> None:
    store(tmp_path / "medqa", "medqa", a="train", b="test", c="validation")
    store(tmp_path / "medmcqa", "medmcqa", a="train", b="validation")
    found = find("medmcqa+medqa", tmp_path)
    assert [len(found.splits[s]) for s in ("train", "validation", "test")] == [38, 22, 40]
    assert len({q.id for part in found.splits.values() for q in part}) == 100


def test_the_hub_is_asked_for_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def give(repository: str, cache_dir: str, *, configuration: str | None = None, **_: Any) -> Any:
        asked.append((repository, configuration))
        name = next(
            n for n, about in SETS.items() if about.hub and about.hub.repository == repository
        )
        row = ROWS[name][0]
        numbered = [{**row, **({"pubid": n} if "pubid" in row else {})} for n in (7482275, 1, 2, 3)]
        return dict.fromkeys(("train", "validation", "dev", "test"), numbered)

    monkeypatch.setattr(hub, "load_from_hub", give)
    subjects = find("mmlu_medical", tmp_path)
    assert [len(subjects.splits[s]) for s in ("train", "validation", "test")] == [24, 24, 24]
    assert asked[0] == ("cais/mmlu", "anatomy")
    pubmed = find("pubmedqa", tmp_path)
    assert [q.id for q in pubmed.splits["test"]] == ["pubmedqa/7482275"]  # of the official ones
    assert len(pubmed.splits["train"]) + len(pubmed.splits["validation"]) == 3
    with pytest.raises(UserError, match=r"no biomed_qa/bioasq_yesno/test.parquet in .* bioasq.org"):
        find("bioasq", tmp_path)


def test_rows_that_are_no_questions_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "medmcqa"
    store(folder, "medmcqa", a="train", b="validation")
    good = ROWS["medmcqa"][0]
    for broken, said in (
        ({"cop": -1}, "validation.parquet, row 1: the label -1 is outside of its options, 0 to 3"),
        ({"opc": " "}, "row 1: option C is empty"),
        ({"question": ""}, "row 1: has an empty question"),
        ({"question": None}, "row 1: has an empty question"),
    ):
        pl.DataFrame([good, {**good, **broken}]).write_parquet(folder / "validation.parquet")
        with pytest.raises(UserError) as caught:
            find("medmcqa", tmp_path)
        assert said in str(caught.value)
    pl.DataFrame([{"question": "Q"}]).write_parquet(folder / "validation.parquet")
    with pytest.raises(
        UserError, match=r"validation.parquet is no parquet file with the columns id,"
    ):
        find("medmcqa", tmp_path)
    (folder / "validation.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="is no parquet file with the columns"):
        find("medmcqa", tmp_path)
    store(folder, "medmcqa", b="validation")
    (folder / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"no train.parquet beside validation.parquet in data.root"):
        find("medmcqa", tmp_path)


def test_the_fingerprint_is_of_all_that_is_asked() -> None:
    base = Question("1", "Q", ("a", "b"), "C", 0)
    others = [
        Question("1", "Q2", ("a", "b"), "C", 0), Question("1", "Q", ("a", "b"), "C", 1),
        Question("1", "Q", ("a", "b", "c"), "C", 0), Question("1", "Q", ("ab", ""), "C", 0),
        Question("1", "QC", ("a", "b"), "", 0), Question("2", "Q", ("a", "b"), "C", 0),
    ]  # fmt: skip
    assert len({fingerprint([q]) for q in [base, *others]}) == 7
    assert fingerprint([base]) != fingerprint([base, base])


def test_the_real_sets(data_root: Path) -> None:
    """Their sizes are those of the folder's own README; the answers' texts are those of the labels."""
    sizes = {
        name: {s: len(part) for s, part in find(name, data_root).splits.items()} for name in SETS
    }
    assert sizes == {
        "medqa": {"train": 1030, "validation": 1272, "test": 1273},
        "medqa_5opt": {"train": 1145, "validation": 127, "test": 1273},
        "medmcqa": {"train": 2857, "validation": 317, "test": 1009},
        "mmlu_medical": {"train": 123, "validation": 30, "test": 1089},
        "pubmedqa": {"train": 450, "validation": 50, "test": 500},
        "bioasq": {"train": 369, "validation": 40, "test": 209},
    }
    for name, file in (("medqa", "test"), ("medqa_5opt", "test_5opt")):
        answers = pl.read_parquet(data_root / "biomed_qa" / "medqa" / f"{file}.parquet")["answer"]
        found = find(name, data_root).splits["test"]
        assert [q.options[q.label] for q in found] == answers.to_list()
    listed = {q.id for q in find("pubmedqa", data_root).splits["test"]}
    text = (Path(hub.__file__).parent / "questions" / "pubmedqa_test.txt").read_text()
    assert listed == {f"pubmedqa/{number}" for number in text.split()}
    assert Counter(q.label for q in find("pubmedqa", data_root).splits["test"]) == {
        0: 276, 1: 169, 2: 55,
    }  # fmt: skip
