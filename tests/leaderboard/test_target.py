"""Costs up to a target: against a plain reading of the curve, and on every view of a board."""

import json
import re
import statistics
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.browser import Browser
from tests.factories import HARDWARE, make_config, make_record
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.boards import Axis, Board, load_board, load_boards, show_cell, view
from zoo.leaderboard.page import write_page
from zoo.leaderboard.page.figure import frontier_svg
from zoo.leaderboard.page.payload import payload
from zoo.leaderboard.record import Curve, Record
from zoo.leaderboard.report import report
from zoo.leaderboard.store import Stored, write_record
from zoo.leaderboard.target import KEYS, Target

TARGET = Target(key="val/acc", value=0.7)
BOARD = Board(
    name="t",
    title="To a target",
    question="?",
    where={"data.name": "digits"},
    quality=Axis(key="test/acc", label="acc", direction="max"),
    costs=[Axis(key=key, label=key, direction="min") for key in KEYS],
    target=TARGET,
)
YAML = """\
title: To a target
question: "?"
where: {data.name: digits}
quality: {key: test/acc, label: acc, direction: max}
costs:
  - {key: target/steps, label: steps to 70 %, direction: min}
  - {key: time/train_s, label: train time (s), direction: min}
target:
  key: val/acc
  value: 0.70
"""


def climbing(values: list[float | None], seed: int = 0, width: int = 8, **more: Any) -> Record:
    """Return the record of a run that was evaluated every 10 steps of 32 samples and 0.5 s."""
    n = len(values)
    curve = Curve(
        step=[10 * i for i in range(1, n + 1)],
        samples=[320 * i for i in range(1, n + 1)],
        train_s=[5.0 * i for i in range(1, n + 1)],
        value=values,
    )
    metrics = {
        "test/acc": values[-1] if values else None,
        "train/steps": 10 * n,
        "cost/bit_flops": 1000.0 * n,
        "cost/bytes_moved": 200.0 * n,
        "flops/total": 4000.0 * n,
    }
    config = make_config(seed, model={"width": width})
    fields = {
        "config": config,
        "metrics": metrics,
        "curve": {"train/loss": curve, "val/acc": curve},
        **more,
    }
    return make_record(seed, **fields)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 9).map(lambda i: i / 10)), max_size=12),
    st.integers(-1, 10).map(lambda i: i / 10),
    st.sampled_from(["min", "max"]),
)
def test_the_first_point_at_or_beyond_the_target_counts(values, wanted, direction) -> None:
    record = climbing(values)
    target = Target(key="val/acc", value=wanted, direction=direction)
    costs = {key: target.cost(record, key) for key in KEYS}
    there = [
        i
        for i, v in enumerate(values, 1)
        if v is not None and (v >= wanted if direction == "max" else v <= wanted)
    ]
    if not there:
        assert set(costs.values()) == {None}
        return
    first = min(there)  # points are 10 steps, 320 samples and 5 s apart
    assert costs == {
        "target/steps": 10 * first,
        "target/samples": 320 * first,
        "target/train_s": 5.0 * first,
        "target/bit_flops": pytest.approx(1000.0 * first),
        "target/bytes_moved": pytest.approx(200.0 * first),
        "target/flops": pytest.approx(4000.0 * first),
    }


@given(
    st.integers(1, 49_999), st.sampled_from([180, 5_000, 50_000]), st.sampled_from(["min", "max"])
)
def test_single_precision_hides_no_target_and_no_sample_is_given(correct, total, direction) -> None:
    """A metric was rounded to fp32, yet one sample fewer is still short of the target."""
    correct %= total
    target = Target(key="val/acc", value=correct / total, direction=direction)
    short = correct - 1 if direction == "max" else correct + 1
    single, too_few = struct.unpack("2f", struct.pack("2f", correct / total, short / total))
    assert target.cost(climbing([too_few, single]), "target/steps") == 20


def test_a_point_between_two_is_not_made_up() -> None:
    assert TARGET.cost(climbing([0.6, 0.8]), "target/steps") == 20
    assert TARGET.cost(climbing([0.8, 0.6, 0.8]), "target/steps") == 10


