"""GLUE's table: the average as the paper defines it, marks of subsets, and which runs make a row."""

import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.factories import DATA, make_config, make_record
from zoo.cli import app
from zoo.leaderboard.frontier import group_by_seed
from zoo.leaderboard.glue import TASKS, as_json, average, print_table, rows
from zoo.leaderboard.record import Origin, Record, identity, setup
from zoo.leaderboard.results.glue import glue
from zoo.leaderboard.store import write_record

PRETRAINED = Origin(
    sha256="cd" * 32, name="outputs/" + "0" * 16, run="0" * 16, model="mosaicbert_nano",
    data="c4", task="masked_lm", seed=0, setup="1" * 16,
)  # fmt: skip


def scored(
    task: str,
    score: float | None,
    seed: int = 0,
    *,
    val: float = 0.5,
    origin: Origin | None = PRETRAINED,
    tune: str = "full",
    lr: float = 3e-5,
    subset: list[str] | None = None,
) -> Record:
    config = make_config(
        seed,
        model={
            "name": "mosaicbert_classifier", "size": "nano", "tune": tune,
            "checkpoint": f"sha256:{origin.sha256}" if origin is not None else None,
        },
        data={"name": f"glue_{task}", "task": task},
        task={"name": "sequence_classification"},
        optimizer={"lr": lr},
    )  # fmt: skip
    data = DATA.model_copy(update={"name": task, "subset": subset})
    return make_record(
        seed, config=config, data=data, origin=origin, id=identity(config, task, "test"),
        status="diverged" if score is None else "finished",
        metrics={"test/score": score, "val/score": val},
    )  # fmt: skip


def tuned_on(record: Record) -> Origin:
    """What a run that starts from this one says of it."""
    return Origin(
        sha256=record.id * 4, name=f"outputs/{record.id}", run=record.id,
        model=record.config["model"]["name"], data=record.data.name,
        task="sequence_classification", seed=record.seed, tune=record.config["model"]["tune"],
        setup=setup(record), origin=record.origin,
    )  # fmt: skip


SCORES = dict(zip(TASKS, (0.8, 0.7, 0.9, 0.92, 0.4, 0.85, 0.75, 0.6, 0.56), strict=True))


def whole(**options: Any) -> list[Record]:
    mnli = scored("mnli", SCORES["mnli"], **options)
    by_way = tuned_on(mnli)
    second = {"origin": by_way, "tune": "full"}
    return [
        mnli,
        *(
            scored(t, s, **(second if t in ("rte", "mrpc", "stsb") else options))
            for t, s in SCORES.items()
            if t != "mnli"
        ),
    ]


def table(records: list[Record], width: int = 100) -> str:
    out = io.StringIO()
    print_table(Console(file=out, width=width), records)
    return out.getvalue()


def test_the_average_is_over_eight_means_and_not_over_runs_or_wnli() -> None:
    (scores,) = rows(whole()).values()
    assert average(scores) == pytest.approx((0.8 + 0.7 + 0.9 + 0.92 + 0.4 + 0.85 + 0.75 + 0.6) / 8)
    more = [scored("cola", s, seed) for seed, s in ((1, 0.6), (2, 0.8))]
    (scores,) = rows([*whole(), *more]).values()
    assert scores["cola"].cell.n == 3
    assert average(scores) == pytest.approx((0.8 + 0.7 + 0.9 + 0.92 + 0.6 + 0.85 + 0.75 + 0.6) / 8)


@pytest.mark.parametrize("task", [t for t in TASKS if t != "wnli"])
def test_there_is_no_average_of_seven(task: str) -> None:
    (scores,) = rows([r for r in whole() if r.data.name != task]).values()
    assert task not in scores
    assert average(scores) is None


def test_a_run_that_diverged_is_counted_and_takes_the_average_away() -> None:
    records = [*whole(), scored("cola", None, 1)]
    (scores,) = rows(records).values()
    assert (scores["cola"].cell.n, scores["cola"].cell.missing) == (1, 1)
    assert average(scores) is None
    assert "1 of 2" in table(records)
    assert "1 runs have no score" in " ".join(table(records).split())


def test_scores_on_a_part_of_a_set_are_marked_as_such() -> None:
    records = [r for r in whole() if r.data.name not in ("qqp", "qnli")]
    assert "*" not in table(records)
    records += [
        scored("qqp", 0.7, subset=["train", "test"]),
        scored("qnli", 0.9, subset=["train"]),
    ]
    shown = table(records)
    for words in ("70.0*'", "90.0'", "74.0*'", "* tested on a part of the public set"):
        assert words in " ".join(shown.split())
    (row,) = as_json(records)
    assert row["tasks"]["qqp"]["subset"] == ["test", "train"]
    assert row["tasks"]["cola"]["subset"] == []


