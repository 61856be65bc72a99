"""Files and words that nobody meant end in success or one sentence; `python -m tests.faults.fuzz` gives more.

What once crashed, and what would execute, hang or fill the memory, is named here by itself.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.factories import make_record
from tests.faults.fuzz import Hung, tried, within
from tests.faults.inputs import BAD_YAML, LAUGHS
from tests.faults.targets import TARGETS, Target, _checkpoints, _tokenizer, attack
from zoo.errors import UserError
from zoo.leaderboard.admission import admit
from zoo.leaderboard.boards import load_board
from zoo.leaderboard.store import read_record

BY_NAME = {target.name: target for target in TARGETS}
EXAMPLES = 25
# What a target takes longer for.
FEW = {"command lines": 10, "checkpoints": 10, "questions": 10}


@pytest.mark.parametrize("name", BY_NAME)
def test_whatever_is_given(name: str, tmp_path: Path) -> None:
    tries, _, crashes = tried(BY_NAME[name], 7, FEW.get(name, EXAMPLES), tmp_path)
    assert tries >= 5
    assert crashes == {}


@pytest.mark.parametrize("name", ["boards", "claims", "methods", "results"])
@pytest.mark.parametrize("text", BAD_YAML, ids=range(len(BAD_YAML)))
def test_hard_yaml_is_refused(name: str, text: str, tmp_path: Path) -> None:
    with within(5):
        assert attack(BY_NAME[name], text.encode(errors="surrogatepass"), tmp_path)


def test_a_billion_laughs_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(f"{LAUGHS}\ntitle: *a11\n")
    with within(5), pytest.raises(UserError, match=r"bomb\.yaml: holds more than 20,000 values"):
        load_board(path)


@pytest.mark.parametrize("words", [["==x"], ["\na=\rb"], ["+D.0=\x85"], [""], ["="]])
def test_odd_words_are_refused(words: list[str], tmp_path: Path) -> None:
    assert attack(BY_NAME["command lines"], words, tmp_path)


def test_a_configuration_with_nan_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(make_record(0).to_json().replace('"depth": 8', '"depth": NaN'))
    with pytest.raises(ValueError, match="config: holds a number that is not finite"):
        read_record(path)


def test_a_whole_number_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    record = make_record(0)
    steps = record.curve["val/acc"].model_copy(update={"step": [10**400] * 5})
    path = tmp_path / "a.json"
    path.write_text(record.model_copy(update={"curve": {"val/acc": steps}}).to_json())
    with pytest.raises(ValueError, match=r"curve\.val/acc: 1000+\.\.\. is no measurement"):
        admit(path)


def test_a_tokenizer_at_which_its_library_panics_is_refused(tmp_path: Path) -> None:
    tree = json.loads(json.dumps(_tokenizer("bpe")))
    tree["model"]["continuing_subword_prefix"] = "longer than any token"
    with pytest.raises(UserError, match=r"its tokenizer\.json cannot be read \(range .*; save"):
        BY_NAME["tokenizers"].read(json.dumps(tree).encode(), tmp_path)


def test_a_deep_configuration_is_refused(tmp_path: Path) -> None:
    assert attack(BY_NAME["configurations of models"], b"[" * 200_000, tmp_path)


def test_no_checkpoint_executes_anything(tmp_path: Path) -> None:
    found = _checkpoints()
    assert sum(b"touch" in content for content in found) >= 5
    for number, content in enumerate(found):
        (tmp_path / str(number)).mkdir()
        attack(BY_NAME["checkpoints"], content, tmp_path / str(number))


def test_a_mistake_is_one_line_whatever_it_quotes() -> None:
    assert str(UserError("a\nb\r\nc\x85d")) == "a b c d"


def test_a_crash_is_seen(tmp_path: Path) -> None:
    """Else the campaign counts nothing."""

    def crash(given: Any, folder: Path) -> None:
        raise KeyError(given)

    def execute(given: Any, folder: Path) -> None:
        Path("CANARY").mkdir()

    def quote(given: Any, folder: Path) -> None:
        raise ValueError("a\nb")

    for read, said in ((crash, "KeyError"), (execute, "AssertionError"), (quote, "AssertionError")):
        target = Target("wrong", BY_NAME["questions"].inputs, read, (ValueError,))
        tries, _, crashes = tried(target, 0, 3, tmp_path)
        assert tries >= 1
        assert [place.split()[0] for place in crashes] == [said]
    with pytest.raises(Hung), within(0.05):
        all(n >= 0 for n in itertools.count())
