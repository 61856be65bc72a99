"""Claims: read, picked by validation, decided by intervals, and what is said where they cannot be."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from tests.factories import HARDWARE, make_config, make_record
from zoo.cli import app
from zoo.errors import UserError
from zoo.leaderboard.boards import flatten, load_boards
from zoo.leaderboard.claims.claim import Claim, load_claims
from zoo.leaderboard.claims.judge import Judged, decide, judge
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.glue import TASKS
from zoo.leaderboard.record import Record
from zoo.leaderboard.results.page import tally, verdicts
from zoo.leaderboard.statistics.interval import Interval
from zoo.leaderboard.store import scan, write_record

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PAPERS = load_claims(ROOT / "leaderboards" / "claims")


def run(
    seed: int, width: int, accuracy: float, lr: float = 0.1, val: float | None = None, **more: Any
) -> Record:
    metrics = {"test/acc": accuracy, "val/acc": accuracy if val is None else val}
    metrics |= more.pop("metrics", {})
    config = make_config(seed, model={"width": width}, optimizer={"lr": lr})
    return make_record(seed, config=config, metrics=metrics, **more)


def claim(test: dict[str, Any], seeds: int = 3, **more: Any) -> Claim:
    groups = {"wide": {"where": {"model.width": 8}}, "narrow": {"where": {"model.width": 4}}}
    values = {
        "name": "c",
        "sentence": "Wide is better.",
        "bound_from": "the sentence",
        "metric": "test/acc",
        "scale": "percent",
        "minimum_seeds": seeds,
        "groups": groups,
        "tests": [{"contrast": {"wide": 1, "narrow": -1}, **test}],
    }
    return Claim.model_validate({**values, **more})


def judged(records: list[Record], test: dict[str, Any], **more: Any) -> Judged:
    return judge(claim(test, **more), "paper", Index(records))


NOISE = (-0.002, 0.0, 0.002)
TWO_POINTS = [
    run(s, w, a + (n if w == 8 else 0))
    for w, a in ((8, 0.9), (4, 0.88))
    for s, n in enumerate(NOISE)
]


@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ({"more_than": 0}, "holds"),
        ({"at_least": 1}, "holds"),
        ({"at_least": 2}, "undecided"),
        ({"at_least": 3}, "fails"),
        ({"at_most": 3}, "holds"),
        ({"less_than": 1}, "fails"),
        ({"within": 3}, "holds"),
        ({"within": 1}, "fails"),
        ({"within": 2}, "undecided"),
    ],
)
def test_the_interval_decides(test: dict[str, Any], verdict: str) -> None:
    found = judged(TWO_POINTS, test)
    assert found.verdict == verdict
    outcome = found.outcomes[0]
    assert outcome.value == pytest.approx(2.0)
    assert outcome.n == 3
    # 0.2 points of deviation, three seeds: 4.3027 * 0.2 / sqrt(3)
    assert outcome.interval is not None
    assert outcome.interval.high - 2.0 == pytest.approx(4.3027 * 0.2 / 3**0.5, rel=1e-4)


def test_a_bound_that_is_met_exactly() -> None:
    same = Interval(1.0, 1.0)
    assert decide("at_least", 1.0, same, same) == decide("at_most", 1.0, same, same) == "holds"
    assert decide("more_than", 1.0, same, same) == decide("less_than", 1.0, same, same) == "fails"
    assert decide("within", 1.0, same, same) == "holds"
    assert decide("at_least", 1.0, None, None) == "undecided"


@pytest.mark.parametrize(
    ("source", "verified", "said"),
    [
        ("abstract", True, "the paper"),
        ("model card", True, "model card"),
        ("abstract", False, "the paper, not read there"),
    ],
)
def test_who_says_it_is_said(source: str, verified: bool, said: str) -> None:
    figure = {"value": "much", "source": source, "verified": verified}
    found = judged(TWO_POINTS, {"more_than": 0}, paper=figure)
    assert f"| {said} |" in verdicts([found])
    counted = tally([found], {}, "results").splitlines()[-1]
    assert counted.endswith("| 1 |" if said == "the paper" else "| 0 |")


def test_an_undecided_claim_says_how_many_more_seeds_would_do() -> None:
    shifts = (-0.02, 0.0, 0.02)
    records = [run(s, w, a + (n if w == 8 else 0)) for w, a in ((8, 0.9), (4, 0.88))
               for s, n in enumerate(shifts)]  # fmt: skip
    outcome = judged(records, {"more_than": 0}).outcomes[0]
    # Mean 2, deviation 2: n = 10 is the least with a power of 0.8 (0.803; 9 have 0.75).
    assert (outcome.verdict, outcome.more_seeds) == ("undecided", 7)
    never = judged(records, {"at_least": 2}).outcomes[0]
    assert (never.verdict, never.more_seeds) == ("undecided", None)
    assert "over 1,000" in never.reason


def test_a_claim_of_several_tests_holds_where_all_do_and_fails_where_one_does() -> None:
    up, down = {"wide": 1, "narrow": -1}, {"wide": -1, "narrow": 1}
    holds = {"contrast": up, "more_than": 0}
    tests = [holds, {"contrast": down, "more_than": 0}]
    assert judged(TWO_POINTS, {"more_than": 0}, tests=tests).verdict == "fails"
    tests = [holds, {"contrast": down, "less_than": 0}]
    assert judged(TWO_POINTS, {"more_than": 0}, tests=tests).verdict == "holds"
    # Of those that hold the least sure is shown, of those that fail the first.
    tests = [holds, {"contrast": up, "at_least": 1.4}, {"contrast": up, "at_least": 1}]
    assert judged(TWO_POINTS, {"more_than": 0}, tests=tests).telling == 1
    tests = [holds, *({"contrast": down, "more_than": k} for k in (-1, 0))]
    assert judged(TWO_POINTS, {"more_than": 0}, tests=tests).telling == 1
    # 2 ± 0.497 excludes 2.5 at 95%, but not at the 97.5% that one of two tests needs to fail.
    edge = {"contrast": up, "at_least": 2.55}
    assert judged(TWO_POINTS, {"at_least": 2.55}).verdict == "fails"
    assert judged(TWO_POINTS, {"more_than": 0}, tests=[edge, holds]).verdict == "undecided"


def test_the_learning_rate_is_chosen_by_validation_never_by_test() -> None:
    better_on_test = [run(s, 8, 0.99, lr=0.5, val=0.1) for s in range(3)]
    found = judged([*TWO_POINTS, *better_on_test], {"more_than": 0})
    assert found.tuned["wide"] == {"optimizer.lr": 0.1}
    assert found.outcomes[0].value == pytest.approx(2.0)
    # A rate at which one seed diverged is not the best, whatever the others have.
    diverged = [run(s, 8, 0.99, lr=0.5, val=0.999) for s in range(2)]
    diverged.append(run(2, 8, 0.1, lr=0.5, val=0.999, status="diverged"))
    assert judged([*TWO_POINTS, *diverged], {"more_than": 0}).tuned["wide"] == {"optimizer.lr": 0.1}
    # Two seeds of it are no reason to take it.
    few = [run(s, 8, 0.99, lr=0.5, val=0.999) for s in range(2)]
    assert judged([*TWO_POINTS, *few], {"more_than": 0}).tuned["wide"] == {"optimizer.lr": 0.1}
    with pytest.raises(ValueError, match="test split"):
        claim({"more_than": 0}, tune_by="test/acc")


def test_the_rate_that_is_best_elsewhere_is_taken_where_it_is_asked_for() -> None:
    records = [run(s, w, a, lr=lr) for s in range(3) for w, lr, a in
               ((8, 0.1, 0.5), (8, 0.2, 0.9), (4, 0.1, 0.8), (4, 0.2, 0.7))]  # fmt: skip
    groups = {
        "wide": {"where": {"model.width": 8}},
        "narrow": {"where": {"model.width": 4}, "like": {"model.width": 8}},
    }
    found = judged(records, {"more_than": 0}, groups=groups)
    assert found.tuned["narrow"] == {"optimizer.lr": 0.2}
    assert found.outcomes[0].value == pytest.approx(20.0)


def test_no_runs_too_few_seeds_and_unlike_runs_are_said() -> None:
    none = judged([], {"more_than": 0})
    assert (none.verdict, none.outcomes[0].reason) == ("no runs", "wide: no runs")
    few = judged([r for r in TWO_POINTS if r.seed < 2], {"more_than": 0})
    assert (few.verdict, few.outcomes[0].reason) == ("undecided", "wide: 2 of 3 seeds")
    others = [r.model_copy(update={"seed": r.seed + 2}) if r.config["model"]["width"] == 4 else r
              for r in TWO_POINTS]  # fmt: skip
    apart = judged(others, {"more_than": 0}).outcomes[0]
    assert (apart.reason, apart.more_seeds) == ("1 of 3 seeds in common", 2)
    deeper = [
        make_record(s, config=make_config(s, model={"width": 8, "depth": 99})) for s in range(3)
    ]
    unlike = judged([*TWO_POINTS, *deeper], {"more_than": 0}).outcomes[0]
    assert unlike.reason == "wide: runs differ in model.depth; add it to where"


def test_hardware_matters_to_clocks_alone() -> None:
    other = HARDWARE.model_copy(update={"cpu_name": "Other"})
    mixed = [r.model_copy(update={"hardware": other}) if r.seed == 0 else r for r in TWO_POINTS]
    assert judged(mixed, {"more_than": 0}).verdict == "holds"
    timed = [
        r.model_copy(update={"metrics": {**r.metrics, "time/train_s": 1.0 + r.seed}}) for r in mixed
    ]
    found = judged(timed, {"at_least": 0}, metric="time/train_s")
    assert found.outcomes[0].reason == "wide: 2 of 3 seeds"


def test_a_speed_up_of_two_families() -> None:
    rng = np.random.default_rng(0)
    records, groups = [], {}
    for name, factor, base in (("fast", 2.0, 0), ("slow", 1.0, 10)):
        for i, cost in enumerate((10.0, 30.0, 90.0)):
            groups[f"{name}{i}"] = {"where": {"model.width": base + i}}
            for s in range(3):
                quality = 0.6 + 0.05 * np.log(cost) + 0.001 * rng.standard_normal()
                more = {"time/train_s": cost / factor}
                records.append(run(s, base + i, quality, metrics=more))
    families = [[f"{n}{i}" for i in range(3)] for n in ("fast", "slow")]
    for bound, verdict in (({"more_than": 1}, "holds"), ({"at_least": 3}, "fails")):
        test = {"speed_up": families, "cost": "time/train_s", **bound}
        found = judged(records, {}, groups=groups, tests=[test])
        assert found.verdict == verdict
        assert found.outcomes[0].value == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paper: [", "not valid YAML"),
        ("[1]", "a mapping with paper and claims"),
        ("paper: p\nclaims: []", "claims"),
    ],
)
def test_bad_claims_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        load_claims(tmp_path)
    assert str(caught.value).startswith("bad.yaml: ")


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({}, "exactly one bound"),
        ({"at_least": 1, "at_most": 2}, "exactly one bound"),
        ({"at_least": 1, "contrast": {"wid": 1}}, "no such group; did you mean wide"),
        ({"at_least": 1, "speed_up": [["wide"], ["narrow"]]}, "one of contrast and speed_up"),
        ({"at_least": 1, "cost": "time/train_s"}, "cost goes with speed_up"),
    ],
)
def test_a_test_is_one_quantity_and_one_bound(test: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        claim(test)


def test_every_paper_has_claims_with_their_command_and_a_bound_of_known_source() -> None:
    assert set(PAPERS) == {
        "adaptive_braking", "biomedlm", "format_169", "mosaicbert", "pipelined_backprop",
    }  # fmt: skip
    for name, paper in PAPERS.items():
        text = (ROOT / "leaderboards" / "claims" / f"{name}.yaml").read_text()
        assert text.startswith(f"# zoo claims --paper {name}\n")
        for item in paper.claims:
            assert item.minimum_seeds >= (5 if item.metric in ("test/acc", "train/loss") else 3)
            assert item.sentence.endswith(".")
            assert {g for t in item.tests for g in t.groups} == set(item.groups)


def _keys(tree: dict[str, Any], prefix: str) -> set[str]:
    return {f"{prefix}{k}" for k in tree} | {
        key for k, v in tree.items() if isinstance(v, dict) for key in _keys(v, f"{prefix}{k}.")
    }


def test_claims_and_boards_ask_for_what_a_configuration_can_be() -> None:
    conf = ROOT / "conf"
    known: set[str] = set()
    names: dict[str, list[str]] = {}
    for path in [*conf.glob("experiment/*/*.yaml"), *(ROOT / "sweeps").glob("*.yaml")]:
        known |= _keys(yaml.safe_load(path.read_text()) or {}, "")
    for path in conf.glob("*/*.yaml"):
        section, content = path.parent.name, yaml.safe_load(path.read_text()) or {}
        known |= _keys(content, f"{section}.")
        if section != "experiment" and "name" in content:
            # model.name is one of a size: bert_nano, not bert.
            pattern = re.sub(r"\\\$\\\{[^}]*\\\}", "[a-z0-9.]+", re.escape(str(content["name"])))
            names.setdefault(f"{section}.name", []).append(pattern)
    names["data.name"] += TASKS  # a record's data has the task's name
    asked = [(f"{p} {c.name}", w) for p, item in PAPERS.items() for c in item.claims
             for w in [c.where, *(g.where for g in c.groups.values())]]  # fmt: skip
    for board in load_boards(ROOT / "leaderboards").values():
        asked += [
            (board.name, board.where),
            (board.name, board.baseline.where if board.baseline else {}),
        ]
    for place, where in asked:
        for key, value in where.items():
            assert key in known, f"{place}: no configuration has {key}"
            for each in value if isinstance(value, list) else [value]:
                if key in names:
                    assert any(re.fullmatch(n, each) for n in names[key]), f"{place}: {key}={each}"


def test_the_curated_records_decide_claims_and_show_one_that_fails() -> None:
    stored, problems = scan(None, ROOT / "leaderboards" / "records", curves=False)
    assert problems == []
    index = Index(s.record for s in stored)
    assert sum(len(s.records) for s in index.settings) == len(stored)
    known = {k for s in index.settings for k in s.fields} | set(flatten(make_config(0)))
    assert "optimizer.lr" in known
    verdicts = {
        (name, c.name): judge(c, name, index).verdict
        for name, p in PAPERS.items()
        for c in p.claims
    }
    assert verdicts["adaptive_braking", "delay_32"] == "fails"
    for paper in ("adaptive_braking", "format_169", "pipelined_backprop"):
        assert {v for (name, _), v in verdicts.items() if name == paper} & {"holds", "fails"}


def test_zoo_claims_prints_the_table_and_json_beside_bad_records(tmp_path: Path) -> None:
    boards = tmp_path / "boards"
    (boards / "claims").mkdir(parents=True)
    content = {
        "paper": "A paper",
        "claims": [claim({"more_than": 0}).model_dump(exclude_none=True)],
    }
    (boards / "claims" / "some.yaml").write_text(json.dumps(content))
    for record in TWO_POINTS:
        write_record(record, tmp_path / "out" / record.id / "record.json")
    whole = TWO_POINTS[0].to_json()
    (tmp_path / "out" / "torn.json").write_text(whole[:99])
    (tmp_path / "out" / "copy.json").write_text(whole)
    (tmp_path / "out" / "older.json").write_text(whole.replace('version": 1', 'version": 0', 1))
    place = ["--output-dir", str(tmp_path / "out"), "--leaderboards", str(boards)]

    def zoo(*more: str) -> Any:
        return CliRunner().invoke(app, ["claims", *place, *more], env={"COLUMNS": "80"})

    shown = zoo().output
    assert "holds" in shown
    assert "2 [1.5, 2.5], n=3" in " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines() if "left out" not in line) <= 80
    for name in ("torn.json", "copy.json", "older.json"):
        assert f"left out {name}" in shown
    (found,) = json.loads(zoo("--json").output)
    assert (found["verdict"], found["tests"][0]["n"]) == ("holds", 3)
    assert found["tests"][0]["interval"]["low"] == pytest.approx(1.503, abs=1e-3)
    said = zoo("--paper", "som").exception
    assert "did you mean some" in str(said)


def test_the_verb_says_it_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "claims", "--paper", "mosaicber"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "zoo: paper mosaicber: no claims of it; did you mean mosaicbert?\n"
