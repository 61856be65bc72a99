"""`zoo results`: the docs' pages of results, made from the curated records."""

import json
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import UserError, suggest
from zoo.leaderboard.boards import Board, curves_needed, load_boards, view
from zoo.leaderboard.claims.claim import load_claims
from zoo.leaderboard.claims.judge import judge
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.page.figure import frontier_svg
from zoo.leaderboard.page.range_figure import ranges_svg
from zoo.leaderboard.record import Record
from zoo.leaderboard.results.cost import cost
from zoo.leaderboard.results.glue import glue
from zoo.leaderboard.results.page import markdown, tally
from zoo.leaderboard.results.spec import Drawing, Results, load_results
from zoo.leaderboard.store import read_record, scan, write_atomically

# Tables that stand among other text, by the file's name and what it calls them.
OUT = Path("docs/results")
TABLES = {
    Path("README.md"): "claims",
    Path("docs/results.md"): "cost",
    Path("docs/glue.md"): "glue",
}


def pages(leaderboards: Path, chosen: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (file name, content) of each page, of its figure, and last of the tables by themselves.

    Args:
        leaderboards: boards, claims, results, and the curated records; no others count.
        chosen: one page alone; None: all, and the tables (`claims`, `cost`, `glue`).

    Raises:
        UserError: there is no such page, or nothing to draw.
    """
    boards = load_boards(leaderboards)
    papers = load_claims(leaderboards / "claims")
    found = load_results(leaderboards / "results", boards, papers)
    if chosen is not None and chosen not in found:
        raise UserError(f"results {chosen}: no such page{suggest(chosen, found)}")
    curves = curves_needed(boards.values())
    stored, problems = scan(None, leaderboards / "records", curves=curves)
    if problems:
        raise UserError(
            f"{problems[0].name}: {problems[0].reason}; mend it, or move it away: the pages are of all records"
        )
    records = [s.record for s in stored]
    index = Index(records)
    judged = [judge(c, name, index) for name, item in papers.items() for c in item.claims]
    for name, page in found.items():
        if chosen in (None, name):
            own = [j for j in judged if j.paper == page.claims]
            yield f"{name}.md", markdown(page, index, own, papers)
            yield (
                f"{name}.svg",
                _drawn(page.figure, boards, records, page, leaderboards / "records"),
            )
    if chosen is None:
        yield "claims", tally(judged, found, "docs/results")
        yield "cost", cost(records)
        yield "glue", glue(records)


def _drawn(
    figure: Drawing, boards: dict[str, Board], records: list[Record], page: Results, curated: Path
) -> str:
    if figure.board is not None:
        filled = view(boards[figure.board], records, figure.cost)
        drawn = frontier_svg(filled) if filled.groups else None
    else:
        path = curated / f"{figure.ranges}.json"
        drawn = ranges_svg(read_record(path)) if path.is_file() else None
    if drawn is None:
        raise UserError(
            f"{page.name}.yaml: figure: no records to draw it from; write another board or run"
        )
    return drawn


def within(text: str, name: str, table: str) -> str:
    """Return a text with the table between its two marks; as it was where it has none.

    Raises:
        UserError: the second mark is missing.
    """
    begin, end = f"<!-- {name}: made by `zoo results` -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if found and not ended:
        raise UserError(f"{begin}: is not followed by {end}; put that behind the table")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}" if found else text


def run(name: str | None, out: Path, leaderboards: Path, json_wanted: bool) -> None:
    """Write the pages; all of them to where they belong: also the tables in README.md and docs/."""
    written = []
    for file, made in pages(leaderboards, name):
        tables = [path for path, table in TABLES.items() if table == file]
        if file in TABLES.values() and out != OUT:
            continue
        for path in tables or [out / file]:
            content = made
            if tables:
                there = path.read_text(encoding="utf-8") if path.is_file() else ""
                content = within(there, file, made)
                if content == there:
                    continue
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content.encode())
            written.append(str(path))
    print(json.dumps({"written": written}) if json_wanted else f"written: {', '.join(written)}")