def test_what_a_record_lacks_has_no_cost() -> None:
    nothing = climbing([0.9], metrics={"train/steps": None, "flops/total": 1.0})
    assert [TARGET.cost(nothing, k) for k in ("target/steps", "target/flops")] == [10, None]
    assert TARGET.cost(climbing([0.9], metrics={"train/steps": 10}), "target/bit_flops") is None
    no_steps = climbing([0.9], metrics={"train/steps": 0, "flops/total": 0.0})
    assert TARGET.cost(no_steps, "target/flops") is None
    assert TARGET.cost(climbing([0.9], curve={}), "target/steps") is None


groups = st.lists(
    st.lists(st.lists(st.sampled_from([0.5, 0.7, 0.9]), min_size=1, max_size=4), min_size=1, max_size=3),
    min_size=1, max_size=5,
)  # fmt: skip


@given(groups, st.sampled_from(KEYS))
def test_a_group_has_a_cost_where_each_of_its_runs_got_there(curves, key) -> None:
    records = [
        climbing(values, seed, width)
        for width, seeds in enumerate(curves)
        for seed, values in enumerate(seeds)
    ]
    before = [r.to_json() for r in records]
    filled = view(BOARD, records, key)
    for group in filled.groups:
        costs = [TARGET.cost(r, key) for r in group.records]
        known = [c for c in costs if c is not None]
        cell = group.cells[key]
        assert (cell.n, cell.missing) == (len(known), len(costs) - len(known))
        assert set(group.cells) == {"test/acc", *KEYS}
        if len(known) == len(costs):
            assert cell.mean == pytest.approx(statistics.fmean(known))
        else:
            assert cell.mean is None
            assert not group.on_frontier
            assert show_cell(cell, filled.cost) == (
                f"- ({cell.n} of {len(costs)})" if known else "-"
            )
    everywhere = all(g.cells[key].mean is not None for g in filled.groups)
    assert any(g.on_frontier for g in filled.groups) or not everywhere
    assert [r.to_json() for r in records] == before  # derived for the view, stored nowhere


def test_seconds_to_a_target_are_compared_on_one_machine_only() -> None:
    slow = HARDWARE.model_copy(update={"cpu_name": "A slow CPU"})
    records = [climbing([0.9]), climbing([0.1, 0.7], width=4, hardware=slow)]
    by_time = view(BOARD, records, "target/train_s")
    assert [g.on_frontier for g in by_time.groups] == [True, True]
    by_steps = view(BOARD, records, "target/steps")
    assert [g.on_frontier for g in by_steps.groups] == [True, False]
    clocked = payload([BOARD], [], [])["boards"][0]["costs"]
    assert [c["key"] for c in clocked if c["clocked"]] == ["target/train_s"]


def test_the_page_says_what_the_target_is(browser: Browser, tmp_path: Path) -> None:
    records = [climbing([0.8], 0, 4), climbing([0.9], 0, 2), climbing([0.5], 1, 2)]
    browser.open(write_page(tmp_path, [BOARD], [Stored(r, Path("x"), False) for r in records]))
    said = browser.until('return document.querySelector("section p.quiet")?.textContent')
    assert said.startswith("Target: val/acc of at least 0.7, at the first logged point")
    rows = browser.js('return [...document.querySelectorAll("tbody tr")].map((r) => r.textContent)')
    assert ["- (1 of 2)" in row for row in rows] == [False, True]


