"""Files of pairs: their splits, and what is said of a line that is none."""

from pathlib import Path
from typing import Any

import pytest

from tests.pairs import write
from zoo.data.pairs.pair import Pairs, in_folder
from zoo.errors import UserError

GOOD = {"source": "Thrombin cleaves fibrinogen.", "target": "Clotting"}


def sources(part: Pairs) -> set[str]:
    return {pair.source for pair in part.pairs}


def numbered(*numbers: int) -> list[dict[str, str]]:
    return [{"source": f"source {n}", "target": f"target {n}"} for n in numbers]


def test_one_file_is_parted_by_content(tmp_path: Path) -> None:
    rows = numbered(*range(100))
    found = in_folder(str(write(tmp_path / "a" / "all.jsonl", *rows, *rows[:50])))
    assert {split: len(sources(part)) for split, part in found.items()} == {
        "train": 80, "validation": 10, "test": 10,
    }  # fmt: skip
    assert len(set().union(*map(sources, found.values()))) == 100  # none is in two of them
    assert sum(map(len, found.values())) == 150
    other = in_folder(str(write(tmp_path / "b" / "all.jsonl", *reversed(rows))))
    assert {s: sources(part) for s, part in other.items()} == {
        s: sources(part) for s, part in found.items()
    }
    assert found["train"].sha256 != other["train"].sha256


def test_a_folders_files_name_their_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *numbered(*range(40)))
    write(tmp_path / "my_test.jsonl", *numbered(100, 101, 102))
    found = in_folder(str(tmp_path))
    assert {split: len(part) for split, part in found.items()} == {
        "train": 36, "validation": 4, "test": 3,
    }  # fmt: skip
    assert [pair.id for pair in found["test"].pairs] == ["my_test/1", "my_test/2", "my_test/3"]
    write(tmp_path / "dev.jsonl", *numbered(200))
    assert [len(part) for part in in_folder(str(tmp_path)).values()] == [40, 1, 3]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"source": ', "is no JSON with a source and a target; write {"),
        ("[1]", "is no JSON with a source and a target"),
        ("[" * 100_000, "is no JSON with a source and a target"),
        ({"source": "a"}, "has no target; write {"),
        ({**GOOD, "target": None}, "has no target"),
        ({"target": "a"}, "has no source; write {"),
        ({**GOOD, "source": ["a"]}, "has no source"),
        ({**GOOD, "source": " \n"}, "its source is empty; write one, or leave the line out"),
        ({**GOOD, "target": ""}, "its target is empty; write one, or leave the line out"),
        ('{"source": "\\ud800", "target": "a"}', "has half a character"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path: Path, row: Any, said: str) -> None:
    path = write(tmp_path / "train.jsonl", GOOD, "", row)
    with pytest.raises(UserError) as caught:
        in_folder(str(tmp_path))
    assert str(caught.value).startswith(f"data.folder: {path} line 3: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_teaches_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.folder=null: data=pairs reads it; type data.fold"):
        in_folder(None)
    with pytest.raises(UserError, match=r"has no .jsonl file; type"):
        in_folder(str(tmp_path))
    with pytest.raises(UserError, match="is not there; type"):
        in_folder(str(tmp_path / "nowhere"))
    write(tmp_path / "train.jsonl", "")
    with pytest.raises(UserError, match="is empty; write a pair a line into it"):
        in_folder(str(tmp_path))
    write(tmp_path / "train.jsonl", *numbered(1, 2, 2, 1))
    with pytest.raises(UserError, match="has 2 different training sources, and training, valid"):
        in_folder(str(tmp_path))
    write(tmp_path / "train.jsonl", *numbered(1, 2, 3))
    assert [len(part) for part in in_folder(str(tmp_path)).values()] == [1, 1, 1]
    (tmp_path / "train.jsonl").rename(tmp_path / "test.jsonl")
    with pytest.raises(UserError, match="has 0 different training sources"):
        in_folder(str(tmp_path))
