"""A run that is killed at random moments, its checkpoints damaged, ends as if nothing had been.

The whole campaign, over tasks, delays, formats, sweeps and verbs, is `python -m tests.faults`.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults import kill
from tests.faults.__main__ import table
from tests.faults.kill import Trial, Whole, ended, start, trial, undisturbed
from tests.faults.kinds import Kind, answering, kinds

pytestmark = pytest.mark.xdist_group("kills")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def kind(place: Path) -> Kind:
    return next(k for k in kinds(place) if k.name == "classification, constant, 169")


@pytest.fixture(scope="module")
def whole(kind: Kind, place: Path) -> Whole:
    return undisturbed(kind, place / "whole", place / "cache")


def test_kinds_are_a_covering_set(place: Path) -> None:
    runs = [k.name.split(", ") for k in kinds(place) if not k.name.startswith("sweep")]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert len({(r[a], r[b]) for r in runs}) == len({r[a] for r in runs}) * 3
    assert len({r[0] for r in runs}) == 5


def test_a_run_survives(kind: Kind, whole: Whole, tmp_path: Path) -> None:
    found = [trial(kind, whole, seed, tmp_path / str(seed), tmp_path / "cache") for seed in (1, 2)]
    assert [one.lost for one in found] == [[], []]
    assert sum(one.kills for one in found) >= 1
    assert not whole.end.keys() - {"files", *whole.end["files"]}
    names = {Path(name).name for name in whole.end["files"]}
    assert names == {"record.json", "last.ckpt"}  # previous.ckpt is gone


@pytest.mark.parametrize("files", [["last.ckpt"], ["last.ckpt", "previous.ckpt"]])
def test_a_damaged_checkpoint_costs_time_and_no_bit(
    files: list[str], kind: Kind, whole: Whole, tmp_path: Path
) -> None:
    process = start(kind, tmp_path, tmp_path.parent / "cache")
    while not any(tmp_path.glob("*/previous.ckpt")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (folder,) = (p.parent for p in tmp_path.glob("*/previous.ckpt"))
    for name in files:
        file = folder / name if (folder / name).exists() else folder / "last.ckpt"
        torn = bytearray(file.read_bytes()) if file.exists() else bytearray(b"torn")
        torn[len(torn) // 2] ^= 1
        # A new file: killed between two steps of a save, both names are of one.
        file.unlink(missing_ok=True)
        file.write_bytes(torn)
    again = start(kind, tmp_path, tmp_path.parent / "cache")
    out, err = again.communicate()
    assert (again.returncode, err) == (0, "")
    assert f"run {folder.name}: last.ckpt is damaged" in out
    assert ("goes on from previous.ckpt" if len(files) == 1 else "it begins anew") in out
    assert kind.end(tmp_path) == whole.end


def test_answers_survive(place: Path, tmp_path: Path) -> None:
    kind = answering(place)
    whole = undisturbed(kind, tmp_path / "whole", place / "cache")
    assert trial(kind, whole, 3, tmp_path, place / "cache").lost == []


def test_what_is_lost_is_seen(kind: Kind, whole: Whole, tmp_path: Path) -> None:
    """Else the campaign counts nothing."""
    name = next(n for n in whole.end["files"] if n.endswith("record.json"))
    curves = whole.end[name]["curves"]
    key = next(iter(curves))
    doubled = {**curves, key: tuple([*column, column[-1]] for column in curves[key])}
    got = {**whole.end, name: {**whole.end[name], "curves": doubled}}
    assert [f"{name}: curves: {key}" in d for d in kill._differences(whole.end, got)] == [True]
    left = {**whole.end, "files": [*whole.end["files"], "a/.last.ckpt.1.tmp"]}
    assert "tmp" in kill._differences(whole.end, left)[0]
    lost: list[str] = []
    stamps: dict[Path, int] = {}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "record.json").write_text("{")
    kill._note_ended(tmp_path, stamps, lost)
    assert len(lost) == 1
    os.utime(tmp_path / "a" / "record.json", ns=(1, 1))
    kill._note_ended(tmp_path, stamps, lost)
    assert "a: was trained twice" in lost
    rows = table({"x": [Trial(2, 1, [], 3.0), Trial(1, 0, ["gone"], 1.0)]}).splitlines()
    assert rows[-1] == "| all | 3 | 1 | 2 | 1 | 4 |"


def test_a_command_that_fails_is_lost(kind: Kind, whole: Whole, tmp_path: Path) -> None:
    wrong: Any = Kind("wrong", ["train.py", "optimizer.lr=fast"], kind.end, moments=("delay",))
    assert ended(start(wrong, tmp_path / "alone", tmp_path))[0] == 2
    assert any("exit code 2" in x for x in trial(wrong, whole, 0, tmp_path, tmp_path).lost)
