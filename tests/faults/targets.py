"""What reads files and words of others. It succeeds, or refuses in one sentence; it executes nothing."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from tests.factories import make_record
from tests.faults.inputs import (
    RECORDS,
    as_json,
    json_files,
    mutated,
    overrides,
    torn,
    yaml_files,
)  # fmt: skip
from tests.processes import ROOT
from tests.questions import choice
from zoo.errors import UserError

BOARDS = ROOT / "leaderboards"
CANARY = "CANARY"  # a file that is there when something was executed


@dataclass(frozen=True)
class Target:
    """A reader.

    Args:
        name: in the table.
        inputs: what it is given.
        read: reads one of them in a folder, and raises nothing but `refusals`.
        refusals: errors that are one sentence for its user.
    """

    name: str
    inputs: Callable[[], st.SearchStrategy[Any]]
    read: Callable[[Any, Path], None]
    refusals: tuple[type[Exception], ...] = (UserError,)


def attack(target: Target, given: Any, folder: Path) -> bool:
    """Give a target an input; whether it was refused.

    Raises:
        AssertionError: the refusal is not one sentence, or something was executed.
        Exception: any that is no refusal.
    """
    refused = False
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        try:
            target.read(given, folder)
        except target.refusals as error:
            refused = True
            said = str(error)
            assert said.strip()
            assert len(said.splitlines()) == 1, f"of {len(said.splitlines())} lines: {said[:300]}"
            assert len(said) < 20_000, f"of {len(said)} characters: {said[:300]}"
        assert not (folder / CANARY).exists(), "something was executed"
    return refused


# -- records ---------------------------------------------------------------------------------------


@cache
def _real_record() -> dict[str, Any]:
    """The smallest of the committed records, with short curves."""
    path = min(RECORDS.glob("*.json"), key=lambda p: p.stat().st_size)
    record = json.loads(path.read_bytes())
    record["curve"] = {
        k: {c: v and v[:3] for c, v in of.items()} for k, of in list(record["curve"].items())[:3]
    }
    return record


def _records() -> st.SearchStrategy[bytes]:
    factory = json.loads(make_record(0).to_json())
    return json_files(_real_record(), factory)


def _read_record(content: bytes, folder: Path) -> None:
    from zoo.leaderboard.admission import admit
    from zoo.leaderboard.store import read_record, scan

    path = folder / "0123456789abcdef.json"
    path.write_bytes(content)
    stored, problems = scan(folder, None)
    assert len(stored) + len(problems) == 1
    scan(None, folder, curves=False)
    scan(None, folder, curves={"train/loss", '"'})
    for item in stored:
        item.record.to_json()
    with contextlib.suppress(ValueError):
        read_record(path, curves=False)
    admit(path)


def _read_shown_record(content: bytes, folder: Path) -> None:
    """One that somebody's own file holds is on every board and on the page: they take it, too."""
    from zoo.leaderboard.boards import view
    from zoo.leaderboard.store import scan

    (folder / "0123456789abcdef.json").write_bytes(content)
    record = json.loads(content)
    if isinstance(record, dict) and isinstance(record.get("id"), str) and record["id"].isalnum():
        (folder / "0123456789abcdef.json").rename(folder / f"{record['id'][:40]}.json")
    stored, _ = scan(folder, None)
    records = [s.record for s in stored]
    for board in _boards().values():
        view(board, records)


@cache
def _boards() -> Any:
    from zoo.leaderboard.boards import load_boards

    return load_boards(BOARDS)


# -- definitions -----------------------------------------------------------------------------------


def _read_board(content: bytes, folder: Path) -> None:
    from zoo.leaderboard.boards import load_boards, view

    (folder / "digits.yaml").write_bytes(content)
    for board in load_boards(folder).values():
        view(board, [make_record(seed, accuracy=0.9) for seed in range(2)])


def _read_claims(content: bytes, folder: Path) -> None:
    from zoo.leaderboard.claims.claim import load_claims

    (folder / "a.yaml").write_bytes(content)
    load_claims(folder)


def _read_methods(content: bytes, folder: Path) -> None:
    from zoo.leaderboard.methods import load_methods

    (folder / "a.yaml").write_bytes(content)
    load_methods(folder, list(_boards()), ["mosaicbert"])


def _read_results(content: bytes, folder: Path) -> None:
    from zoo.leaderboard.claims.claim import load_claims
    from zoo.leaderboard.claims.pick import Index
    from zoo.leaderboard.results.page import markdown
    from zoo.leaderboard.results.spec import load_results

    (folder / "a.yaml").write_bytes(content)
    index = Index([make_record(seed, accuracy=0.9) for seed in range(3)])
    papers = load_claims(BOARDS / "claims")
    for page in load_results(folder, _boards(), papers).values():
        markdown(page, index, [], papers)


def _smallest(folder: Path, count: int = 2) -> list[Path]:
    return sorted(folder.glob("*.yaml"), key=lambda p: p.stat().st_size)[-count:]


# -- the command line ------------------------------------------------------------------------------


@cache
def _keys() -> list[str]:
    from omegaconf import OmegaConf

    from zoo.config import compose
    from zoo.leaderboard.boards import flatten

    return [k for k in flatten(OmegaConf.to_container(compose(), resolve=False)) if k]  # type: ignore[arg-type]


def _read_overrides(words: list[str], folder: Path) -> None:
    from zoo.config import check, compose

    check(compose(words))


# -- questions, tokenizers -------------------------------------------------------------------------


