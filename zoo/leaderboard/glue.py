"""GLUE in one table: a row for what was tuned, a column for each task, and the paper's average.

The average is that of MosaicBERT's paper (Portes et al. 2023): the mean over eight tasks of the mean
over seeds, where CoLA counts by Matthews' coefficient, STS-B by Spearman's, MRPC and QQP by the mean
of accuracy and F1, MNLI by the mean of matched and mismatched, the others by accuracy. WNLI is left
out. Those are the records' `test/score`.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.leaderboard.frontier import Cell, cell_of
from zoo.leaderboard.record import Origin, Record, setup

AVERAGED = ("mnli", "qqp", "qnli", "sst2", "cola", "stsb", "mrpc", "rte")
TASKS = (*AVERAGED, "wnli")
FROM_MNLI = ("stsb", "mrpc", "rte")  # the recipe's second round
ENOUGH = 3  # seeds of a setup that may be chosen
TUNED = "sequence_classification"  # the task of a run that was tuned


@dataclass(frozen=True, order=True)
class Row:
    """What was tuned: a model, its weights at first, and what of them learned.

    Args:
        model: of the checkpoint, or of the run where its weights were new.
        checkpoint: what it is called; empty where there was none.
        sha256: of the checkpoint; empty where there was none.
        tune: full, lora, frozen, or scratch: new weights, in the checkpoint's shape.
        direct: tasks of the second round that did not start from MNLI: a row of their own.
        train_samples: rows that it was tuned on, where that was typed.
        version: of the zoo.
    """

    model: str
    checkpoint: str
    sha256: str
    tune: str
    direct: bool
    train_samples: int
    version: str

    @property
    def words(self) -> str:
        """Return the row's name in a table."""
        how = {
            "scratch": "from scratch", "full": "pretrained", "": "pretrained",
        }.get(self.tune, f"pretrained, {self.tune}")  # fmt: skip
        direct = ", not by way of MNLI" if self.direct else ""
        few = f", {self.train_samples:,} rows" if self.train_samples else ""
        return "\n".join(w for w in (self.model, how + direct + few, self.checkpoint) if w)


@dataclass(frozen=True)
class Score:
    """A task's score in a row.

    Args:
        records: of one setup, a seed each.
        setups: that were tried; of those of three seeds this one has the best mean on validation.
    """

    records: list[Record]
    setups: int

    @property
    def cell(self) -> Cell:
        """Mean and deviation over seeds; a run that diverged counts as missing."""
        return cell_of(self.records, "test/score")

    @property
    def subset(self) -> list[str]:
        """Which of train and test are a part of the public set."""
        return sorted({name for r in self.records for name in r.data.subset or []})


Scores = dict[str, Score]