def test_a_row_is_what_was_pretrained_and_how_it_was_tuned() -> None:
    fresh = whole(origin=None)
    shaped = whole(tune="scratch")  # in the checkpoint's shape
    found = {row.words for row in rows([*whole(), *fresh, *shaped])}
    assert found == {
        "mosaicbert_nano\npretrained\noutputs/0000000000000000",
        "mosaicbert_nano\nfrom scratch",
        "mosaicbert_nano\nfrom scratch\noutputs/0000000000000000",
    }
    assert all(average(scores) for scores in rows([*whole(), *fresh, *shaped]).values())


def test_the_second_round_without_mnli_is_a_row_of_its_own() -> None:
    found = rows([*whole(), scored("rte", 0.99)])
    assert [len(scores) for scores in found.values()] == [9, 1]
    direct = list(found)[1]
    assert direct.direct
    assert "not by way of MNLI" in direct.words


def test_of_several_rates_validation_chooses_and_not_the_test() -> None:
    tried = [
        scored("cola", 0.9, val=0.3, lr=1e-3),
        scored("cola", 0.5, val=0.6, lr=1e-4),
        scored("cola", None, val=0.9, lr=1e-1),
    ]
    tried[2] = tried[2].model_copy(update={"metrics": {"test/score": None, "val/score": None}})
    (scores,) = rows(tried).values()
    assert scores["cola"].cell.mean == 0.5
    assert scores["cola"].setups == 3
    assert "of up to 3 setups" in " ".join(table(tried).split())


def test_one_seed_of_a_rate_is_a_look_and_is_not_shown() -> None:
    look = scored("cola", 0.9, val=0.9, lr=1e-3)
    seeds = [scored("cola", 0.5, seed, val=0.6, lr=1e-4) for seed in range(3)]
    (scores,) = rows([look, *seeds]).values()
    assert (scores["cola"].cell.mean, scores["cola"].cell.n, scores["cola"].setups) == (0.5, 3, 2)
    lost = [seeds[0], seeds[1], scored("cola", None, 2, lr=1e-4)]
    (scores,) = rows([look, *lost]).values()
    assert (scores["cola"].cell.n, scores["cola"].cell.missing) == (2, 1)
    better = [scored("cola", 0.6, seed, val=0.7, lr=3e-4) for seed in range(3)]
    (scores,) = rows([*seeds, scored("cola", 0.5, 3, val=0.6, lr=1e-4), *better]).values()
    assert scores["cola"].cell.mean == 0.6


def test_the_table_of_the_docs() -> None:
    records = [*whole(), *(scored("sst2", 0.5 + seed / 10, seed + 1) for seed in range(2))]
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in glue(records).splitlines()]
    assert lines[0] == ["", "mosaicbert_nano, pretrained"]
    cells = dict(lines[2:])
    assert cells["MNLI"] == f"{100 * SCORES['mnli']:.1f} (1)"
    values = [100 * v for v in (SCORES["sst2"], 0.5, 0.6)]
    assert cells["SST-2"] == f"{statistics.fmean(values):.1f} ± {statistics.stdev(values):.1f} (3)"
    (scores,) = rows(records).values()
    assert cells["average without WNLI"] == f"**{100 * (average(scores) or 0):.1f}**"
    part = [scored("rte", 0.5, subset=["test", "train"]), scored("cola", None)]
    assert "50.0*' (1)" in glue(part)


def test_seeds_of_the_second_round_are_one_group_though_their_weights_differ() -> None:
    first = [scored("mnli", 0.8, seed) for seed in range(3)]
    second = [scored("rte", 0.6, r.seed, origin=tuned_on(r)) for r in first]
    assert len({r.config["model"]["checkpoint"] for r in second}) == 3
    (group,) = group_by_seed(second)
    assert group.seeds == [0, 1, 2]
    other = scored("mnli", 0.8, 0, lr=1e-3)
    assert len(group_by_seed([*second, scored("rte", 0.6, 0, origin=tuned_on(other))])) == 2


def test_pretraining_with_the_seed_of_tuning_is_no_second_round() -> None:
    assert setup(scored("rte", 0.6, 0)) == setup(scored("rte", 0.6, 1))


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits(width: int) -> None:
    records = [scored(t, 0.8888, s, subset=["train", "test"]) for t in TASKS for s in range(3)]
    shown = table([*records, *whole()], width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert all(task in shown for task in (*TASKS, "average"))


def test_the_verb(tmp_path: Path) -> None:
    typed = ["glue", "--output-dir", str(tmp_path), "--leaderboards", str(tmp_path)]
    empty = CliRunner().invoke(app, typed)
    assert empty.exit_code == 0
    assert "experiment=glue/all" in empty.stdout
    for record in whole():
        write_record(record, tmp_path / record.id / "record.json")
    (row,) = json.loads(CliRunner().invoke(app, [*typed, "--json"]).stdout)
    assert row["average"] == pytest.approx(0.74)
    assert (row["start"], row["model"]) == ("pretrained", "mosaicbert_nano")
    assert {t: c["mean"] for t, c in row["tasks"].items()} == SCORES
    assert "74.0" in CliRunner().invoke(app, typed).stdout
