"""The schema, the identity, and what is left out of both."""

import json
import math

import pytest
from pydantic import ValidationError

from tests.factories import DATA, make_config, make_record
from zoo.leaderboard.record import (
    NOT_IN_CONFIG,
    Curve,
    Record,
    decides_result,
    deciding_config,
    identity,
)


def test_a_record_survives_its_file() -> None:
    record = make_record(3)
    assert Record.model_validate_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("id", "../../etc/passwd"),
        ("id", "ABCDEF0123456789"),
        ("status", "fine"),
        ("seed", -1),
        ("metrics", {"test/acc": "high"}),
        ("data", {**DATA.model_dump(), "sha256": "no"}),
        ("data", {**DATA.model_dump(), "train": 0}),
        ("extra", 1),
    ],
)
def test_what_is_not_in_the_schema_is_refused(field: str, value: object) -> None:
    content = {**json.loads(make_record().to_json()), field: value}
    with pytest.raises(ValidationError):
        Record.model_validate_json(json.dumps(content))


@pytest.mark.parametrize("field", sorted({*Record.model_fields} - {"ranges", "origin"}))
def test_every_field_but_the_rare_ones_is_required(field: str) -> None:
    content = json.loads(make_record().to_json())
    del content[field]
    with pytest.raises(ValidationError):
        Record.model_validate_json(json.dumps(content))


def test_no_number_that_json_has_not() -> None:
    record = make_record(metrics={"a": math.nan, "b": math.inf, "c": 1.0})
    assert record.metrics == {"a": None, "b": None, "c": 1.0}
    assert "NaN" not in record.to_json()


def test_a_curve_has_lists_of_one_length() -> None:
    with pytest.raises(ValidationError, match="equal length"):
        Curve(step=[1, 2], samples=[1], train_s=[0.1], value=[0.5])


def test_the_id_is_of_what_decides_the_result() -> None:
    base = make_config(0)
    same = identity(dict(reversed(base.items())), DATA.sha256, "1")
    assert same == identity(base, DATA.sha256, "1")
    others = [
        identity(make_config(1), DATA.sha256, "1"),
        identity(make_config(0, optimizer={"lr": 0.2}), DATA.sha256, "1"),
        identity(base, "cd" * 32, "1"),
        identity(base, DATA.sha256, "2"),
    ]
    assert len({same, *others}) == 5


def test_paths_and_loggers_decide_nothing() -> None:
    config = {
        "seed": 0,
        "force": True,
        "paths": {"output_dir": "/home/me"},
        "logger": {"name": "wandb", "entity": "me"},
        "data": {"name": "cifar10", "root": "/data", "cache_dir": "/c", "batch_size": 8},
        "callbacks": {"checkpoint": {"every_s": 1}, "progress": {}, "early": {"patience": 3}},
        "trainer": {"max_steps": 3},
    }
    kept = deciding_config(config)
    assert kept == {
        "seed": 0,
        "data": {"name": "cifar10", "batch_size": 8},
        "callbacks": {"early": {"patience": 3}},
        "trainer": {"max_steps": 3},
    }
    for name in NOT_IN_CONFIG:
        assert not decides_result(name.rstrip("."))
        assert not decides_result(name + "x" if name.endswith(".") else name)
    assert all(
        map(decides_result, ("model", "seed", "data.batch_size", "callbacks.early.patience"))
    )
