"""GLUE as a table of Markdown: tasks down, models across."""

from collections.abc import Iterable

from zoo.leaderboard.glue import AVERAGED, TASKS, Score, average, rows
from zoo.leaderboard.record import Record
from zoo.leaderboard.results.page import rows_of

LABELS = {
    "mnli": "MNLI", "qqp": "QQP", "qnli": "QNLI", "sst2": "SST-2", "cola": "CoLA", "stsb": "STS-B",
    "mrpc": "MRPC", "rte": "RTE", "wnli": "WNLI",
}  # fmt: skip


def glue(records: Iterable[Record]) -> str:
    """Return 100 times mean ± deviation (n) of each task, and the paper's average."""
    found = rows(records)
    short = [", ".join(row.words.splitlines()[:2]) for row in found]
    alike = len(set(short)) < len(short)  # but for the checkpoint
    head = ["", *([", ".join(row.words.splitlines()) for row in found] if alike else short)]
    lines = [
        [LABELS[task], *(_cell(scores.get(task)) for scores in found.values())] for task in TASKS
    ]
    means = [average(scores) for scores in found.values()]
    without = " and ".join(LABELS[t] for t in TASKS if t not in AVERAGED)
    lines.append(
        [f"average without {without}", *("" if m is None else f"**{100 * m:.1f}**" for m in means)]
    )
    return rows_of(head, lines)


def _cell(score: Score | None) -> str:
    cell = score.cell if score is not None else None
    if score is None or cell is None or cell.mean is None:
        return ""
    spread = f" ± {100 * cell.std:.1f}" if cell.std is not None else ""
    marks = ("*" if "test" in score.subset else "") + ("'" if "train" in score.subset else "")
    lost = f" of {cell.n + cell.missing}" if cell.missing else ""
    return f"{100 * cell.mean:.1f}{spread}{marks} ({cell.n}{lost})"