def rows(records: Iterable[Record]) -> dict[Row, Scores]:
    """Gather the records of GLUE: for each row, the score of each task that it has.

    Of several setups (learning rates, say) for one task that have three seeds, where any has, the one
    with the best validation score is taken, as more would be chosen by the test set.
    """
    found: dict[Row, dict[str, dict[str, list[Record]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for record in {r.id: r for r in records}.values():  # one may have been made on two machines
        task = record.config["data"].get("task")
        if record.config["task"]["name"] == TUNED and record.data.name in TASKS:
            found[_row(record, task)][task][setup(record)].append(record)
    return {
        row: {t: _chosen(by_task[t]) for t in TASKS if t in by_task}
        for row, by_task in sorted(found.items())
    }


def average(scores: Scores) -> float | None:
    """Return the paper's average; None where a task has no score, or a run of it has none."""
    cells = [scores[task].cell for task in AVERAGED if task in scores]
    if len(cells) < len(AVERAGED) or any(c.mean is None or c.missing for c in cells):
        return None
    return statistics.fmean(c.mean for c in cells if c.mean is not None)


def _row(record: Record, task: str) -> Row:
    config, origin = record.config["model"], record.origin
    name, tune = config["name"].removesuffix("_classifier"), config.get("tune") or ""
    by_way_of_mnli = origin is not None and origin.task == TUNED
    while origin is not None and origin.task == TUNED:  # the second round: what did that one tune?
        tune = "scratch" if origin.origin is None else origin.tune or tune
        origin = origin.origin
    if origin is None:
        return _of(record, f"{name}_{config['size']}", None, "scratch", False)
    direct = task in FROM_MNLI and not by_way_of_mnli
    return _of(record, origin.model or name, origin, tune, direct)


def _of(record: Record, model: str, origin: Origin | None, tune: str, direct: bool) -> Row:
    return Row(
        model=model,
        checkpoint=origin.name if origin is not None else "",
        sha256=origin.sha256 if origin is not None else "",
        tune=tune,
        direct=direct,
        train_samples=record.config["data"].get("train_samples") or 0,
        version=record.zoo_version,
    )


def _chosen(setups: dict[str, list[Record]]) -> Score:
    """Choose by validation, of the setups of enough seeds and without one that diverged where there are such.

    A setup of one seed is a look at a rate: it would be chosen for its luck.
    """
    enough = min(ENOUGH, max(map(len, setups.values())))

    def worth(records: list[Record]) -> tuple[bool, bool, float]:
        cell = cell_of(records, "val/score")
        mean = cell.mean if cell.mean is not None else -1.0
        return len(records) >= enough, not cell.missing, mean

    best = max(setups.values(), key=worth)
    return Score(sorted(best, key=lambda r: r.seed), len(setups))


# -- for a terminal of 100 columns, and as plain data -----------------------------------------------

WIDE = 100  # columns of a terminal that has room for ten numbers beside each other
TEST, TRAIN = "*", "'"  # a part of the public validation set, of the training set


def print_table(console: Console, records: Iterable[Record]) -> None:
    """Print the table and what its marks mean."""
    found = rows(records)
    if not found:
        console.print("GLUE: no scores yet; make them with:", markup=False)
        console.print(
            "python train.py -m experiment=glue/all model.checkpoint=outputs/ID", markup=False
        )
        return
    headings = ["", *TASKS, "average"]
    lines = [
        [Text(row.words), *(_shown(scores.get(task)) for task in TASKS), _average(scores)]
        for row, scores in found.items()
    ]
    if console.width < WIDE:  # a column for each row
        headings, lines = (
            ["", *[""] * len(lines)],
            [
                [Text(name), *column]
                for name, column in zip(headings, zip(*lines, strict=True), strict=True)
            ],
        )
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title="GLUE", title_justify="left",
        show_header=any(headings),
    )  # fmt: skip
    for heading in headings:
        table.add_column(
            heading, justify="right" if heading else "left", no_wrap=bool(heading), overflow="fold"
        )
    for line in lines:
        table.add_row(*line, end_section=True)
    console.print(table)
    console.print("; ".join(_notes(found)) + ".\n", style="dim", markup=False)


def _average(scores: Scores) -> Text:
    mean = average(scores)
    mark = _mark([score for task, score in scores.items() if task in AVERAGED])
    return Text("-" if mean is None else f"{100 * mean:.1f}{mark}", style="bold")


def _shown(score: Score | None) -> Text:
    """Mean with its mark, deviation, and n: three lines, so that ten columns fit."""
    if score is None:
        return Text("-")
    cell = score.cell
    total = cell.n + cell.missing
    count = f"n {cell.n}" if not cell.missing else f"{cell.n} of {total}"
    if cell.mean is None:
        return Text(f"-\n{count}")
    spread = f"± {100 * cell.std:.1f}" if cell.std is not None else ""
    return Text(
        "\n".join([f"{100 * cell.mean:.1f}{_mark([score])}", *([spread] * bool(spread)), count])
    )


def _mark(scores: Sequence[Score]) -> str:
    parts = {name for score in scores for name in score.subset}
    return (TEST if "test" in parts else "") + (TRAIN if "train" in parts else "")


def _notes(found: dict[Row, Scores]) -> list[str]:
    every = [score for scores in found.values() for score in scores.values()]
    notes = ["mean over n seeds of 100 times the score (docs/glue.md), and its standard deviation"]
    notes.append("average: the paper's, of the eight tasks without WNLI")
    parts = {name for score in every for name in score.subset}
    if "test" in parts:
        notes.append(f"{TEST} tested on a part of the public set, so no score of GLUE")
    if "train" in parts:
        notes.append(f"{TRAIN} trained on a part of it")
    missing = sum(score.cell.missing for score in every)
    if missing:
        notes.append(f"{missing} runs have no score, as they diverged, and take the average away")
    tried = max(score.setups for score in every)
    if tried > 1:
        notes.append(
            f"of up to {tried} setups of a task, looks of one seed among them, the best on validation is shown"
        )
    return notes


def as_json(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the table as plain data, scores in [0, 1] or [-1, 1]."""
    return [
        {
            "model": row.model,
            "checkpoint": {"name": row.checkpoint, "sha256": row.sha256} if row.sha256 else None,
            "start": "scratch" if row.tune == "scratch" else "pretrained",
            "tune": row.tune,
            "by_way_of_mnli": not row.direct,
            "train_samples": row.train_samples or None,
            "zoo_version": row.version,
            "tasks": {
                task: {
                    "mean": score.cell.mean, "std": score.cell.std, "n": score.cell.n,
                    "missing": score.cell.missing, "subset": score.subset,
                    "seeds": [r.seed for r in score.records],
                    "records": [r.id for r in score.records], "setups": score.setups,
                }
                for task, score in scores.items()
            },
            "average": average(scores),
            "averaged": list(AVERAGED),
        }
        for row, scores in rows(records).items()
    ]  # fmt: skip
