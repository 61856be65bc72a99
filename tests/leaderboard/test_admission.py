"""Records from elsewhere: what is refused, why, and where it goes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.factories import make_config, make_record
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.admission import MAX_METRICS, admit, same_run
from zoo.leaderboard.record import Record, identity
from zoo.leaderboard.store import MAX_RECORD_BYTES, scan, write_record


def honest(record: Record) -> Record:
    """Return the record under the id that its content has."""
    own = identity(record.config, record.data.sha256, record.zoo_version)
    return record.model_copy(update={"id": own})


def theirs(seed: int = 0, **fields: Any) -> Record:
    return honest(make_record(seed, **fields))


def config(**model: Any) -> dict[str, Any]:
    return make_config(model=model)


def stored(record: Record, folder: Path, **replaced: Any) -> Path:
    """Write a record's file with some of its top-level fields replaced as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record.id}.json"
    path.write_text(json.dumps({**json.loads(record.to_json()), **replaced}))
    return path


def test_an_honest_record_is_admitted(tmp_path: Path) -> None:
    record = theirs()
    assert admit(stored(record, tmp_path)) == record


BAD: dict[str, tuple[Record, dict[str, Any], str]] = {
    "id of another": (make_record(), {}, "is not the hash of its configuration"),
    "path in the id": (theirs(), {"id": "../../../etc/x"}, "^id: String should match"),
    "older schema": (theirs(), {"schema_version": 0}, "schema_version: 0 is an older one than 1"),
    "newer schema": (theirs(), {"schema_version": 2}, "schema_version: 2 is an other one than 1"),
    "unknown field": (theirs(), {"x": 1}, "^x: Extra inputs are not permitted"),
    "target": (
        theirs(config=config(_target_="os.system")), {},
        r"config.model._target_: os.system is nothing that a run builds",
    ),
    "private target": (
        theirs(config=config(_target_="torch._C.x")), {}, "_target_: torch._C.x is nothing",
    ),
    "terminal escape": (
        theirs(config=config(name="\x1b[2Jclean")), {}, "config.model.name: holds a control char",
    ),
    "turned text": (theirs(config=config(name="abc\u202ecba")), {}, "holds a control character"),
    "escape in a key": (theirs(config=config(**{"a\x07": 1})), {}, r"\(a key\): holds a control"),
    "long text": (theirs(config=config(name="x" * 3000)), {}, "name: 3,000 characters; the limit"),
    "path": (theirs(config=config(name="/home/me")), {}, "holds a path, an address or a key"),
    "address": (theirs(config=config(name="me@x.org")), {}, "holds a path, an address or a key"),
    "huge metric": (theirs(accuracy=1e200), {}, "metrics.test/acc: 1e.200 is no measurement"),
    "no command": (theirs(command="rm -rf ."), {}, "command: rm -rf . is no `python train.py`"),
    "half a command": (theirs(command="python train.py '"), {}, "is no `python train.py`"),
    "launcher": (
        theirs(command="python train.py hydra/launcher=x"), {}, "hydra/launcher=x decides no result",
    ),
    "place": (
        theirs(command="python train.py paths.output_dir=.."), {}, "=.. decides no result",
    ),
    "no time": (theirs(created_at="yesterday"), {}, "created_at: yesterday is no time"),
    "seed": (theirs(), {"seed": 5}, "^seed: 5, and 0 in the configuration"),
    "metrics": (
        theirs(), {"metrics": {f"m{i}": 1 for i in range(MAX_METRICS + 1)}}, "names; the limit is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused_says_why(case: str, tmp_path: Path) -> None:
    record, replaced, said = BAD[case]
    path = stored(record, tmp_path, **replaced)
    with pytest.raises(ValueError, match=said) as refused:
        admit(path)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    whole = theirs().to_json()
    for name, content, said in (
        ("torn", whole[: len(whole) // 2], "the document: Invalid JSON"),
        (
            "nan",
            whole.replace('"seed": 0', '"seed": NaN'),
            "config: holds a number that is not finite",
        ),
        ("deep", "[" * 100_000, "the document: Invalid JSON"),
        ("oversized", " " * (MAX_RECORD_BYTES + 1), "a record has at most 20,000,000"),
        ("list", "[]", "the document: Input should be an object"),
    ):
        path = tmp_path / f"{name}.json"
        path.write_text(content)
        with pytest.raises(ValueError, match=said):
            admit(path)
    (tmp_path / "link.json").symlink_to(tmp_path / "torn.json")
    os.mkfifo(tmp_path / "pipe.json")  # reading it would wait for ever
    for name in ("link", "pipe"):
        with pytest.raises(ValueError, match="is no regular file"):
            admit(tmp_path / f"{name}.json")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_a_record_or_is_named(data: st.DataObject, tmp_path: Path) -> None:
    """Bytes that change, go or come, and values of other kinds, in no place lead to a crash."""
    record = theirs()
    content = bytearray(record.to_json().encode())
    if data.draw(st.booleans()):
        fields = json.loads(content)
        node, key = fields, data.draw(st.sampled_from(sorted(fields)))
        while isinstance(node[key], dict) and node[key] and data.draw(st.booleans()):
            node, key = node[key], data.draw(st.sampled_from(sorted(node[key])))
        scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
        node[key] = data.draw(scalars | st.lists(scalars) | st.dictionaries(st.text(), scalars))
        content = bytearray(json.dumps(fields).encode("utf-8", "surrogatepass"))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    folder = tmp_path / "damaged"
    folder.mkdir(exist_ok=True)
    path = folder / f"{record.id}.json"
    path.write_bytes(content)
    found, problems = scan(folder, None)
    assert len(found) + len(problems) == 1
    assert all(p.reason for p in problems)
    try:
        assert admit(path).id == record.id or problems
    except ValueError as error:
        assert str(error)


def test_thinning_changes_nothing_that_a_record_says() -> None:
    record = theirs(points=9)
    thin = record.model_copy(update={"curve": {k: c.thinned(3) for k, c in record.curve.items()}})
    assert same_run(record, thin)
    assert same_run(thin, record)
    assert not same_run(record, theirs(points=9, accuracy=0.1))
    bent = record.curve["val/acc"].model_copy(update={"value": [0.0] * 9})
    assert not same_run(record, record.model_copy(update={"curve": {"val/acc": bent}}))


# -- zoo merge --from ------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, list[str]]:
    (tmp_path / "boards" / "records").mkdir(parents=True)
    options = [
        "--output-dir",
        str(tmp_path / "outputs"),
        "--leaderboards",
        str(tmp_path / "boards"),
    ]
    return tmp_path, options


def zoo(*words: str) -> Any:
    done = CliRunner().invoke(app, words)
    if isinstance(done.exception, UserError):
        raise done.exception
    return done


def test_a_colleagues_records_come_in_and_the_bad_ones_are_set_aside(
    place: tuple[Path, list[str]],
) -> None:
    folder, options = place
    sent = folder / "sent"
    good, known = theirs(1), theirs(2)
    stored(good, sent)
    stored(known, sent)
    write_record(known, folder / "boards" / "records" / f"{known.id}.json")
    other = theirs(3)
    write_record(other, folder / "boards" / "records" / f"{other.id}.json")
    stored(theirs(3, accuracy=0.1), sent)  # another result under the same id
    (sent / "torn.json").write_text("{")
    (sent / "evil;name.json").write_text(make_record(4).to_json())
    done = zoo("merge", "--from", str(sent), "--json", *options)
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert said["merged"] == [good.id]
    assert len(said["refused"]) == 3
    assert any("says something else; zoo verify" in r["reason"] for r in said["refused"])
    curated = {p.stem for p in (folder / "boards" / "records").iterdir()}
    assert curated == {good.id, known.id, other.id}
    aside = sorted(p.name for p in (folder / "outputs" / "quarantine").iterdir())
    assert len(aside) == 6
    assert not any(name.endswith(".json") for name in aside)
    assert len(list(sent.iterdir())) == 5  # theirs stays as it is
    board = json.loads(
        zoo("records", "--json", *options).stdout
    )  # exit code 0: nothing bad is read
    assert len(board["records"]) == 3
    again = zoo("merge", "--from", str(sent / f"{good.id}.json"), *options)
    assert "0 records are curated now" in again.stdout


def test_a_source_that_is_not_there_is_a_mistake(place: tuple[Path, list[str]]) -> None:
    with pytest.raises(UserError, match="--from .*gone: is not there; type a record's file"):
        zoo("merge", "--from", str(place[0] / "gone"), *place[1])


def test_ones_own_bad_files_move_to_quarantine(place: tuple[Path, list[str]]) -> None:
    folder, options = place
    bad = folder / "outputs" / "torn" / "record.json"
    bad.parent.mkdir(parents=True)
    bad.write_text("{")
    assert zoo("records", "--quarantine", *options).exit_code == 1
    assert not bad.exists()
    done = zoo("records", *options)
    assert done.exit_code == 0
    assert "0 valid records" in done.stdout
    (refused,) = (folder / "outputs" / "quarantine").glob("*.refused")
    assert refused.read_text() == "{"