def board_file(tmp_path: Path, text: str = YAML) -> Path:
    (tmp_path / "boards").mkdir(exist_ok=True)
    path = tmp_path / "boards" / "t.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            r"target:\n.*\n.*\n",
            "",
            "t.yaml: costs.0.key: target/steps needs a target; add target: with key and value",
        ),
        (
            "key: target/steps",
            "key: flops/total",
            "t.yaml: target.key: val/acc: no cost is counted up to it; add one such as target/steps",
        ),
        (
            "key: target/steps",
            "key: target/step",
            "t.yaml: costs.0.key: target/step: no such cost; did you mean target/steps",
        ),
        (
            "key: val/acc",
            "key: test/acc",
            "t.yaml: target.key: test/acc has no curve, the test split is read once; type val/...",
        ),
        ("0.70", "seventy", "t.yaml: target.value: "),
        ("0.70", ".nan", "t.yaml: target.value: "),
        ("value: 0.70", "direction: max", "t.yaml: target.value: "),
        ("value: 0.70", "value: 0.70\n  goal: 1", "t.yaml: target.goal: "),
    ],
)
def test_a_target_that_does_not_go_with_the_costs_is_named(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    changed, count = re.subn(old, new, YAML)
    assert count == 1
    with pytest.raises(UserError) as caught:
        load_board(board_file(tmp_path, changed))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_the_mean_curve_gets_there_where_a_lucky_run_does_not_count() -> None:
    over_mean = TARGET.model_copy(update={"over": "mean"})
    # Means: 0.6, 0.65, 0.8. The runs' own first points are the second, the third, and the third.
    runs = [
        climbing([0.6, 0.75, 0.6], 0),
        climbing([0.6, 0.6, 0.9], 1),
        climbing([0.6, 0.6, 0.9], 2),
    ]
    assert TARGET.cell(runs, "target/steps").mean == pytest.approx(80 / 3)
    for key, cost in (("target/steps", 30), ("target/train_s", 15.0), ("target/bit_flops", 3000.0)):
        cell = over_mean.cell(runs, key)
        assert (cell.mean, cell.std, cell.n) == (pytest.approx(cost), None, 3)
        # Draws of the mean curve cross at the second point or at the third.
        assert cell.interval is not None
        assert (cell.interval.low, cell.interval.high) == pytest.approx((2 / 3 * cost, cost))
    # One run never gets there, and the mean curve does.
    never = [climbing([0.6, 0.9], 0), climbing([0.6, 0.69], 1)]
    assert TARGET.cell(never, "target/steps").mean is None
    assert over_mean.cell(never, "target/steps").mean == 20
    # Only what every run was evaluated at counts; a missing value is beyond nothing.
    assert over_mean.cell([runs[0], climbing([0.9], 1)], "target/steps").mean == 10
    assert (
        over_mean.cell([climbing([None, 0.9], 0), climbing([0.9, 0.9], 1)], "target/steps").mean
        == 20
    )
    for nothing in ([], [climbing([], 0)], [climbing([0.1], 0)], [make_record(0, curve={})]):
        assert over_mean.cell(nothing, "target/steps").mean is None
    assert over_mean.cell(
        [climbing([struct.unpack("f", struct.pack("f", 0.7))[0]])], "target/steps"
    ).mean
    # The chance to be on a frontier would be of the runs' own costs: it is not given.
    board = BOARD.model_copy(update={"target": over_mean})
    assert board.value(runs[0], "target/steps") is None
    assert "mean curve" in str(over_mean)


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """A board with a target and one without; width 4 is there first, one run of 2 never."""
    board_file(tmp_path)
    plain = re.sub(r"target:\n.*\n.*\n|.*target/steps.*\n", "", YAML)
    (tmp_path / "boards" / "plain.yaml").write_text(plain)
    for record in (
        climbing([0.8, 0.8], 0, 4),
        climbing([0.6, 0.8], 0, 8), climbing([0.6, 0.69, 0.9], 1, 8),
        climbing([0.9], 0, 2), climbing([0.5], 1, 2),
    ):  # fmt: skip
        write_record(record, tmp_path / "out" / record.id / "record.json")
    return ["--output-dir", str(tmp_path / "out"), "--leaderboards", str(tmp_path / "boards")]


def zoo(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False, env={"COLUMNS": "120"})


def test_zoo_board_reads_the_curve_that_a_target_needs(place: list[str]) -> None:
    shown = zoo("board", "t", *place).output
    assert "- (1 of 2)" in shown
    assert "25" in shown.split()
    assert "±" in shown
    assert "target: val/acc of at least 0.7, at the first logged point" in " ".join(shown.split())
    for arguments in (("t",), ()):  # alone, and among boards that need no curve
        content = json.loads(zoo("board", *arguments, "--json", *place).output)
        found = next(item for item in content if item["board"] == "t")
        assert found["target"] == TARGET.model_dump()
        cells = {g["config"]["model.width"]: g["metrics"]["target/steps"] for g in found["groups"]}
        assert cells[4] == {"mean": 10, "std": None, "n": 1, "missing": 0, "interval": None}
        assert cells[8] == {
            "mean": 25,
            "std": pytest.approx(7.0711, rel=1e-4),
            "n": 2,
            "missing": 0,
            "interval": {  # t of one degree of freedom: 12.706
                "low": pytest.approx(25 - 63.531, rel=1e-4),
                "high": pytest.approx(25 + 63.531, rel=1e-4),
                "level": 0.95,
            },
        }
        assert cells[2] == {"mean": None, "std": None, "n": 1, "missing": 1, "interval": None}
        on = {g["config"]["model.width"]: g["on_frontier"] for g in found["groups"]}
        assert on == {2: False, 4: True, 8: True}
    plain = json.loads(zoo("board", "plain", "--json", *place).output)[0]
    assert plain["target"] is None


def test_a_board_without_a_target_loads_no_curve(
    place: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import zoo.cli

    loaded = []

    def spy(*arguments: Any, **options: Any) -> Any:
        stored, problems = scan(*arguments, **options)
        loaded.append({name for s in stored for name in s.record.curve})
        return stored, problems

    scan = zoo.cli.scan
    monkeypatch.setattr(zoo.cli, "scan", spy)
    for name in ("plain", "t"):
        assert CliRunner().invoke(app, ["board", name, *place]).exit_code == 0
    assert loaded == [set(), {"val/acc"}]


def test_the_rank_after_a_run_counts_up_to_the_target(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = climbing([0.8, 0.8], 0, 4)
    report(record, tmp_path / "out", tmp_path / "none", tmp_path / "boards")
    shown = " ".join(capsys.readouterr().out.split())
    assert "on board t, on its frontier" in shown


def test_the_rank_after_a_run_says_that_seeds_are_missing(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "boards" / "t.yaml"
    board.write_text(board.read_text() + "\nminimum_seeds: 3\n")
    report(climbing([0.8], 0, 4), tmp_path / "out", tmp_path / "none", tmp_path / "boards")
    shown = " ".join(capsys.readouterr().out.split())
    assert "on board t, on no frontier with 1 of 3 seeds" in shown


def test_a_board_that_is_none_does_not_hide_what_was_trained(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boards" / "t.yaml").write_text("title: t\n")
    record = climbing([0.8], 0, 4)
    report(record, tmp_path / "out", tmp_path / "none", tmp_path / "boards")
    shown = " ".join(capsys.readouterr().out.split())
    assert "on no board: t.yaml: question: is missing" in shown
    assert record.id in shown


def test_the_page_and_the_figure_show_costs_to_the_target(place: list[str], tmp_path: Path) -> None:
    records = [climbing([0.8, 0.8], 0, 4), climbing([0.9], 0, 2), climbing([0.5], 1, 2)]
    board = load_boards(tmp_path / "boards")["t"]
    shown = payload([board], [Stored(r, Path("x"), False) for r in records], [])["boards"][0]
    assert shown["target"] == str(board.target)
    cells = {group["label"]: group["cells"][1] for group in shown["groups"]}
    assert cells == {"width 4": [10, None, 1, 0, "10"], "width 2": [None, None, 1, 1, "- (1 of 2)"]}
    assert shown["frontiers"][0] == [0]
    drawn = frontier_svg(view(board, records))
    assert drawn.count('class="marker') == 1
    assert "1 of 2 groups have no place here and are not drawn." in drawn
    assert "steps to 70 %" in drawn
    out = tmp_path / "t.svg"
    assert zoo("figure", "t", "--out", str(out), *place).exit_code == 0
    assert out.read_text().count('class="marker') == 2
