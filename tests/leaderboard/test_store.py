"""Records on disk: none lost, none torn, whoever writes and whoever reads."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import HARDWARE, make_config, make_ranges, make_record
from zoo.leaderboard import load_records
from zoo.leaderboard.record import Curve
from zoo.leaderboard.store import (
    MAX_RECORD_BYTES,
    read_record,
    scan,
    write_atomically,
    write_record,
)


def write_many(folder: str, writer: int, count: int) -> None:
    for i in range(count):
        seed = writer * 1000 + i
        record = make_record(seed, points=400)
        write_record(record, Path(folder) / record.id / "record.json")
        # All writers fight over this one, too.
        shared = make_record(0, config=make_config(0), points=10 + writer * 37)
        write_record(shared, Path(folder) / shared.id / "record.json")


def test_eight_writers_and_a_reader_lose_and_tear_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(tmp_path), w, 25)) for w in range(1, 9)]
    for process in writers:
        process.start()
    reads = 0
    seen: set[str] = set()
    while any(p.is_alive() for p in writers):
        stored, problems = scan(tmp_path, None)
        assert problems == []
        now = {s.record.id for s in stored}
        assert seen <= now  # what was there once stays
        seen = now
        reads += 1
        time.sleep(0.01)
    for process in writers:
        process.join()
        assert process.exitcode == 0
    stored, problems = scan(tmp_path, None)
    assert problems == []
    assert len(stored) == 8 * 25 + 1
    assert reads > 3
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.json"]


def test_bad_files_are_named_with_a_reason_and_the_rest_comes(tmp_path: Path) -> None:
    good = make_record(1)
    write_record(good, tmp_path / f"{good.id}.json")
    whole = make_record(2).to_json()
    (tmp_path / "torn.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "renamed.json").write_text(whole)
    (tmp_path / "nan.json").write_text(whole.replace("0.95", "NaN", 1))
    older = {**json.loads(whole), "schema_version": 0}
    (tmp_path / "older.json").write_text(json.dumps(older))
    (tmp_path / "huge.json").write_bytes(b" " * (MAX_RECORD_BYTES + 1))
    (tmp_path / ".hidden.json").write_text("no record")
    (tmp_path / "run").mkdir()
    stored, problems = scan(tmp_path, None)
    assert [s.record.id for s in stored] == [good.id]
    reasons = {p.path.name: p.reason for p in problems}
    bad = ("torn", "empty", "list", "renamed", "nan", "older", "huge")
    assert set(reasons) == {f"{name}.json" for name in bad}
    assert "schema_version" in reasons["older.json"]
    assert "20,000,000" in reasons["huge.json"]
    assert make_record(2).id in reasons["renamed.json"]
    with pytest.warns(UserWarning, match="torn.json"):
        assert [r.id for r in load_records(tmp_path)] == [good.id]


def test_a_run_in_both_folders_counts_once_unless_measured_elsewhere(tmp_path: Path) -> None:
    copied, again, elsewhere = make_record(1), make_record(2), make_record(3)
    other = HARDWARE.model_copy(update={"cpu_name": "Another CPU"})
    local = [
        copied,
        make_record(2, created_at="2026-02-02T00:00:00Z"),
        make_record(3, hardware=other),
    ]
    for record in (copied, again, elsewhere):
        write_record(record, tmp_path / "curated" / f"{record.id}.json")
    for record in local:
        write_record(record, tmp_path / "out" / record.id / "record.json")
    stored, _ = scan(tmp_path / "out", tmp_path / "curated")
    found = sorted((s.record.seed, s.curated) for s in stored)
    assert found == [(1, True), (2, False), (3, False), (3, True)]


def test_without_curves_everything_else_is_the_same(tmp_path: Path) -> None:
    record = make_record(1, command='python train.py "x\\ny"')
    write_record(record, tmp_path / "a.json")
    bare = read_record(tmp_path / "a.json", curves=False)
    assert bare == record.model_copy(update={"curve": {}})
    # Another layout of the same document is read whole.
    (tmp_path / "b.json").write_text(json.dumps(json.loads(record.to_json()), indent=0))
    assert read_record(tmp_path / "b.json", curves=False) == record


NAMES = st.text(st.sampled_from('va/c"\\, {}:é'), max_size=6)


@given(
    st.dictionaries(NAMES, st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=3)), st.data()
)
def test_the_curves_that_are_named_are_read_whole_and_few_others(
    tmp_path_factory: pytest.TempPathFactory,
    values: dict[str, list[float | None]],
    data: st.DataObject,
) -> None:
    """Whatever their names look like, one inside of another or with the signs of JSON in them."""
    curve = {
        name: Curve(step=list(range(len(v))), samples=[0] * len(v), train_s=[0.5] * len(v), value=v)
        for name, v in values.items()
    }
    record = make_record(1, curve=curve, ranges=make_ranges(1, 1))
    path = tmp_path_factory.getbasetemp() / "named.json"
    path.write_text(record.to_json())
    keep = data.draw(st.sets(st.one_of(st.sampled_from([*curve, "loss"]), NAMES), max_size=3))
    found = read_record(path, curves=keep)
    assert found == record.model_copy(update={"curve": found.curve, "ranges": None})
    wanted = {name: c for name, c in curve.items() if name in keep}
    assert {name: c for name, c in found.curve.items() if name in keep} == wanted
    if not any('"' in name for name in curve):  # where one seems to hold another, all may stay
        assert found.curve == wanted


@pytest.mark.parametrize("separators", [(",", ":"), (" , ", " : ")])
def test_a_curve_is_found_in_another_layout_too(
    tmp_path: Path, separators: tuple[str, str]
) -> None:
    record = make_record(1)
    fields = json.loads(record.to_json())
    lines = (f'"{k}": {json.dumps(v, separators=separators)}' for k, v in fields.items())
    (tmp_path / "c.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    assert read_record(tmp_path / "c.json", curves={"val/acc"}) == record


def test_no_folder_is_no_record(tmp_path: Path) -> None:
    assert scan(tmp_path / "nothing", None) == ([], [])
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "nothing.json")
