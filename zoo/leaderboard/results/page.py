"""A page of results as Markdown."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from zoo.errors import UserError
from zoo.leaderboard.claims.claim import Claim, Claims, GroupSpec
from zoo.leaderboard.claims.judge import Judged
from zoo.leaderboard.claims.pick import Index, Picked
from zoo.leaderboard.claims.table import STYLES, bound_of, measured
from zoo.leaderboard.record import Record
from zoo.leaderboard.results.spec import Results, Table
from zoo.leaderboard.statistics.paired import summarise


def markdown(
    page: Results, index: Index, judged: Sequence[Judged], papers: dict[str, Claims]
) -> str:
    """Return the page.

    A cell without runs, or with fewer seeds than the table's minimum, is empty.

    Args:
        page: what it is made of.
        index: of the records.
        judged: the claims of its paper.
        papers: for the paper's name.

    Raises:
        UserError: the runs of a cell differ in more than its keys.
    """
    made = f"<!-- made by `zoo results` from leaderboards/results/{page.name}.yaml: change that -->"
    parts = [made, f"# {page.title}", page.question.strip()]
    if page.claims is not None:
        parts.append(f"Paper: {papers[page.claims].paper}.")
    parts += [page.set_up.strip(), _block(page.commands)]
    parts.append(f"![{page.figure.shows}]({page.name}.svg)")
    for table in page.tables:
        parts += [f"{table.title}:", _table(table, index)]
    parts += ["## What it says", _list(page.says)]
    if judged:
        parts += ["## Verdict", verdicts(judged)]
    parts += ["## What differs from the paper", _list(page.differs)]
    if page.more:
        parts.append(
            "More: " + ", ".join(f"[{p.removesuffix('.md')}](../{p})" for p in page.more) + "."
        )
    return "\n\n".join(parts) + "\n"


def verdicts(judged: Sequence[Judged]) -> str:
    """Return a table of claims: the sentence, whose it is, its bound, what was measured, what follows."""
    rows = [
        [
            f"**{j.verdict}**",
            j.claim.sentence,
            _said_by(j.claim),
            bound_of(j),
            measured(j.outcomes[j.telling]),
        ]
        for j in judged
    ]
    table = rows_of(["", "claim", "said by", "bound", "here: effect [95%]"], rows)
    return f"{table}\n\n{NOTES}"


NOTES = (
    "Of several tests of a claim the one that decides is shown; where all hold, the least sure. `k more seeds` would decide it with a chance of 80%, "
    "were effect and spread as measured. Verdicts are not corrected for their number. `ours`: implied by the method, "
    "or a bound of ours ([claims](../claims.md))."
)


def _said_by(claim: Claim) -> str:
    if claim.paper is None:
        return "ours"
    if not claim.paper.verified:
        return "the paper, not read there"
    return "the paper" if claim.paper.is_of_the_paper else claim.paper.source


def tally(judged: Sequence[Judged], pages: dict[str, Results], folder: str) -> str:
    """Return how many claims of each paper hold: the table of the first page.

    Args:
        judged: the claims of all papers.
        pages: of results, by name.
        folder: of these pages, as seen from where the table stands.
    """
    by_claims = {page.claims: page for page in pages.values() if page.claims is not None}
    rows = []
    for paper in dict.fromkeys(j.paper for j in judged):
        counts = Counter(j.verdict for j in judged if j.paper == paper)
        page = by_claims.get(paper)
        label = f"[{page.title}]({folder}/{page.name}.md)" if page is not None else paper
        rows.append(
            [
                label,
                *(str(counts[v]) for v in STYLES),
                str(_read(j for j in judged if j.paper == paper)),
            ]
        )
    counts = Counter(j.verdict for j in judged)
    rows.append(["all", *(str(counts[v]) for v in STYLES), str(_read(judged))])
    return rows_of(["claims of", *STYLES, "of these, said where the paper was read"], rows)


def _read(judged: Iterable[Judged]) -> int:
    return sum(
        j.claim.paper is not None and j.claim.paper.verified and j.claim.paper.is_of_the_paper
        for j in judged
    )


def _table(table: Table, index: Index) -> str:
    picked = {
        (row, column): index.pick(table, GroupSpec(where={**r, **c}, like=_like(table, r)))
        for row, r in table.rows.items()
        for column, c in table.columns.items()
    }
    for (row, column), found in picked.items():
        if found.exists and "differ" in found.reason:
            place = " / ".join(part for part in (row, column) if part)
            raise UserError(f"{table.title}: {place}: {found.reason}")
    counts = Counter(len(p.records) for p in picked.values() if p.records)
    usual = max(counts, key=lambda n: (counts[n], n), default=0)
    told = {0: "", 1: f"n = {usual}"}.get(len(counts), f"n = {usual}, if not said")
    head = [told, *table.columns]
    rows = []
    for row in table.rows:
        if row == table.minus:
            continue
        cells = []
        for column in table.columns:
            rival = picked[table.minus, column] if table.minus is not None else None
            cells.append(_cell(table, picked[row, column], rival, usual))
        rows.append([row, *cells])
    return rows_of(head, rows)


def _like(table: Table, row: dict[str, object]) -> dict[str, object] | None:
    return None if table.like is None else {**row, **table.like}


def _cell(table: Table, picked: Picked, rival: Picked | None, usual: int) -> str:
    if not picked.records or (rival is not None and not rival.records):
        return ""
    for side in (picked, rival) if rival is not None else (picked,):
        diverged = sum(r.status == "diverged" for r in side.records.values())
        if diverged:
            return f"{diverged} of {len(side.records)} diverged"
    if rival is not None:
        shared = sorted(picked.records.keys() & rival.records.keys())
        pairs = [
            (_value(table, picked.records[s]), _value(table, rival.records[s])) for s in shared
        ]
        if len(pairs) < table.minimum_seeds or any(a is None or b is None for a, b in pairs):
            return ""
        found = summarise([a - b for a, b in pairs if a is not None and b is not None])
        text = f"{found.effect:+.{table.digits}f}"
        if found.interval is not None:
            low, high = found.interval.low, found.interval.high
            text += f" [{low:+.{table.digits}f}, {high:+.{table.digits}f}]"
        return text + (f", n={len(pairs)}" if len(pairs) != usual else "")
    values = [_value(table, r) for r in picked.records.values()]
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return ""
    text = (
        f"{statistics.fmean(known):.{table.digits}f} ± {statistics.stdev(known):.{table.digits}f}"
    )
    tuned = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in picked.tuned.values())
    if tuned:
        text += f" ({tuned})"
    return text + (f", n={len(known)}" if len(known) != usual else "")


def _value(table: Table, record: Record) -> float | None:
    return table.scaled(record.metrics.get(table.metric))


def rows_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines
    )


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {sentence.strip()}" for sentence in sentences)


def _block(commands: Iterable[str]) -> str:
    return "\n".join(f"    {command}" for command in commands)
