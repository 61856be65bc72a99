"""Claims in the terminal: what was said, what was measured, what follows."""

import dataclasses
from collections import Counter
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from zoo.leaderboard.boards import show, show_number
from zoo.leaderboard.claims.judge import Judged, Outcome, Verdict

STYLES: dict[Verdict, str] = {
    "holds": "green",
    "fails": "red",
    "undecided": "yellow",
    "no runs": "dim",
}
UNITS = {"linear": "", "percent": " points", "log10": " decades"}
SIGNS = {"at_least": "≥", "at_most": "≤", "more_than": ">", "less_than": "<", "within": "within ±"}


def print_claims(console: Console, judged: list[Judged]) -> None:
    """Print one table a paper, and what the verdicts mean."""
    for paper in dict.fromkeys(j.paper for j in judged):
        console.print(_table(paper, [j for j in judged if j.paper == paper]))
    counts = Counter(j.verdict for j in judged)
    said = ", ".join(f"{counts[v]} {v}" for v in STYLES if counts[v])
    console.print(
        f"{len(judged)} claims: {said}. Each by its interval of 95% (Student's t over seeds, paired); "
        "docs/claims.md has the rule.",
        style="dim",
        markup=False,
    )


def _table(paper: str, judged: list[Judged]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title=Text(paper), title_justify="left"
    )
    table.add_column("verdict", no_wrap=True)
    table.add_column("claim", ratio=2)
    table.add_column("bound", no_wrap=True)
    table.add_column("here", ratio=1)
    for j in judged:
        sentence = Text(j.claim.sentence)
        if j.claim.paper is not None:
            sure = "" if j.claim.paper.verified else ", not verified"
            sentence.append(f" Paper: {j.claim.paper.value}{sure}.", style="dim")
        table.add_row(
            Text(j.verdict, style=STYLES[j.verdict]),
            sentence,
            Text(bound_of(j)),
            Text(measured(j.outcomes[j.telling])),
        )
    return table


def bound_of(judged: Judged) -> str:
    """Return the bound of the test that decides, with its sign."""
    name, bound = judged.claim.tests[judged.telling].bound
    unit = (
        UNITS[judged.claim.scale] if judged.claim.tests[judged.telling].speed_up is None else " x"
    )
    return f"{SIGNS[name]}{'' if name == 'within' else ' '}{bound:g}{unit}"


def measured(outcome: Outcome) -> str:
    """Return what a test measured, in words: effect, interval, n, or why there is none."""
    if outcome.value is None:
        more = f", {outcome.more_seeds} more" if outcome.more_seeds is not None else ""
        return outcome.reason + more
    text = show_number(outcome.value)
    if outcome.interval is not None:
        text += f" [{show_number(outcome.interval.low)}, {show_number(outcome.interval.high)}]"
    text += f", n={outcome.n}"
    if outcome.more_seeds is not None:
        text += f"; {outcome.more_seeds} more seeds"
    elif outcome.verdict == "undecided" and outcome.reason:
        text += f"; {outcome.reason}"
    return text


def as_json(judged: list[Judged]) -> list[dict[str, Any]]:
    """Return the claims with every test, for `--json`."""
    return [
        {
            "claim": j.claim.name,
            "source": j.paper,
            "sentence": j.claim.sentence,
            "paper": j.claim.paper.model_dump() if j.claim.paper else None,
            "bound_from": j.claim.bound_from,
            "verdict": j.verdict,
            "tests": [
                {"bound": list(t.bound), "groups": t.groups, **dataclasses.asdict(o)}
                for t, o in zip(j.claim.tests, j.outcomes, strict=True)
            ],
            "tuned": {g: {k: show(v) for k, v in t.items()} for g, t in j.tuned.items()},
        }
        for j in judged
    ]