def _question_files() -> st.SearchStrategy[bytes]:
    import random

    asked = choice(random.Random(0))
    full = {**asked, "id": "q1", "context": "c", "answer": "B", "subject": "s"}
    lettered = {**full, "options": dict(zip("ABC", asked["options"], strict=True))}
    one = json_files(asked, full, lettered)
    return st.lists(one, min_size=1, max_size=3).map(b"\n".join)


def _read_questions(content: bytes, folder: Path) -> None:
    from zoo.data.questions.files import read_questions

    (folder / "asked.jsonl").write_bytes(content)
    read_questions(folder / "asked.jsonl")


@cache
def _tokenizer(kind: str) -> dict[str, Any]:
    from zoo.data.tokenizers import train_bpe, train_wordpiece

    made = {"bpe": train_bpe, "wordpiece": train_wordpiece}[kind]
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"zoo-fuzz-{os.getpid()}"
    made(lambda: iter(["the cat sees the dog and the cat"] * 4), 280).save(folder)
    found = json.loads((folder / "tokenizer.json").read_text())
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return found


def _read_tokenizer(content: bytes, folder: Path) -> None:
    from zoo.data.tokenizers import from_folder

    (folder / "tokenizer.json").write_bytes(content)
    tokenizer = from_folder(str(folder))
    assert tokenizer.vocab_size >= 0
    assert len(tokenizer.sha256) == 64
    _ = tokenizer.end_of_text


# -- checkpoints -----------------------------------------------------------------------------------


class _Touch:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {CANARY}",)


@cache
def _checkpoints() -> list[bytes]:
    from zoo.saved import save

    found = []
    states: list[Any] = [
        {"state_dict": {"net.a": torch.ones(3)}, "optimizer_states": [{"state": {0: torch.ones(2)}}]},
        {"state_dict": {"net.a": _Touch()}}, _Touch(), {}, [], {"state_dict": None}, {"state_dict": [1]},
        {"state_dict": {"net.a": "text"}}, {"state_dict": {1: torch.ones(1)}},
    ]  # fmt: skip
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"zoo-fuzz-{os.getpid()}.ckpt"
    for state in states:
        save(state, path)
        found.append(path.read_bytes())
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=len(found) % 2 == 0)
        found.append(buffer.getvalue())
    path.unlink()
    found += [pickle.dumps(_Touch(), protocol) for protocol in (0, 2, 4)]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickle.dumps(_Touch(), 2))
        file.writestr("archive/version", "3\n")
    return [*found, archive.getvalue(), b"PK\x05\x06" + bytes(18), b""]


def _summed(content: bytes) -> bytes:
    """The same with a sum that is right: what somebody else has made on purpose."""
    import hashlib

    from zoo.saved import MARK

    return content + MARK + hashlib.sha256(content).hexdigest().encode()


def _checkpoint_files() -> st.SearchStrategy[bytes]:
    near = st.sampled_from(_checkpoints())
    bad = near.flatmap(torn)
    return st.one_of(
        near, bad, bad.map(_summed), st.binary(max_size=200), st.binary(max_size=99).map(_summed)
    )


def _read_checkpoint(content: bytes, folder: Path) -> None:
    from zoo.models.pretrained import find
    from zoo.saved import LAST, PREVIOUS, newest

    for name in (LAST, PREVIOUS, "pytorch_model.bin", "model.safetensors"):
        home = folder / name.replace(".", "_")
        home.mkdir(exist_ok=True)
        (home / name).write_bytes(content)
        if name in (LAST, PREVIOUS):
            with contextlib.suppress(UserError):
                newest(home, "0123456789abcdef")
        (home / name).write_bytes(content)
        if name != PREVIOUS:
            (home / "model").mkdir(exist_ok=True)
            (home / ("model" if name == LAST else ".") / "config.json").write_text("{}")
            with contextlib.suppress(UserError):
                _ = find(str(home)).weights
    raise UserError("each was read or refused")


def _read_config(content: bytes, folder: Path) -> None:
    from zoo.models.pretrained import find

    (folder / "config.json").write_bytes(content)
    found = find(str(folder))
    assert isinstance(found.config, dict)
    assert isinstance(found.kind, str)


CONFIG = {
    "model_type": "bert", "hidden_size": 8, "architectures": ["BertForMaskedLM"], "id2label": {"0": "a"},
    "num_hidden_layers": 1, "vocab_size": 30,
}  # fmt: skip

TARGETS = [
    Target("records", _records, _read_record, (ValueError, OSError)),
    Target("records on boards", lambda: mutated(json.loads(make_record(0).to_json())).map(as_json), _read_shown_record),
    Target("boards", lambda: yaml_files(*_smallest(BOARDS)), _read_board),
    Target("claims", lambda: yaml_files(*_smallest(BOARDS / "claims", 1)), _read_claims),
    Target("methods", lambda: yaml_files(*_smallest(BOARDS / "methods", 1)), _read_methods),
    Target("results", lambda: yaml_files(*_smallest(BOARDS / "results", 1)), _read_results),
    Target("command lines", lambda: overrides(_keys()), _read_overrides),
    Target("questions", _question_files, _read_questions),
    Target("tokenizers", lambda: json_files(_tokenizer("bpe"), _tokenizer("wordpiece")), _read_tokenizer),
    Target("checkpoints", _checkpoint_files, _read_checkpoint),
    Target("configurations of models", lambda: json_files(CONFIG), _read_config),
]  # fmt: skip
