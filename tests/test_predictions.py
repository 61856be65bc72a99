"""Predictions on disk, and `zoo mcnemar` over them."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from zoo.cli import app
from zoo.errors import UserError
from zoo.predictions import FILE, Predicted, right_answers, write_predictions

IDS = ["a/1", "a/2", "a/3", "a/4", "a/5"]


def store(folder: Path, answers: list[int]) -> Path:
    folder.mkdir(parents=True)
    scores = [[float(i == a) for i in range(3 + row % 2)] for row, a in enumerate(answers)]
    test = Predicted(IDS, [0, 1, 2, 0, 1], scores)
    write_predictions(folder / FILE, {"val": Predicted(["v"], [0], [[0.0, 1.0]]), "test": test})
    return folder


def typed(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["mcnemar", *arguments], catch_exceptions=False)


def test_a_row_a_question(tmp_path: Path) -> None:
    table = pl.read_parquet(store(tmp_path / "run", [0, 1, 1, 3, 0]) / FILE)
    test = table.filter(pl.col("split") == "test")
    assert test["id"].to_list() == IDS
    assert test["answer"].to_list() == [0, 1, 1, 3, 0]
    assert test["right"].to_list() == [True, True, False, False, False]
    assert test["scores"].list.len().to_list() == [3, 4, 3, 4, 3]
    assert test["probability"][0] == pytest.approx(0.5761, abs=1e-4)
    assert right_answers(str(tmp_path / "run"), tmp_path, "val") == {"v": False}


def test_two_models_question_by_question(tmp_path: Path) -> None:
    store(tmp_path / "outputs" / "one", [0, 1, 2, 0, 0])
    store(tmp_path / "outputs" / "two", [1, 1, 0, 1, 1])
    words = ["one", "two", "--output-dir", str(tmp_path / "outputs")]
    told = json.loads(typed(*words, "--json").stdout)
    assert told == {
        "questions": 5, "both": 1, "first": 3, "second": 1, "neither": 0, "p": 0.625,
        "accuracies": [0.8, 0.4],
    }  # fmt: skip
    said = typed(*words).stdout
    assert "5 questions: one 80.0%, two 40.0%" in said
    assert "p = 0.625" in said
    answers = tmp_path / "answers.jsonl"
    rows = [
        {"about": 1},
        *({"id": i, "right": i != "a/1", "written": "a\u2028b"} for i in IDS),
        {"id": "z", "right": None},
    ]
    answers.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    mixed = json.loads(typed(str(answers), str(tmp_path / "outputs" / "two"), "--json").stdout)
    assert (mixed["questions"], mixed["first"]) == (5, 2)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    store(tmp_path / "one", [0, 1, 2, 0, 0])
    with pytest.raises(UserError, match=r"nowhere: has no predictions.parquet, .*; type the id"):
        typed("nowhere", "one", "--output-dir", str(tmp_path))
    (tmp_path / "broken.jsonl").write_text('{}\n{"id"\n')
    with pytest.raises(UserError, match=r"broken.jsonl: cannot be read .*; make it again"):
        typed(str(tmp_path / "broken.jsonl"), "one", "--output-dir", str(tmp_path))
    (tmp_path / "unknown.jsonl").write_text('{}\n{"id": "a/1", "right": null}\n')
    with pytest.raises(UserError, match=r"unknown.jsonl: says of no question .*; type another"):
        typed(str(tmp_path / "unknown.jsonl"), "one", "--output-dir", str(tmp_path))
    (tmp_path / "other.jsonl").write_text('{}\n{"id": "b/1", "right": true}\n')
    with pytest.raises(UserError, match="have no question in common; type two models"):
        typed(str(tmp_path / "other.jsonl"), "one", "--output-dir", str(tmp_path))
