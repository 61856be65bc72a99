"""What is sent of a record, and which records are not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.factories import DATA, make_config
from tests.publishing.conftest import bundle_of, record_of
from zoo.leaderboard.record import Curve, identity
from zoo.publishing.bundle import listing
from zoo.publishing.run import one_of_each, refusal, run_of


def test_the_curves_are_one_history_by_step() -> None:
    columns: dict[str, Any] = {"samples": [64, 128], "train_s": [0.1, 0.2]}
    curves = {
        "train/loss": Curve(step=[1, 2], value=[0.5, None], **columns),
        "val/acc": Curve(step=[2, 4], value=[0.6, 0.7], tokens=[9, 18], **columns),
    }
    run = run_of(record_of(0, curve=curves))
    assert run.rows == [
        (1, {"train/loss": 0.5, "train/samples": 64, "time/train_s": 0.1}),
        (2, {"val/acc": 0.6, "train/samples": 64, "train/tokens": 9, "time/train_s": 0.1}),
        (4, {"val/acc": 0.7, "train/samples": 128, "train/tokens": 18, "time/train_s": 0.2}),
    ]


def test_the_digest_is_of_everything_but_the_boards() -> None:
    record = record_of(0)
    one, other = run_of(record), run_of(record, ["digits"])
    assert (one.digest, one.curve) == (other.digest, other.curve)
    assert other.tags == ("digits",)
    changed = record.model_copy(update={"metrics": {"test/acc": 0.1}})
    assert run_of(changed).digest != one.digest
    assert run_of(changed).curve == one.curve


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"config": {"model": {"_target_": "os.system"}}}, "os.system is nothing that a run builds"),
    ({"config": {"note": "/home/someone/secret"}}, "holds a path, an address or a key"),
    ({"config": {"note": "someone@example.org"}}, "holds a path, an address or a key"),
    ({"config": {"_wandb": {"value": {}}}}, "W&B keeps names that begin with _ to itself"),
    ({"metrics": {"_step": 3}}, "W&B keeps names that begin with _ to itself"),
    ({"command": "rm -rf x"}, "is no `python train.py`"),
]


@pytest.mark.parametrize(("fields", "sentence"), HOSTILE)
def test_a_hostile_record_is_named_and_not_sent(
    fields: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    config = {**make_config(0), **fields.get("config", {})}
    ids = {"id": identity(config, DATA.sha256, "0.1.0")}
    hostile = record_of(0).model_copy(update={**fields, **ids, "config": config})
    assert sentence in str(refusal(hostile))
    good = record_of(1)
    bundle = bundle_of(tmp_path, hostile, good)
    assert [run.id for run in bundle.runs] == [good.id]
    assert list(bundle.boards.files) == [f"{good.id}.json"]
    listed = listing(bundle)
    assert [p["file"] for p in listed["refused"]] == [f"{hostile.id}.json"]
    assert "/home/someone" not in json.dumps([listed["runs"], listed["boards"], listed["files"]])


def test_a_script_in_a_name_is_text_in_the_picture(tmp_path: Path) -> None:
    config = make_config(0, model={"name": "<script>alert(1)</script>"})
    record = record_of(0).model_copy(
        update={"config": config, "id": identity(config, DATA.sha256, "0.1.0")}
    )
    assert refusal(record) is None
    other = record_of(1, width=4)
    shown = bundle_of(tmp_path, record, other).boards.shown[0]
    assert "<script" not in shown.picture


def test_a_run_of_two_machines_is_one_run_and_two_files(tmp_path: Path) -> None:
    here = record_of(0)
    hardware = here.hardware.model_copy(update={"cpu_name": "another"})
    there = here.model_copy(update={"hardware": hardware, "created_at": "2026-02-01T00:00:00Z"})
    assert one_of_each([here, there]) == [there]
    bundle = bundle_of(tmp_path, here, there)
    assert [run.id for run in bundle.runs] == [here.id]
    assert sorted(bundle.boards.files) == [f"{here.id}.2.json", f"{here.id}.json"]
