"""Your own questions, and what is said of a line that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from zoo.data.questions.files import read_questions
from zoo.data.questions.folder import in_folder
from zoo.errors import UserError

GOOD = {"question": "Is thrombin an enzyme?", "options": ["yes", "no"], "answer": "yes"}


def write(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_a_line_is_a_question(tmp_path: Path) -> None:
    rows = [
        GOOD,
        "",
        {**GOOD, "id": "x7", "answer": "B", "context": "An abstract."},
        {"question": "Which?", "options": {"A": "a b", "B": "c", "C": "B"}, "answer": 2},
        {"question": "Which?", "options": ["c", "B", "A"], "answer": "B"},  # a text before a letter
        {"question": "Which?", "options": [f"o{i}" for i in range(26)], "answer": "z"},
        {"question": "Unknown?", "options": ["1", "2"]},
    ]
    found = read_questions(write(tmp_path / "q.jsonl", *rows))
    assert [q.id for q in found] == ["1", "x7", "4", "5", "6", "7"]
    assert [q.label for q in found] == [0, 1, 2, 1, 25, None]
    assert found[1].context == "An abstract."
    assert found[2].options == ("a b", "c", "B")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"question": ', "is no JSON with a question; write {"),
        ("[1]", "is no JSON with a question"),
        ("[" * 100_000, "is no JSON with a question"),
        ({"options": ["a", "b"]}, "is no JSON with a question"),
        ({**GOOD, "question": "  "}, "has an empty question; type"),
        ({"question": "Which?"}, "has no options, and a choice wants two; add"),
        ({**GOOD, "options": []}, "has no options"),
        ({**GOOD, "options": ["yes"]}, "has one option, 'yes', and a choice wants two"),
        ({**GOOD, "options": ["yes", " "]}, "option B is empty"),
        ({**GOOD, "options": [str(i) for i in range(27)]}, "27 options, and letters are for 26"),
        ({**GOOD, "options": "yes"}, "options are 'yes', and no list of texts"),
        ({**GOOD, "options": {"B": "yes", "A": "no"}}, "and no list of texts"),
        ({**GOOD, "options": ["yes", 3]}, "and no list of texts"),
        ({**GOOD, "answer": "maybe"}, "the answer 'maybe' is outside of its options; type one of"),
        ({**GOOD, "answer": "C"}, "or a letter, A to B"),
        ({**GOOD, "answer": 2}, "the answer 2 is outside"),
        ({**GOOD, "answer": -1}, "the answer -1 is outside"),
        ({**GOOD, "answer": True}, "the answer True is outside"),
        ({**GOOD, "context": 3}, "context is 3, and no text"),
        ('{"question": "\\ud800", "options": ["a", "b"]}', "has half a character"),
        ({**GOOD, "id": "1"}, "the id '1' is that of line 1, too"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path: Path, row: Any, said: str) -> None:
    path = write(tmp_path / "q.jsonl", GOOD, "", row)
    with pytest.raises(UserError) as caught:
        read_questions(path)
    assert str(caught.value).startswith(f"--file {path} line 3: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read .*; type a file of UTF-8 text"):
        read_questions(tmp_path / "nowhere.jsonl")
    (tmp_path / "latin.jsonl").write_bytes("é".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read .*; type a file of UTF-8 text"):
        read_questions(tmp_path / "latin.jsonl")
    with pytest.raises(UserError, match="is empty; write a question a line"):
        read_questions(write(tmp_path / "empty.jsonl", "", " "))


def test_a_folders_files_name_their_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *[GOOD] * 12)
    write(tmp_path / "more.jsonl", *[GOOD] * 3)
    write(tmp_path / "my_test.jsonl", GOOD)
    write(tmp_path / "dev.jsonl", GOOD, GOOD)
    found = in_folder(str(tmp_path))
    assert {split: len(part) for split, part in found.items()} == {
        "train": 15, "test": 1, "validation": 2,
    }  # fmt: skip
    assert len({q.id for part in found.values() for q in part}) == 18
    one = in_folder(str(tmp_path / "train.jsonl"))
    assert {split: len(part) for split, part in one.items()} == {"train": 11, "test": 1}


def test_a_folder_that_teaches_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="type data.folder=FOLDER"):
        in_folder(None)
    with pytest.raises(UserError, match=r"has no .jsonl file; type"):
        in_folder(str(tmp_path))
    with pytest.raises(UserError, match="is not there; type"):
        in_folder(str(tmp_path / "nowhere"))
    write(tmp_path / "q.jsonl", GOOD, GOOD)
    with pytest.raises(UserError, match="has 2 questions, and training, validation and test want"):
        in_folder(str(tmp_path))
    write(tmp_path / "q.jsonl", GOOD, {**GOOD, "answer": None}, GOOD)
    with pytest.raises(UserError, match="question 2: has no answer, from which to learn"):
        in_folder(str(tmp_path))
