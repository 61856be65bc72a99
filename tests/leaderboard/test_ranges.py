"""The ranges of a record: what is valid, and that the terminal leaves them alone."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.factories import make_ranges, make_record
from zoo.leaderboard.ranges import ByLayer, OverTraining, Ranges
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import read_record, write_record

SMALL = make_ranges(steps=3, layers=2)


def test_ranges_survive_the_file_and_a_record_without_has_no_such_line(tmp_path: Path) -> None:
    plain, monitored = make_record(0), make_record(0, ranges=SMALL)
    assert "ranges" not in json.loads(plain.to_json())
    for record in (plain, monitored):
        assert Record.model_validate_json(record.to_json()) == record
    assert monitored.to_json().startswith(plain.to_json().removesuffix("\n}\n"))


def test_the_terminal_does_not_parse_them(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(make_record(0, ranges=SMALL), path)
    assert read_record(path).ranges == SMALL
    short = read_record(path, curves=False)
    assert (short.ranges, short.curve) == (None, {})
    # Written by someone else: wherever the line is, the rest is read.
    fields = json.loads(path.read_text())
    moved = {"ranges": fields.pop("ranges"), **fields}
    path.write_text("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in moved.items()) + "\n}")
    assert read_record(path, curves=False).id == short.id
    # And a broken one is told from a valid one when all is read.
    moved["ranges"]["formats"] = 3
    path.write_text(json.dumps(moved))
    with pytest.raises(ValueError, match=r"ranges\.formats"):
        read_record(path)


def _set(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(tree: Any) -> None:
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = to

    return change


WEIGHTS = ("over_training", "weights")
LAYERS = ("by_layer", "gradients")


@pytest.mark.parametrize(
    "change",
    [
        _set("formats", "fp16", "emin", to=99),
        _set("formats", "fp16", "bias", to=15),
        _set("formats", "fp16", "mantissa_bits", to=-1),
        _set("over_training", "biases", to={}),
        _set(*WEIGHTS, "step", to=[0, 1]),
        _set(*WEIGHTS, "step", to=[0, 2, 2]),
        _set(*WEIGHTS, "step", to=[-1, 2, 3]),
        _set(*WEIGHTS, "zero", to=[0.0]),
        _set(*WEIGHTS, "zero", 0, to=0.01),
        _set(*WEIGHTS, "share", 1, to=[0.5]),
        _set(*WEIGHTS, "share", 1, 0, to=-0.1),
        _set(*WEIGHTS, "share", 1, 0, to=1.1),
        _set(*WEIGHTS, "share", to=[[], [], []]),
        _set(*WEIGHTS, "low", to=-151),
        _set(*WEIGHTS, "low", to=100),
        _set(*WEIGHTS, "extra", to=1),
        _set(*LAYERS, "layer", to=["a"]),
        _set(*LAYERS, "layer", to=["a", 2]),
        _set(*LAYERS, "zero", 1, to=None),
        _set(*LAYERS, "share", 0, to=[]),
    ],
)
def test_what_is_not_consistent_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    fields = SMALL.model_dump(mode="json")
    assert Ranges.model_validate(fields) == SMALL
    change(fields)
    with pytest.raises(ValidationError):
        Ranges.model_validate(fields)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_share_is_without_end(bad: float) -> None:
    for field in ({"share": [[bad]]}, {"zero": [bad]}):
        with pytest.raises(ValidationError):
            OverTraining.model_validate(
                {"step": [0], "low": 0, "share": [[0.5]], "zero": [0], **field}
            )


@pytest.mark.parametrize(
    ("cls", "field", "most"), [(OverTraining, "step", 64), (ByLayer, "layer", 256)]
)
def test_there_are_not_too_many_columns(cls: type, field: str, most: int) -> None:
    def build(n: int) -> Any:
        names = list(range(n)) if field == "step" else [str(i) for i in range(n)]
        return cls(**{field: names, "low": -3, "share": [[0.25]] * n, "zero": [0.5] * n})

    build(most)
    for n in (0, most + 1):
        with pytest.raises(ValidationError):
            build(n)


@given(
    st.lists(st.lists(st.integers(0, 10**6), min_size=5, max_size=5), min_size=1, max_size=8),
    st.integers(-150, 123),
)
def test_whatever_is_counted_and_rounded_is_valid(counts: list[list[int]], low: int) -> None:
    """Rounding to four digits may take a row above 1, by less than what is let through."""

    def share(n: int, row: list[int]) -> float:
        return float(f"{n / max(1, sum(row)):.4g}")

    shares = OverTraining(
        step=list(range(len(counts))),
        low=low,
        share=[[share(n, row) for n in row[1:]] for row in counts],
        zero=[share(row[0], row) for row in counts],
    )
    assert OverTraining.model_validate_json(shares.model_dump_json()) == shares
