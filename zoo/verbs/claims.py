"""`zoo claims`: each paper's claims, what was measured here, and the verdict."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from zoo.errors import UserError, suggest
from zoo.leaderboard.claims.claim import Claims, load_claims
from zoo.leaderboard.claims.judge import Judged, judge
from zoo.leaderboard.claims.pick import Index
from zoo.leaderboard.claims.table import as_json, print_claims
from zoo.leaderboard.record import Record
from zoo.leaderboard.store import scan
from zoo.leaderboard.terminal import print_problems


def judge_all(papers: dict[str, Claims], records: Iterable[Record]) -> list[Judged]:
    """Decide the claims of these papers on the records."""
    index = Index(records)
    return [judge(c, name, index) for name, item in papers.items() for c in item.claims]


def run(paper: str | None, output_dir: Path, leaderboards: Path, json_wanted: bool) -> None:
    """Print the claims; `paper` is a file's name of leaderboards/claims, None for all of them."""
    papers = load_claims(leaderboards / "claims")
    if paper is not None and paper not in papers:
        raise UserError(f"paper {paper}: no claims of it{suggest(paper, papers)}")
    chosen = {paper: papers[paper]} if paper is not None else papers
    stored, problems = scan(output_dir, leaderboards / "records", curves=False)
    judged = judge_all(chosen, (s.record for s in stored))
    if json_wanted:
        print(json.dumps(as_json(judged), indent=1))
        return
    console = Console()
    if not judged:
        console.print(f"No claims in {leaderboards / 'claims'}.", markup=False)
    else:
        print_claims(console, judged)
    print_problems(console, problems)
